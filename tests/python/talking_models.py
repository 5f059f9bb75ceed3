"""Small random models that have a vocabulary, for commands that read and write text."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
from gguf_writer import write_gguf
from reference import Gguf

VOCABULARY = Path(__file__).resolve().parents[1] / "data" / "vocabularies" / "small-bpe.gguf"
TOKENS = Gguf(VOCABULARY).keys["tokenizer.ggml.tokens"]
# What its merges were trained on.
TEXT = VOCABULARY.with_name("text.txt")


def text_of(tokens) -> bytes:
    """The bytes that ordinary tokens stand for."""
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    byte_of = {chr(b): b for b in own}
    others = (b for b in range(256) if b not in own)
    byte_of |= {chr(0x100 + i): b for i, b in enumerate(others)}
    return bytes(byte_of[c] for token in tokens for c in TOKENS[token])


def write_talking_model(tritbench: str, path: Path, *, context=256, endless=False, template=None,
                        zeroed=None, not_a_number=None, seed=1) -> Path:
    """A generated model with the vocabulary of the tests.

    ``endless``: without a token that ends an answer. ``zeroed``: a float32 tensor all zero.
    ``not_a_number``: a token whose embedding, and so its logit, is not a number.
    """
    shape = ["--hidden", "128", "--ffn", "256", "--layers", "2", "--heads", "4", "--kv-heads", "2"]
    shape += ["--vocab", str(len(TOKENS)), "--context", str(context), "--seed", str(seed)]
    subprocess.run([tritbench, "gen", *shape, "--force", "-o", str(path)], check=True,
                   capture_output=True)
    file = Gguf(path)
    keys = file.keys | {k: v for k, v in Gguf(VOCABULARY).keys.items() if k.startswith("tokenizer.")}
    if endless:
        del keys["tokenizer.ggml.eos_token_id"]
        keys["tokenizer.ggml.tokens"] = [t.replace("<|e", "<|n") for t in TOKENS]
    if template is not None:
        keys["tokenizer.chat_template"] = template
    types = keys["tokenizer.ggml.token_type"]
    keys["tokenizer.ggml.token_type"] = [np.int32(t) for t in types]
    offsets = sorted(t.file_offset for t in file.tensors.values()) + [path.stat().st_size]
    tensors = {}
    for name, tensor in file.tensors.items():
        size = offsets[offsets.index(tensor.file_offset) + 1] - tensor.file_offset
        raw = bytearray(tensor.raw[:size].tobytes())
        if name == zeroed:
            raw[: 4 * tensor.count] = bytes(4 * tensor.count)
        if name == "token_embd.weight" and not_a_number is not None:
            at = not_a_number * tensor.shape[1] * 2
            raw[at : at + 2] = b"\x00\x7e"
        tensors[name] = (tensor.kind, tensor.shape, bytes(raw))
    write_gguf(path, keys, tensors)
    return path
