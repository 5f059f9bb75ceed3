"""An independent b1.58 decoder: NumPy, float64, no code shared with the C++ side.

Reads GGUF and I2_S by their published descriptions and computes the logits of every token of a
sequence at once, as plainly as possible. ``Variant`` switches single parts of the graph to common
mistakes, so that a test can show that a comparison with this reference would see them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

F32, F16, I2_S = 0, 1, 36

# GGUF value types: struct codes of the fixed-size ones; 8 is a string, 9 an array.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


class Gguf:
    """Keys and tensors of a GGUF file."""

    def __init__(self, path: Path):
        self._bytes = Path(path).read_bytes()
        self._at = 0
        magic, version = self._read("4s"), self._read("I")
        assert magic == b"GGUF" and version in (2, 3), (magic, version)
        tensor_count, key_count = self._read("Q"), self._read("Q")
        self.keys = {}
        for _ in range(key_count):
            name = self._string()
            self.keys[name] = self._value(self._read("I"))
        self._tensors = {}
        for _ in range(tensor_count):
            name = self._string()
            ne = [self._read("Q") for _ in range(self._read("I"))]
            self._tensors[name] = (self._read("I"), ne, self._read("Q"))
        alignment = self.keys.get("general.alignment", 32)
        self._data = (self._at + alignment - 1) // alignment * alignment

    def _read(self, code: str):
        (value,) = struct.unpack_from("<" + code, self._bytes, self._at)
        self._at += struct.calcsize("<" + code)
        return value

    def _string(self) -> str:
        size = self._read("Q")
        text = self._bytes[self._at : self._at + size].decode()
        self._at += size
        return text

    def _value(self, kind: int):
        if kind == 8:
            return self._string()
        if kind == 9:
            element = self._read("I")
            return [self._value(element) for _ in range(self._read("Q"))]
        return self._read(_SCALARS[kind])

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def tensor(self, name: str) -> np.ndarray:
        """The tensor in float64, rows first."""
        kind, ne, offset = self._tensors[name]
        raw = np.frombuffer(self._bytes, np.uint8, offset=self._data + offset)
        shape = ne[::-1]
        count = int(np.prod(ne))
        if kind == I2_S:
            return decode_i2s(raw, count).reshape(shape)
        dtype = {F32: "<f4", F16: "<f2"}[kind]
        size = np.dtype(dtype).itemsize * count
        return raw[:size].view(dtype).astype(np.float64).reshape(shape)


def decode_i2s(raw: np.ndarray, count: int) -> np.ndarray:
    """``count`` weights: element e is in block e // 128, byte 32 * block + e % 32 of it."""
    e = np.arange(count)
    block, j = e // 128, e % 128
    codes = (raw[32 * block + j % 32] >> (6 - 2 * (j // 32))) & 3
    assert codes.max() < 3, "code 3"
    (scale,) = struct.unpack_from("<f", raw[count // 4 : count // 4 + 4].tobytes())
    return (codes.astype(np.float64) - 1.0) * scale


@dataclass(frozen=True)
class Variant:
    """The right graph by default; every other value is a mistake that has been made somewhere."""

    activation: str = "relu2"  # silu
    attn_sub_norm: bool = True
    ffn_sub_norm: bool = True
    rope: str = "neox"  # interleaved
    score_scale: bool = True
    kv_head: str = "group"  # modulo
    quantise: bool = True  # per-token int8 activations


class Reference:
    """A model file, and its logits."""

    def __init__(self, path: Path):
        self.file = Gguf(path)
        keys = self.file.keys
        arch = keys["general.architecture"]
        self.layers = keys[f"{arch}.block_count"]
        self.heads = keys[f"{arch}.attention.head_count"]
        self.kv_heads = keys[f"{arch}.attention.head_count_kv"]
        self.hidden = keys[f"{arch}.embedding_length"]
        self.eps = keys[f"{arch}.attention.layer_norm_rms_epsilon"]
        self.rope_base = keys[f"{arch}.rope.freq_base"]
        self.head_dim = self.hidden // self.heads

    def _norm(self, x: np.ndarray, name: str) -> np.ndarray:
        mean = np.mean(x * x, axis=-1, keepdims=True)
        return x / np.sqrt(mean + self.eps) * self.file.tensor(name)

    def _linear(self, x: np.ndarray, name: str, variant: Variant) -> np.ndarray:
        weights = self.file.tensor(name)
        if not variant.quantise:
            return x @ weights.T
        scale = 127.0 / np.maximum(np.abs(x).max(axis=-1, keepdims=True), 1e-5)
        q = np.clip(np.rint(x * scale), -128, 127)  # rint: half to even
        return (q @ weights.T) / scale

    def _rotate(self, x: np.ndarray, variant: Variant) -> np.ndarray:
        """x: [tokens, heads, head_dim]."""
        half = self.head_dim // 2
        turn = self.rope_base ** (-np.arange(half) * 2.0 / self.head_dim)
        angle = np.arange(x.shape[0])[:, None, None] * turn
        cos, sin = np.cos(angle), np.sin(angle)
        out = np.empty_like(x)
        if variant.rope == "neox":
            low, high = slice(0, half), slice(half, None)
        else:
            low, high = slice(0, None, 2), slice(1, None, 2)
        out[..., low] = x[..., low] * cos - x[..., high] * sin
        out[..., high] = x[..., low] * sin + x[..., high] * cos
        return out

    def _attention(self, x: np.ndarray, prefix: str, variant: Variant) -> np.ndarray:
        tokens = x.shape[0]
        shape = (tokens, -1, self.head_dim)
        q = self._rotate(self._linear(x, prefix + "attn_q.weight", variant).reshape(shape), variant)
        k = self._rotate(self._linear(x, prefix + "attn_k.weight", variant).reshape(shape), variant)
        v = self._linear(x, prefix + "attn_v.weight", variant).reshape(shape)
        future = np.triu(np.full((tokens, tokens), -np.inf), 1)
        out = np.empty_like(q)
        for head in range(self.heads):
            group = self.heads // self.kv_heads
            kv = head // group if variant.kv_head == "group" else head % self.kv_heads
            scores = q[:, head] @ k[:, kv].T
            if variant.score_scale:
                scores = scores / np.sqrt(self.head_dim)
            scores = scores + future
            p = np.exp(scores - scores.max(axis=-1, keepdims=True))
            out[:, head] = p / p.sum(axis=-1, keepdims=True) @ v[:, kv]
        out = out.reshape(tokens, -1)
        if variant.attn_sub_norm:
            out = self._norm(out, prefix + "attn_sub_norm.weight")
        return self._linear(out, prefix + "attn_output.weight", variant)

    def _ffn(self, x: np.ndarray, prefix: str, variant: Variant) -> np.ndarray:
        gate = self._linear(x, prefix + "ffn_gate.weight", variant)
        up = self._linear(x, prefix + "ffn_up.weight", variant)
        if variant.activation == "relu2":
            act = np.maximum(gate, 0.0) ** 2
        else:
            act = gate / (1.0 + np.exp(-gate))
        out = act * up
        if variant.ffn_sub_norm:
            out = self._norm(out, prefix + "ffn_sub_norm.weight")
        return self._linear(out, prefix + "ffn_down.weight", variant)

    def logits(self, tokens: list[int], variant: Variant = Variant()) -> np.ndarray:
        """[tokens, vocab]."""
        embedding = self.file.tensor("token_embd.weight")
        x = embedding[np.asarray(tokens)]
        for layer in range(self.layers):
            prefix = f"blk.{layer}."
            x = x + self._attention(self._norm(x, prefix + "attn_norm.weight"), prefix, variant)
            x = x + self._ffn(self._norm(x, prefix + "ffn_norm.weight"), prefix, variant)
        x = self._norm(x, "output_norm.weight")
        head = self.file.tensor("output.weight") if "output.weight" in self.file else embedding
        return x @ head.T


def nmse(found: np.ndarray, expected: np.ndarray) -> float:
    """Normalised mean square error."""
    return float(np.sum((found - expected) ** 2) / np.sum(expected**2))
