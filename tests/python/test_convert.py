"""tritbench convert: Hugging Face folders in, GGUF files out."""

import json
import os
import subprocess

import numpy as np
import pytest
from hf_folders import (
    BEGIN,
    END,
    HEAD_DIM,
    HEADS,
    HIDDEN,
    KV_HEADS,
    TURN,
    VOCAB,
    HfModel,
    tokenizer,
    write_safetensors,
    write_tokenizer,
)
from reference.gguf import Gguf
from reference.graph import Reference, nmse
from reference.tensor_types import BF16, F16, F32, I2_S, Q4_0, Q6_K, Q8_0, TQ1_0, TQ2_0, Unsaid, decode
from small_models import clear_tokens, run_logits

TOKENS = [5, 77, 300, 12, 12, 250, 99]


def convert(tritbench, folder, output, *flags, code=0):
    command = [tritbench, "convert", str(folder), "-o", str(output), *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done


def values(file: Gguf, name: str) -> np.ndarray:
    tensor = file.tensors[name + ".weight"]
    return decode(tensor.kind, tensor.raw, tensor.shape, Unsaid())


@pytest.fixture(scope="module")
def model():
    return HfModel()


@pytest.fixture(scope="module")
def direct(tritbench, model, tmp_path_factory):
    """The model packed with direct scales, converted."""
    base = tmp_path_factory.mktemp("direct")
    folder = model.write(base / "tiny")
    convert(tritbench, folder, base / "tiny.gguf")
    return base / "tiny.gguf"


def test_weights_are_those_of_the_folder(model, direct):
    file = Gguf(direct)
    for name, trits in model.trits.items():
        assert file.tensors[name + ".weight"].kind == I2_S
        assert (values(file, name) == trits * model.scales[name]).all(), name
    for name, floats in model.floats.items():
        kind = F16 if name in ("token_embd", "output") else F32
        assert file.tensors[name + ".weight"].kind == kind
        assert (values(file, name) == floats).all(), name
    assert len(file.tensors) == len(model.trits) + len(model.floats)


FORMS = {
    "inverse": {"form": "inverse"},
    "bf16_masters": {"form": "master"},
    "f16_masters": {"form": "master", "dtype": "F16"},
    "f32_masters": {"form": "master", "dtype": "F32"},
    "old_names": {"old_names": True},
    "old_names_masters": {"old_names": True, "form": "master"},
    "shards": {"shards": 3},
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_checkpoint_gives_the_same_file(tritbench, model, direct, tmp_path, form):
    folder = model.write(tmp_path / "tiny", **FORMS[form])
    convert(tritbench, folder, tmp_path / "out.gguf", "-t", "3")
    assert (tmp_path / "out.gguf").read_bytes() == direct.read_bytes()


def test_shards_without_an_index(tritbench, model, direct, tmp_path):
    folder = model.write(tmp_path / "tiny", shards=2)
    (folder / "model.safetensors.index.json").unlink()
    convert(tritbench, folder, tmp_path / "out.gguf")
    assert (tmp_path / "out.gguf").read_bytes() == direct.read_bytes()


@pytest.mark.parametrize(
    "llama, act, tied, head_dim",
    [(False, "relu2", True, 64), (False, "silu", False, 64), (True, "silu", True, 64), (True, "silu", False, 96)],
)
def test_logits_equal_the_reference(tritbench, tmp_path, llama, act, tied, head_dim):
    folder = HfModel(seed=3, llama=llama, tied=tied, head_dim=head_dim).write(tmp_path / "m", act=act)
    path = tmp_path / "m.gguf"
    convert(tritbench, folder, path)
    architecture = "llama" if llama else {"relu2": "bitnet-b1.58", "silu": "bitnet"}[act]
    assert Gguf(path).keys["general.architecture"] == architecture
    reference = Reference(path)
    tokens = clear_tokens(reference, 5)
    found = run_logits(tritbench, path, tokens, tmp_path / "logits.bin")
    assert nmse(found, reference.logits(tokens)) < 1e-9


def test_llama_rows_of_q_and_k_change_places(tritbench, tmp_path):
    model = HfModel(seed=4, llama=True)
    for form in ("inverse", "master"):
        folder = model.write(tmp_path / form, form=form)
        convert(tritbench, folder, tmp_path / f"{form}.gguf")
        file = Gguf(tmp_path / f"{form}.gguf")
        for role, heads in (("attn_q", HEADS), ("attn_k", KV_HEADS), ("attn_v", 0)):
            expected = model.trits[f"blk.1.{role}"]
            if heads:
                halves = expected.reshape(heads, 2, HEAD_DIM // 2, HIDDEN)
                expected = halves.swapaxes(1, 2).reshape(expected.shape)
            assert (values(file, f"blk.1.{role}") == expected * model.scales[f"blk.1.{role}"]).all()


def test_rope_scaling_of_llama_3(tritbench, tmp_path):
    model = HfModel(llama=True)
    folder = model.write(tmp_path / "m")
    scaling = {
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    config = model.config() | {"rope_scaling": scaling}
    (folder / "config.json").write_text(json.dumps(config))
    convert(tritbench, folder, tmp_path / "m.gguf")
    # transformers changes the frequencies; the file holds what to divide the plain ones by.
    plain = 500000.0 ** (-np.arange(0, HEAD_DIM, 2) / HEAD_DIM)
    wavelength = 2 * np.pi / plain
    smooth = np.clip((8192 / wavelength - 1.0) / (4.0 - 1.0), 0, 1)
    expected = (1 - smooth) * plain / 8.0 + smooth * plain
    factors = values(Gguf(tmp_path / "m.gguf"), "rope_freqs")
    assert factors.min() == 1 and factors.max() == 8 and len(set(factors)) > 3
    np.testing.assert_allclose(plain / factors, expected, rtol=1e-6)
    for wrong in ({"rope_type": "yarn", "factor": 2.0}, {"type": "linear", "factor": 2.0}):
        (folder / "config.json").write_text(json.dumps(config | {"rope_scaling": wrong}))
        assert "rope_scaling.rope_type" in convert(tritbench, folder, tmp_path / "x.gguf", code=2).stderr


TYPES = {"tq1_0": TQ1_0, "tq2_0": TQ2_0, "f16": F16, "bf16": BF16, "f32": F32}


@pytest.mark.parametrize("kind", TYPES)
def test_types_of_linear_layers(tritbench, model, tmp_path, kind):
    folder = model.write(tmp_path / "m")
    convert(tritbench, folder, tmp_path / "m.gguf", "--type", kind)
    file = Gguf(tmp_path / "m.gguf")
    for name, trits in model.trits.items():  # powers of two: no format rounds the scale
        assert file.tensors[name + ".weight"].kind == TYPES[kind]
        assert (values(file, name) == trits * model.scales[name]).all(), name


@pytest.mark.parametrize("kind", ["tl1", "tl2", "i2r", "t3r", "t5r", "int8", "tl2:BM=128,BK=96"])
def test_layouts_give_the_same_logits(tritbench, model, direct, tmp_path, kind):
    folder = model.write(tmp_path / "m")
    path = tmp_path / "m.gguf"
    convert(tritbench, folder, path, "--type", kind)
    found = run_logits(tritbench, path, TOKENS, tmp_path / "logits.bin")
    expected = run_logits(tritbench, direct, TOKENS, tmp_path / "direct.bin")
    assert found.tobytes() == expected.tobytes()


OUTER = {"q8_0": (Q8_0, 2e-5), "q6_k": (Q6_K, 5e-4), "q4_0": (Q4_0, 1e-2), "bf16": (BF16, 0), "f32": (F32, 0)}


@pytest.mark.parametrize("kind", OUTER)
def test_types_of_embedding_and_head(tritbench, model, tmp_path, kind):
    folder = model.write(tmp_path / "m")
    convert(tritbench, folder, tmp_path / "m.gguf", "--embedding-type", kind)
    convert(tritbench, folder, tmp_path / "head.gguf", "--head-type", kind)
    number, bound = OUTER[kind]
    expected = model.floats["token_embd"]
    tied, separate = Gguf(tmp_path / "m.gguf"), Gguf(tmp_path / "head.gguf")
    assert tied.tensors["token_embd.weight"].kind == number
    assert nmse(values(tied, "token_embd"), expected) <= bound
    assert "output.weight" not in tied.tensors
    assert separate.tensors["output.weight"].kind == number
    assert separate.tensors["token_embd.weight"].kind == F16
    assert nmse(values(separate, "output"), expected) <= bound


def test_config_keys(direct):
    keys = Gguf(direct).keys
    assert keys["general.name"] == "tiny" and keys["general.file_type"] == 40
    expected = {
        "vocab_size": VOCAB, "context_length": 128, "embedding_length": HIDDEN, "block_count": 2,
        "feed_forward_length": 512, "rope.dimension_count": HEAD_DIM, "attention.head_count": HEADS,
        "attention.head_count_kv": KV_HEADS, "rope.freq_base": 500000.0,
    }
    for name, value in expected.items():
        assert keys["bitnet-b1.58." + name] == value, name


def test_tokenizer_keys(direct):
    keys = Gguf(direct).keys
    document = tokenizer()
    assert keys["tokenizer.ggml.model"] == "gpt2" and keys["tokenizer.ggml.pre"] == "llama-bpe"
    tokens, types = keys["tokenizer.ggml.tokens"], keys["tokenizer.ggml.token_type"]
    assert len(tokens) == len(types) == VOCAB
    for text, token in document["model"]["vocab"].items():
        assert tokens[token] == text and types[token] == 1
    assert tokens[BEGIN] == "<|begin_of_text|>" and types[BEGIN] == 3
    assert tokens[300] == "<word>" and types[300] == 4
    assert tokens[310] == "[PAD310]" and types[310] == 5
    assert keys["tokenizer.ggml.merges"] == document["model"]["merges"]
    assert keys["tokenizer.ggml.bos_token_id"] == BEGIN
    assert keys["tokenizer.ggml.eos_token_id"] == END
    assert keys["tokenizer.ggml.eot_token_id"] == TURN
    assert keys["tokenizer.ggml.add_bos_token"] is True
    assert keys["tokenizer.chat_template"].startswith("{% for")


def test_other_forms_of_tokenizer_files(tritbench, model, direct, tmp_path):
    folder = model.write(tmp_path / "tiny")

    def keys():
        convert(tritbench, folder, tmp_path / "out.gguf", "--force")
        return Gguf(tmp_path / "out.gguf").keys

    write_tokenizer(folder, tokenizer(pairs=True))
    assert keys() == Gguf(direct).keys
    without_template = tokenizer() | {"post_processor": None}
    write_tokenizer(folder, without_template)
    assert keys()["tokenizer.ggml.add_bos_token"] is False
    write_tokenizer(folder, without_template, add_bos_token=True)
    assert keys()["tokenizer.ggml.add_bos_token"] is True
    templates = [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "yes"}]
    write_tokenizer(folder, chat_template=templates)
    assert keys()["tokenizer.chat_template"] == "yes"
    (folder / "chat_template.jinja").write_text("from a file")
    assert keys()["tokenizer.chat_template"] == "from a file"
    (folder / "tokenizer_config.json").unlink()
    (folder / "generation_config.json").write_text('{"bos_token_id": 317, "eos_token_id": [319, 318]}')
    found = keys()
    assert found["tokenizer.ggml.bos_token_id"] == BEGIN
    assert found["tokenizer.ggml.eos_token_id"] == TURN
    (folder / "tokenizer.json").unlink()
    convert(tritbench, folder, tmp_path / "no.gguf", "--no-tokenizer")
    assert Gguf(tmp_path / "no.gguf").keys["tokenizer.ggml.model"] == "no_vocab"


def test_weight_scale_without_linear_class(tritbench, model, tmp_path):
    """The magnitude decides, with a note; near 1 nobody can."""
    for form in ("direct", "inverse"):
        folder = model.write(tmp_path / form / "tiny", form=form)
        config = model.config(form)
        del config["quantization_config"]["linear_class"]
        (folder / "config.json").write_text(json.dumps(config))
        # Scales of 1/8 to 1/32 are small enough to be seen as what they are.
        done = convert(tritbench, folder, tmp_path / f"{form}.gguf")
        assert "no linear_class" in done.stdout and "note:" in done.stdout
        file = Gguf(tmp_path / f"{form}.gguf")
        name = "blk.0.ffn_down"
        assert (values(file, name) == model.trits[name] * model.scales[name]).all()

    close = HfModel(seed=9)
    close.scales = dict.fromkeys(close.scales, 0.5)
    folder = close.write(tmp_path / "close" / "tiny")
    config = close.config()
    del config["quantization_config"]["linear_class"]
    (folder / "config.json").write_text(json.dumps(config))
    assert "--weight-scale" in convert(tritbench, folder, tmp_path / "close.gguf", code=2).stderr
    for way, scale in (("direct", 0.5), ("inverse", 2.0)):
        convert(tritbench, folder, tmp_path / "close.gguf", "--weight-scale", way, "--force")
        found = values(Gguf(tmp_path / "close.gguf"), name)
        assert np.abs(found).max() == scale


def test_weight_scale_that_contradicts_linear_class(tritbench, model, tmp_path):
    for form, other in (("direct", "inverse"), ("inverse", "direct")):
        folder = model.write(tmp_path / form, form=form)
        (folder / "config.json").write_text(json.dumps(model.config(other)))
        error = convert(tritbench, folder, tmp_path / "x.gguf", code=2).stderr
        assert "linear_class" in error and "--weight-scale" in error
        convert(tritbench, folder, tmp_path / f"{form}.gguf", "--weight-scale", form)


def test_absmean_rounds_as_transformers_does(tritbench, tmp_path):
    """Weights off any grid, against WeightQuant.forward in NumPy's float32; ties go to even."""
    model = HfModel(seed=6)
    tensors = model.tensors("master", "F32")
    rng = np.random.default_rng(8)
    name = "model.layers.0.mlp.down_proj.weight"
    weights = (rng.standard_normal((HIDDEN, 512)) * 0.03).astype(np.float32)
    tensors[name] = ("F32", weights)
    tie = np.empty((HIDDEN, HIDDEN), np.float32)  # mean 0.25, and 0.125 / 0.25 is a tie
    tie[0::4], tie[1::4], tie[2::4], tie[3::4] = 0.5, -0.125, 0.125, 0.25
    tensors["model.layers.0.self_attn.o_proj.weight"] = ("F32", tie)
    folder = model.write(tmp_path / "m", form="master", dtype="F32")
    write_safetensors(folder / "model.safetensors", tensors)
    convert(tritbench, folder, tmp_path / "m.gguf")
    file = Gguf(tmp_path / "m.gguf")
    for role, array in (("ffn_down", weights), ("attn_output", tie)):
        mean = np.float32(np.abs(array.astype(np.float64)).mean())
        inverse = np.float32(1) / mean
        expected = np.clip(np.rint(array * inverse), -1, 1) * np.float64(mean)
        assert (values(file, f"blk.0.{role}") == expected).all(), role


def refused(tritbench, folder, tmp_path, *flags):
    """The one line of an error that leaves no file."""
    output = tmp_path / "refused.gguf"
    before = sorted(tmp_path.iterdir())
    error = convert(tritbench, folder, output, *flags, code=2).stderr
    assert error.count("\n") == 1 and error.startswith("tritbench: ") and len(error) < 900, error
    assert "internal" not in error, error
    assert sorted(tmp_path.iterdir()) == before, "something was written"
    return error


def entry(dtype="BF16", shape=(VOCAB, HIDDEN), begin=0, size=None):
    size = 2 * int(np.prod(shape, dtype=object)) if size is None else size
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, begin + size]}


EMBEDDING = "model.embed_tokens.weight"
BYTES = 2 * VOCAB * HIDDEN
HOSTILE_HEADERS = {
    "not_json": ("{'a'", "not JSON"),
    "empty": ("  ", "not JSON"),
    "cut": ('{"a":{"dtype":"BF16","shape":[', "not JSON"),
    "not_utf8": (b'{"\xff\xfe":{}}', "not JSON"),
    "list": ("[]", "the header has an array"),
    "number": ("7", "the header has a number"),
    "deep_lists": ("[" * 100_000, "the header has an array"),
    "deep_objects": ('{"a":' * 100_000, "the field 'a'"),
    "deep_shape": ('{"a":{"shape":' + "[" * 100_000, "the header has an array"),
    "twice": ('{"a":%s,"a":%s}' % (json.dumps(entry()), json.dumps(entry())), "'a' appears twice"),
    "field_twice": ('{"a":{"dtype":"BF16","dtype":"BF16"}}', "'dtype' twice"),
    "other_field": ('{"a":{"stype":"BF16"}}', "'stype'"),
    "no_shape": ('{"a":{"dtype":"BF16","data_offsets":[0,2]}}', "lacks shape"),
    "negative": ('{"a":{"dtype":"BF16","shape":[-1],"data_offsets":[0,2]}}', "negative"),
    "fraction": ('{"a":{"dtype":"BF16","shape":[1.5],"data_offsets":[0,2]}}', "fraction"),
    "three_offsets": ('{"a":{"dtype":"BF16","shape":[1],"data_offsets":[0,1,2]}}', "data_offsets"),
    "one_offset": ('{"a":{"dtype":"BF16","shape":[1],"data_offsets":[0]}}', "1 data_offsets"),
    "dtype": ({"a": entry("F7")}, "dtype 'F7'"),
    "many_extents": ({"a": entry(shape=[1] * 50, size=2)}, "50 dimensions"),
    "huge_extents": ({"a": entry(shape=[2**62, 2**62, 2**62], size=2)}, "more than any file"),
    "extent_of_2_64": ('{"a":{"dtype":"BF16","shape":[18446744073709551616],"data_offsets":[0,2]}}', "fraction"),
    "zero_and_huge": ({"a": entry(shape=[0, 2**63], size=2)}, "needs"),
    "size": ({EMBEDDING: entry(size=BYTES - 2)}, "needs"),
    "past_the_end": ({EMBEDDING: entry(begin=2)}, "truncated or corrupt"),
    "far_past_the_end": ({EMBEDDING: entry(begin=2**63)}, "truncated or corrupt"),
    "backwards": ('{"a":{"dtype":"BF16","shape":[1],"data_offsets":[4,2]}}', "truncated or corrupt"),
    "overlap": ({"a": entry(), "b": entry()}, "overlap"),
    "gap": ({"a": entry("U8", [1], 0, 1), "b": entry("U8", [1], 2, 1)}, "gaps"),
    "left_over": ({"a": entry("U8", [1], 0, 1)}, "accounts for 1"),
    "line_break": ({"a\nb": entry("F7")}, "a\\x0ab"),
}


@pytest.mark.parametrize("case", HOSTILE_HEADERS)
def test_hostile_safetensors_headers(tritbench, model, tmp_path, case):
    header, expected = HOSTILE_HEADERS[case]
    folder = model.write(tmp_path / "m")
    text = header if isinstance(header, bytes) else (header if isinstance(header, str) else json.dumps(header)).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(BYTES))
    error = refused(tritbench, folder, tmp_path)
    assert expected in error and "model.safetensors" in error, error


