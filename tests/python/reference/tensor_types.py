"""Bytes of tensors to float64, element by element as each type is described.

Every decoder says for element (row r, column c), or e of the flattened tensor, where its code is,
and gathers. Slow, and as close to the descriptions as can be:

- I2_S, TL1, TL2: bitnet.cpp, src/ggml-bitnet-mad.cpp and utils/convert-hf-to-gguf-bitnet.py;
- TQ1_0, TQ2_0, Q8_0, Q6_K, Q4_0: llama.cpp, ggml-common.h and ggml-quants.c;
- IQ1_BN, IQ2_BN, IQ2_BN_R4: ik_llama.cpp, ggml-common.h and iqk/iqk_quantize.cpp.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import numpy as np

F32, F16, Q4_0, Q8_0, Q6_K, BF16 = 0, 1, 2, 8, 14, 30
TQ1_0, TQ2_0 = 34, 35
I2_S, TL1, TL2 = 36, 38, 39
IQ1_BN, IQ2_BN, IQ2_BN_R4 = 134, 135, 335


@dataclass(frozen=True)
class Tile:
    """How TL1 and TL2 cut a matrix; TL2 has no bm."""

    BM: int
    BK: int
    bm: int = 32


@dataclass(frozen=True)
class Unsaid:
    """What a file does not say about its own bytes."""

    i2s_layout: str = "x86"  # arm, row4
    tiles: dict[tuple[int, int], Tile] = field(default_factory=dict)  # by (rows, columns)


def decode(kind: int, raw: np.ndarray, shape: tuple[int, ...], unsaid: Unsaid) -> np.ndarray:
    """The values of a tensor whose bytes begin at ``raw[0]``."""
    if kind == I2_S:
        return decode_i2s(raw, shape, unsaid.i2s_layout)
    if kind in (TL1, TL2):
        return (decode_tl1 if kind == TL1 else decode_tl2)(raw, shape, unsaid.tiles[shape])
    count = int(np.prod(shape))
    if kind in _BLOCKS:
        columns, size, values = _BLOCKS[kind]
        blocks = raw[: count // columns * size].reshape(-1, size)
        return values(blocks).reshape(shape)
    if kind in _ROWS:
        return _ROWS[kind](raw, *shape)
    return _DENSE[kind](raw, count).reshape(shape)


def _half(blocks: np.ndarray, at: int) -> np.ndarray:
    """The half at byte ``at`` of each block, as a column."""
    return blocks[:, at : at + 2].copy().view("<f2").astype(np.float64)


def _float32_at(raw: np.ndarray, at: int) -> float:
    return struct.unpack("<f", raw[at : at + 4].tobytes())[0]


def _f32(raw, count):
    return raw[: 4 * count].view("<f4").astype(np.float64)


def _f16(raw, count):
    return raw[: 2 * count].view("<f2").astype(np.float64)


def _bf16(raw, count):
    """The upper half of a float32."""
    high = raw[: 2 * count].view("<u2").astype("<u4") << 16
    return high.view("<f4").astype(np.float64)


def _q8_0(blocks):
    return _half(blocks, 0) * blocks[:, 2:34].view(np.int8)


def _q4_0(blocks):
    """Elements j and j + 16 in one byte, the first in its low nibble."""
    j = np.arange(32)
    q = blocks[:, 2 + j % 16] >> (4 * (j // 16)) & 15
    return _half(blocks, 0) * (q.astype(np.float64) - 8)


def _q6_k(blocks):
    """ql[128] qh[64] scales[16] d; halves of 128, in each four runs of 32 with l = 0..31."""
    e = np.arange(256)
    half, run, l = e // 128, e % 128 // 32, e % 32
    low = blocks[:, 64 * half + l + 32 * (run % 2)] >> (4 * (run // 2)) & 15
    high = blocks[:, 128 + 32 * half + l] >> (2 * run) & 3
    q = (low | high << 4).astype(np.float64) - 32
    scales = blocks[:, 192 + 8 * half + 2 * run + l // 16].view(np.int8)
    return _half(blocks, 208) * scales * q


def _tq2_0(blocks):
    """qs[64] d; element 128 g + 32 n + m in bits 2n of byte 32 g + m."""
    e = np.arange(256)
    q = blocks[:, 32 * (e // 128) + e % 32] >> (2 * (e % 128 // 32)) & 3
    assert q.max() < 3, "code 3"
    return (q.astype(np.float64) - 1) * _half(blocks, 64)


def _tq1_0(blocks):
    """qs[48] qh[4] d; trit n of byte b is the n-th digit of the fraction b / 256 in base 3."""
    e = np.arange(256)
    byte = np.where(e < 160, e % 32, np.where(e < 240, 32 + e % 16, 48 + e % 4))
    n = np.where(e < 160, e // 32, np.where(e < 240, (e - 160) // 16, (e - 240) // 4))
    left = blocks[:, byte].astype(np.int64) * 3**n % 256
    return ((left * 3 >> 8).astype(np.float64) - 1) * _half(blocks, 52)


def decode_i2s(raw: np.ndarray, shape: tuple[int, ...], layout: str) -> np.ndarray:
    """Codes of 2 bits, the scale after them."""
    count = int(np.prod(shape))
    e = np.arange(count)
    if layout == "row4":
        r, c = np.divmod(e, shape[-1])
        byte, place = r // 4 * shape[-1] + c, r % 4
    else:
        block = {"x86": 128, "arm": 64}[layout]
        quarter = block // 4
        byte, place = e // block * quarter + e % quarter, e % block // quarter
    codes = raw[byte] >> (6 - 2 * place) & 3
    assert codes.max() < 3, "code 3"
    return ((codes.astype(np.float64) - 1) * _float32_at(raw, count // 4)).reshape(shape)


def decode_tl1(raw: np.ndarray, shape: tuple[int, int], tile: Tile) -> np.ndarray:
    """Two columns in a nibble, 3 w0 + w1 + 4."""
    rows, columns = shape
    by = 256 // tile.bm
    r, c = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    mb, r1 = np.divmod(r, tile.BM)
    rb, r2 = np.divmod(r1, tile.bm)
    kb, k1 = np.divmod(c, tile.BK)
    kby, k2 = np.divmod(k1, by)
    byte = (mb * (columns // tile.BK) + kb) * (tile.BM // tile.bm) + rb
    byte = (byte * (tile.BK // by) + kby) * (tile.bm // 16) + r2 // 16
    byte = (byte * (by // 4) + k2 // 4) * 16 + r2 % 16
    nibble = np.where(k2 % 4 < 2, raw[byte] >> 4, raw[byte] & 15).astype(np.int64)
    assert nibble.max() < 9, "nibble above 8"
    trits = np.where(c % 2 == 0, nibble // 3, nibble % 3) - 1
    return trits * _float32_at(raw, rows * columns // 4)


def decode_tl2(raw: np.ndarray, shape: tuple[int, int], tile: Tile) -> np.ndarray:
    """Three columns in a nibble and a sign; the last K % BK columns two in a nibble."""
    rows, columns = shape
    assert columns >= 256, "the published size is made for no less"
    k3 = columns // tile.BK * tile.BK
    signs, pairs = rows * k3 // 6, rows * k3 // 6 + rows * k3 // 24
    published = (columns - 256) * rows // 3 * 5 // 8 + 256 * rows // 2 * 4 // 8
    scale = _float32_at(raw, (published + 31) // 32 * 32)

    def block(r, c, width, cut, stored):
        """The number of a block of 32 rows and ``cut`` columns; tiles are ``width`` columns wide."""
        mb, r1 = np.divmod(r, tile.BM)
        kb, k1 = np.divmod(c, width)
        number = (mb * (stored // width) + kb) * (tile.BM // 32) + r1 // 32
        return number * (width // cut) + k1 // cut

    def row_byte(r):
        return 8 * np.array([0, 2, 1, 3])[r % 32 // 8] + r % 8

    r, c = np.meshgrid(np.arange(rows), np.arange(k3), indexing="ij")
    k1 = c % tile.BK
    byte = block(r, c, tile.BK, 6, k3) * 32 + row_byte(r)
    value = np.where(k1 % 6 < 3, raw[byte] >> 4, raw[byte] & 15).astype(np.int64)
    assert value.max() < 14, "nibble above 13"
    at = signs + block(r, c, tile.BK, 24, k3) * 32 + 2 * (r % 16)
    word = raw[at].astype(np.int64) | raw[at + 1].astype(np.int64) << 8
    negative = word >> (15 - 2 * (k1 % 24 // 3) - r % 32 // 16) & 1
    # Digits of value + 13 in base 3 are the balanced ones plus one.
    shifted = np.where(negative == 1, -value, value) + 13
    triples = shifted // 3 ** (2 - k1 % 3) % 3 - 1
    if k3 == columns:
        return triples * scale

    r, k = np.meshgrid(np.arange(rows), np.arange(columns - k3), indexing="ij")
    byte = pairs + block(r, k, 32, 4, columns - k3) * 32 + row_byte(r)
    nibble = np.where(k % 4 < 2, raw[byte] >> 4, raw[byte] & 15).astype(np.int64)
    assert nibble.max() < 9, "nibble above 8"
    rest = np.where(k % 2 == 0, nibble // 3, nibble % 3) - 1
    return np.concatenate([triples, rest], axis=1) * scale


def _iq2_bn(raw, rows, columns):
    """A row: a float32 scale, then for 64 columns 16 bytes, column j + 16 i in bits 2i of byte j."""
    row = raw[: rows * (4 + columns // 4)].reshape(rows, -1)
    c = np.arange(columns)
    codes = row[:, 4 + c // 64 * 16 + c % 16] >> (2 * (c % 64 // 16)) & 3
    assert codes.max() < 3, "code 3"
    return (codes.astype(np.float64) - 1) * row[:, :4].copy().view("<f4")


def _iq2_bn_r4(raw, rows, columns):
    """Four rows together: four float32 scales, then 64 bytes for 64 columns."""
    four = raw[: rows * (4 + columns // 4)].reshape(rows // 4, -1)
    r, c = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    block, l, step, i = c // 64, c % 64 // 16, c % 16 // 4, c % 4
    codes = four[r // 4, 16 + block * 64 + 16 * l + 4 * (r % 4) + i] >> (2 * step) & 3
    assert codes.max() < 3, "code 3"
    scales = four[:, :16].copy().view("<f4").reshape(rows, 1)
    return (codes.astype(np.float64) - 1) * scales


def _iq1_bn(raw, rows, columns):
    """A row: a half scale, then 13 bytes for 64 columns: 4 groups of 15 in 3 bytes, and the four
    16th columns. The first digit is the least significant, that is the last of the fraction."""
    row = raw[: rows * (2 + columns // 64 * 13)].reshape(rows, -1)
    c = np.arange(columns)
    group, place = c % 64 // 16, c % 16
    byte = np.where(place < 15, 3 * group + place // 5, 12)
    digit = np.where(place < 15, place % 5, group)
    left = row[:, 2 + c // 64 * 13 + byte].astype(np.int64) * 3 ** (4 - digit) % 256
    return ((left * 3 >> 8).astype(np.float64) - 1) * row[:, :2].copy().view("<f2").astype(np.float64)


_DENSE = {F32: _f32, F16: _f16, BF16: _bf16}
# Columns and bytes of a block, and its values.
_BLOCKS = {
    Q4_0: (32, 18, _q4_0),
    Q8_0: (32, 34, _q8_0),
    Q6_K: (256, 210, _q6_k),
    TQ1_0: (256, 54, _tq1_0),
    TQ2_0: (256, 66, _tq2_0),
}
_ROWS = {IQ1_BN: _iq1_bn, IQ2_BN: _iq2_bn, IQ2_BN_R4: _iq2_bn_r4}
