"""Bad input: one clear line on stderr, exit code 2, no crash, nothing written."""

import signal
import struct
import subprocess
import time
from pathlib import Path

import pytest

SHAPE = "--hidden 128 --ffn 256 --layers 1 --heads 4 --kv-heads 2 --vocab 64 --context 32".split()
READERS = {
    "info": lambda path: ["info", str(path)],
    "info_verify": lambda path: ["info", "--verify", "--json", str(path)],
    "e2e": lambda path: ["e2e", "-m", str(path), "-p", "2", "-n", "1", "-r", "1", "-t", "1"],
    "logits": lambda path: ["logits", "-m", str(path), "--tokens", "1,2,3"],
    "quantize": lambda path: ["quantize", str(path), "quantized.gguf", "--type", "f32"],
}
RUNNERS = ["e2e", "logits"]  # what would run the model


def run(tritbench, arguments, cwd, timeout=60):
    return subprocess.run(
        [tritbench, *arguments], cwd=cwd, capture_output=True, timeout=timeout, check=False
    )


def snapshot(folder):
    return {p: p.stat().st_size for p in Path(folder).rglob("*")}


@pytest.fixture(scope="module")
def model(tritbench, tmp_path_factory):
    """The bytes of a small model that every command accepts."""
    folder = tmp_path_factory.mktemp("model")
    path = folder / "good.gguf"
    made = run(tritbench, ["gen", *SHAPE, "-o", str(path)], folder)
    assert made.returncode == 0, made.stderr.decode()
    for name in ("info", "info_verify", "logits"):
        read = run(tritbench, READERS[name](path), folder)
        assert read.returncode == 0, f"{name}: {read.stderr.decode()}"
    return path.read_bytes()


@pytest.fixture
def refused(tritbench, tmp_path):
    """refused(arguments): runs the binary and asserts that it refuses them cleanly."""
    cwd = tmp_path / "cwd"
    cwd.mkdir()

    def check(arguments):
        before = snapshot(tmp_path)
        ran = run(tritbench, arguments, cwd)
        error = ran.stderr.decode()
        assert ran.returncode == 2, f"exit code {ran.returncode}: {error}"
        assert error.count("\n") == 1 and error.endswith("\n"), f"not one line: {error!r}"
        assert error.startswith("tritbench: ") and "internal" not in error, error
        assert len(error) < 700, error
        assert snapshot(tmp_path) == before, "something was written"
        return error

    return check


@pytest.fixture
def refused_by_all(refused, tmp_path):
    """refused_by_all(data, part): every reading command refuses a file of these bytes."""

    def check(data, expected="", readers=READERS):
        path = tmp_path / "bad.gguf"
        path.write_bytes(data)
        for name in readers:
            error = refused(READERS[name](path))
            assert "bad.gguf" in error and expected in error, f"{name}: {error}"

    return check


class Header:
    """Where things are in a GGUF file, found without the project's own reader."""

    SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}

    def __init__(self, data):
        self.data = data
        self.tensor_count, self.key_count = struct.unpack_from("<QQ", data, 8)
        self.keys = {}  # name -> (position of the length, position of the value's type)
        self.tensors = {}  # name -> positions: name, first dimension, type, offset
        at = 24
        for _ in range(self.key_count):
            begin = at
            name, at = self._text(at)
            (kind,) = struct.unpack_from("<I", data, at)
            self.keys[name] = (begin, at)
            at = self._text(at + 4)[1] if kind == 8 else at + 4 + self.SIZES[kind]
        for _ in range(self.tensor_count):
            begin = at
            name, at = self._text(at)
            (dimensions,) = struct.unpack_from("<I", data, at)
            first = at + 4
            kind = first + 8 * dimensions
            self.tensors[name] = {"name": begin, "ne": first, "type": kind, "offset": kind + 4}
            at = kind + 12
        self.end = at
        self.data_begin = (at + 31) // 32 * 32

    def _text(self, at):
        (length,) = struct.unpack_from("<Q", self.data, at)
        return self.data[at + 8 : at + 8 + length].decode(), at + 8 + length


