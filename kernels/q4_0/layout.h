/* The layout `q4_0`: ggml's Q4_0 (GGUF type 2), the usual 4-bit baseline of llama.cpp.
 *
 *   block of 32 columns, 18 bytes:    d half    bytes [16]         w = (code - 8) * d
 *
 *                bits 7:4          3:0
 *   byte j       column j + 16     j              j = 0..15
 *
 * 4.5 bits per weight. Source: ggml-common.h (block_q4_0), ggml-quants.c (quantize_row_q4_0_ref):
 * d = (the weight largest in magnitude) / -8, which gives that weight code 0; code = w * (1 / d) +
 * 8.5 truncated, at most 15, before d is rounded to half. A weight as large with the other sign
 * would need code 16 and loses a whole step: of ternary weights one sign is stored as 7/8. */
#ifndef TRITBENCH_KERNELS_Q4_0_LAYOUT_H
#define TRITBENCH_KERNELS_Q4_0_LAYOUT_H

#include "kernels/blocks/layout.h"

namespace {

struct Q40 {
    static constexpr const char* kLayout = "q4_0";
    static constexpr const char* kSource = "ggml (llama.cpp) Q4_0";
    static constexpr int64_t kColumns = 32;
    static constexpr int64_t kBytes = 18;
    static constexpr int32_t kScaleBlock = 32;

    static float scale(const uint8_t* block) { return half_at(block); }

    static bool valid(const uint8_t*) { return true; }

    static void integers(const uint8_t* block, int32_t* v) {
        for (int64_t j = 0; j < 16; ++j) {
            v[j] = (block[2 + j] & 15) - 8;
            v[j + 16] = (block[2 + j] >> 4) - 8;
        }
    }

    static int code(float x, float inverse) {
        const float shifted = x * inverse + 8.5F;
        // A scale so small that 1 / d is infinite gives code 0.
        const int c = static_cast<int>(shifted > -1 && shifted < 128 ? shifted : 0.0F);
        return c < 15 ? c : 15;
    }

    static void quantise(const float* x, uint8_t* block) {
        float most = 0, largest = 0;
        for (int64_t i = 0; i < kColumns; ++i) {
            const float a = x[i] < 0 ? -x[i] : x[i];
            largest = a > most ? x[i] : largest;
            most = a > most ? a : most;
        }
        const float d = largest / -8.0F;
        const float inverse = d != 0 ? 1.0F / d : 0.0F;
        put_half(d, block);
        for (int64_t j = 0; j < 16; ++j) {
            block[2 + j] =
                static_cast<uint8_t>(code(x[j], inverse) | code(x[j + 16], inverse) << 4);
        }
    }
};

}  // namespace

#endif