@pytest.mark.parametrize("length", [0, 1, 7, 9, 10, 2**20, 100_000_001, 2**40, 2**63, 2**64 - 1])
def test_hostile_header_lengths(tritbench, model, tmp_path, length):
    folder = model.write(tmp_path / "m")
    path = folder / "model.safetensors"
    good = path.read_bytes()
    path.write_bytes(length.to_bytes(8, "little") + good[8:])
    refused(tritbench, folder, tmp_path)
    path.write_bytes(good[: min(length, len(good) - 1)])
    refused(tritbench, folder, tmp_path)


def test_truncated_and_changed_anywhere(tritbench, model, tmp_path):
    """Cut at 40 places; and with single bytes of the header changed: an error or a sound file."""
    folder = model.write(tmp_path / "m")
    path = folder / "model.safetensors"
    good = path.read_bytes()
    for at in range(0, len(good) - 1, len(good) // 40):
        path.write_bytes(good[:at])
        refused(tritbench, folder, tmp_path)
    rng = np.random.default_rng(2)
    for _ in range(60):
        bad = bytearray(good)
        for _ in range(3):
            bad[int(rng.integers(0, 3000))] = int(rng.integers(0, 256))
        path.write_bytes(bad)
        command = [tritbench, "convert", str(folder), "-o", str(tmp_path / "x"), "--force"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode in (0, 2) and done.stderr.count("\n") <= 1, done


def test_index_that_lies(tritbench, model, tmp_path):
    folder = model.write(tmp_path / "m", shards=2)
    index = folder / "model.safetensors.index.json"
    good = json.loads(index.read_text())["weight_map"]
    (tmp_path / "other.safetensors").write_bytes(b"")
    for wrong, expected in [
        ({"weight_map": good | {"a": "../other.safetensors"}}, "same folder"),
        ({"weight_map": good | {"a": "/etc/passwd"}}, "same folder"),
        ({"weight_map": good | {"a": 5}}, "same folder"),
        ({"weight_map": good | {"a": "model-00001-of-00002.safetensors"}}, "tensor 'a' is not in"),
        ({"weight_map": good | {"a": "model-00009-of-00002.safetensors"}}, "cannot open"),
        ({"weight_map": []}, "weight_map"),
        ({}, "weight_map"),
        ([], "expected an object"),
    ]:
        index.write_text(json.dumps(wrong))
        assert expected in refused(tritbench, folder, tmp_path)
    index.unlink()
    (folder / "again.safetensors").write_bytes((folder / "model-00002-of-00002.safetensors").read_bytes())
    assert "is also in" in refused(tritbench, folder, tmp_path)


def test_tensors_that_do_not_fit_the_config(tritbench, tmp_path):
    model = HfModel()
    folder = model.write(tmp_path / "m")
    good = model.tensors()
    q, scale = "model.layers.1.self_attn.q_proj.weight", "model.layers.1.self_attn.q_proj.weight_scale"
    norm = "model.layers.1.mlp.ffn_sub_norm.weight"
    codes = good[q][1].copy()
    codes[3, 7] |= 3 << 4
    nan = good[norm][1].copy()
    nan[5] = np.nan

    def without(name):
        return {key: value for key, value in good.items() if key != name}

    for tensors, expected in [
        (without(q), f"'{q}' is missing"),
        (without(scale), f"'{scale}' is missing"),
        (without(norm), "ffn_sub_norm.weight' or 'model.layers.1.mlp.ffn_layernorm.weight' is missing"),
        (good | {q: ("U8", good[q][1][:-1])}, "[63, 256], expected [64, 256]"),
        (good | {q: ("I8", good[q][1])}, "expected [256, 256]"),
        (good | {q: ("U8", codes)}, "row 131 holds code 3"),
        (good | {norm: ("F32", nan)}, "element 5 is nan"),
        (good | {norm: ("U8", np.ones(512))}, "dtype U8"),
        (good | {norm: ("BF16", np.ones(500) * 2.0)}, "[500], expected [512]"),
        (good | {scale: ("BF16", np.array([0.0]))}, "expected a positive number"),
        (good | {scale: ("BF16", np.array([-0.5]))}, "expected a positive number"),
        (good | {scale: ("F32", np.array([np.inf]))}, "element 0 is inf"),
        (good | {scale: ("BF16", np.array([0.5, 0.5]))}, "[2], expected [1]"),
        (without(scale) | {q: ("BF16", np.ones((256, 256)))}, "all packed or all master"),
        (good | {q[:-6] + "bias": ("BF16", np.zeros(256))}, "has no place for it"),
    ]:
        write_safetensors(folder / "model.safetensors", tensors)
        assert expected in refused(tritbench, folder, tmp_path)


CONFIGS = [
    ({"architectures": ["GemmaForCausalLM"]}, "expected BitNetForCausalLM"),
    ({"hidden_act": "gelu"}, "hidden_act"),
    ({"architectures": ["LlamaForCausalLM"], "hidden_act": "silu", "quantization_config": None}, "quant_method"),
    ({"quantization_config": {"quant_method": "gptq"}}, "quantization_config.quant_method"),
    ({"quantization_config": {"linear_class": "linear"}}, "quantization_config.linear_class"),
    ({"quantization_config": {"use_rms_norm": True}}, "use_rms_norm"),
    ({"quantization_config": {"modules_to_not_convert": ["lm_head", "model.layers.0.mlp.up_proj"]}}, "modules_to"),
    ({"quantization_config": {"modules_to_not_convert": "lm_head"}}, "modules_to_not_convert"),
    ({"quantization_config": 5}, "quantization_config"),
    ({"hidden_size": "256"}, "hidden_size"),
    ({"hidden_size": -256}, "hidden_size"),
    ({"hidden_size": 2**31}, "hidden_size"),
    ({"hidden_size": None}, "'hidden_size' is missing"),
    ({"num_hidden_layers": 0}, "num_hidden_layers"),
    ({"num_hidden_layers": 2**31 - 1}, "model.layers.2."),
    ({"num_attention_heads": 3}, "num_attention_heads"),
    ({"num_key_value_heads": 3}, "num_key_value_heads"),
    ({"head_dim": 31}, "head_dim"),
    ({"head_dim": 32}, "expected [128] by config.json"),
    ({"vocab_size": 2**31 - 1}, "expected [2147483647, 256]"),
    ({"rms_norm_eps": 0}, "rms_norm_eps"),
    ({"rope_theta": -1}, "rope_theta"),
    ({"attention_bias": True}, "attention_bias"),
    ({"ffn_down_zeros": 0.8}, "ffn_down_zeros"),
    ({"ffn_down_zeros": [0.8] * 99}, "ffn_down_zeros"),
    ({"ffn_down_zeros": ["many", "few"]}, "ffn_down_zeros"),
    ({"ffn_down_zeros": [0.5, 1.5]}, "ffn_down_zeros"),
]


@pytest.mark.parametrize("change, expected", CONFIGS)
def test_configs_that_cannot_be(tritbench, model, tmp_path, change, expected):
    folder = model.write(tmp_path / "m")
    (folder / "config.json").write_text(json.dumps(model.config() | change))
    assert expected in refused(tritbench, folder, tmp_path)


def test_what_a_config_says_of_activations_is_told_by_info(tritbench, model, tmp_path):
    folder = model.write(tmp_path / "m")
    layers = model.config()["num_hidden_layers"]
    zeros = [0.5 + 0.25 * (layer % 2) for layer in range(layers)]
    (folder / "config.json").write_text(json.dumps(model.config() | {"ffn_down_zeros": zeros}))
    convert(tritbench, folder, tmp_path / "m.gguf")
    out = subprocess.run([tritbench, "info", tmp_path / "m.gguf"], capture_output=True, text=True, check=True)
    assert f"zeros: {sum(zeros) / layers:.4f} of the activations that enter ffn_down" in out.stdout


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"a":1,"a":2}', "\xff", "null", '{"a":' * 5000])
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_hostile_json(tritbench, model, tmp_path, name, text):
    folder = model.write(tmp_path / "m")
    (folder / name).write_text(text, encoding="latin-1")
    assert name in refused(tritbench, folder, tmp_path)


def changed(path, value):
    """The tokenizer with one thing changed: a path of keys and indices."""
    document = tokenizer()
    at = document
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return document


TOKENIZERS = [
    (changed(["model", "type"], "Unigram"), "model.type"),
    (changed(["model", "byte_fallback"], True), "SentencePiece"),
    (changed(["normalizer"], {"type": "NFC"}), "normalizer"),
    (changed(["pre_tokenizer"], {"type": "ByteLevel"}), "--pre llama-bpe"),
    (changed(["pre_tokenizer", "pretokenizers", 0, "pattern", "Regex"], r"\s+"), "--pre llama-bpe"),
    (changed(["model", "vocab"], [["a", 0.5]]), "model.vocab"),
    (changed(["model", "vocab", "the"], VOCAB), "expected 0 to 319"),
    (changed(["model", "vocab", "the"], -1), "expected 0 to 319"),
    (changed(["model", "vocab", "the"], 5), "contradicts"),
    (changed(["model", "vocab", "the"], "5"), "whole number"),
    (changed(["model", "merges"], ["t h e"]), "entry 0"),
    (changed(["model", "merges"], ["th"]), "entry 0"),
    (changed(["model", "merges"], [["t", "h", "e"]]), "entry 0"),
    (changed(["model", "merges"], [["q", "q"]]), "entry 0"),
    (changed(["model", "merges"], None), "model.merges"),
    (changed(["added_tokens", 0, "id"], 3), "contradicts"),
    (changed(["added_tokens", 0, "content"], ""), "lacks its content"),
    (changed(["added_tokens"], {}), "added_tokens"),
]


@pytest.mark.parametrize("document, expected", TOKENIZERS)
def test_tokenizers_that_cannot_be(tritbench, model, tmp_path, document, expected):
    folder = model.write(tmp_path / "m")
    write_tokenizer(folder, document)
    assert expected in refused(tritbench, folder, tmp_path)


def test_special_tokens_that_cannot_be(tritbench, model, tmp_path):
    folder = model.write(tmp_path / "m")
    write_tokenizer(folder, bos_token="<none>")
    assert "bos_token" in refused(tritbench, folder, tmp_path)
    write_tokenizer(folder, eos_token=None)
    (folder / "generation_config.json").write_text('{"eos_token_id": 320}')
    assert "eos_token_id" in refused(tritbench, folder, tmp_path)
    (folder / "generation_config.json").write_text('{"eos_token_id": -1}')
    assert "eos_token" in convert(tritbench, folder, tmp_path / "m.gguf").stdout


def test_flags_that_cannot_be(tritbench, model, tmp_path):
    folder = model.write(tmp_path / "m")
    for flags, expected in [
        (["--type", "q8_0"], "--type q8_0"),
        (["--type", "tq9_0"], "tq9_0"),
        (["--type", "tl2:BM=7"], "BM"),
        (["--embedding-type", "i2_s"], "--embedding-type i2_s"),
        (["--head-type", "t5r"], "--head-type t5r"),
        (["--weight-scale", "both"], "weight-scale"),
        (["--type", "tl2:BM=96"], "attn_q"),
    ]:
        assert expected in refused(tritbench, folder, tmp_path, *flags)
    (tmp_path / "there.gguf").write_text("precious")
    assert "--force" in convert(tritbench, folder, tmp_path / "there.gguf", code=2).stderr
    assert (tmp_path / "there.gguf").read_text() == "precious"
    assert "standard output" in convert(tritbench, folder, "-", code=2).stderr
    assert "config.json" in refused(tritbench, tmp_path / "nowhere", tmp_path)
    (folder / "model.safetensors").unlink()
    assert "no .safetensors" in refused(tritbench, folder, tmp_path)


def protobuf(number, value) -> bytes:
    """A field of a protocol buffer: an integer, a float, or bytes."""

    def varint(n):
        out = b""
        while n > 0x7F:
            out, n = out + bytes([n & 0x7F | 0x80]), n >> 7
        return out + bytes([n])

    if isinstance(value, float):
        return varint(number << 3 | 5) + np.float32(value).tobytes()
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def sentencepiece(pieces, model_type=2, dummy_prefix=1) -> bytes:
    out = b""
    for text, score, kind in pieces:
        piece = protobuf(1, text.encode()) + protobuf(2, score)
        out += protobuf(1, piece + (protobuf(3, kind) if kind != 1 else b""))
    return out + protobuf(2, protobuf(3, model_type)) + protobuf(3, protobuf(3, dummy_prefix))


PIECES = (
    [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3)]
    + [(f"<0x{byte:02X}>", 0.0, 6) for byte in range(256)]
    + [("\u2581the", -1.0, 1), ("th", -2.0, 1), ("e", -3.5, 1)]
)


def with_pieces(folder, data: bytes, **settings):
    (folder / "tokenizer.json").unlink(missing_ok=True)
    (folder / "tokenizer.model").write_bytes(data)
    settings = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"} | settings
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def test_sentencepiece(tritbench, model, tmp_path):
    folder = model.write(tmp_path / "m")
    added = {"0": {"content": "<unk>", "special": True}, "300": {"content": "<pad>", "special": True}}
    with_pieces(folder, sentencepiece(PIECES), added_tokens_decoder=added)
    (folder / "added_tokens.json").write_text('{"<mask>": 301}')
    convert(tritbench, folder, tmp_path / "m.gguf")
    keys = Gguf(tmp_path / "m.gguf").keys
    prefix = "tokenizer.ggml."
    assert keys[prefix + "model"] == "llama" and prefix + "merges" not in keys
    tokens, types, scores = (keys[prefix + name] for name in ("tokens", "token_type", "scores"))
    assert len(tokens) == len(types) == len(scores) == VOCAB
    for i, (text, score, kind) in enumerate(PIECES):
        assert (tokens[i], types[i], scores[i]) == (text, kind, score)
    assert (tokens[300], types[300], scores[300]) == ("<pad>", 3, -1000)
    assert (tokens[301], types[301], scores[301]) == ("<mask>", 4, -1000)
    assert (tokens[302], types[302], scores[302]) == ("[PAD302]", 5, -10000)
    assert keys[prefix + "bos_token_id"] == 1 and keys[prefix + "eos_token_id"] == 2
    assert keys[prefix + "unknown_token_id"] == 0 and keys[prefix + "add_bos_token"] is True
    assert keys[prefix + "add_space_prefix"] is True
    # tokenizer.json as a copy of it changes nothing.
    write_tokenizer(folder, changed(["model", "byte_fallback"], True))
    with_settings = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "add_bos_token": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(with_settings | {"added_tokens_decoder": added}))
    (folder / "tokenizer.model").write_bytes(sentencepiece(PIECES, dummy_prefix=0))
    convert(tritbench, folder, tmp_path / "copy.gguf")
    copy = Gguf(tmp_path / "copy.gguf").keys
    differ = {key for key in keys if copy[key] != keys[key]}
    assert differ == {prefix + "add_bos_token", prefix + "add_space_prefix"}


