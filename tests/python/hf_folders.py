"""Tiny Hugging Face folders with known ternary weights, written byte by byte.

The same model in every form that a checkpoint has: packed with a direct or an inverse weight_scale,
and as master weights whose absmean rounding gives exactly the known trits and scale.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np

VOCAB, HIDDEN, FFN, LAYERS, HEADS, KV_HEADS = 320, 256, 512, 2, 4, 2
HEAD_DIM = HIDDEN // HEADS
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BEGIN, END, TURN = 317, 318, 319

def linear_shapes(head_dim: int) -> dict[str, tuple[str, int, int]]:
    """Role in GGUF: name in transformers, rows, columns."""
    q, kv = HEADS * head_dim, KV_HEADS * head_dim
    return {
        "attn_q": ("self_attn.q_proj", q, HIDDEN),
        "attn_k": ("self_attn.k_proj", kv, HIDDEN),
        "attn_v": ("self_attn.v_proj", kv, HIDDEN),
        "attn_output": ("self_attn.o_proj", HIDDEN, q),
        "ffn_gate": ("mlp.gate_proj", FFN, HIDDEN),
        "ffn_up": ("mlp.up_proj", FFN, HIDDEN),
        "ffn_down": ("mlp.down_proj", HIDDEN, FFN),
    }


NORMS = {"attn_norm": ("input_layernorm", HIDDEN), "ffn_norm": ("post_attention_layernorm", HIDDEN)}
SUB_NORMS = {  # both generations of names
    "attn_sub_norm": ("self_attn.attn_sub_norm", "self_attn.inner_attn_ln", HIDDEN),
    "ffn_sub_norm": ("mlp.ffn_sub_norm", "mlp.ffn_layernorm", FFN),
}
DTYPES = {"F32": "<f4", "F16": "<f2", "U8": "<u1", "I8": "<i1"}


def as_bytes(array: np.ndarray, dtype: str) -> bytes:
    if dtype != "BF16":
        return array.astype(DTYPES[dtype]).tobytes()
    bits = array.astype("<f4").view("<u4")
    assert not (bits & 0xFFFF).any(), "not exact in BF16"
    return (bits >> 16).astype("<u2").tobytes()


def write_safetensors(path: Path, tensors: dict[str, tuple[str, np.ndarray]]):
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, (dtype, array) in tensors.items():
        raw = as_bytes(array, dtype)
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def absmean_masters(rng, trits: np.ndarray, scale: float) -> np.ndarray:
    """Weights with mean |W| = scale, a power of two, that round to these trits: multiples of
    scale / 64, beyond half of the scale where a trit is set, below it where it is 0."""
    zero = trits == 0
    units = np.where(zero, rng.integers(0, 32, trits.shape), rng.integers(33, 129, trits.shape))
    low, high = np.where(zero, 0, 33), np.where(zero, 31, 255)
    missing = 64 * trits.size - int(units.sum())
    room = (high - units if missing > 0 else units - low).ravel().cumsum()
    flat, step = units.ravel(), np.sign(missing)
    last = int(np.searchsorted(room, abs(missing)))
    flat[:last] = (high if step > 0 else low).ravel()[:last]
    flat[last] += step * (abs(missing) - (room[last - 1] if last else 0))
    units = flat.reshape(trits.shape)
    assert units.sum() == 64 * trits.size and (units >= low).all() and (units <= high).all()
    sign = np.where(zero, rng.choice([-1, 1], trits.shape), trits)
    return sign * units * (scale / 64)


def pack(trits: np.ndarray) -> np.ndarray:
    """Row i * (rows / 4) + r of the codes is in bits 2 i of packed row r."""
    quarters = (trits + 1).astype(np.uint8).reshape(4, -1, trits.shape[1])
    return quarters[0] | quarters[1] << 2 | quarters[2] << 4 | quarters[3] << 6


class HfModel:
    """Weights by their GGUF names, and folders that hold them."""

    def __init__(self, seed: int = 1, llama: bool = False, tied: bool = True, head_dim: int = HEAD_DIM):
        rng = np.random.default_rng(seed)
        self.llama, self.tied, self._rng = llama, tied, np.random.default_rng(seed + 1)
        self.floats, self.trits, self.scales = {}, {}, {}
        self.head_dim, self.linear = head_dim, linear_shapes(head_dim)
        self.floats["token_embd"] = rng.integers(-127, 128, (VOCAB, HIDDEN)) / 128
        self.floats["output_norm"] = rng.integers(48, 81, HIDDEN) / 64
        if not tied:
            self.floats["output"] = rng.integers(-127, 128, (VOCAB, HIDDEN)) / 1024
        for layer in range(LAYERS):
            norms = {**NORMS, **({} if llama else SUB_NORMS)}
            for role, names in norms.items():
                self.floats[f"blk.{layer}.{role}"] = rng.integers(48, 81, names[-1]) / 64
            for role, (_, rows, columns) in self.linear.items():
                name = f"blk.{layer}.{role}"
                self.trits[name] = rng.choice([-1, 0, 1], (rows, columns), p=[0.3, 0.4, 0.3])
                self.scales[name] = 2.0 ** -int(rng.integers(3, 6))

    def hf_names(self, old_names: bool) -> dict[str, str]:
        names = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
        for layer in range(LAYERS):
            to = f"model.layers.{layer}."
            for role, (name, _, _) in self.linear.items():
                names[f"blk.{layer}.{role}"] = to + name
            for role, (name, _) in NORMS.items():
                names[f"blk.{layer}.{role}"] = to + name
            for role, (new, old, _) in SUB_NORMS.items():
                names[f"blk.{layer}.{role}"] = to + (old if old_names else new)
        return names

    def tensors(self, form: str = "direct", dtype: str = "BF16", old_names: bool = False):
        """``form``: direct or inverse (packed), or master."""
        names, out = self.hf_names(old_names), {}
        for name, values in self.floats.items():
            out[names[name] + ".weight"] = (dtype, values)
        for name, trits in self.trits.items():
            if form == "master":
                masters = absmean_masters(self._rng, trits, self.scales[name])
                out[names[name] + ".weight"] = (dtype, masters)
                continue
            scale = self.scales[name]
            out[names[name] + ".weight"] = ("U8", pack(trits))
            stored = np.array([scale if form == "direct" else 1 / scale])
            out[names[name] + ".weight_scale"] = (dtype, stored)
        return out

    def config(self, form: str = "direct", act: str = "relu2") -> dict:
        config = {
            "architectures": ["LlamaForCausalLM" if self.llama else "BitNetForCausalLM"],
            "model_type": "llama" if self.llama else "bitnet",
            "vocab_size": VOCAB,
            "hidden_size": HIDDEN,
            "intermediate_size": FFN,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "num_key_value_heads": KV_HEADS,
            "max_position_embeddings": 128,
            "hidden_act": "silu" if self.llama else act,
            "rms_norm_eps": 1e-5,
            "rope_theta": 500000.0,
            "tie_word_embeddings": self.tied,
            "quantization_config": {"quant_method": "bitnet", "modules_to_not_convert": ["lm_head"]},
        }
        if self.head_dim != HEAD_DIM:
            config["head_dim"] = self.head_dim
        linear_class = {"direct": "autobitlinear", "inverse": "bitlinear", "master": "autobitlinear"}
        config["quantization_config"]["linear_class"] = linear_class[form]
        config["quantization_config"]["quantization_mode"] = "online" if form == "master" else "offline"
        return config

    def write(self, folder: Path, form="direct", dtype="BF16", old_names=False, shards=1, act="relu2"):
        """``shards`` above 1: with an index."""
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(self.config(form, act)))
        write_tokenizer(folder)
        tensors = list(self.tensors(form, dtype, old_names).items())
        if shards == 1:
            write_safetensors(folder / "model.safetensors", dict(tensors))
            return folder
        weight_map = {}
        for shard in range(shards):
            name = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
            part = dict(tensors[shard::shards])
            write_safetensors(folder / name, part)
            weight_map |= {tensor: name for tensor in part}
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
        return folder


def byte_alphabet() -> list[str]:
    """GPT-2's letters for the bytes 0 to 255."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte) if byte in plain else chr(next(others)) for byte in range(256)]


