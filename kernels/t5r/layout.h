/* The layout `t5r`: five trits in 8 bits, 80 rows interleaved. lanes/panels.h has the panel.
 *
 *   p = c0 + 3 c1,  r = c2 + 3 c3,  e = c4     c = trit + 1 of rows lane, 16 + lane, ..., 64 + lane
 *
 *   bits     7:6   5:3   2:0
 *             e     r     p      e <= 2, when p < 8 and r < 8: 192 of the 243
 *             3    0 e    r      p = 8      (bits 5, 4:3, 2:0)
 *             3    1 e    p      r = 8
 *             3    0 3    e      p = 8 and r = 8
 *
 * so that six bits of a byte are the index of a 64-entry table that knows four of the trits, the
 * byte itself is 64 e + 8 r + p in most cases, and the others are mended by two more lookups under
 * a mask. A step is 4 columns of 80 rows, 64 bytes. 1.6 bits per weight. */
#ifndef TRITBENCH_KERNELS_T5R_LAYOUT_H
#define TRITBENCH_KERNELS_T5R_LAYOUT_H

#include "kernels/lanes/panels.h"

namespace {

struct Format {
    static constexpr const char* kLayout = "t5r";
    static constexpr const char* kSource =
        "five trits in 8 bits: llama.cpp TQ1_0; rows as lanes, escapes: tritbench";
    static constexpr int32_t kBitsNum = 8, kBitsDen = 5;
    static constexpr int kFields = 5, kColumns = 4, kStepBytes = 64;

    // False for the bytes that encode never gives.
    static constexpr bool decode_byte(int byte, int* p, int* r, int* e) {
        const int low = byte & 7, middle = byte >> 3 & 7, high = byte >> 6;
        if (high < 3) {
            *p = low, *r = middle, *e = high;
            return true;
        }
        if (middle == 3) {
            *p = 8, *r = 8, *e = low;
            return low < 3;
        }
        *p = middle < 4 ? 8 : low, *r = middle < 4 ? low : 8, *e = middle & 3;
        return (middle & 3) < 3;
    }

    // In 8 bits throughout, which compilers vectorise.
    static void encode(const uint8_t* codes, uint8_t* bytes) {
        for (int i = 0; i < 64; ++i) {
            const uint8_t* c = codes + i;
            const auto p = static_cast<uint8_t>(c[0] + c[64] + c[64] + c[64]);
            const auto r = static_cast<uint8_t>(c[128] + c[192] + c[192] + c[192]);
            const uint8_t e = c[256];
            const auto plain = static_cast<uint8_t>(p | r << 3 | e << 6);
            const auto no_p = static_cast<uint8_t>(0xc0 | e << 3 | r);
            const auto no_r = static_cast<uint8_t>(0xe0 | e << 3 | p);
            const auto neither = static_cast<uint8_t>(0xd8 | e);
            const uint8_t without_p = r == 8 ? neither : no_p;
            const uint8_t with_p = r == 8 ? no_r : plain;
            bytes[i] = p == 8 ? without_p : with_p;
        }
    }

    // decode_byte's answer for `count` bytes, in operations on bytes that compilers vectorise.
    static bool good_codes(const uint8_t* bytes, int64_t count) {
        uint8_t bad = 0;
        for (int64_t i = 0; i < count; ++i) {
            const uint8_t byte = bytes[i], low = byte & 7, middle = byte >> 3 & 7;
            const uint8_t e = middle == 3 ? low : static_cast<uint8_t>(middle & 3);
            bad |= static_cast<uint8_t>((byte >= 0xc0) & (e > 2));
        }
        return bad == 0;
    }

    static bool decode(const uint8_t* bytes, uint8_t* codes) {
        bool good = true;
        for (int i = 0; i < 64; ++i) {
            int p = 0, r = 0, e = 0;
            good = decode_byte(bytes[i], &p, &r, &e) && good;
            codes[i] = static_cast<uint8_t>(p % 3);
            codes[64 + i] = static_cast<uint8_t>(p / 3);
            codes[128 + i] = static_cast<uint8_t>(r % 3);
            codes[192 + i] = static_cast<uint8_t>(r / 3);
            codes[256 + i] = static_cast<uint8_t>(e);
        }
        return good;
    }
};

}  // namespace

#endif