def test_sentencepiece_that_cannot_be(tritbench, model, tmp_path):
    folder = model.write(tmp_path / "m")
    good = sentencepiece(PIECES)
    for data, expected in [
        (b"\x00", "SentencePiece"),
        (b"text", "expected a SentencePiece model"),
        (good[:-3], "middle of a field"),
        (b"\x0a" + b"\xff" * 9 + b"\x01", "middle of a field"),
        (b"\x08" + b"\xff" * 11, "more than 64 bits"),
        (sentencepiece(PIECES, model_type=1), "model_type 1"),
        (sentencepiece([]), "no pieces"),
        (sentencepiece([*PIECES, ("th", 0.0, 1)]), "contradicts"),
        (sentencepiece([*PIECES, ("x", 0.0, 7)]), "type 7"),
        (sentencepiece([*PIECES, ("x", float("nan"), 1)]), "score nan"),
        (sentencepiece([(f"p{i}", 0.0, 1) for i in range(VOCAB + 1)]), "expected 0 to 319"),
    ]:
        with_pieces(folder, data)
        assert expected in refused(tritbench, folder, tmp_path)
    with_pieces(folder, good, added_tokens_decoder={"x": {"content": "a"}})
    assert "added_tokens_decoder.x" in refused(tritbench, folder, tmp_path)
    (folder / "tokenizer.model").unlink()
    assert "tokenizer.model" in refused(tritbench, folder, tmp_path)


