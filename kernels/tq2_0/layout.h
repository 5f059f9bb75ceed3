/* The layout `tq2_0`: 2-bit codes exactly as llama.cpp stores GGUF type TQ2_0 (id 35).
 *
 *   row:     block 0 | block 1 | ...          no padding, rows back to back
 *   block:   256 columns, 66 bytes:   codes [64] | d half
 *
 *                 bits 7:6        5:4         3:2         1:0
 *   byte m        column m + 96   m + 64      m + 32      m             m = 0..31
 *   byte m + 32   column m + 224  m + 192     m + 160     m + 128
 *
 *   codes 0 -> -1, 1 -> 0, 2 -> +1; 3 is invalid. 2.0625 bits per weight.
 *
 * Source: llama.cpp, ggml-common.h (block_tq2_0), ggml-quants.c (quantize_row_tq2_0_ref). */
#ifndef TRITBENCH_KERNELS_TQ2_0_LAYOUT_H
#define TRITBENCH_KERNELS_TQ2_0_LAYOUT_H

#include "kernels/trit_blocks/tq.h"

namespace {

struct Tq20 : TqBlocks<Tq20> {
    static constexpr const char* kLayout = "tq2_0";
    static constexpr const char* kSource = "llama.cpp (TQ2_0)";
    static constexpr int64_t kBlockBytes = 66;
    static constexpr int32_t kBitsNum = 33, kBitsDen = 16;

    static void pack_block(const int8_t* t, uint8_t* block) {
        for (int half = 0; half < 2; ++half, t += 128, block += 32) {
            for (int m = 0; m < 32; ++m) {
                block[m] = static_cast<uint8_t>((t[m] + 1) | (t[m + 32] + 1) << 2 |
                                                (t[m + 64] + 1) << 4 | (t[m + 96] + 1) << 6);
            }
        }
    }

    static bool block_codes(const uint8_t* block, uint8_t* to) {
        for (int half = 0; half < 2; ++half, block += 32, to += 128) {
            for (int m = 0; m < 32; ++m) {
                to[m] = block[m] & 3;
                to[m + 32] = block[m] >> 2 & 3;
                to[m + 64] = block[m] >> 4 & 3;
                to[m + 96] = block[m] >> 6;
            }
        }
        return true;
    }
};

}  // namespace

#endif
