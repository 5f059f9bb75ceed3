/* The layout `q8_0`: ggml's Q8_0 (GGUF type 8), the 8-bit baseline of llama.cpp.
 *
 *   block of 32 columns, 34 bytes:    d half    q int8 [32]        w = q * d
 *
 * 8.5 bits per weight. Source: ggml-common.h (block_q8_0), ggml-quants.c (quantize_row_q8_0_ref):
 * d = max|w| / 127, q = w * (1 / d) rounded half away from zero, before d is rounded to half.
 *
 * q is within +-127: -128 is refused by unpack, and wrong in the kernels that have no unsigned dot
 * product of four (avx2, avx512). */
#ifndef TRITBENCH_KERNELS_Q8_0_LAYOUT_H
#define TRITBENCH_KERNELS_Q8_0_LAYOUT_H

#include "kernels/blocks/layout.h"

namespace {

struct Q80 {
    static constexpr const char* kLayout = "q8_0";
    static constexpr const char* kSource = "ggml (llama.cpp) Q8_0";
    static constexpr int64_t kColumns = 32;
    static constexpr int64_t kBytes = 34;
    static constexpr int32_t kScaleBlock = 32;

    static float scale(const uint8_t* block) { return half_at(block); }

    static bool valid(const uint8_t* block) {
        int bad = 0;
        for (int64_t i = 0; i < kColumns; ++i) bad |= block[2 + i] == 0x80;
        return bad == 0;
    }

    static void integers(const uint8_t* block, int32_t* v) {
        for (int64_t i = 0; i < kColumns; ++i) v[i] = static_cast<int8_t>(block[2 + i]);
    }

    static void quantise(const float* x, uint8_t* block) {
        float most = 0;
        for (int64_t i = 0; i < kColumns; ++i) {
            const float a = x[i] < 0 ? -x[i] : x[i];
            most = a > most ? a : most;
        }
        const float d = most / 127.0F;
        const float inverse = d != 0 ? 1.0F / d : 0.0F;
        put_half(d, block);
        for (int64_t i = 0; i < kColumns; ++i) {
            // The float below one half makes truncation round halves away from zero, and nothing
            // else. A scale so small that 1 / d is infinite leaves zeros.
            const float scaled = x[i] * inverse;
            const float rounded = scaled + (scaled < 0 ? -0x1.fffffep-2F : 0x1.fffffep-2F);
            const bool holds = rounded > -128 && rounded < 128;
            block[2 + i] = static_cast<uint8_t>(static_cast<int>(holds ? rounded : 0.0F));
        }
    }
};

}  // namespace

#endif
