"""Small random models of every architecture and tensor type, as GGUF files."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gguf_writer import write_gguf
from tensor_encoders import ENCODERS

VOCAB = 96


@dataclass(frozen=True)
class SmallModel:
    """``linear``, ``embedding`` and ``head`` name encoders; no head: tied to the embedding."""

    architecture: str = "bitnet-b1.58"
    linear: str = "i2_s"
    embedding: str = "f16"
    head: str | None = None
    ternary: bool = True  # the linear layers' values
    layers: int = 2
    context: int = 512
    hidden: int = 256
    ffn: int = 512
    heads: int = 4
    kv_heads: int = 2
    head_dim: int | None = None  # written as attention.key_length; else hidden / heads
    rope_factors: bool = False
    output_scales: bool = False
    activation: str | None = None  # written as hidden_activation
    tile_keys: bool = True
    seed: int = 1

    @property
    def tile(self) -> str | None:
        """Of the encoders tl1 and tl2, as the engine writes it in its keys."""
        return {"tl1": "BM=64,BK=64,bm=32", "tl2": "BM=32,BK=96"}.get(self.linear)

    def write(self, path: Path) -> Path:
        keys, tensors = self._keys(), {}
        for name, values, encoder in self._tensors():
            tensors[name] = (ENCODERS[encoder].type_id, values.shape, ENCODERS[encoder].encode(values))
            if encoder == self.linear and self.tile and self.tile_keys:
                keys[f"tritbench.tensor.{name}.tile"] = self.tile
        write_gguf(path, keys, tensors)
        return path

    def _keys(self) -> dict:
        arch = self.architecture
        head_dim = self.head_dim or self.hidden // self.heads
        keys = {
            "general.architecture": arch,
            "general.name": "small",
            f"{arch}.context_length": self.context,
            f"{arch}.embedding_length": self.hidden,
            f"{arch}.block_count": self.layers,
            f"{arch}.feed_forward_length": self.ffn,
            f"{arch}.attention.head_count": self.heads,
            f"{arch}.attention.head_count_kv": self.kv_heads,
            f"{arch}.attention.layer_norm_rms_epsilon": 1e-5,
            f"{arch}.rope.dimension_count": head_dim,
            f"{arch}.rope.freq_base": 500000.0,
            f"{arch}.vocab_size": VOCAB,
        }
        if self.head_dim:
            keys[f"{arch}.attention.key_length"] = self.head_dim
            keys[f"{arch}.attention.value_length"] = self.head_dim
        if self.activation:
            keys[f"{arch}.hidden_activation"] = self.activation
        # A vocabulary of single characters: some readers want one.
        keys |= {
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": "llama-bpe",
            "tokenizer.ggml.tokens": [chr(0x21 + i) if i < 94 else f"<{i}>" for i in range(VOCAB)],
            "tokenizer.ggml.token_type": [np.int32(1)] * VOCAB,
            "tokenizer.ggml.merges": ["! !"],
            "tokenizer.ggml.bos_token_id": 94,
            "tokenizer.ggml.eos_token_id": 95,
        }
        return keys

    def _tensors(self):
        """Names, values and encoders, in the order of the graph."""
        rng = np.random.default_rng(self.seed)

        def norm(size):
            return rng.normal(1.0, 0.2, size).astype(np.float32).astype(np.float64)

        def dense(rows):
            return rng.normal(0.0, 1.0, (rows, self.hidden))

        def linear(rows, columns):
            """Outputs about as large as inputs; no two scales alike."""
            scale = np.float64(np.float16(rng.uniform(0.7, 1.4) / np.sqrt(0.65 * columns)))
            if not self.ternary:
                return rng.normal(0.0, 0.8 * scale, (rows, columns))
            return rng.choice([-1.0, 0.0, 1.0], (rows, columns), p=[0.325, 0.35, 0.325]) * scale

        head_dim = self.head_dim or self.hidden // self.heads
        q_dim, kv_dim = self.heads * head_dim, self.kv_heads * head_dim
        yield "token_embd.weight", dense(VOCAB), self.embedding
        for i in range(self.layers):
            blk = f"blk.{i}."
            yield blk + "attn_norm.weight", norm(self.hidden), "f32"
            yield blk + "attn_q.weight", linear(q_dim, self.hidden), self.linear
            yield blk + "attn_k.weight", linear(kv_dim, self.hidden), self.linear
            yield blk + "attn_v.weight", linear(kv_dim, self.hidden), self.linear
            if self.architecture != "llama":
                yield blk + "attn_sub_norm.weight", norm(q_dim), "f32"
            yield blk + "attn_output.weight", linear(self.hidden, q_dim), self.linear
            yield blk + "ffn_norm.weight", norm(self.hidden), "f32"
            yield blk + "ffn_gate.weight", linear(self.ffn, self.hidden), self.linear
            yield blk + "ffn_up.weight", linear(self.ffn, self.hidden), self.linear
            if self.architecture != "llama":
                yield blk + "ffn_sub_norm.weight", norm(self.ffn), "f32"
            yield blk + "ffn_down.weight", linear(self.hidden, self.ffn), self.linear
            if self.output_scales:
                for name in ("attn_q", "attn_v", "attn_output", "ffn_gate", "ffn_down"):
                    yield blk + name + ".scale", rng.uniform(0.5, 1.5, 1), "f32"
        yield "output_norm.weight", norm(self.hidden), "f32"
        if self.rope_factors:
            yield "rope_freqs.weight", np.geomspace(1.0, 8.0, head_dim // 2), "f32"
        if self.head:
            yield "output.weight", dense(VOCAB) / 16, self.head


def clear_tokens(reference, count: int, margin: float = 3e-5) -> list[int]:
    """``count`` token ids for which no activation comes nearer than ``margin`` to halfway between two
    int8 values, so that whoever computes in float32 rounds all of them as ``reference`` does."""
    vocab = len(reference.tensor("token_embd.weight"))
    for seed in range(400):
        tokens = [int(t) for t in np.random.default_rng(seed).integers(0, vocab, count)]
        reference.tie_margin = np.inf
        reference.logits(tokens)
        if reference.tie_margin > margin:
            return tokens
    raise AssertionError(f"no such {count} tokens in 400 tries")


def run_logits(
    tritbench, model: Path, tokens: list[int], out: Path, *flags: str, cpu=None, cache="f32"
):
    """What the logits command gives for every token: float32 [tokens, vocab].

    The KV cache is float32, as in the reference: halves are off by 2^-11 a value.
    """
    env = dict(os.environ) if cpu is None else {**os.environ, "TRITBENCH_CPU": cpu}
    command = [tritbench, "logits", "-m", str(model), "--all", "-o", str(out), *flags]
    command += ["--cache-type", cache]
    subprocess.run(command + ["--tokens", ",".join(map(str, tokens))], check=True, env=env)
    return np.fromfile(out, "<f4").reshape(len(tokens), -1)
