"""GGUF, read as its published description says: keys, and tensors as raw bytes."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# Value types: struct codes of the fixed-size ones; 8 is a string, 9 an array.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9


@dataclass(frozen=True)
class StoredTensor:
    """``shape`` has rows first, the reverse of the file's order; ``raw`` runs on to the file's end."""

    kind: int
    shape: tuple[int, ...]
    file_offset: int
    raw: np.ndarray

    @property
    def count(self) -> int:
        return math.prod(self.shape)


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
        described = {}
        for _ in range(tensor_count):
            name = self._string()
            ne = [self._read("Q") for _ in range(self._read("I"))]
            described[name] = (self._read("I"), tuple(reversed(ne)), self._read("Q"))
        alignment = self.keys.get("general.alignment", 32)
        data = (self._at + alignment - 1) // alignment * alignment
        self.tensors = {
            name: StoredTensor(kind, shape, data + at, np.frombuffer(self._bytes, np.uint8, offset=data + at))
            for name, (kind, shape, at) in described.items()
        }

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
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            element = self._read("I")
            return [self._value(element) for _ in range(self._read("Q"))]
        return self._read(_SCALARS[kind])
