"""Values to the bytes of GGUF tensor types, for tests.

Each type is laid out as a whole array with axes for its blocks, split and moved into the order of
the bytes; the reference's decoders go the other way element by element with formulas, so that the
two share no mistake.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable

import numpy as np


@dataclass(frozen=True)
class Encoder:
    type_id: int
    encode: Callable[[np.ndarray], bytes]  # a matrix with one magnitude, or any where it can hold it


def _trits_and_scale(w: np.ndarray) -> tuple[np.ndarray, float]:
    """-1, 0, 1 and the one magnitude of a ternary matrix."""
    return np.sign(w).astype(np.int64), float(np.abs(w).max())


def _half(x) -> np.ndarray:
    return np.asarray(x, "<f2")


def _trailer(scale: float) -> bytes:
    """bitnet.cpp's: the scale and 28 bytes that mean nothing."""
    return np.float32(scale).tobytes() + b"\xa5" * 28


def _pack_fields(fields: np.ndarray) -> np.ndarray:
    """Four codes on the last axis to a byte, the first in the highest bits."""
    return (fields * np.array([64, 16, 4, 1])).sum(axis=-1).astype(np.uint8)


def f32(w):
    return w.astype("<f4").tobytes()


def f16(w):
    return _half(w).tobytes()


def bf16(w):
    bits = w.astype("<f4").view("<u4").astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2").tobytes()


def q8_0(w):
    blocks = w.reshape(-1, 32)
    d = np.abs(blocks).max(axis=1, keepdims=True) / 127
    q = np.rint(np.divide(blocks, d, where=d > 0, out=np.zeros_like(blocks)))
    return b"".join(_half(d[i]).tobytes() + q[i].astype(np.int8).tobytes() for i in range(len(q)))


def q4_0(w):
    """With the largest magnitude at 7, so that ternary weights stay ternary."""
    blocks = w.reshape(-1, 32)
    d = np.abs(blocks).max(axis=1, keepdims=True) / 7
    q = np.rint(np.divide(blocks, d, where=d > 0, out=np.zeros_like(blocks))).astype(np.int64) + 8
    low, high = q[:, :16], q[:, 16:]
    data = (low + 16 * high).astype(np.uint8)
    return b"".join(_half(d[i]).tobytes() + data[i].tobytes() for i in range(len(q)))