def patched(data, at, form, *values):
    out = bytearray(data)
    struct.pack_into(form, out, at, *values)
    return bytes(out)


def truncations(data):
    """40 lengths: the ends of the header's parts, the rest spread over header and data."""
    header = Header(data)
    lengths = {0, 1, 3, 4, 7, 8, 15, 16, 23, 24, header.end - 1, header.end, header.data_begin}
    lengths |= {len(data) - 33, len(data) - 40}  # the last tensor ends at most 32 bytes before
    for i in range(1, 13):
        lengths.add(24 + i * (header.end - 24) // 13)
        lengths.add(header.data_begin + i * (len(data) - header.data_begin) // 14)
    lengths.add(header.end - 9)
    return sorted(lengths)


def test_truncated_at_40_positions(model, refused_by_all):
    lengths = truncations(model)
    assert len(lengths) == 40
    for length in lengths:
        refused_by_all(model[:length], "empty" if length == 0 else "")


def test_wrong_magic(model, refused_by_all):
    refused_by_all(b"GGML" + model[4:], "expected 'GGUF'")
    refused_by_all(b"\n\n\n\n" + model[4:], "expected 'GGUF'")


def test_wrong_version_and_byte_order(model, refused_by_all):
    refused_by_all(patched(model, 4, "<I", 1), "version 1")
    refused_by_all(patched(model, 4, ">I", 3), "big-endian")


@pytest.mark.parametrize("count", [2**60, 2**64 - 1, 2**32, 100000])
def test_counts_that_cannot_be(model, refused_by_all, count):
    refused_by_all(patched(model, 8, "<Q", count), "tensor")
    refused_by_all(patched(model, 16, "<Q", count))


@pytest.mark.parametrize("length", [2**60, 2**64 - 1, 2**31])
def test_lengths_past_the_end(model, refused_by_all, length):
    header = Header(model)
    begin, kind = header.keys["general.name"]
    refused_by_all(patched(model, begin, "<Q", length))
    refused_by_all(patched(model, kind + 4, "<Q", length), "general.name")
    refused_by_all(patched(model, header.tensors["output_norm.weight"]["name"], "<Q", length))


def test_unknown_value_type(model, refused_by_all):
    kind = Header(model).keys["general.file_type"][1]
    refused_by_all(patched(model, kind, "<I", 4711), "general.file_type")


@pytest.mark.parametrize("offset", [2**20 * 32, 2**60, 2**64 - 32])
def test_tensor_past_the_end(model, refused_by_all, offset):
    at = Header(model).tensors["blk.0.ffn_down.weight"]["offset"]
    refused_by_all(patched(model, at, "<Q", offset), "blk.0.ffn_down.weight")


def test_tensor_at_a_crooked_offset(model, refused_by_all):
    at = Header(model).tensors["blk.0.ffn_down.weight"]["offset"]
    refused_by_all(patched(model, at, "<Q", 33), "multiple of 32")


@pytest.mark.parametrize("extent", [0, 2**20, 2**40, 2**60, 2**63, 2**64 - 1])
def test_dimensions_that_cannot_be(model, refused_by_all, extent):
    at = Header(model).tensors["blk.0.attn_q.weight"]["ne"]
    refused_by_all(patched(model, at, "<Q", extent), "blk.0.attn_q.weight")


def test_no_and_too_many_dimensions(model, refused_by_all):
    at = Header(model).tensors["blk.0.attn_q.weight"]["ne"] - 4
    for dimensions in (0, 5, 2**32 - 1):
        refused_by_all(patched(model, at, "<I", dimensions), "blk.0.attn_q.weight")


def test_names_that_appear_twice(model, refused_by_all):
    first = model.index(b"blk.0.attn_k.weight")
    refused_by_all(patched(model, first, "19s", b"blk.0.attn_q.weight"), "twice")


def test_configs_that_cannot_run(model, refused_by_all):
    """Sound files, but not models: info lists them, what would run them refuses."""
    header = Header(model)
    heads = header.keys["bitnet-b1.58.attention.head_count"][1] + 4
    refused_by_all(patched(model, heads, "<I", 7), "head_count", RUNNERS)
    refused_by_all(patched(model, heads, "<I", 0), "head_count", RUNNERS)
    architecture = header.keys["general.architecture"][1] + 12
    other = patched(model, architecture, "12s", b"another-arch")
    refused_by_all(other, "general.architecture", RUNNERS)


def test_tensors_that_cannot_run(model, refused_by_all):
    """The same for tensors: found before anything is timed."""
    header = Header(model)
    layers = header.keys["bitnet-b1.58.block_count"][1] + 4
    refused_by_all(patched(model, layers, "<I", 2), "blk.1.", RUNNERS)
    kind = header.tensors["blk.0.ffn_up.weight"]["type"]
    refused_by_all(patched(model, kind, "<I", 4242), "blk.0.ffn_up.weight", RUNNERS)
    name = model.index(b"blk.0.ffn_gate.weight")
    renamed = patched(model, name, "21s", b"blk.0.ffn_gaze.weight")
    refused_by_all(renamed, "ffn_gate", RUNNERS)


def test_weights_that_cannot_be(model, refused_by_all):
    """A code that I2_S does not define, a scale of nothing: refused before anything is timed."""
    header = Header(model)
    begin = header.data_begin + struct.unpack_from(
        "<Q", model, header.tensors["blk.0.attn_k.weight"]["offset"])[0]
    refused_by_all(patched(model, begin + 77, "<B", 0xFF), "blk.0.attn_k.weight", RUNNERS)
    refused_by_all(patched(model, begin + 64 * 128 // 4, "<f", 0.0), "blk.0.attn_k.weight", RUNNERS)


def test_paths_that_are_no_files(refused, tmp_path):
    (tmp_path / "empty.gguf").touch()
    for path in (tmp_path, tmp_path / "missing.gguf", tmp_path / "empty.gguf", "/dev/null", ""):
        for name, arguments in READERS.items():
            assert refused(arguments(path)), name


def test_verify_names_the_wrong_tensor(tritbench, model, tmp_path):
    """Values no header tells of: exit code 1, the thing asked about is not so."""
    header = Header(model)

    def start(name):
        return header.data_begin + struct.unpack_from("<Q", model, header.tensors[name]["offset"])[0]

    scale = start("blk.0.attn_k.weight") + 64 * 128 // 4
    cases = [
        (start("blk.0.attn_q.weight") + 77, "<B", 0xFF, "attn_q.weight': byte 77 holds code 3"),
        (scale, "<f", 0.0, "attn_k.weight': scale is 0"),
        (scale, "<f", float("nan"), "attn_k.weight': scale is nan"),
        (start("output_norm.weight") + 8, "<f", float("inf"), "output_norm.weight': value 2 "),
        (start("token_embd.weight") + 6, "<H", 0x7E00, "token_embd.weight': value 3 "),
    ]
    for at, form, value, expected in cases:
        path = tmp_path / "wrong.gguf"
        path.write_bytes(patched(model, at, form, value))
        ran = run(tritbench, ["info", "--verify", str(path)], tmp_path)
        error = ran.stderr.decode()
        assert ran.returncode == 1, error
        assert expected in error and error.count("\n") == 1, error
        assert run(tritbench, ["info", str(path)], tmp_path).returncode == 0


GEN_REFUSALS = [
    (["--preset", "126M"], "did you mean '125M'"),
    ([], "--preset"),
    (["--hidden", "128", "--ffn", "256", "--layers", "1"], "--heads"),
    ([*SHAPE, "--hidden", "0"], "hidden"),
    ([*SHAPE, "--ffn", "0"], "ffn"),
    ([*SHAPE, "--layers", "0"], "layers is 0"),
    ([*SHAPE, "--layers", "99999999999999999999"], "layers"),
    ([*SHAPE, "--heads", "0"], "heads is 0"),
    ([*SHAPE, "--heads", "5"], "does not divide"),
    ([*SHAPE, "--kv-heads", "3"], "does not divide"),
    ([*SHAPE, "--heads", "128", "--kv-heads", "1"], "odd"),
    ([*SHAPE, "--ffn", "257", "--hidden", "64"], "must be a multiple of 128"),
    ([*SHAPE, "--hidden", "12", "--heads", "2"], "K = 32 would do"),
    ([*SHAPE, "--hidden", "many"], "hidden"),
    ([*SHAPE, "--zeros", "1.5"], "zeros is 1.5"),
    ([*SHAPE, "--zeros", "nan"], "zeros is nan"),
    ([*SHAPE, "--head", "tide"], "head"),
    ([*SHAPE, "--format", "tl9"], "expected one of"),
    ([*SHAPE, "--threads", "0"], "threads"),
    ([*SHAPE, "--seed", "-1"], "seed"),
    ([*SHAPE, "--sede", "1"], "sede"),
    (["--preset", "125M", "--hidden", "1048576", "--ffn", "1048576", "--heads", "8192",
      "--kv-heads", "8192", "--layers", "4096"], "GB of disk"),
]


@pytest.mark.parametrize("arguments, expected", GEN_REFUSALS)
def test_gen_refuses(refused, tmp_path, arguments, expected):
    # A repeated option would be an error of its own: later values replace earlier ones.
    flags = dict(zip(arguments[::2], arguments[1::2]))
    error = refused(["gen", *[x for pair in flags.items() for x in pair], "-o", "x.gguf"])
    assert expected in error


def test_gen_refuses_outputs(refused, tmp_path):
    (tmp_path / "there.gguf").write_text("precious")
    for output, expected in [
        ("-", "standard output"),
        (str(tmp_path / "there.gguf"), "--force"),
        (str(tmp_path / "no" / "folder" / "x.gguf"), "No such file or directory"),
        (str(tmp_path / "there.gguf" / "x.gguf"), "Not a directory"),
        ("/proc/x.gguf", "/proc"),
    ]:
        assert expected in refused(["gen", *SHAPE, "-o", output])
    assert "regular file" in refused(["gen", *SHAPE, "-o", str(tmp_path), "--force"])
    assert "-o" in refused(["gen", *SHAPE])


def test_gen_is_reproducible_and_force_replaces(tritbench, tmp_path):
    make = ["gen", *SHAPE, "--seed", "3"]
    for name, threads in [("a", "1"), ("b", "2"), ("c", "5")]:
        assert run(tritbench, [*make, "-t", threads, "-o", name], tmp_path).returncode == 0
    first = (tmp_path / "a").read_bytes()
    assert (tmp_path / "b").read_bytes() == first and (tmp_path / "c").read_bytes() == first
    (tmp_path / "a").write_text("old")
    assert run(tritbench, [*make, "-o", "a", "--force"], tmp_path).returncode == 0
    assert (tmp_path / "a").read_bytes() == first
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b", "c"]


@pytest.mark.parametrize("wanted", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_gen_leaves_nothing(tritbench, tmp_path, wanted):
    command = [tritbench, "gen", "--preset", "2B-4T", "-t", "1", "-o", "big.gguf"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as gen:
        while not list(tmp_path.iterdir()) and gen.poll() is None:
            time.sleep(0.002)
        gen.send_signal(wanted)
        _, error = gen.communicate(timeout=60)
    assert gen.returncode == 130, error.decode()
    assert b"interrupted" in error
    assert list(tmp_path.iterdir()) == []
