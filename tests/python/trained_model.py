"""The trained model of model/train, and copies of it with one thing wrong."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
from pathlib import Path

import numpy as np
from gguf_writer import write_gguf
from reference import Gguf
from small_models import run_logits

FOLDER = Path(__file__).resolve().parents[2] / "model" / "train"
MODEL = FOLDER / "kjv.gguf"
EXCERPT = FOLDER / "excerpt.txt"  # held-out text
EXCERPT_TOKENS = FOLDER / "excerpt_tokens.txt"  # its ids, as the trainer's own tokenizer has them

LINEAR = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")


def excerpt_tokens() -> list[int]:
    return [int(token) for token in EXCERPT_TOKENS.read_text().split()]


class Edited:
    """Keys and tensors of the trained model, to be changed and written as another file."""

    def __init__(self):
        file = Gguf(MODEL)
        self.keys = dict(file.keys)
        # The reader does not keep integer types; this is the one key that is not unsigned.
        kinds = "tokenizer.ggml.token_type"
        self.keys[kinds] = [np.int32(kind) for kind in self.keys[kinds]]
        self.architecture = self.keys["general.architecture"]
        self.layers = self.keys[f"{self.architecture}.block_count"]
        self.kinds, self.shapes, self.bytes = {}, {}, {}
        ends = sorted(tensor.file_offset for tensor in file.tensors.values())
        ends = dict(zip(ends, ends[1:]))
        for name, tensor in file.tensors.items():
            size = ends.get(tensor.file_offset, tensor.file_offset + len(tensor.raw)) - tensor.file_offset
            self.kinds[name], self.shapes[name] = tensor.kind, tensor.shape
            self.bytes[name] = tensor.raw[:size].copy()

    def names(self, role: str) -> list[str]:
        return [f"blk.{layer}.{role}.weight" for layer in range(self.layers)]

    def exchange(self, a: str, b: str):
        """The contents of two tensors of one shape."""
        assert self.shapes[a] == self.shapes[b] and self.kinds[a] == self.kinds[b]
        self.bytes[a], self.bytes[b] = self.bytes[b], self.bytes[a]

    def scale(self, name: str) -> np.ndarray:
        """The scale of an I2_S tensor, to be written to."""
        codes = math.prod(self.shapes[name]) // 4
        return self.bytes[name][codes : codes + 4].view("<f4")

    def code_rows(self, name: str) -> np.ndarray:
        """The codes of an I2_S tensor, one row of bytes for each row, to be written to."""
        rows, columns = self.shapes[name]
        assert columns % 128 == 0
        return self.bytes[name][: rows * columns // 4].reshape(rows, -1)

    def write(self, path: Path) -> Path:
        tensors = {
            name: (self.kinds[name], self.shapes[name], self.bytes[name].tobytes()) for name in self.kinds
        }
        write_gguf(path, self.keys, tensors)
        return path


@dataclasses.dataclass
class Score:
    """Perplexity as llama.cpp counts it: the beginning of text and the text in chunks of the context,
    the first token of each replaced by the beginning of text, only predictions of the second half of
    a chunk scored."""

    context: int
    begin: int
    losses: list[np.ndarray] = dataclasses.field(default_factory=list)

    def chunks(self):
        """Of the excerpt."""
        tokens = [self.begin, *excerpt_tokens()]
        for start in range(0, len(tokens) - self.context + 1, self.context):
            yield [self.begin, *tokens[start + 1 : start + self.context]]

    def add(self, chunk: list[int], logits: np.ndarray):
        scored = logits[self.context // 2 : -1].astype(np.float64)
        scored = scored - scored.max(axis=1, keepdims=True)
        targets = np.asarray(chunk[self.context // 2 + 1 :])
        log_sum = np.log(np.exp(scored).sum(axis=1))
        self.losses.append(log_sum - scored[np.arange(len(targets)), targets])

    def perplexity(self) -> float:
        return math.exp(np.concatenate(self.losses).mean())


def empty_score() -> Score:
    keys = Gguf(MODEL).keys
    context = keys[f"{keys['general.architecture']}.context_length"]
    return Score(context, keys["tokenizer.ggml.bos_token_id"])


def engine_perplexity(tritbench: str, model: Path, *flags: str, cache="f32") -> float:
    """Of the excerpt, by the perplexity command, with the KV cache that the reference has."""
    command = [tritbench, "perplexity", "-m", str(model), "-f", str(EXCERPT), "--json"]
    command += ["-c", str(empty_score().context), "--cache-type", cache, *flags]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)["perplexity"]


def perplexity_of_logits(tritbench: str, model: Path, folder: Path) -> float:
    """Of the excerpt's ids, from what the logits command gives."""
    score = empty_score()
    for chunk in score.chunks():
        score.add(chunk, run_logits(tritbench, model, chunk, folder / "logits.bin"))
    return score.perplexity()


def reference_perplexity(reference, *variant) -> float:
    """Of the excerpt's ids, from a reference model's logits."""
    score = empty_score()
    for chunk in score.chunks():
        score.add(chunk, reference.logits(chunk, *variant))
    return score.perplexity()
