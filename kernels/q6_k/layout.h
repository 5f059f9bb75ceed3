/* The layout `q6_k`: ggml's Q6_K (GGUF type 14), llama.cpp's usual type of the LM head.
 *
 *   block of 256 columns, 210 bytes:
 *     ql [128] low 4 bits    qh [64] high 2 bits    s int8 [16]    d half
 *
 *   w = d * s[k / 16] * (code - 32), code = low + 16 * high. Either half of the columns (h = 0, 1)
 *   has 64 bytes of ql and 32 of qh; in it, for l = 0..31:
 *
 *     column   l            l + 32           l + 64       l + 96
 *     low      ql[l] 3:0    ql[l + 32] 3:0   ql[l] 7:4    ql[l + 32] 7:4
 *     high     qh[l] 1:0    qh[l] 3:2        qh[l] 5:4    qh[l] 7:6
 *
 * 6.5625 bits per weight. Source: ggml-common.h (block_q6_K), ggml-quants.c (dequantize_row_q6_K,
 * quantize_row_q6_K_ref: quantise.h). */
#ifndef TRITBENCH_KERNELS_Q6_K_LAYOUT_H
#define TRITBENCH_KERNELS_Q6_K_LAYOUT_H

#include "kernels/blocks/layout.h"
#include "kernels/q6_k/quantise.h"

namespace {

struct Q6K {
    static constexpr const char* kLayout = "q6_k";
    static constexpr const char* kSource = "ggml (llama.cpp) Q6_K";
    static constexpr int64_t kColumns = 256;
    static constexpr int64_t kBytes = 210;
    static constexpr int32_t kScaleBlock = 16;
    static constexpr int64_t kHigh = 128, kScales = 192, kD = 208;  // offsets

    static float scale(const uint8_t* block) { return half_at(block + kD); }

    static bool valid(const uint8_t*) { return true; }

    static void integers(const uint8_t* block, int32_t* v) {
        for (int64_t h = 0; h < 2; ++h) {
            const uint8_t* ql = block + 64 * h;
            const uint8_t* qh = block + kHigh + 32 * h;
            int32_t* half = v + 128 * h;
            for (int64_t l = 0; l < 32; ++l) {
                half[l] = (ql[l] & 15) | (qh[l] & 3) << 4;
                half[l + 32] = (ql[l + 32] & 15) | (qh[l] >> 2 & 3) << 4;
                half[l + 64] = ql[l] >> 4 | (qh[l] >> 4 & 3) << 4;
                half[l + 96] = ql[l + 32] >> 4 | (qh[l] >> 6) << 4;
            }
        }
        for (int64_t k = 0; k < kColumns; ++k) {
            v[k] = (v[k] - 32) * static_cast<int8_t>(block[kScales + k / 16]);
        }
    }

    static void quantise(const float* x, uint8_t* block) {
        uint8_t codes[kColumns];
        int8_t scales[16];
        const float d = q6k_codes(x, codes, scales);
        memcpy(block + kScales, scales, sizeof scales);
        put_half(d, block + kD);
        for (int64_t h = 0; h < 2; ++h) {
            const uint8_t* c = codes + 128 * h;
            for (int64_t l = 0; l < 32; ++l) {
                block[64 * h + l] = static_cast<uint8_t>((c[l] & 15) | (c[l + 64] & 15) << 4);
                block[64 * h + l + 32] =
                    static_cast<uint8_t>((c[l + 32] & 15) | (c[l + 96] & 15) << 4);
                block[kHigh + 32 * h + l] =
                    static_cast<uint8_t>(c[l] >> 4 | (c[l + 32] >> 4) << 2 | (c[l + 64] >> 4) << 4 |
                                         (c[l + 96] >> 4) << 6);
            }
        }
    }
};

}  // namespace

#endif
