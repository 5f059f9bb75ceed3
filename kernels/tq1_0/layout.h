/* The layout `tq1_0`: five trits in a byte exactly as llama.cpp stores GGUF type TQ1_0 (id 34).
 *
 *   row:     block 0 | block 1 | ...          no padding, rows back to back
 *   block:   256 columns, 54 bytes:   five [48] | four [4] | d half
 *
 *                            digits 0, 1, 2, 3, 4 are of columns
 *   five, byte m             m, m + 32, m + 64, m + 96, m + 128                       m = 0..31
 *   five, byte 32 + m        160 + m, 176 + m, 192 + m, 208 + m, 224 + m              m = 0..15
 *   four, byte m             240 + m, 244 + m, 248 + m, 252 + m, and a digit 0        m = 0..3
 *
 * Digits are codes (0 -> -1, 1 -> 0, 2 -> +1) of a number in base 3, q = 81 c0 + 27 c1 + 9 c2 +
 * 3 c3 + c4, stored as the fraction q / 243 rounded up: byte = ceil(256 q / 243). So a digit is
 * what multiplication by three carries out of the byte: c0 = byte * 3 >> 8, and byte * 3 & 255
 * begins with c1. Rounding up adds less than 1 / 256, of which four tripled times 81 is less than a
 * third: every digit comes out right. 243 of the 256 bytes occur (and of `four`, every
 * third). 1.6875 bits per weight.
 *
 * Source: llama.cpp, ggml-common.h (block_tq1_0), ggml-quants.c (quantize_row_tq1_0_ref). */
#ifndef TRITBENCH_KERNELS_TQ1_0_LAYOUT_H
#define TRITBENCH_KERNELS_TQ1_0_LAYOUT_H

#include "kernels/trit_blocks/tq.h"

namespace {

struct Tq10 : TqBlocks<Tq10> {
    static constexpr const char* kLayout = "tq1_0";
    static constexpr const char* kSource = "llama.cpp (TQ1_0)";
    static constexpr int64_t kBlockBytes = 54;
    static constexpr int32_t kBitsNum = 27, kBitsDen = 16;

    static uint8_t stored(int number) { return static_cast<uint8_t>((number * 256 + 242) / 243); }

    // Of five codes each, `bytes` columns from each other; in bytes, as they stay below 243.
    template <int Bytes>
    static void add_numbers(const uint8_t* codes, uint8_t* numbers) {
        for (int m = 0; m < Bytes; ++m) {
            auto number = static_cast<uint8_t>(codes[m]);
            for (int n = 1; n < 5; ++n) {
                const auto thrice = static_cast<uint8_t>(number + number + number);
                number = static_cast<uint8_t>(thrice + codes[m + Bytes * n]);
            }
            numbers[m] = number;
        }
    }

    static void pack_block(const int8_t* t, uint8_t* block) {
        uint8_t codes[kColumns + 4] = {0}, numbers[52];  // behind the last: digits 0
        codes_of_trits(t, kColumns, codes);
        add_numbers<32>(codes, numbers);
        add_numbers<16>(codes + 160, numbers + 32);
        add_numbers<4>(codes + 240, numbers + 48);
        fractions_of_numbers(numbers, 52, block);
    }

    // The code of a byte whose next digit is to come out, and the byte as it is then.
    static uint8_t next_code(uint8_t& byte) {
        const int tripled = byte * 3;
        byte = static_cast<uint8_t>(tripled);
        return static_cast<uint8_t>(tripled >> 8);
    }

    template <int Bytes, int Count>
    static void codes_of_bytes(const uint8_t* from, uint8_t* to) {
        uint8_t left[Bytes];
        for (int m = 0; m < Bytes; ++m) left[m] = from[m];
        for (int n = 0; n < Count; ++n) {
            for (int m = 0; m < Bytes; ++m) to[Bytes * n + m] = next_code(left[m]);
        }
    }

    static bool block_codes(const uint8_t* block, uint8_t* to) {
        codes_of_bytes<32, 5>(block, to);
        codes_of_bytes<16, 5>(block + 32, to + 160);
        codes_of_bytes<4, 4>(block + 48, to + 240);
        int bad = 0;
        for (int m = 0; m < 52; ++m) {
            const int number = block[m] * 243 >> 8;
            bad |= stored(number) ^ block[m];
            if (m >= 48) bad |= number % 3;
        }
        return bad == 0;
    }
};

}  // namespace

#endif