def test_the_vocabulary_of_llama_3(tritbench, model, tmp_path):
    """All of it, by way of tokenizer.json: the keys of a GGUF file that others made."""
    path = os.environ.get("TRITBENCH_LLAMA3_VOCAB")
    if not path:
        pytest.skip("set TRITBENCH_LLAMA3_VOCAB to a GGUF file with LLaMA 3's vocabulary")
    keys = Gguf(path).keys
    tokens, types = keys["tokenizer.ggml.tokens"], keys["tokenizer.ggml.token_type"]
    control = {i: token for i, token in enumerate(tokens) if types[i] == 3}
    document = changed(["model", "vocab"], {t: i for i, t in enumerate(tokens) if i not in control})
    document["model"]["merges"] = [merge.split(" ") for merge in keys["tokenizer.ggml.merges"]]
    document["added_tokens"] = [{"id": i, "content": t, "special": True} for i, t in control.items()]
    folder = model.write(tmp_path / "m")
    write_tokenizer(folder, document)
    tensors = model.tensors() | {EMBEDDING: ("BF16", np.zeros((len(tokens), HIDDEN)))}
    write_safetensors(folder / "model.safetensors", tensors)
    (folder / "config.json").write_text(json.dumps(model.config() | {"vocab_size": len(tokens)}))
    convert(tritbench, folder, tmp_path / "m.gguf")
    found = Gguf(tmp_path / "m.gguf").keys
    for key in keys:
        assert not key.startswith("tokenizer.") or found[key] == keys[key], key
