"""Writes GGUF files by their published description, for tests: neither the engine's code nor the
reference's."""

from __future__ import annotations

from pathlib import Path

import numpy as np

ALIGNMENT = 32


def _text(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(8, "little") + data


def _value(value) -> bytes:
    """A value with its type before it: bool, u32, i32 (as NumPy's), f32, string, or a list of one."""

    def kind_and_bytes(item):
        if isinstance(item, bool):
            return 7, bytes([item])
        if isinstance(item, np.int32):
            return 5, item.tobytes()
        if isinstance(item, int):
            return 4, item.to_bytes(4, "little")
        if isinstance(item, float):
            return 6, np.float32(item).tobytes()
        return 8, _text(item)

    if not isinstance(value, list):
        kind, data = kind_and_bytes(value)
        return kind.to_bytes(4, "little") + data
    items = [kind_and_bytes(item) for item in value]
    (kind,) = {kind for kind, _ in items}
    head = (9).to_bytes(4, "little") + kind.to_bytes(4, "little")
    return head + len(items).to_bytes(8, "little") + b"".join(data for _, data in items)


def write_gguf(path: Path, keys: dict, tensors: dict[str, tuple[int, tuple[int, ...], bytes]]):
    """``tensors``: name to type id, shape with rows first, and bytes. Keys keep their order."""
    head = b"GGUF" + (3).to_bytes(4, "little")
    head += len(tensors).to_bytes(8, "little") + len(keys).to_bytes(8, "little")
    for name, value in keys.items():
        head += _text(name) + _value(value)
    data = bytearray()
    for name, (kind, shape, raw) in tensors.items():
        head += _text(name) + len(shape).to_bytes(4, "little")
        for extent in reversed(shape):
            head += extent.to_bytes(8, "little")
        head += kind.to_bytes(4, "little") + len(data).to_bytes(8, "little")
        data += raw + bytes(-len(raw) % ALIGNMENT)
    path.write_bytes(head + bytes(-len(head) % ALIGNMENT) + bytes(data))
