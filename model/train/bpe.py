"""Byte-level byte pair encoding: GPT-2's byte alphabet, LLaMA-3's pre-tokenizer, and a
Hugging Face tokenizer.json of it."""

import collections
import json

import regex

# The pre-tokenizer that llama.cpp calls llama-bpe.
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BEGIN, END = "<|begin_of_text|>", "<|end_of_text|>"
SPECIALS = (BEGIN, END)


def byte_alphabet():
    """GPT-2's printable character of each byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    characters = {byte: chr(byte) for byte in printable}
    for byte in range(256):
        if byte not in characters:
            characters[byte] = chr(256 + len(characters) - len(printable))
    return [characters[byte] for byte in range(256)]


ALPHABET = byte_alphabet()


def pieces_of(text):
    return [
        "".join(ALPHABET[byte] for byte in piece.encode()) for piece in regex.findall(PATTERN, text)
    ]


def merge_in(symbols, pair):
    """The symbols of one piece after every occurrence of the pair is one symbol."""
    merged, i = [], 0
    while i < len(symbols):
        if i + 1 < len(symbols) and (symbols[i], symbols[i + 1]) == pair:
            merged.append(symbols[i] + symbols[i + 1])
            i += 2
        else:
            merged.append(symbols[i])
            i += 1
    return merged


def learn_merges(texts, count):
    """The `count` merges of the most frequent pairs; ties go to the lesser pair."""
    frequency = collections.Counter(piece for text in texts for piece in pieces_of(text))
    words = [(list(piece), times) for piece, times in frequency.items()]
    pairs, where = collections.Counter(), collections.defaultdict(set)
    for index, (symbols, times) in enumerate(words):
        for pair in zip(symbols, symbols[1:]):
            pairs[pair] += times
            where[pair].add(index)
    merges = []
    for _ in range(count):
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        for index in sorted(where[best]):
            symbols, times = words[index]
            for pair in zip(symbols, symbols[1:]):
                pairs[pair] -= times
            symbols[:] = merge_in(symbols, best)
            for pair in zip(symbols, symbols[1:]):
                pairs[pair] += times
                where[pair].add(index)
        del pairs[best], where[best]
    return merges


class Tokenizer:
    """Ids: the bytes' characters in byte order, the merges in order, the specials."""

    def __init__(self, merges):
        self.merges = [tuple(merge) for merge in merges]
        self.rank = {merge: rank for rank, merge in enumerate(self.merges)}
        self.tokens = [*ALPHABET, *(a + b for a, b in self.merges), *SPECIALS]
        self.ids = {token: index for index, token in enumerate(self.tokens)}
        self.bytes_of = {character: byte for byte, character in enumerate(ALPHABET)}
        self.known = {}

    @classmethod
    def load(cls, path):
        with open(path, encoding="utf-8") as file:
            return cls(merge.split(" ") for merge in json.load(file)["model"]["merges"])

    @property
    def begin(self):
        return self.ids[BEGIN]

    @property
    def end(self):
        return self.ids[END]

    def encode_piece(self, piece):
        if piece not in self.known:
            symbols = list(piece)
            while len(symbols) > 1:
                best = min(zip(symbols, symbols[1:]), key=lambda p: self.rank.get(p, 1 << 30))
                if best not in self.rank:
                    break
                symbols = merge_in(symbols, best)
            self.known[piece] = [self.ids[symbol] for symbol in symbols]
        return self.known[piece]

    def encode(self, text):
        return [token for piece in pieces_of(text) for token in self.encode_piece(piece)]

    def decode(self, tokens):
        text = "".join(self.tokens[token] for token in tokens if self.tokens[token] not in SPECIALS)
        return bytes(self.bytes_of[character] for character in text).decode(errors="replace")

    def save(self, path):
        """Writes Hugging Face's tokenizer.json."""
        added = [
            {"id": self.ids[special], "content": special, "single_word": False, "lstrip": False,
             "rstrip": False, "normalized": False, "special": True}
            for special in SPECIALS
        ]
        split = {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated",
                 "invert": False}
        byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                      "use_regex": False}
        begin_template = {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": BEGIN, "type_id": 0}},
                       {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"SpecialToken": {"id": BEGIN, "type_id": 0}},
                     {"Sequence": {"id": "A", "type_id": 0}},
                     {"SpecialToken": {"id": BEGIN, "type_id": 1}},
                     {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {BEGIN: {"id": BEGIN, "ids": [self.begin], "tokens": [BEGIN]}},
        }
        vocabulary = {token: self.ids[token] for token in self.tokens if token not in SPECIALS}
        document = {
            "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
            "normalizer": None,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
            "post_processor": begin_template, "decoder": byte_level,
            "model": {"type": "BPE", "dropout": None, "unk_token": None,
                      "continuing_subword_prefix": None, "end_of_word_suffix": None,
                      "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                      "vocab": vocabulary, "merges": [" ".join(merge) for merge in self.merges]},
        }
        with open(path, "w", encoding="utf-8") as file:
            json.dump(document, file, ensure_ascii=False, indent=1)
            file.write("\n")
