"""The logits command: what it writes, and what it refuses."""

import json
import subprocess

import numpy as np
import pytest
from reference import Gguf
from small_models import VOCAB, SmallModel, run_logits

TOKENS = [1, 2, 3, 5, 8, 13, 21, 34, 55, 89]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return SmallModel(head="f16").write(tmp_path_factory.mktemp("small") / "small.gguf")


def test_json_is_the_same_numbers(tritbench, small, tmp_path):
    tokens_file = tmp_path / "tokens.txt"
    tokens_file.write_text("\n".join(map(str, TOKENS)))
    out = subprocess.run(
        [tritbench, "logits", "-m", str(small), "--tokens-file", str(tokens_file)],
        check=True, capture_output=True, text=True,
    )
    record = json.loads(out.stdout)
    assert record["tokens"] == TOKENS
    assert record["vocab"] == VOCAB
    assert record["plan"] == "default"
    assert record["kernel"] == "mixed" or "_" in record["kernel"]
    assert record["model"] == str(small)
    raw = run_logits(tritbench, small, TOKENS, tmp_path / "raw.bin", cache="f16")
    assert np.asarray(record["logits"], np.float32).tobytes() == raw[-1].tobytes()

    target = tmp_path / "out.json"
    command = [tritbench, "logits", "-m", str(small), "--tokens", "1,2", "--all", "-o", str(target)]
    subprocess.run(command, check=True)
    assert np.asarray(json.loads(target.read_text())["logits"]).shape == (2, VOCAB)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.json", "raw.bin", "tokens.txt"]


def refusal(tritbench, *flags):
    """The one line of an error with exit code 2."""
    done = subprocess.run([tritbench, "logits", *flags], capture_output=True, text=True)
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


@pytest.mark.parametrize(
    "flags, expected",
    [
        (["--tokens", "1,96"], "token 96 at place 1; expected 0 to 95"),
        (["--tokens", "1,-1"], "token -1"),
        (["--tokens", "1,two"], "'two' is not a token id"),
        (["--tokens", "99999999999"], "is not a token id"),
        (["--tokens", ","], "at least one"),
        ([], "either --tokens"),
        (["--tokens-file", "/nonexistent"], "/nonexistent"),
        (["--tokens", "1", "--kernel", "no_such_kernel"], "no_such_kernel"),
        (["--tokens", "1", "--kernel", "i2s_*"], "expected one"),
        (["--tokens", "1", "-t", "0"], "--threads"),
        (["--tokens", "1", "--batch", "0"], "batch: 0"),
        (["--tokens", "1", "-o", "out.txt"], ".json or .bin"),
        (["--tokens", "1", "-o", "/nonexistent/out.json"], "/nonexistent/out.json"),
    ],
)
def test_bad_usage_is_one_line(tritbench, small, flags, expected):
    assert expected in refusal(tritbench, "-m", str(small), *flags)


def with_head_row(model, path, row, values):
    """A copy of the model with one row of its float32 head replaced."""
    data = bytearray(model.read_bytes())
    at = Gguf(model).tensors["output.weight"].file_offset + row * 256 * 4
    data[at : at + 256 * 4] = np.full(256, values, "<f4").tobytes()
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("value, says", [(np.nan, "output.weight"), (3e38, "logit 7")])
def test_logits_that_are_not_finite_are_an_error(tritbench, tmp_path, value, says):
    model = SmallModel(head="f32").write(tmp_path / "model.gguf")
    broken = with_head_row(model, tmp_path / "broken.gguf", 7, value)
    out = tmp_path / "out.json"
    error = refusal(tritbench, "-m", str(broken), "--tokens", "1,2,3", "-o", str(out))
    assert says in error and "broken.gguf" in error
    assert sorted(tmp_path.iterdir()) == [broken, model]


def test_context_longer_than_the_model_is_refused(tritbench, tmp_path):
    path = SmallModel(context=8).write(tmp_path / "short.gguf")
    assert "expected 1 to 8" in refusal(tritbench, "-m", str(path), "--tokens", "1,2,3,4,5,6,7,8,9")
