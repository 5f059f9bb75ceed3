/* The layout `t3r`: three trits in 5 bits, 48 rows interleaved. lanes/panels.h has the panel.
 *
 *   code = c0 + 3 c1 + 9 c2    c = trit + 1 of rows lane, 16 + lane, 32 + lane: 0 .. 26 of 32
 *
 * A step is 32 columns of 48 rows: eight registers of codes (code q: columns 4 q .. 4 q + 3), kept
 * in five registers R0 .. R4. Codes 0 .. 4 are the low five bits of R0 .. R4, so that a table
 * lookup that takes six bits of an index needs no preparation; the other three are in the top three
 * bits:
 *
 *   code 5 = (R0 >> 5) ^ (R1 >> 3)             bits 4:0
 *   code 6 = (R2 >> 5) ^ (R3 >> 2)             bits 4:0
 *   code 7 = (R4 >> 5) ^ ((R1 ^ R3) >> 2)      bits 5, 3:0
 *
 * Shifts are of 16-bit words (no x86 has shifts of bytes). What they bring in from other codes or
 * the neighbouring byte is known to the packer, which stores the difference: no masks, and six
 * shifts and four xors for three codes. Where the bits go, foreign bits aside:
 *
 *         bit 7       6          5          4:0
 *   R0    code 5, bits 2:0                  code 0
 *   R1    code 5, bits 4:3      7, bit 3    code 1
 *   R2    code 6, bits 2:0                  code 2
 *   R3    7, bit 5   code 6, bits 4:3       code 3
 *   R4    code 7, bits 2:0                  code 4
 *
 * 320 bytes for 1536 weights: 1.667 bits per weight. */
#ifndef TRITBENCH_KERNELS_T3R_LAYOUT_H
#define TRITBENCH_KERNELS_T3R_LAYOUT_H

#include "kernels/lanes/panels.h"

namespace {

struct Format {
    static constexpr const char* kLayout = "t3r";
    static constexpr const char* kSource =
        "three trits in 5 bits: arXiv:2502.11880 (TL2); rows as lanes: tritbench";
    static constexpr int32_t kBitsNum = 5, kBitsDen = 3;
    static constexpr int kFields = 3, kColumns = 32, kStepBytes = 320;

    // The codes that are not the low bits of a register, of two bytes: r holds words of R0 .. R4.
    static constexpr void spread(const unsigned* r, unsigned* c) {
        c[5] = (r[0] >> 5 ^ r[1] >> 3) & 0x1f1f;
        c[6] = (r[2] >> 5 ^ r[3] >> 2) & 0x1f1f;
        const unsigned last = r[4] >> 5 ^ (r[1] ^ r[3]) >> 2;
        c[7] = (last & 0x0f0f) | (last >> 1 & 0x1010);
    }

    // The codes of bytes i and i + 1 of every register.
    static void read(const uint8_t* bytes, int i, unsigned* c) {
        unsigned r[5];
        for (int j = 0; j < 5; ++j) {
            r[j] = static_cast<unsigned>(bytes[64 * j + i] | bytes[64 * j + i + 1] << 8);
            c[j] = r[j] & 0x1f1f;
        }
        spread(r, c);
    }

    // In loops over local arrays, which compilers vectorise.
    static void encode(const uint8_t* codes, uint8_t* bytes) {
        uint8_t threes[8][64];
        for (int q = 0; q < 8; ++q) {
            const uint8_t* rows = codes + 192 * q;
            for (int i = 0; i < 64; ++i) {
                const auto upper = static_cast<uint8_t>(rows[64 + i] + 3 * rows[128 + i]);
                threes[q][i] = static_cast<uint8_t>(rows[i] + 3 * upper);
            }
        }
        uint16_t words[5][32];
        for (int i = 0; i < 32; ++i) {
            uint16_t c[8];
            for (int q = 0; q < 8; ++q) memcpy(&c[q], threes[q] + 2 * i, sizeof c[q]);
            // Each line settles bits that later lines leave alone.
            unsigned r[5] = {c[0], c[1], c[2], c[3], c[4]}, is[8];
            spread(r, is);
            r[1] |= ((is[5] ^ c[5]) & 0x1818) << 3;
            r[3] |= ((is[6] ^ c[6]) & 0x1818) << 2;
            spread(r, is);
            r[1] |= ((is[7] ^ c[7]) & 0x0808) << 2;
            r[3] |= ((is[7] ^ c[7]) & 0x1010) << 3;
            spread(r, is);
            r[0] |= ((is[5] ^ c[5]) & 0x0707) << 5;
            r[2] |= ((is[6] ^ c[6]) & 0x0707) << 5;
            r[4] |= ((is[7] ^ c[7]) & 0x0707) << 5;
            for (int j = 0; j < 5; ++j) words[j][i] = static_cast<uint16_t>(r[j]);
        }
        memcpy(bytes, words, sizeof words);
    }

    static bool good_codes(const uint8_t* bytes, int64_t count) {
        unsigned bad = 0;
        for (const uint8_t* end = bytes + count; bytes < end; bytes += kStepBytes) {
            for (int i = 0; i < 64; i += 2) {
                unsigned c[8];
                read(bytes, i, c);
                for (int q = 0; q < 8; ++q) bad |= (c[q] + 0x0505) & 0x2020;  // 27 and more
            }
        }
        return bad == 0;
    }

    static bool decode(const uint8_t* bytes, uint8_t* codes) {
        bool good = true;
        for (int i = 0; i < 64; i += 2) {
            unsigned c[8];
            read(bytes, i, c);
            for (int q = 0; q < 8; ++q) {
                for (int b = 0; b < 2; ++b) {
                    const unsigned code = c[q] >> (8 * b) & 0xff;
                    good = good && code < 27;
                    uint8_t* rows = codes + 192 * q + i + b;
                    rows[0] = static_cast<uint8_t>(code % 3);
                    rows[64] = static_cast<uint8_t>(code / 3 % 3);
                    rows[128] = static_cast<uint8_t>(code / 9);
                }
            }
        }
        return good;
    }
};

}  // namespace

#endif
