// f16, portable C++. fma() is exactly rounded by definition, so the library's is the same as an
// instruction's; it is slow where the machine has none.
#include <math.h>

#include "kernels/f16/rows.h"

namespace {

struct Tile {
    template <int R, int T>
    static void run(const uint16_t* w, int64_t ldw, const float* x, int64_t ldx, int64_t k,
                    float out[R][T]) {
        for (int r = 0; r < R; ++r) {
            for (int t = 0; t < T; ++t) out[r][t] = dot(w + r * ldw, x + t * ldx, k);
        }
    }

    static float dot(const uint16_t* w, const float* x, int64_t k) {
        float lanes[16] = {0};
        for (int64_t i = 0; i < k; ++i) {
            lanes[i % 16] = __builtin_fmaf(tb_half_to_float(w[i]), x[i], lanes[i % 16]);
        }
        for (int width = 8; width >= 1; width /= 2) {
            for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
        }
        return lanes[0];
    }
};

void product(const tb_product* p) {
    product_rows<Tile, 1, 1>(p);
}

constexpr tb_kernel kKernel = f16_descriptor("f16_scalar", "scalar", TB_ISA_SCALAR,
                                             "half precision, plain loop", 1, product, product);
constexpr const tb_kernel* kKernels[] = {&kKernel};

}  // namespace

extern "C" const tb_kernel_table tb_table_f16_scalar;
const tb_kernel_table tb_table_f16_scalar = {TB_ABI_VERSION, sizeof(tb_kernel), 1, kKernels};
