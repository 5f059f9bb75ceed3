"""Dummy models in every format: the same canonical weights, stated statistics, little memory."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from reference import Gguf, Reference
from small_models import run_logits
from test_quantize import parts

SHAPE = "--hidden 256 --ffn 768 --layers 2 --heads 4 --kv-heads 2 --vocab 320 --context 64".split()
TOKENS = [3, 17, 250, 8, 99, 1, 42, 42, 200, 7]
DATA = Path(__file__).resolve().parents[1] / "data"
VOCABULARY = DATA / "vocabularies" / "small-bpe.gguf"
PINS = DATA / "dummy_sha256.txt"  # tests/dummy_bytes_test.cpp reads them too

# Exact whatever the scales are; those of the second line keep scales (or values) in fewer bits.
EXACT = "i2_s tl1 tl2 iq2_bn iq2_bn_r4 i2r i2c t3r t5r int8 f32".split()
ROUNDING = "tq1_0 tq2_0 iq1_bn f16 bf16".split()


def gen(tritbench, path, *flags, shape=SHAPE):
    done = subprocess.run([tritbench, "gen", *shape, *flags, "-o", str(path)], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(tritbench, path, *flags, shape=SHAPE):
    """The one line of an error with exit code 2."""
    done = subprocess.run([tritbench, "gen", *shape, *flags, "-o", str(path)], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 2, done
    assert done.stderr.count("\n") == 1 and done.stdout == "", done
    assert not path.exists()
    return done.stderr


@pytest.fixture(scope="module")
def plain(tritbench, tmp_path_factory):
    path = tmp_path_factory.mktemp("plain") / "m.gguf"
    gen(tritbench, path)
    return path


@pytest.mark.parametrize("kind", EXACT + ROUNDING)
def test_the_file_is_that_of_the_plain_one_stored_anew(tritbench, plain, tmp_path, kind):
    gen(tritbench, tmp_path / "gen", "--format", kind, "-t", "3")
    command = [tritbench, "quantize", str(plain), str(tmp_path / "quantized"), "--type", kind]
    subprocess.run(command, check=True, capture_output=True)
    assert parts(tmp_path / "gen") == parts(tmp_path / "quantized")


@pytest.mark.parametrize("kind", ["bf16", "f32", "q8_0", "q6_k", "q4_0", "q8_row"])
def test_embedding_and_head_too(tritbench, plain, tmp_path, kind):
    flags = ["--embedding-type", kind, "--head-type", kind]
    gen(tritbench, tmp_path / "gen", *flags)
    command = [tritbench, "quantize", str(plain), str(tmp_path / "quantized"), *flags]
    subprocess.run(command, check=True, capture_output=True)
    assert parts(tmp_path / "gen") == parts(tmp_path / "quantized")


def test_logits_are_the_same_bits_in_every_format(tritbench, plain, tmp_path):
    expected = run_logits(tritbench, plain, TOKENS, tmp_path / "a.bin").tobytes()
    for kind in [*EXACT[1:], "t5r,ffn_down=i2c,attn_q=tl2"]:
        gen(tritbench, tmp_path / "m", "--format", kind, "--force")
        assert run_logits(tritbench, tmp_path / "m", TOKENS, tmp_path / "b.bin").tobytes() == expected, kind


def test_scales_without_spread_suit_the_formats_that_round(tritbench, tmp_path):
    flags = ["--scale-spread", "0", "--positive", "0.4"]
    logits = {}
    for kind in ["i2_s", *ROUNDING]:
        told = gen(tritbench, tmp_path / kind, *flags, "--format", kind)
        assert "note:" not in told
        logits[kind] = run_logits(tritbench, tmp_path / kind, TOKENS, tmp_path / "b.bin").tobytes()
    assert len(set(logits.values())) == 1
    assert "note: tq2_0 keeps scales in fewer bits" in gen(tritbench, tmp_path / "x", "--format", "tq2_0")


# Of the whole file: the same from every compiler, instruction set and number of threads.
@pytest.mark.parametrize("kind, embedding, digest",
                         [line.split() for line in PINS.read_text().splitlines() if not line.startswith("#")])
@pytest.mark.parametrize("threads, cpu", [("1", None), ("3", "x86-64-v3"), ("2", "x86-64-v2")])
def test_golden_bytes(tritbench, tmp_path, monkeypatch, kind, embedding, digest, threads, cpu):
    if cpu:
        monkeypatch.setenv("TRITBENCH_CPU", cpu)
    gen(tritbench, tmp_path / "m", "--format", kind, "--embedding-type", embedding, "-t", threads)
    assert hashlib.sha256((tmp_path / "m").read_bytes()).hexdigest() == digest


# Tensors as large as those of 100B and 7B, of which one layer is enough.
@pytest.mark.parametrize("preset, kind", [("100B", "i2_s"), ("100B", "t5r"), ("100B", "tl2"), ("100B", "i2c"),
                                          ("7B", "f16")])
def test_memory_stays_below_200_mb(tritbench, tmp_path, preset, kind):
    if b"__asan_init" in Path(tritbench).read_bytes():
        pytest.skip("AddressSanitizer keeps freed memory")
    # A small parent: what a process had before it became another program counts as its own.
    parent = "import os, sys; os.spawnv(os.P_NOWAIT, sys.argv[1], sys.argv[1:]); print(os.wait3(0)[2].ru_maxrss)"
    command = [tritbench, "gen", "--preset", preset, "--layers", "1", "--vocab", "4000", "--format", kind, "-o", "m"]
    done = subprocess.run([sys.executable, "-c", parent, *command], cwd=tmp_path, capture_output=True, check=True)
    size = (tmp_path / "m").stat().st_size
    (tmp_path / "m").unlink()
    peak = int(done.stdout.split()[-1]) * 1024
    assert peak < 100e6 < 200e6 < size


class WatchingReference(Reference):
    """Keeps the largest magnitude that enters a norm, layer after layer."""

    def __init__(self, path):
        super().__init__(path)
        self.largest = []

    def _norm(self, x, name):
        self.largest.append(float(np.abs(x).max()))
        return super()._norm(x, name)


@pytest.mark.parametrize("arch", ["bitnet-b1.58", "llama"])
@pytest.mark.parametrize("flags", [
    "", "--zeros 0 --scale-spread 0.9", "--zeros 0.99 --positive 0.01", "--positive 0.99 --scale-spread 0.9",
])
def test_activations_stay_finite_through_80_layers(tritbench, tmp_path, arch, flags):
    path = tmp_path / "m.gguf"
    shape = "--hidden 128 --ffn 384 --layers 80 --heads 4 --kv-heads 2 --vocab 64 --context 64".split()
    gen(tritbench, path, "--arch", arch, *flags.split(), shape=shape)
    reference = WatchingReference(path)
    tokens = [3, 17, 60, 8]
    expected = reference.logits(tokens)
    # Far below what float32 holds, squares and their sums too.
    assert np.isfinite(expected).all() and max(reference.largest) < 1e12, reference.largest
    found = run_logits(tritbench, path, tokens, tmp_path / "b.bin", cache="f16")
    assert np.isfinite(found).all(), reference.largest
    assert found.std() > 0


def test_info_states_the_weights(tritbench, plain, tmp_path):
    gen(tritbench, tmp_path / "m", "--seed", "9", "--zeros", "0.25", "--positive", "0.75", "--scale-spread", "0.5")
    text = subprocess.run([tritbench, "info", tmp_path / "m"], capture_output=True, text=True, check=True).stdout
    assert ("dummy: random weights (version 1, seed 9), 0.2500 of them zero, 0.7500 of the others positive, "
            "scales spread by 0.5000") in text
    for path, stated in [(tmp_path / "m", (9, 0.25, 0.75, 0.5)), (plain, (1, 0.33, 0.5, 0.125))]:
        shown = subprocess.run([tritbench, "info", path, "--json"], capture_output=True, check=True).stdout
        dummy = json.loads(shown)["dummy"]
        found = [dummy[key] for key in ("seed", "zeros", "positive", "scale_spread")]
        assert np.allclose(found, stated, atol=1e-4)


def test_scales_are_spread_as_stated(tritbench, tmp_path):
    for spread in (0.0, 0.5):
        gen(tritbench, tmp_path / "m", "--layers", "9", "--scale-spread", str(spread), "--force",
            shape=[*SHAPE[:4], *SHAPE[6:]])
        shown = subprocess.run([tritbench, "info", tmp_path / "m", "--json", "--verify"], capture_output=True,
                               check=True).stdout
        scales = [t["scale"] for t in json.loads(shown)["tensors"] if "attn" in t["name"] and "scale" in t]
        assert len(scales) == 36
        ratio = max(scales) / min(scales)
        assert ratio == 1 if spread == 0 else 2.2 < ratio <= 3.01


def test_a_vocabulary_is_copied(tritbench, tmp_path):
    small = [*SHAPE[:10], "--context", "64"]
    assert "--vocab" not in small
    gen(tritbench, tmp_path / "m", "--vocab-from", str(VOCABULARY), shape=small)
    made, source = parts(tmp_path / "m")[0], parts(VOCABULARY)[0]
    ours = {k: v for k, v in made.items() if k.startswith("tokenizer.")}
    assert ours == {k: v for k, v in source.items() if k.startswith("tokenizer.")}
    tokens = Gguf(VOCABULARY).keys["tokenizer.ggml.tokens"]
    assert Gguf(tmp_path / "m").tensors["token_embd.weight"].shape[0] == len(tokens)
    command = [tritbench, "run", "-m", str(tmp_path / "m"), "-p", "In the", "-n", "4", "-t", "1"]
    subprocess.run(command, check=True, capture_output=True)

    told = refused(tritbench, tmp_path / "x", "--vocab-from", str(VOCABULARY))
    assert f"a vocabulary of {len(tokens)} tokens, but the model is to have 320" in told
    told = refused(tritbench, tmp_path / "x", "--vocab-from", str(VOCABULARY), shape=["--preset", "125M"])
    assert f"--vocab {len(tokens)} would fit" in told
    assert "no vocabulary" in refused(tritbench, tmp_path / "x", "--vocab-from", str(bare(tritbench, tmp_path)))
    assert "nowhere" in refused(tritbench, tmp_path / "x", "--vocab-from", "/nowhere")


def bare(tritbench, folder):
    gen(tritbench, folder / "bare")
    return folder / "bare"


@pytest.mark.parametrize("flags, expected", [
    (["--format", "tq1_0", "--ffn", "8640"], "ffn_down is 256 x 8640 (N x K): tq1_0: K is not a multiple"),
    (["--format", "t5r,ffn_down=iq2_bn", "--ffn", "800"], "formats that hold it: "),
    (["--format", "t5r,ffn_dwn=i2c"], "expected ROLE=FORMAT"),
    (["--format", "tl2:BM=7"], "BM"),
    (["--format", "tl2", "--hidden", "264", "--heads", "2"], "tl2"),
    (["--embedding-type", "i2_s"], "--embedding-type i2_s: would make ternary what is not"),
    (["--head-type", "t5r"], "--head-type t5r"),
    (["--head-type", "none"], "expected one of"),
    (["--positive", "1"], "positive is 1, expected a share of 0.01 to 0.99"),
    (["--scale-spread", "1"], "scale spread is 1, expected 0 to 0.9"),
])
def test_what_is_refused(tritbench, tmp_path, flags, expected):
    given = dict(zip(SHAPE[::2], SHAPE[1::2])) | dict(zip(flags[::2], flags[1::2]))
    told = refused(tritbench, tmp_path / "x", shape=[x for pair in given.items() for x in pair])
    assert expected in told


def listed(tritbench, *flags):
    out = subprocess.run([tritbench, "gen", "--list", "--json", *flags], capture_output=True, check=True).stdout
    return {row["alias"] or row["name"]: row for row in json.loads(out)}


def test_the_list_says_what_models_take(tritbench, tmp_path):
    rows = listed(tritbench)
    assert rows["125M"]["parameters"] == 128446464 and rows["100B"]["parameters"] == 100225871872
    assert rows["Llama3-8B"]["parameters"] == 8030261248 and rows["Falcon3-7B"]["parameters"] == 7455550464
    assert rows["Falcon3-7B"]["architecture"] == "llama" and not rows["Falcon3-7B"]["tied_head"]
    big = rows["100B"]["file_bytes_by_format"]
    assert set(big) == {"i2_s", "i2r", "t5r", "tl2", "tq1_0", "f16"}
    assert 20e9 < big["t5r"] < 21e9 and 25e9 < big["i2_s"] < 26e9 and big["f16"] > 199e9
    assert rows["3B"]["file_bytes_by_format"]["tq1_0"] is None, "K = 8640 is no multiple of 256"
    # Weights, embedding, and 2 x 72 layers x 64 heads of 128 x 2048 tokens x 2 bytes.
    assert rows["100B"]["memory_bytes"] > big["t5r"] - 1e8 + 2 * 72 * 8192 * 2048 * 2
    gen(tritbench, tmp_path / "m", "--format", "t5r", shape=["--preset", "125M"])
    assert (tmp_path / "m").stat().st_size == rows["125M"]["file_bytes_by_format"]["t5r"]

    one = listed(tritbench, "--format", "t5r,ffn_down=i2c", "--embedding-type", "q6_k")["2B-4T"]
    assert list(one["file_bytes_by_format"]) == ["t5r,ffn_down=i2c"]
    assert one["file_bytes_by_format"]["t5r,ffn_down=i2c"] < rows["2B-4T"]["file_bytes_by_format"]["i2_s"]
    text = subprocess.run([tritbench, "gen", "--list"], capture_output=True, text=True, check=True).stdout
    assert len(text.splitlines()) == len(rows) + 4
    assert "KV cache of the whole context" in text


@pytest.mark.parametrize("preset", ["Falcon3-1B", "Llama3-8B"])
def test_llama_presets_run(tritbench, tmp_path, preset):
    gen(tritbench, tmp_path / "m", "--layers", "1", "--vocab", "64", "--format", "t5r",
        shape=["--preset", preset])
    logits = run_logits(tritbench, tmp_path / "m", [1, 2, 3], tmp_path / "b.bin")
    assert logits.shape == (3, 64) and np.isfinite(logits).all() and logits.std() > 0
