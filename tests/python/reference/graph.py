"""The decoder in float64: the logits of all tokens of a sequence at once, as plainly as possible.

    x + attention(norm(x)), then x + ffn(norm(x)), in every block

of the architectures bitnet-b1.58 and bitnet-25 (squared ReLU), bitnet (SiLU), all with a norm before
the last projection of both halves and RoPE on features half a head apart, and llama (SiLU, no such
norms, RoPE on neighbours, a factor for each frequency if the file has them). The key
hidden_activation overrides the activation; a tensor ``.scale`` multiplies the result of its layer.

``Variant`` switches single parts of the graph to common mistakes, so that a test can show that a
comparison with this reference would see them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .gguf import Gguf
from .tensor_types import Unsaid, decode

TOKEN, BLOCKS_OF_32 = "token", "blocks of 32"


@dataclass(frozen=True)
class Variant:
    """The right graph by default; every other value is a mistake that has been made somewhere."""

    swap_activation: bool = False  # SiLU and squared ReLU
    swap_rope: bool = False  # neighbours and halves of a head
    attn_norm: bool = True
    attn_sub_norm: bool = True
    ffn_norm: bool = True
    ffn_sub_norm: bool = True
    output_norm: bool = True
    rope_base: bool = True  # else llama.cpp's default, 10000
    rope_factors: bool = True
    score_scale: bool = True
    causal: bool = True
    kv_head: str = "group"  # modulo
    swap_gate_and_up: bool = False
    separate_head: bool = True
    weight_scale: str = "direct"  # inverse, none
    output_scales: bool = True
    quantise: bool = True  # activations to int8


class Reference:
    """A model file, and its logits.

    ``activations`` says how the linear layers see theirs, and ``head_activations`` the LM head: as
    int8 with a scale for each token (what b1.58 models are trained with) or for every 32 columns, or
    as they are (None).
    """

    def __init__(
        self,
        path: Path,
        unsaid: Unsaid = Unsaid(),
        activations: str | None = TOKEN,
        head_activations: str | None = None,
    ):
        self.file = Gguf(path)
        self._unsaid = unsaid
        self._activations, self._head_activations = activations, head_activations
        self._decoded = {}
        # Of all activations that were rounded, how near the nearest came to halfway.
        self.tie_margin = np.inf
        keys = self.file.keys
        arch = keys["general.architecture"]
        self.layers = keys[f"{arch}.block_count"]
        self.heads = keys[f"{arch}.attention.head_count"]
        self.kv_heads = keys.get(f"{arch}.attention.head_count_kv", self.heads)
        self.eps = keys[f"{arch}.attention.layer_norm_rms_epsilon"]
        self.rope_base = keys.get(f"{arch}.rope.freq_base", 10000.0)
        hidden = keys[f"{arch}.embedding_length"]
        self.head_dim = keys.get(f"{arch}.attention.key_length", hidden // self.heads)
        activation = keys.get(f"{arch}.hidden_activation")
        self.silu = activation == "silu" if activation else arch in ("bitnet", "llama")
        self.sub_norms = arch != "llama"
        self.rope_neighbours = arch == "llama"

    def tensor(self, name: str) -> np.ndarray:
        if name not in self._decoded:
            stored = self.file.tensors[name]
            self._decoded[name] = decode(stored.kind, stored.raw, stored.shape, self._unsaid)
        return self._decoded[name]

    def _norm(self, x: np.ndarray, name: str) -> np.ndarray:
        mean = np.mean(x * x, axis=-1, keepdims=True)
        return x / np.sqrt(mean + self.eps) * self.tensor(name)

    def _round(self, x: np.ndarray) -> np.ndarray:
        self.tie_margin = min(self.tie_margin, np.abs(x - np.floor(x) - 0.5).min())
        return np.rint(x)  # half to even

    def _quantised(self, x: np.ndarray, kind: str) -> np.ndarray:
        if kind == TOKEN:
            scale = 127.0 / np.maximum(np.abs(x).max(axis=-1, keepdims=True), 1e-5)
            return np.clip(self._round(x * scale), -128, 127) / scale
        blocks = x.reshape(*x.shape[:-1], -1, 32)
        most = np.abs(blocks).max(axis=-1, keepdims=True)
        scale = 127.0 / np.where(most < 1e-30, np.inf, most)
        q = self._round(blocks * scale)
        return (q * most / 127.0).reshape(x.shape)

    def _linear(self, x: np.ndarray, name: str, variant: Variant) -> np.ndarray:
        weights = self.tensor(name)
        if variant.weight_scale != "direct":
            scale = np.abs(weights).max()
            weights = weights / scale ** (2 if variant.weight_scale == "inverse" else 1)
        if self._activations and variant.quantise:
            x = self._quantised(x, self._activations)
        output_scale = name.replace(".weight", ".scale")
        if output_scale in self.file.tensors and variant.output_scales:
            weights = weights * self.tensor(output_scale)
        return x @ weights.T

    def _rotate(self, x: np.ndarray, variant: Variant) -> np.ndarray:
        """x: [tokens, heads, head_dim]."""
        half = self.head_dim // 2
        base = self.rope_base if variant.rope_base else 10000.0
        turn = base ** (-np.arange(half) * 2.0 / self.head_dim)
        if "rope_freqs.weight" in self.file.tensors and variant.rope_factors:
            turn = turn / self.tensor("rope_freqs.weight")
        angle = np.arange(x.shape[0])[:, None, None] * turn
        cos, sin = np.cos(angle), np.sin(angle)
        out = np.empty_like(x)
        if self.rope_neighbours != variant.swap_rope:
            a, b = slice(0, None, 2), slice(1, None, 2)
        else:
            a, b = slice(0, half), slice(half, None)
        out[..., a] = x[..., a] * cos - x[..., b] * sin
        out[..., b] = x[..., a] * sin + x[..., b] * cos
        return out

    def _attention(self, x: np.ndarray, prefix: str, variant: Variant) -> np.ndarray:
        tokens = x.shape[0]
        shape = (tokens, -1, self.head_dim)
        q = self._rotate(self._linear(x, prefix + "attn_q.weight", variant).reshape(shape), variant)
        k = self._rotate(self._linear(x, prefix + "attn_k.weight", variant).reshape(shape), variant)
        v = self._linear(x, prefix + "attn_v.weight", variant).reshape(shape)
        future = np.triu(np.full((tokens, tokens), -np.inf), 1) if variant.causal else 0.0
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
        if self.sub_norms and variant.attn_sub_norm:
            out = self._norm(out, prefix + "attn_sub_norm.weight")
        return self._linear(out, prefix + "attn_output.weight", variant)

    def _ffn(self, x: np.ndarray, prefix: str, variant: Variant) -> np.ndarray:
        gate = self._linear(x, prefix + "ffn_gate.weight", variant)
        up = self._linear(x, prefix + "ffn_up.weight", variant)
        if variant.swap_gate_and_up:
            gate, up = up, gate
        if self.silu != variant.swap_activation:
            out = gate * (0.5 + 0.5 * np.tanh(gate / 2)) * up  # SiLU, without overflow
        else:
            out = np.maximum(gate, 0.0) ** 2 * up
        if self.sub_norms and variant.ffn_sub_norm:
            out = self._norm(out, prefix + "ffn_sub_norm.weight")
        return self._linear(out, prefix + "ffn_down.weight", variant)

    def logits(self, tokens: list[int], variant: Variant = Variant()) -> np.ndarray:
        """[tokens, vocab]."""
        embedding = self.tensor("token_embd.weight")
        x = embedding[np.asarray(tokens)]
        for layer in range(self.layers):
            prefix = f"blk.{layer}."
            normed = self._norm(x, prefix + "attn_norm.weight") if variant.attn_norm else x
            x = x + self._attention(normed, prefix, variant)
            normed = self._norm(x, prefix + "ffn_norm.weight") if variant.ffn_norm else x
            x = x + self._ffn(normed, prefix, variant)
        if variant.output_norm:
            x = self._norm(x, "output_norm.weight")
        if self._head_activations and variant.quantise:
            x = self._quantised(x, self._head_activations)
        separate = "output.weight" in self.file.tensors and variant.separate_head
        return x @ (self.tensor("output.weight") if separate else embedding).T


def nmse(found: np.ndarray, expected: np.ndarray) -> float:
    """Normalised mean square error."""
    return float(np.sum((found - expected) ** 2) / np.sum(expected**2))
