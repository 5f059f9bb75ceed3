// tl1, portable C++: the plain reading of layout.h, four weights a byte. No tables: each pair is
// multiplied, so that the tables of other files are checked against something that has none.
//
// Overflow: |w * q| <= 128, so the int32 sum is safe for K < 2^24.
#include "kernels/dot/epilogue.h"
#include "kernels/tl1/layout.h"

namespace {

int32_t row_sum(const Places& at, const uint8_t* bytes, int64_t n, const int8_t* q) {
    int32_t sum = 0;
    visit_row(at, n, [&](int64_t byte, int64_t k) {
        const int high = bytes[byte] >> 4, low = bytes[byte] & 15;
        sum += (high / 3 - 1) * q[k] + (high % 3 - 1) * q[k + 1];
        sum += (low / 3 - 1) * q[k + 2] + (low % 3 - 1) * q[k + 3];
    });
    return sum;
}

// Columns are padded to 8 at most here and with zeros to 64 in q.
void product(const tb_product* p, int32_t* acc) {
    const tb_int8_batch x = tb_int8_open(&p->shape, p->prepared, p->m);
    const Places at(p->shape, p->tile);
    const auto* bytes = static_cast<const uint8_t*>(p->packed);
    const float scale = tensor_scale(p->shape, p->tile, p->packed);
    const Sink out{p->y, acc, p->ldy};
    for (int64_t m = 0; m < p->m; ++m) {
        const Token token = {0, x.scale[m] * scale};  // sums of trits, not of codes
        for (int64_t n = p->n_begin; n < p->n_end; ++n) {
            put(out, m, n, row_sum(at, bytes, n, x.q + m * x.kp), token);
        }
    }
}

void gemm(const tb_product* p) {
    product(p, nullptr);
}
void accumulate(const tb_product* p) {
    product(p, p->acc);
}
size_t no_scratch(const tb_shape*, const tb_tile*, int64_t) {
    return 0;
}

void work(const tb_shape* s, const tb_tile* tile, int64_t m, tb_work* out) {
    const double n = static_cast<double>(s->n), k = static_cast<double>(s->k);
    const double tokens = static_cast<double>(m);
    const double weights = static_cast<double>(Places(*s, tile).bytes() + 4);
    *out = {weights, k * tokens, 0, n * tokens * 4, n * k * tokens, 0};
}

// One value, so that BM, BK and bm have the places that they have in files that prefetch.
constexpr int32_t kNoPrefetch[] = {0};
constexpr tb_tile_param kParams[] = {
    {"prefetch", kNoPrefetch, 1, 0, TB_TILE_AFFECTS_CALL}, kBm, kBk, kBlock};

constexpr tb_kernel kKernel =
    tl1_descriptor("tl1_scalar", "scalar", TB_ISA_SCALAR, "bitnet.cpp's TL1 codes, without tables",
                   kParams, no_scratch, gemm, accumulate, work);
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_tl1_scalar;
const tb_kernel_table tb_table_tl1_scalar = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
