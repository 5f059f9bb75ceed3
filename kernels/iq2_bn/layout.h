/* The layout `iq2_bn`: 2-bit codes exactly as ik_llama.cpp stores GGUF type IQ2_BN (id 135).
 *
 *   row:     scale float32 | block 0 | block 1 | ...          no padding, rows back to back
 *   block:   64 columns, 16 bytes
 *
 *            bits 7:6        5:4          3:2          1:0
 *   byte j   column j + 48   j + 32       j + 16       j            j = 0..15
 *
 *   codes 0 -> -1, 1 -> 0, 2 -> +1; 3 is invalid. 2 bits per weight + 4 bytes per row.
 *
 * Source: ikawrakow/ik_llama.cpp, ggml-common.h (block_iq2_bn), iqk_quantize.cpp
 * (quantize_one_row_2bn: the scale is max|w| of the row). */
#ifndef TRITBENCH_KERNELS_IQ2_BN_LAYOUT_H
#define TRITBENCH_KERNELS_IQ2_BN_LAYOUT_H

#include "kernels/trit_blocks/layout.h"

namespace {

struct Iq2Bn {
    static constexpr const char* kLayout = "iq2_bn";
    static constexpr const char* kSource = "ikawrakow/ik_llama.cpp (IQ2_BN)";
    static constexpr int64_t kColumns = 64;
    static constexpr int64_t kBlockBytes = 16;
    static constexpr int kGroup = 1;
    static constexpr int32_t kBitsNum = 2, kBitsDen = 1;
    static constexpr int64_t kRowOverhead = 4;
    static constexpr tb_scale_granularity kGranularity = TB_SCALE_ROW;
    static constexpr int32_t kScaleBlock = 0;
    static constexpr tb_scale_type kScaleType = TB_SCALE_F32;

    static int64_t group_bytes(int64_t k) { return kRowOverhead + k / 4; }

    static void pack_row(const int8_t* t, float scale, int64_t k, int, uint8_t* row) {
        memcpy(row, &scale, sizeof scale);
        uint8_t* block = row + kRowOverhead;
        for (; k > 0; k -= kColumns, t += kColumns, block += kBlockBytes) {
            for (int j = 0; j < kBlockBytes; ++j) {
                block[j] = static_cast<uint8_t>((t[j] + 1) | (t[j + 16] + 1) << 2 |
                                                (t[j + 32] + 1) << 4 | (t[j + 48] + 1) << 6);
            }
        }
    }

    static float scale(const uint8_t* row, int, int64_t) {
        float value;
        memcpy(&value, row, sizeof value);
        return value;
    }
    static bool scales_agree(const uint8_t*, int, int64_t) { return true; }

    static bool codes(const uint8_t* row, int, int64_t begin, int64_t count, uint8_t* to) {
        const uint8_t* block = row + kRowOverhead + begin / 4;
        for (; count > 0; count -= kColumns, block += kBlockBytes, to += kColumns) {
            for (int j = 0; j < kBlockBytes; ++j) {
                to[j] = block[j] & 3;
                to[j + 16] = block[j] >> 2 & 3;
                to[j + 32] = block[j] >> 4 & 3;
                to[j + 48] = block[j] >> 6;
            }
        }
        return true;
    }
};

}  // namespace

#endif
