"""The model against an independent float64 forward pass, and the logits command.

The C++ side gives the same bits on every machine, so for a given seed the comparison either has an
activation within float32 rounding of a tie between two int8 values or it has not. With one, a
single int8 differs by one and all that follows moves by up to 3e-4 (as much as leaving the
quantisation out); without, the two sides agree to float32 rounding: 2e-14 measured. The seeds here
have none.
"""

import json
import os
import platform
import subprocess

import numpy as np
import pytest
from reference_model import Gguf, Reference, Variant, nmse

BOUND = 1e-12

COMMON = ["--heads", "4", "--kv-heads", "2", "--vocab", "320", "--layers", "3"]
MODELS = {
    "tied": ["--hidden", "256", "--ffn", "384"],
    "separate_head": ["--hidden", "256", "--ffn", "384", "--head", "separate"],
    "head_dim_48": ["--hidden", "192", "--ffn", "512"],
    # K % 128 is 32 for hidden and 64 for ffn: rows of I2_S straddle blocks.
    "ragged_k": ["--hidden", "160", "--ffn", "448"],
}
MISTAKES = {
    "silu_instead_of_relu2": Variant(activation="silu"),
    "no_attn_sub_norm": Variant(attn_sub_norm=False),
    "no_ffn_sub_norm": Variant(ffn_sub_norm=False),
    "interleaved_rope": Variant(rope="interleaved"),
    "scores_not_scaled": Variant(score_scale=False),
    "wrong_kv_head": Variant(kv_head="modulo"),
    "activations_not_quantised": Variant(quantise=False),
}
TOKENS = [int(t) for t in np.random.default_rng(1).integers(0, 320, 48)]


@pytest.fixture(scope="module", params=MODELS)
def model(request, tritbench, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / f"{request.param}.gguf"
    flags = MODELS[request.param] + COMMON + ["--seed", "1", "-o", str(path)]
    subprocess.run([tritbench, "gen", *flags], check=True, capture_output=True)
    return path


@pytest.fixture(scope="module")
def small(tritbench, tmp_path_factory):
    path = tmp_path_factory.mktemp("small") / "small.gguf"
    flags = MODELS["separate_head"] + COMMON + ["-o", str(path)]
    subprocess.run([tritbench, "gen", *flags], check=True, capture_output=True)
    return path


def logits(tritbench, model, *flags, cpu=None):
    """[tokens, vocab] float32 of TOKENS."""
    out = model.with_suffix(".bin")
    env = dict(os.environ) if cpu is None else {**os.environ, "TRITBENCH_CPU": cpu}
    command = [tritbench, "logits", "-m", str(model), "--all", "-o", str(out), *flags]
    subprocess.run(command + ["--tokens", ",".join(map(str, TOKENS))], check=True, env=env)
    return np.fromfile(out, "<f4").reshape(len(TOKENS), -1)


@pytest.fixture(scope="module")
def found(tritbench, model):
    return logits(tritbench, model)


def test_logits_equal_the_reference(model, found):
    expected = Reference(model).logits(TOKENS)
    assert found.shape == expected.shape == (len(TOKENS), 320)
    assert nmse(found, expected) <= BOUND
    # Every token by itself too: a late one cannot hide an early one.
    for row in range(len(TOKENS)):
        assert nmse(found[row], expected[row]) <= BOUND


@pytest.mark.parametrize("mistake", MISTAKES)
def test_comparison_sees(mistake, model, found):
    wrong = Reference(model).logits(TOKENS, MISTAKES[mistake])
    assert nmse(found, wrong) > 100 * BOUND
    assert nmse(found, wrong) > 1e-4


def test_float_weights_equal_the_reference_without_quantised_activations(tritbench, model):
    found = logits(tritbench, model, "--kernel", "f16_scalar")
    # Weights rounded to half: 2^-11 each.
    assert nmse(found, Reference(model).logits(TOKENS, Variant(quantise=False))) <= 2e-6


def test_same_bits_whatever_the_split(tritbench, model, found):
    for flags in (["--batch", "1", "-t", "1"], ["--batch", "5", "-t", "3"]):
        assert logits(tritbench, model, *flags).tobytes() == found.tobytes(), flags
    assert logits(tritbench, model, "--kernel", "int8_scalar").tobytes() == found.tobytes()


def test_same_bits_on_every_cpu_level(tritbench, model, found):
    x86 = platform.machine() in ("x86_64", "AMD64")
    for cpu in ["baseline"] + (["x86-64-v2", "x86-64-v3", "x86-64-v4"] if x86 else []):
        assert logits(tritbench, model, cpu=cpu).tobytes() == found.tobytes(), cpu


def test_json_is_the_same_numbers(tritbench, small, tmp_path):
    tokens_file = tmp_path / "tokens.txt"
    tokens_file.write_text("\n".join(map(str, TOKENS)))
    out = subprocess.run(
        [tritbench, "logits", "-m", str(small), "--tokens-file", str(tokens_file)],
        check=True, capture_output=True, text=True,
    )
    record = json.loads(out.stdout)
    assert record["tokens"] == TOKENS
    assert record["vocab"] == 320
    assert record["kernel"].startswith("i2s_")
    assert record["model"] == str(small)
    last = logits(tritbench, small)[-1]
    assert np.asarray(record["logits"], np.float32).tobytes() == last.tobytes()

    target = tmp_path / "out.json"
    command = [tritbench, "logits", "-m", str(small), "--tokens", "1,2", "--all", "-o", str(target)]
    subprocess.run(command, check=True)
    assert np.asarray(json.loads(target.read_text())["logits"]).shape == (2, 320)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.json", "tokens.txt"]


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
        (["--tokens", "1,320"], "token 320 at place 1; expected 0 to 319"),
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


def test_logits_that_are_not_finite_are_an_error(tritbench, small, tmp_path):
    gguf = Gguf(small)
    data = bytearray(small.read_bytes())
    row = 7
    at = gguf._data + gguf._tensors["output.weight"][2] + row * 256 * 2
    data[at : at + 2] = b"\x00\x7e"  # a half that is not a number
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(data)
    out = tmp_path / "out.json"
    error = refusal(tritbench, "-m", str(broken), "--tokens", "1,2,3", "-o", str(out))
    assert f"logit {row}" in error and "broken.gguf" in error
    assert list(tmp_path.iterdir()) == [broken]


def test_context_longer_than_the_model_is_refused(tritbench, tmp_path):
    path = tmp_path / "short.gguf"
    flags = MODELS["tied"] + COMMON + ["--context", "8", "-o", str(path)]
    subprocess.run([tritbench, "gen", *flags], check=True, capture_output=True)
    assert "expected 1 to 8" in refusal(tritbench, "-m", str(path), "--tokens", "1,2,3,4,5,6,7,8,9")
