#!/usr/bin/env python3
"""Makes the two small vocabularies of the tests from text.txt.

    small-bpe.gguf  byte-level byte pairs: 256 bytes, 200 merges, 5 special tokens
    small-spm.gguf  SentencePiece-style: 3 special tokens, 256 bytes, characters, merges with scores

Both are trained here, by counting pairs; the same text gives the same bytes. Run it in this folder.
"""

import collections
import re
import struct
from pathlib import Path

HERE = Path(__file__).parent
MERGES = 200
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6

# GGUF value types.
U32, I32, F32, BOOL, TEXT, ARRAY = 4, 5, 6, 7, 8, 9


def text_value(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def array_value(element_type, elements):
    pack = {
        TEXT: text_value,
        I32: lambda v: struct.pack("<i", v),
        F32: lambda v: struct.pack("<f", v),
    }[element_type]
    head = struct.pack("<IQ", element_type, len(elements))
    return head + b"".join(pack(v) for v in elements)


def write_gguf(path, keys):
    """keys: (name, value type, value bytes); no tensors."""
    data = b"GGUF" + struct.pack("<IQQ", 3, 0, len(keys))
    for name, value_type, value in keys:
        data += text_value(name) + struct.pack("<I", value_type) + value
    path.write_bytes(data)


def train(words, merges):
    """Merges the most frequent pair, and of equal ones the first in order, again and again.

    words: Counter of tuples of symbols. Yields (left, right).
    """
    for _ in range(merges):
        pairs = collections.Counter()
        for word, count in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += count
        if not pairs:
            return
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        if pairs[best] < 2:
            return
        merged = collections.Counter()
        for word, count in words.items():
            out = []
            for symbol in word:
                if out and (out[-1], symbol) == best:
                    out[-1] += symbol
                    # A symbol made here is not merged again in the same pass.
                    out.append("")
                else:
                    out.append(symbol)
            merged[tuple(symbol for symbol in out if symbol)] += count
        words = merged
        yield best


def byte_alphabet():
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in own]
    spelling = {byte: chr(byte) for byte in own}
    spelling.update({byte: chr(0x100 + i) for i, byte in enumerate(others)})
    return [spelling[byte] for byte in range(256)]


def make_byte_pairs(text):
    # Near enough to the LLaMA-3 pattern to train on.
    pattern = r"'(?:s|t|re|ve|m|ll|d)|[^\r\n\w]?[^\W\d_]+|\d{1,3}| ?[^\s\w]+[\r\n]*|\s*[\r\n]+|\s+"
    alphabet = byte_alphabet()
    words = collections.Counter(
        tuple(alphabet[byte] for byte in word.encode()) for word in re.findall(pattern, text)
    )
    merges = list(train(words, MERGES))
    tokens = alphabet + [left + right for left, right in merges]
    # A whole word that no merge makes: it is taken all the same.
    tokens.append("Ġherons")
    types = [NORMAL] * len(tokens)
    bos = len(tokens)
    tokens += ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", "<|eot_id|>!", "<tool>"]
    types += [CONTROL, CONTROL, CONTROL, CONTROL, USER_DEFINED]
    write_gguf(
        HERE / "small-bpe.gguf",
        [
            ("general.architecture", TEXT, text_value("bitnet-b1.58")),
            ("tokenizer.ggml.model", TEXT, text_value("gpt2")),
            ("tokenizer.ggml.pre", TEXT, text_value("llama-bpe")),
            ("tokenizer.ggml.tokens", ARRAY, array_value(TEXT, tokens)),
            ("tokenizer.ggml.token_type", ARRAY, array_value(I32, types)),
            ("tokenizer.ggml.merges", ARRAY, array_value(TEXT, [f"{a} {b}" for a, b in merges])),
            ("tokenizer.ggml.bos_token_id", U32, struct.pack("<I", bos)),
            ("tokenizer.ggml.eos_token_id", U32, struct.pack("<I", bos + 1)),
            ("tokenizer.ggml.add_bos_token", BOOL, b"\1"),
        ],
    )


def make_sentence_pieces(text):
    spaced = [line.replace(" ", "\u2581") for line in text.splitlines() if line]
    words = collections.Counter()
    for line in spaced:
        words.update(tuple(word) for word in re.findall("\u2581*[^\u2581]*", "\u2581" + line) if word)
    characters = sorted({character for word in words for character in word})
    merges = list(train(words, MERGES))
    # SentencePiece numbers pieces by merge, then characters by frequency; a score is minus the
    # number.
    pieces = ["".join(pair) for pair in merges]
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    types = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256
    scores = [0.0] * len(tokens)
    for piece in dict.fromkeys(pieces + characters):
        scores.append(-float(len(tokens) - 259))
        tokens.append(piece)
        types.append(NORMAL)
    write_gguf(
        HERE / "small-spm.gguf",
        [
            ("general.architecture", TEXT, text_value("llama")),
            ("tokenizer.ggml.model", TEXT, text_value("llama")),
            ("tokenizer.ggml.tokens", ARRAY, array_value(TEXT, tokens)),
            ("tokenizer.ggml.scores", ARRAY, array_value(F32, scores)),
            ("tokenizer.ggml.token_type", ARRAY, array_value(I32, types)),
            ("tokenizer.ggml.bos_token_id", U32, struct.pack("<I", 1)),
            ("tokenizer.ggml.eos_token_id", U32, struct.pack("<I", 2)),
            ("tokenizer.ggml.unknown_token_id", U32, struct.pack("<I", 0)),
        ],
    )


if __name__ == "__main__":
    TRAINING_TEXT = (HERE / "text.txt").read_text(encoding="utf-8")
    make_byte_pairs(TRAINING_TEXT)
    make_sentence_pieces(TRAINING_TEXT)
