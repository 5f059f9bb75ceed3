"""perplexity against NumPy on the logits that the logits command writes."""

import json
import re
import subprocess

import numpy as np
import pytest
from talking_models import TEXT, TOKENS, write_talking_model


@pytest.fixture(scope="module")
def model(tritbench, tmp_path_factory):
    return write_talking_model(tritbench, tmp_path_factory.mktemp("perplexity") / "model.gguf")


def perplexity(tritbench, model, *args, code=0):
    command = [tritbench, "perplexity", "-m", str(model), *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done
    return done


def expected_losses(tritbench, model, context, chunks, scratch):
    """Of the second half of every chunk; and the number of tokens of the text."""
    text = TEXT.read_text(encoding="utf-8").removesuffix("\n")
    out = subprocess.run([tritbench, "tokenize", "-m", str(model), "--bos", "--json", text],
                         check=True, capture_output=True)
    tokens = json.loads(out.stdout)["tokens"]
    losses = []
    for i in range(len(tokens) // context)[:chunks]:
        chunk = tokens[i * context : (i + 1) * context]
        chunk[0] = TOKENS.index("<|begin_of_text|>")
        subprocess.run([tritbench, "logits", "-m", str(model), "--all", "-o", str(scratch),
                        "--tokens", ",".join(map(str, chunk))], check=True)
        logits = np.fromfile(scratch, "<f4").reshape(context, -1).astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        losses += [-log_p[j, chunk[j + 1]] for j in range(context // 2, context - 1)]
    return np.array(losses), len(tokens)


@pytest.mark.parametrize("context, chunks", [(16, 3), (33, 2), (150, -1)])
def test_it_is_the_exponential_of_the_mean_loss(tritbench, model, tmp_path, context, chunks):
    most = None if chunks < 0 else chunks
    losses, tokens = expected_losses(tritbench, model, context, most, tmp_path / "l.bin")
    done = perplexity(tritbench, model, "-f", TEXT, "-c", context, "--chunks", chunks, "--json")
    found = json.loads(done.stdout)
    assert found["tokens"] == tokens
    assert found["context"] == context
    assert found["chunks"] == (tokens // context if most is None else most)
    assert found["scored"] == len(losses)
    assert found["begin_of_text"] is True and found["interrupted"] is False
    error = losses.std() / np.sqrt(len(losses) - 1)
    assert found["nll"] == pytest.approx(losses.mean(), rel=1e-12)
    assert found["nll_error"] == pytest.approx(error, rel=1e-9)
    assert found["perplexity"] == pytest.approx(np.exp(losses.mean()), rel=1e-12)
    assert found["perplexity_error"] == pytest.approx(np.exp(losses.mean()) * error, rel=1e-9)

    text = perplexity(tritbench, model, "-f", TEXT, "-c", context, "--chunks", chunks).stdout
    value, spread = re.search(r"^Final estimate: PPL = ([\d.]+) \+/- ([\d.]+)$", text, re.M).groups()
    assert value == f"{found['perplexity']:.4f}" and spread == f"{found['perplexity_error']:.5f}"


def test_it_does_not_depend_on_kernel_or_threads(tritbench, model):
    flags = ["-f", TEXT, "-c", 100, "--json"]
    expected = json.loads(perplexity(tritbench, model, *flags).stdout)
    for more in (["-t", 1], ["-t", 3], ["--kernel", "int8_scalar"]):
        found = json.loads(perplexity(tritbench, model, *flags, *more).stdout)
        assert found["nll"] == expected["nll"], more


def test_a_model_of_random_weights_knows_nothing(tritbench, model):
    found = json.loads(perplexity(tritbench, model, "-f", TEXT, "-c", 100, "--json").stdout)
    assert 0.7 * len(TOKENS) < found["perplexity"] < 2.5 * len(TOKENS)


def refusal(tritbench, *args):
    done = perplexity(tritbench, *args, code=2)
    assert done.stdout == "" and done.stderr.count("\n") == 1, done
    return done.stderr


@pytest.mark.parametrize("flags, expected", [
    ([], "--file"),
    (["-f", "/nonexistent"], "/nonexistent: cannot read it"),
    (["-f", "/dev/null"], "1 tokens; expected at least 1024"),
    (["-f", TEXT, "-c", "2"], "--ctx-size"),
    (["-f", TEXT, "-c", "100000"], "expected at least 200000"),
    (["-f", TEXT, "-c", "257"], "context: 257"),
    (["-f", TEXT, "--chunks", "x"], "--chunks"),
    (["-f", TEXT, "-t", "0"], "--threads"),
])
def test_bad_usage_is_one_line(tritbench, model, flags, expected):
    assert expected in refusal(tritbench, model, *flags)


def test_no_chunks_are_no_result(tritbench, model):
    assert "--chunks" in refusal(tritbench, model, "-f", TEXT, "-c", 16, "--chunks", 0)


def test_logits_of_a_broken_model_are_reported(tritbench, tmp_path):
    path = tmp_path / "broken.gguf"
    write_talking_model(tritbench, path, not_a_number=7)
    assert "not a finite number" in refusal(tritbench, path, "-f", TEXT, "-c", 32)
    write_talking_model(tritbench, path, zeroed="output_norm.weight")
    assert "all logits are equal" in refusal(tritbench, path, "-f", TEXT, "-c", 32)
