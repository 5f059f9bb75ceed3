/* The layout `iq2_bn_r4`: 2-bit codes of four rows interleaved, exactly as ik_llama.cpp stores GGUF
 * type IQ2_BN_R4 (id 335).
 *
 *   four rows:  scales float32 [4] | block 0 | block 1 | ...       no padding
 *   block:      64 columns of the four rows, 64 bytes: 4 parts of 16 columns, in each
 *               4 bytes of row 0, then of row 1, 2, 3:
 *
 *                      bits 7:6         5:4             3:2             1:0
 *   byte 16l + 4r + i  column 16l+12+i  16l + 8 + i     16l + 4 + i     16l + i
 *
 *                      part l = 0..3, row r = 0..3, i = 0..3
 *
 *   codes 0 -> -1, 1 -> 0, 2 -> +1; 3 is invalid. 2 bits per weight + 4 bytes per row. N is a
 *   multiple of 4.
 *
 * So a 32-bit lane of a register is a row, and four columns that follow one another: a GEMV adds
 * nothing up horizontally but the four parts, at the end of the rows.
 *
 * Source: ikawrakow/ik_llama.cpp, iqk_quantize.cpp (repack_iq2_bn, of rows in IQ2_BN). */
#ifndef TRITBENCH_KERNELS_IQ2_BN_R4_LAYOUT_H
#define TRITBENCH_KERNELS_IQ2_BN_R4_LAYOUT_H

#include "kernels/trit_blocks/layout.h"

namespace {

struct Iq2BnR4 {
    static constexpr const char* kLayout = "iq2_bn_r4";
    static constexpr const char* kSource = "ikawrakow/ik_llama.cpp (IQ2_BN_R4)";
    static constexpr int64_t kColumns = 64;
    static constexpr int64_t kBlockBytes = 64;
    static constexpr int kGroup = 4;
    static constexpr int32_t kBitsNum = 2, kBitsDen = 1;
    static constexpr int64_t kRowOverhead = 4;
    static constexpr int64_t kScaleBytes = kGroup * kRowOverhead;
    static constexpr tb_scale_granularity kGranularity = TB_SCALE_ROW;
    static constexpr int32_t kScaleBlock = 0;
    static constexpr tb_scale_type kScaleType = TB_SCALE_F32;

    static int64_t group_bytes(int64_t k) { return kScaleBytes + k; }

    static void pack_row(const int8_t* t, float scale, int64_t k, int r, uint8_t* group) {
        memcpy(group + kRowOverhead * r, &scale, sizeof scale);
        uint8_t* part = group + kScaleBytes + 4 * r;
        uint8_t codes[8 * kColumns];
        for (; k > 0; k -= 8 * kColumns, t += 8 * kColumns) {
            const int64_t count = k < 8 * kColumns ? k : 8 * kColumns;
            codes_of_trits(t, count, codes);
            for (int64_t c = 0; c < count; c += 16, part += 16) {
                uint32_t fields[4];  // of four columns each
                memcpy(fields, codes + c, sizeof fields);
                const uint32_t four = fields[0] | fields[1] << 2 | fields[2] << 4 | fields[3] << 6;
                memcpy(part, &four, sizeof four);
            }
        }
    }

    static float scale(const uint8_t* group, int r, int64_t) {
        float value;
        memcpy(&value, group + kRowOverhead * r, sizeof value);
        return value;
    }
    static bool scales_agree(const uint8_t*, int, int64_t) { return true; }

    static bool codes(const uint8_t* group, int r, int64_t begin, int64_t count, uint8_t* to) {
        const uint8_t* part = group + kScaleBytes + begin + 4 * r;
        for (; count > 0; count -= 16, part += 16, to += 16) {
            uint32_t four;  // columns i, i + 4, i + 8, i + 12, for i = 0..3
            memcpy(&four, part, sizeof four);
            uint32_t fields[4];
            for (int f = 0; f < 4; ++f) fields[f] = four >> (2 * f) & 0x03030303;
            memcpy(to, fields, sizeof fields);
        }
        return true;
    }
};

}  // namespace

#endif
