"""Tokenizers straight from their definitions: quadratic, and nothing in common with the C++ side.

The LLaMA-3 pattern is followed character by character over ``unicodedata``, without a regular
expression engine.
"""

from __future__ import annotations

import re
import unicodedata

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6
CONTRACTIONS = ("s", "t", "re", "ve", "m", "ll", "d")


def _letter(character: str) -> bool:
    return unicodedata.category(character).startswith("L")


def _number(character: str) -> bool:
    return unicodedata.category(character).startswith("N")


def _space(character: str) -> bool:
    return character in "\t\n\v\f\r\x85" or unicodedata.category(character).startswith("Z")


def _sign(character: str) -> bool:
    return not (_letter(character) or _number(character) or _space(character))


def _run(text: str, at: int, belongs) -> int:
    while at < len(text) and belongs(text[at]):
        at += 1
    return at


def _end_of_word(text: str, at: int) -> int:
    first = text[at]
    if first == "'":
        for ending in CONTRACTIONS:
            found = text[at + 1 : at + 1 + len(ending)]
            if found.lower().replace("\u017f", "s") == ending:
                return at + 1 + len(ending)
    letters = at if _letter(first) or _number(first) or first in "\r\n" else at + 1
    end = _run(text, letters, _letter)
    if end > letters:
        return end
    if _number(first):
        return min(_run(text, at, _number), at + 3)
    signs = at + (first == " ")
    end = _run(text, signs, _sign)
    if end > signs:
        return _run(text, end, lambda c: c in "\r\n")
    end = _run(text, at, _space)
    line_end = max(text.rfind("\r", at, end), text.rfind("\n", at, end))
    if line_end >= 0:
        return line_end + 1
    # The last space before a word belongs to the word.
    return end if end == len(text) or end == at + 1 else end - 1


def words(text: str) -> list[str]:
    found, at = [], 0
    while at < len(text):
        end = _end_of_word(text, at)
        found.append(text[at:end])
        at = end
    return found


class _Tokenizer:
    def __init__(self, keys: dict):
        self.tokens = keys["tokenizer.ggml.tokens"]
        self.types = keys["tokenizer.ggml.token_type"]
        self.ids = {token: i for i, token in enumerate(self.tokens) if self.types[i] == NORMAL}
        self.special = {
            token: i for i, token in enumerate(self.tokens) if self.types[i] in (UNKNOWN, CONTROL, USER_DEFINED)
        }

    def _fragments(self, text: str, parse_special: bool):
        """(text, None) and (name, id), in order."""
        names = [
            name for name, i in self.special.items() if parse_special or self.types[i] == USER_DEFINED
        ]
        if not names:
            return [(text, None)]
        longest_first = sorted(names, key=len, reverse=True)
        parts = re.split("(" + "|".join(map(re.escape, longest_first)) + ")", text)
        # Found names are the odd parts.
        return [(part, self.special[part] if i % 2 else None) for i, part in enumerate(parts) if part]


class BytePairs(_Tokenizer):
    """Byte-level byte-pair encoding with LLaMA 3's words."""

    def __init__(self, keys: dict):
        super().__init__(keys)
        own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
        rest = (byte for byte in range(256) if byte not in own)
        self.spelling = {byte: chr(byte) for byte in own}
        self.spelling.update({byte: chr(0x100 + i) for i, byte in enumerate(rest)})
        self.ranks = {}
        for rank, merge in enumerate(keys["tokenizer.ggml.merges"]):
            self.ranks.setdefault(tuple(merge.split(" ")), rank)

    def _word(self, word: str) -> list[int]:
        symbols = [self.spelling[byte] for byte in word.encode()]
        whole = self.ids.get("".join(symbols))
        if whole is not None:
            return [whole]
        while True:
            ranks = [self.ranks.get(pair, len(self.ranks)) for pair in zip(symbols, symbols[1:])]
            if not ranks or min(ranks) == len(self.ranks):
                return [self.ids[symbol] for symbol in symbols]
            at = ranks.index(min(ranks))
            symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]

    def encode(self, text: str, parse_special: bool) -> list[int]:
        ids = []
        for part, special in self._fragments(text, parse_special):
            if special is not None:
                ids.append(special)
            else:
                ids += [token for word in words(part) for token in self._word(word)]
        return ids


class SentencePieces(_Tokenizer):
    """Scores, a space before the text, bytes for what is no token."""

    def __init__(self, keys: dict):
        super().__init__(keys)
        self.scores = keys["tokenizer.ggml.scores"]
        self.bytes = {int(t[3:5], 16): i for i, t in enumerate(self.tokens) if self.types[i] == BYTE}

    def _part(self, text: str) -> list[int]:
        symbols = list(text.replace(" ", "\u2581"))
        while True:
            pairs = [self.ids.get(a + b) for a, b in zip(symbols, symbols[1:])]
            scores = [float("-inf") if i is None else self.scores[i] for i in pairs]
            if not scores or max(scores) == float("-inf"):
                break
            at = scores.index(max(scores))
            symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]
        ids = []
        for symbol in symbols:
            one = self.ids.get(symbol)
            ids += [one] if one is not None else [self.bytes[byte] for byte in symbol.encode()]
        return ids

    def encode(self, text: str, parse_special: bool) -> list[int]:
        ids, begins = [], True
        for part, special in self._fragments(text, parse_special):
            ids += [special] if special is not None else self._part(" " * begins + part)
            begins = special is not None
        return ids
