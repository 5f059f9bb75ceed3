// tl2, portable C++: layout.h read plainly. Up to 16 tokens look their sums up, as the paper
// does: per 3 weights a nibble, a sign bit, one lookup of 16 bits, one addition. Larger batches
// multiply rows that were unpacked to trits. Bound by taking indices apart.
//
// Overflow: sums are int32; |sum| <= 128 * K < 2^31 for K < 2^24.
// Source: microsoft/BitNet (TL2), arXiv:2502.11880.
#include "kernels/tl2/tables.h"

namespace {

struct Core {
    using Entry = Words16;
    static constexpr int kTokens = 1;
    template <int T>
    static constexpr int kBlocks = 1;

    static int32_t look_up(const uint8_t* tables, int64_t table, int index) {
        int16_t value;
        memcpy(&value, tables + table * Entry::kBytes + 2 * index, sizeof value);
        return value;
    }

    template <int R, int T>
    static void triples(const Tl2Blocks& at, const uint8_t* tables, int64_t /* of_token */,
                        int64_t /* ahead */, int32_t* sums) {
        static_assert(R == 1 && T == 1);
        for (int64_t r = 0; r < 32; ++r) {
            const uint8_t* byte = at.index + byte_of_row(r);
            for (int64_t t = 0; t < 8 * at.groups; ++t) {
                const int nibble = t % 2 == 0 ? byte[t / 2 * 32] >> 4 : byte[t / 2 * 32] & 15;
                const int64_t bit = 15 - 2 * (t % 8) - r / 16;
                const int minus = at.sign[t / 8 * 32 + 2 * (r % 16) + bit / 8] >> bit % 8 & 1;
                sums[r] += look_up(tables, t, minus << 4 | nibble);
            }
        }
    }

    template <int T>
    static void pairs(const uint8_t* bytes, const uint8_t* tables, int64_t /* of_token */,
                      int32_t* sums) {
        for (int64_t r = 0; r < 32; ++r) {
            for (int64_t t = 0; t < 16; ++t) {
                const uint8_t byte = bytes[t / 2 * 32 + byte_of_row(r)];
                sums[r] += look_up(tables, t, t % 2 == 0 ? byte >> 4 : byte & 15);
            }
        }
    }
};

size_t scratch(const tb_shape* s, const tb_tile*, int64_t m) {
    return m <= Words16::kMostTokens ? 0 : static_cast<size_t>(s->k);
}

void product(const tb_product* p, int32_t* acc) {
    if (p->m <= Words16::kMostTokens) return tl2_look_up<Core>(p, acc);
    const tb_int8_batch x = tb_int8_open(&p->shape, p->prepared, p->m);
    auto* trits = static_cast<int8_t*>(p->scratch);
    const float scale = tensor_scale(p->shape, p->tile, p->packed);
    const Sink out{p->y, acc, p->ldy};
    for (int64_t n = p->n_begin; n < p->n_end; ++n) {
        const tb_weights_out row{trits, nullptr, x.k, nullptr};
        tl2_unpack(&p->shape, p->tile, p->packed, n, n + 1, &row);
        for (int64_t m = 0; m < p->m; ++m) {
            const int8_t* q = x.q + m * x.kp;
            int32_t sum = 0;
            for (int64_t k = 0; k < x.k; ++k) sum += trits[k] * q[k];
            put(out, m, n, sum, {0, x.scale[m] * scale});
        }
    }
}
void multiply(const tb_product* p) {
    product(p, nullptr);
}
void accumulate(const tb_product* p) {
    product(p, p->acc);
}

constexpr tb_kernel kKernel = with_tables<Words16>(
    tl2_descriptor("tl2_scalar", "scalar", TB_ISA_SCALAR, "bitnet.cpp's TL2, one lookup at a time",
                   scratch, multiply, accumulate),
    kWords16Tag);
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_tl2_scalar;
const tb_kernel_table tb_table_tl2_scalar = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
