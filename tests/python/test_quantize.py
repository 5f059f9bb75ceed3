"""tritbench quantize: matrices of a GGUF file stored in other formats; and how writing ends badly."""

import resource
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from gguf_writer import write_gguf
from hf_folders import FFN, HIDDEN, VOCAB, HfModel
from reference.gguf import Gguf
from reference.graph import nmse
from reference.tensor_types import F16, F32, I2_S, Q4_0, Q6_K, Q8_0, Unsaid, decode
from small_models import run_logits

TOKENS = [5, 77, 300, 12, 12, 250, 99]


def quantize(tritbench, source, output, *flags, code=0):
    command = [tritbench, "quantize", str(source), str(output), *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture(scope="module")
def source(tritbench, tmp_path_factory):
    """Scales that are powers of two, so that no format rounds them."""
    base = tmp_path_factory.mktemp("source")
    HfModel(seed=5).write(base / "m")
    command = [tritbench, "convert", str(base / "m"), "-o", str(base / "m.gguf")]
    subprocess.run(command, check=True, capture_output=True)
    return base / "m.gguf"


@pytest.fixture(scope="module")
def crooked(tritbench, tmp_path_factory):
    """Scales that a half cannot hold."""
    path = tmp_path_factory.mktemp("crooked") / "m.gguf"
    shape = "--hidden 256 --ffn 512 --layers 1 --heads 4 --kv-heads 2 --vocab 64 --context 64".split()
    subprocess.run([tritbench, "gen", *shape, "-o", str(path)], check=True, capture_output=True)
    return path


def parts(path):
    """The keys' bytes by name, each with its type, and the tensors' bytes by name."""
    data = path.read_bytes()
    sizes = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
    (tensor_count, key_count), at, keys = struct.unpack_from("<QQ", data, 8), 24, {}

    def end_of(kind, begin):
        if kind == 8:
            return begin + 8 + struct.unpack_from("<Q", data, begin)[0]
        if kind != 9:
            return begin + sizes[kind]
        element, count = struct.unpack_from("<IQ", data, begin)
        begin += 12
        for _ in range(count):
            begin = end_of(element, begin)
        return begin

    for _ in range(key_count):
        name_end = end_of(8, at)
        (kind,) = struct.unpack_from("<I", data, name_end)
        value_end = end_of(kind, name_end + 4)
        keys[data[at + 8 : name_end].decode()] = data[name_end:value_end]
        at = value_end
    file = Gguf(path)
    starts = sorted(t.file_offset for t in file.tensors.values()) + [len(data)]
    tensors = {
        name: (t.kind, t.shape, data[t.file_offset : starts[starts.index(t.file_offset) + 1]])
        for name, t in file.tensors.items()
    }
    assert len(tensors) == tensor_count
    return keys, tensors


FORMATS = "i2_s tl1 tl2 tq1_0 tq2_0 iq1_bn iq2_bn iq2_bn_r4 i2r t3r t5r int8 f16 bf16 f32".split()


@pytest.mark.parametrize("kind", FORMATS)
def test_there_and_back_is_the_same_file(tritbench, source, tmp_path, kind):
    there, back = tmp_path / "there.gguf", tmp_path / "back.gguf"
    done = quantize(tritbench, source, there, "--type", kind, "-t", "3")
    assert "note:" not in done.stdout
    quantize(tritbench, there, back, "--type", "i2_s")
    old, new = parts(source), parts(back)
    if kind in ("i2r", "t3r", "t5r"):  # aligned more
        old[0].pop("general.alignment", None), new[0].pop("general.alignment", None)
        new = new[0], {n: (k, s, raw[: len(old[1][n][2])]) for n, (k, s, raw) in new[1].items()}
    assert new == old
    expected = run_logits(tritbench, source, TOKENS, tmp_path / "a.bin")
    assert run_logits(tritbench, there, TOKENS, tmp_path / "b.bin").tobytes() == expected.tobytes()


@pytest.mark.parametrize("first, second", zip(FORMATS, FORMATS[1:]))
def test_from_format_to_format(tritbench, source, tmp_path, first, second):
    """Not only by way of I2_S."""
    for name, origin, kind in (("a", source, first), ("b", tmp_path / "a", second), ("c", source, second)):
        quantize(tritbench, origin, tmp_path / name, "--type", kind)
    found, expected = parts(tmp_path / "b")[1], parts(tmp_path / "c")[1]
    for name, (kind, shape, raw) in expected.items():
        assert found[name][:2] == (kind, shape) and found[name][2][: len(raw)] == raw[: len(found[name][2])]


def test_only_what_is_asked_for_changes(tritbench, source, tmp_path):
    old_keys, old = parts(source)
    quantize(tritbench, source, tmp_path / "a", "--embedding-type", "q8_0")
    keys, tensors = parts(tmp_path / "a")
    assert keys == old_keys
    assert [n for n in old if tensors[n] != old[n]] == ["token_embd.weight"]
    assert tensors["token_embd.weight"][0] == Q8_0

    quantize(tritbench, source, tmp_path / "b", "--head-type", "q6_k")
    keys, tensors = parts(tmp_path / "b")
    assert keys == old_keys and set(tensors) - set(old) == {"output.weight"}
    assert all(tensors[n] == old[n] for n in list(old)[:-1])

    quantize(tritbench, source, tmp_path / "c", "--type", "tq2_0")
    keys, tensors = parts(tmp_path / "c")
    assert {k for k in keys if keys[k] != old_keys[k]} == {"general.file_type"}
    assert Gguf(tmp_path / "c").keys["general.file_type"] == 37
    assert all(tensors[n] == old[n] for n in old if old[n][0] != I2_S)


@pytest.mark.parametrize("kind, number, bound", [("q8_0", Q8_0, 2e-5), ("q6_k", Q6_K, 5e-4), ("q4_0", Q4_0, 1e-2),
                                                 ("f16", F16, 0), ("f32", F32, 0)])
def test_embedding_and_head(tritbench, source, tmp_path, kind, number, bound):
    """Of a head of its own too, and from one lossy type to another."""
    quantize(tritbench, source, tmp_path / "two", "--head-type", "f32")
    quantize(tritbench, tmp_path / "two", tmp_path / "out", "--embedding-type", kind, "--head-type", kind)
    old, new = Gguf(source).tensors["token_embd.weight"], Gguf(tmp_path / "out").tensors
    expected = decode(old.kind, old.raw, old.shape, Unsaid())
    for name in ("token_embd.weight", "output.weight"):
        assert new[name].kind == number
        assert nmse(decode(number, new[name].raw, new[name].shape, Unsaid()), expected) <= bound
    run_logits(tritbench, tmp_path / "out", TOKENS, tmp_path / "out.bin")


def test_rounded_scales_are_told(tritbench, crooked, tmp_path):
    for kind, rounds in (("tq1_0", True), ("tq2_0", True), ("iq1_bn", True), ("f16", True), ("bf16", True),
                         ("tl2", False), ("i2r", False), ("iq2_bn", False), ("f32", False)):
        done = quantize(tritbench, crooked, tmp_path / kind, "--type", kind)
        assert ("are rounded, by at most" in done.stdout) == rounds, done.stdout
    old, new = Gguf(crooked).tensors, Gguf(tmp_path / "tq2_0").tensors
    scales = [
        [np.abs(decode(t.kind, t.raw, t.shape, Unsaid())).max() for t in (old[name], new[name])]
        for name in old
        if old[name].kind == I2_S
    ]
    assert all(stored == np.float64(np.float16(scale)) for scale, stored in scales)
    assert any(stored != scale for scale, stored in scales)


def test_keys_of_every_type_are_copied(tritbench, tmp_path):
    """Integers of every width, arrays of every type, odd names and texts, to the bit."""
    path = tmp_path / "in.gguf"
    rows = np.zeros((64, 256), np.float32).tobytes()
    write_gguf(path, {"general.architecture": "x"}, {"token_embd.weight": (F32, (64, 256), rows)})
    data = path.read_bytes()
    kinds = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
    extra, count = b"", 0

    def text(value):
        return struct.pack("<Q", len(value)) + value

    def add(kind, value):
        nonlocal extra, count
        extra += text(b"key \xe2\x82\xac %d" % count) + struct.pack("<I", kind) + value
        count += 1

    for kind, code in kinds.items():
        raw = struct.pack("<" + code, 1) if kind != 6 else struct.pack("<I", 0x7FC12345)  # a NaN's bits
        add(kind, raw)
        for length in (0, 1, 3):
            add(9, struct.pack("<IQ", kind, length) + raw * length)
    add(8, text(b"not UTF-8: \xff\x00"))
    add(9, struct.pack("<IQ", 8, 2) + text(b"") + text(b"a\nb"))
    end = data.index(text(b"token_embd.weight"))
    header = data[:16] + struct.pack("<Q", 1 + count) + data[24:end] + extra + data[end:][: 8 + 17 + 4 + 16 + 4 + 8]
    path.write_bytes(header + bytes(-len(header) % 32) + rows)
    quantize(tritbench, path, tmp_path / "out.gguf", "--embedding-type", "f16")
    found = (tmp_path / "out.gguf").read_bytes()
    assert found[: len(header) - 12] == header[:-12]  # but for the tensor's type and offset
    assert found[len(header) - 12 :][:4] == struct.pack("<I", F16)


@pytest.mark.parametrize("layout", ["arm", "row4"])
def test_other_layouts_of_i2_s_become_the_published_one(tritbench, source, tmp_path, layout):
    keys, tensors = Gguf(source).keys, {}
    for name, tensor in Gguf(source).tensors.items():
        raw = tensor.raw[: {I2_S: tensor.count // 4 + 32, F16: 2 * tensor.count, F32: 4 * tensor.count}[tensor.kind]]
        if tensor.kind == I2_S:
            codes = np.round(decode(I2_S, raw, tensor.shape, Unsaid()) / raw[-32:-28].view("<f4")).astype(int) + 1
            if layout == "arm":  # blocks of 64: 16 bytes of four codes
                quarters = codes.reshape(-1, 4, 16).transpose(1, 0, 2)
            else:  # four rows
                quarters = codes.reshape(-1, 4, tensor.shape[1]).transpose(1, 0, 2)
            packed = quarters[0] << 6 | quarters[1] << 4 | quarters[2] << 2 | quarters[3]
            raw = np.concatenate([packed.astype(np.uint8).ravel(), raw[-32:]])
        tensors[name] = (tensor.kind, tensor.shape, raw.tobytes())
    write_gguf(tmp_path / "in.gguf", {"general.architecture": keys["general.architecture"]}, tensors)
    quantize(tritbench, tmp_path / "in.gguf", tmp_path / "out.gguf", "--type", "i2_s", "--i2s-layout", layout)
    expected = parts(source)[1]
    assert parts(tmp_path / "out.gguf")[1] == expected


def refused(tritbench, source, output, *flags):
    folder = output.parent
    before = {p: p.read_bytes() for p in folder.iterdir() if p.is_file()}
    error = quantize(tritbench, source, output, *flags, code=2).stderr
    assert error.count("\n") == 1 and error.startswith("tritbench: ") and "internal" not in error, error
    assert {p: p.read_bytes() for p in folder.iterdir() if p.is_file()} == before, "something was written"
    return error


def test_refusals(tritbench, source, tmp_path):
    output = tmp_path / "out.gguf"
    assert "--type" in refused(tritbench, source, output)
    assert "is the file to read" in refused(tritbench, source, source, "--type", "f16", "--force")
    (tmp_path / "link.gguf").symlink_to(source)
    assert "is the file to read" in refused(tritbench, source, tmp_path / "link.gguf", "--type", "f16", "--force")
    (tmp_path / "link.gguf").unlink()
    (tmp_path / "there.gguf").write_text("precious")
    assert "--force" in refused(tritbench, source, tmp_path / "there.gguf", "--type", "f16")
    assert "--type q8_0" in refused(tritbench, source, output, "--type", "q8_0")
    assert "--head-type i2_s" in refused(tritbench, source, output, "--head-type", "i2_s")
    assert "mips" in refused(tritbench, source, output, "--type", "f16", "--i2s-layout", "mips")
    assert "No such file" in refused(tritbench, tmp_path / "none", output, "--type", "f16")


def test_layers_that_are_not_ternary(tritbench, source, tmp_path):
    """Master weights are refused, and so are damaged codes: nothing is rounded on the way."""
    rng = np.random.default_rng(3)
    weights = rng.standard_normal((FFN, HIDDEN)).astype(np.float32)
    keys = {"general.architecture": "bitnet-b1.58"}
    name = "blk.0.ffn_up.weight"
    write_gguf(tmp_path / "masters", keys, {name: (F32, weights.shape, weights.tobytes())})
    assert name in refused(tritbench, tmp_path / "masters", tmp_path / "out", "--type", "i2_s")
    # Without --type they are none of its business.
    embedding = {"token_embd.weight": (F32, (VOCAB, HIDDEN), bytes(4 * VOCAB * HIDDEN))}
    write_gguf(tmp_path / "masters", keys, embedding | {name: (F32, weights.shape, weights.tobytes())})
    quantize(tritbench, tmp_path / "masters", tmp_path / "f16", "--embedding-type", "f16")
    (tmp_path / "f16").unlink()

    damaged = bytearray(source.read_bytes())
    damaged[Gguf(source).tensors["blk.1.ffn_down.weight"].file_offset + 99] = 0xFF
    (tmp_path / "damaged").write_bytes(damaged)
    assert "blk.1.ffn_down.weight" in refused(tritbench, tmp_path / "damaged", tmp_path / "out", "--type", "tq2_0")


@pytest.fixture(scope="module")
def big(tritbench, tmp_path_factory):
    """Some seconds of work for one thread."""
    path = tmp_path_factory.mktemp("big") / "big.gguf"
    shape = "--hidden 1024 --ffn 4096 --layers 16 --heads 8 --kv-heads 8 --vocab 64".split()
    subprocess.run([tritbench, "gen", *shape, "-o", str(path)], check=True, capture_output=True)
    return path


@pytest.mark.parametrize("wanted", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_stopped_in_the_middle(tritbench, big, tmp_path, wanted):
    """No file of the final name; after a signal that can be caught, none at all."""
    command = [tritbench, "quantize", str(big), "out.gguf", "--type", "tq1_0", "-t", "1"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=tmp_path, **pipes) as work:
        while not list(tmp_path.iterdir()) and work.poll() is None:
            time.sleep(0.002)
        work.send_signal(wanted)
        work.communicate(timeout=60)
    left = [p.name for p in tmp_path.iterdir()]
    if wanted == signal.SIGKILL:
        assert work.returncode == -signal.SIGKILL
        assert len(left) == 1 and left[0].startswith("out.gguf.partial-")
    else:
        assert work.returncode == 130 and left == []


def test_no_room(tritbench, big, tmp_path):
    """A limit on the size of files stands in for a full disk."""
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10**7, 10**7))

    command = [tritbench, "quantize", str(big), "out.gguf", "--type", "tq2_0"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, preexec_fn=limit, restore_signals=False
    )
    assert done.returncode == 2 and "out.gguf" in done.stderr and done.stderr.count("\n") == 1, done
    assert list(tmp_path.iterdir()) == []


def test_memory_is_that_of_one_tensor(tritbench, big, tmp_path):
    """Not of the whole file, which has 16 layers of 64 MB."""
    if b"__asan_init" in Path(tritbench).read_bytes():
        pytest.skip("AddressSanitizer keeps freed memory")
    # A small parent: what a process had before it became another program counts as its own.
    parent = "import os, sys; os.spawnv(os.P_NOWAIT, sys.argv[1], sys.argv[1:]); print(os.wait3(0)[2].ru_maxrss)"
    command = [tritbench, "quantize", str(big), "out.gguf", "--type", "f32", "-t", "1"]
    done = subprocess.run([sys.executable, "-c", parent, *command], cwd=tmp_path, capture_output=True, check=True)
    size = (tmp_path / "out.gguf").stat().st_size
    peak = int(done.stdout.split()[-1]) * 1024
    # The source's mapped pages count too: they are not copies.
    assert peak < big.stat().st_size + 64e6 < size / 4
