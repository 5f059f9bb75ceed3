/* IQ1_BN, IQ2_BN and IQ2_BN_R4 as published: activations with four scales per token, ik_llama.cpp's
 * Q8_K64 (phases of 4 columns) and Q8_K16 (of 16), prepared_phase.h. Their packed bytes are those
 * of the exact kernels, so a layout has both. With S_i the sum of trit * q over the columns of
 * phase i,
 *
 *   t = fma(dx_3, S_3, fma(dx_2, S_2, fma(dx_1, S_1, dx_0 * S_0))),  y = sw * t
 *
 * The bound: with u = 2^-24, a sum is rounded once where it becomes a float (|S_i| <= 128 * K / 4
 * may exceed 2^24), the first product once, the chain three times and y once; x = q * scale as a
 * float is rounded once more. Seven roundings make y within 7.01 * 2^-24 < 4.2e-7 of the sum of w
 * and x as stored, relative to sum |w||x|, where no product is subnormal.
 *
 * Here are the descriptor and the plain C++ form. phase_rows.h has the loops for GEMV and few
 * tokens (AVX2 and up), phase_codes.h the GEMM of AVX2, phase_panel.h that of AVX-512 VNNI. Static:
 * see dot/epilogue.h. */
#ifndef TRITBENCH_KERNELS_TRIT_BLOCKS_PHASE_H
#define TRITBENCH_KERNELS_TRIT_BLOCKS_PHASE_H

#include "kernels/api/prepared_phase.h"
#include "kernels/trit_blocks/layout.h"

namespace {

constexpr int kPhases = TB_PHASES;
constexpr double kPhaseBound = 4.2e-7;

// The published kernel of a format; kWidth columns follow one another in a phase: 4 or 16.
template <class Format, int kWidth>
constexpr tb_kernel phase_descriptor(const char* id, const char* isa, tb_features features,
                                     const char* description, int64_t row_step,
                                     ScratchSize scratch_size, Product gemv, Product gemm) {
    static_assert(kWidth == 4 || kWidth == 16);
    static_assert(kMaxK <= TB_PHASE_K_STEP);
    tb_kernel d = trit_blocks_descriptor<Format>(id, isa, features, description, row_step,
                                                 scratch_size, gemv, gemm, nullptr);
    d.activation_kind = TB_ACT_INT8_PHASE;
    d.activation_block = kWidth;
    d.exactness = TB_BOUNDED;
    d.bound = kPhaseBound;
    d.prepare_k_step = TB_PHASE_K_STEP;
    d.prepare_tag = kWidth == 4 ? TB_PHASE4_PREPARE_TAG : TB_PHASE16_PREPARE_TAG;
    d.prepared_size = tb_phase_prepared_size;
    d.row_absmax = tb_phase_row_absmax;
    d.prepare = kWidth == 4 ? tb_phase4_prepare : tb_phase16_prepare;
    return d;
}

template <class Format, int kWidth>
void phase_multiply_scalar(const tb_product* p) {
    const tb_phase_batch x = tb_phase_open(&p->shape, p->prepared, p->m);
    for (int64_t n = p->n_begin; n < p->n_end; ++n) {
        const uint8_t* group = group_of<Format>(p->shape, p->packed, n);
        const int r = static_cast<int>(n % Format::kGroup);
        const float sw = Format::scale(group, r, x.k);
        for (int64_t m = 0; m < x.m; ++m) {
            const int8_t* q = x.q + m * x.kp;
            int32_t sums[kPhases];
            for (int i = 0; i < kPhases; ++i) sums[i] = -x.sums[kPhases * m + i];
            for (int64_t k = 0; k < x.k; k += Format::kColumns) {
                uint8_t codes[Format::kColumns];
                Format::codes(group, r, k, Format::kColumns, codes);
                for (int i = 0; i < Format::kColumns; ++i) {
                    sums[i / kWidth % kPhases] += codes[i] * q[k + i];
                }
            }
            const float* dx = x.scale + kPhases * m;
            float t = dx[0] * static_cast<float>(sums[0]);
            for (int i = 1; i < kPhases; ++i) {
                t = __builtin_fmaf(dx[i], static_cast<float>(sums[i]), t);
            }
            p->y[m * p->ldy + n] = sw * t;
        }
    }
}

}  // namespace

#endif