def q6_k(w):
    """One float scale of a block of 256, of which 16 integers are multiples for 16 weights each."""
    out = b""
    for block in w.reshape(-1, 16, 16):
        fine = np.abs(block).max(axis=1) / 31
        d = np.float64(_half(fine.max() / 127))
        scales = np.rint(fine / d if d else fine)
        step = (d * scales)[:, None]
        q = np.rint(np.divide(block, step, where=step > 0, out=np.zeros_like(block)))
        q = (np.clip(q, -32, 31).astype(np.int64) + 32).reshape(2, 4, 32)  # half, run, l
        ql = np.concatenate([q[:, 0:2] % 16 + 16 * (q[:, 2:4] % 16)], axis=1)
        qh = (q // 16 * np.array([1, 4, 16, 64])[:, None]).sum(axis=1)
        out += ql.astype(np.uint8).tobytes() + qh.astype(np.uint8).tobytes()
        out += scales.astype(np.int8).tobytes() + _half(d).tobytes()
    return out


def tq2_0(w):
    t, scale = _trits_and_scale(w)
    codes = (t + 1).reshape(-1, 2, 4, 32)  # half, field, byte
    data = _pack_fields(np.moveaxis(codes, 2, 3)[..., ::-1]).reshape(-1, 64)
    return b"".join(row.tobytes() + _half(scale).tobytes() for row in data)


def _five_digits(digits: np.ndarray) -> np.ndarray:
    """Base 3, the first of the last axis the most significant, as the fraction of 256 above it."""
    value = (digits * np.array([81, 27, 9, 3, 1])).sum(axis=-1)
    return np.array([math.ceil(v * 256 / 243) for v in range(243)], np.uint8)[value]


def tq1_0(w):
    t, scale = _trits_and_scale(w)
    codes = (t + 1).reshape(-1, 256)
    first = _five_digits(np.swapaxes(codes[:, :160].reshape(-1, 5, 32), 1, 2))
    second = _five_digits(np.swapaxes(codes[:, 160:240].reshape(-1, 5, 16), 1, 2))
    fours = np.swapaxes(codes[:, 240:].reshape(-1, 4, 4), 1, 2)
    third = _five_digits(np.concatenate([fours, np.zeros_like(fours[..., :1])], axis=-1))
    rows = np.concatenate([first, second, third], axis=1)
    return b"".join(row.tobytes() + _half(scale).tobytes() for row in rows)


def i2s(w, block=128):
    t, scale = _trits_and_scale(w)
    fields = np.swapaxes((t + 1).reshape(-1, 4, block // 4), 1, 2)
    return _pack_fields(fields).tobytes() + _trailer(scale)


def i2s_arm(w):
    return i2s(w, block=64)


def i2s_row4(w):
    t, scale = _trits_and_scale(w)
    fields = np.swapaxes((t + 1).reshape(-1, 4, w.shape[1]), 1, 2)
    return _pack_fields(fields).tobytes() + _trailer(scale)


def tl1(w, BM=64, BK=64, bm=32):
    t, scale = _trits_and_scale(w)
    rows, columns = t.shape
    by = 256 // bm
    pairs = 3 * t[:, 0::2] + t[:, 1::2] + 4
    pairs = pairs.reshape(rows // BM, BM // bm, bm // 16, 16, columns // BK, BK // by, by // 4, 2)
    #                     0 tile      1 block   2         3   4 tile         5 group   6       7
    pairs = pairs.transpose(0, 4, 1, 5, 2, 6, 3, 7)
    return (16 * pairs[..., 0] + pairs[..., 1]).astype(np.uint8).tobytes() + _trailer(scale)


def _swap_middle_rows(planes: np.ndarray, axis: int) -> np.ndarray:
    """Of 32 rows on an axis, 8..15 and 16..23 change places."""
    return np.take(planes, np.r_[0:8, 16:24, 8:16, 24:32], axis=axis)


def tl2(w, BM=32, BK=96):
    t, scale = _trits_and_scale(w)
    rows, columns = t.shape
    k3 = columns // BK * BK
    triples = t[:, :k3].reshape(rows, -1, 3) @ np.array([9, 3, 1])
    triples = triples.reshape(rows // BM, BM // 32, 32, k3 // BK, BK // 6, 2)
    triples = triples.transpose(0, 3, 1, 4, 2, 5)  # tile, tile, block, six columns, row, half
    index = np.abs(triples[..., 0]) * 16 + np.abs(triples[..., 1])
    index = _swap_middle_rows(index, axis=-1).astype(np.uint8)

    negative = (triples < 0).reshape(-1, 4, 32, 2)  # 24 columns are 4 times two triples
    negative = negative.transpose(0, 2, 1, 3).reshape(-1, 2, 16, 8)  # word, upper rows, row, triple
    bits = np.moveaxis(negative, 1, 3).reshape(-1, 16)  # triple by triple, rows i and i + 16
    signs = np.packbits(bits, axis=1)[:, ::-1]  # words are little-endian

    rest = 3 * t[:, k3::2] + t[:, k3 + 1 :: 2] + 4
    rest = rest.reshape(rows // BM, BM // 32, 32, (columns - k3) // 32, 8, 2)
    rest = rest.transpose(0, 3, 1, 4, 2, 5)
    rest = _swap_middle_rows(16 * rest[..., 0] + rest[..., 1], axis=-1).astype(np.uint8)

    data = index.tobytes() + signs.tobytes() + rest.tobytes()
    size = (columns - 256) * rows // 3 * 5 // 8 + 256 * rows // 2 * 4 // 8
    size += -size % 32
    assert len(data) <= size
    return data + bytes(size - len(data)) + _trailer(scale)


def iq2_bn(w):
    t, scale = _trits_and_scale(w)
    codes = (t + 1).reshape(len(t), -1, 4, 16)
    data = _pack_fields(np.swapaxes(codes, 2, 3)[..., ::-1]).reshape(len(t), -1)
    return b"".join(np.float32(scale).tobytes() + row.tobytes() for row in data)


def iq1_bn(w):
    t, scale = _trits_and_scale(w)
    blocks = (t + 1).reshape(len(t), -1, 4, 16)
    groups = _five_digits(blocks[..., :15].reshape(*blocks.shape[:3], 3, 5)[..., ::-1])
    last = blocks[..., 15][..., ::-1]  # the first of the four the least significant
    extra = _five_digits(np.concatenate([np.zeros_like(last[..., :1]), last], axis=-1))
    data = np.concatenate([groups.reshape(*extra.shape, 12), extra[..., None]], axis=-1)
    return b"".join(_half(scale).tobytes() + row.tobytes() for row in data)


def iq2_bn_r4(w):
    t, scale = _trits_and_scale(w)
    codes = (t + 1).reshape(len(t) // 4, 4, -1, 4, 4, 4)  # rows, row, block, l, step, i
    data = codes.transpose(0, 2, 3, 1, 5, 4)  # rows, block, l, row, i, step: bits 0, 2, 4, 6
    data = _pack_fields(data[..., ::-1]).reshape(len(t) // 4, -1)
    return b"".join(np.float32([scale] * 4).tobytes() + row.tobytes() for row in data)


ENCODERS = {
    "f32": Encoder(0, f32),
    "f16": Encoder(1, f16),
    "q4_0": Encoder(2, q4_0),
    "q8_0": Encoder(8, q8_0),
    "q6_k": Encoder(14, q6_k),
    "bf16": Encoder(30, bf16),
    "tq1_0": Encoder(34, tq1_0),
    "tq2_0": Encoder(35, tq2_0),
    "i2_s": Encoder(36, i2s),
    "i2_s arm": Encoder(36, i2s_arm),
    "i2_s row4": Encoder(36, i2s_row4),
    "tl1": Encoder(38, tl1),
    "tl2": Encoder(39, tl2),
    "iq1_bn": Encoder(134, iq1_bn),
    "iq2_bn": Encoder(135, iq2_bn),
    "iq2_bn_r4": Encoder(335, iq2_bn_r4),
}