def tokenizer(pairs: bool = False) -> dict:
    letters = byte_alphabet()
    space = letters[32]
    merges = [("t", "h"), ("th", "e"), (space, "the"), ("a", "n"), ("an", "d"), (space, "and")]
    tokens = letters + [left + right for left, right in merges]
    special = {"<|begin_of_text|>": BEGIN, "<|end_of_text|>": END, "<|eot_id|>": TURN}
    return {
        "version": "1.0",
        "added_tokens": [{"id": i, "content": text, "special": True} for text, i in special.items()]
        + [{"id": 300, "content": "<word>", "special": False}],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": LLAMA3}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
            ],
        },
        "post_processor": {
            "type": "Sequence",
            "processors": [
                {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
                {
                    "type": "TemplateProcessing",
                    "single": [
                        {"SpecialToken": {"id": "<|begin_of_text|>", "type_id": 0}},
                        {"Sequence": {"id": "A", "type_id": 0}},
                    ],
                },
            ],
        },
        "model": {
            "type": "BPE",
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": [list(m) for m in merges] if pairs else [" ".join(m) for m in merges],
        },
    }


def write_tokenizer(folder: Path, document: dict | None = None, **settings):
    text = json.dumps(tokenizer() if document is None else document)
    (folder / "tokenizer.json").write_text(text)
    settings = {
        "bos_token": "<|begin_of_text|>",
        "eos_token": {"content": "<|end_of_text|>", "lstrip": False},
        "chat_template": "{% for message in messages %}...",
    } | settings
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
