/* The last step of every exact kernel: from the sum of codes to the result. Codes are trits + 1, so
 * sum_k trit*q = sum_k code*q - sum_k q, or any integers less those of another code for 0.
 * Static: an ISA file compiles its own copy. */
#ifndef TRITBENCH_KERNELS_DOT_EPILOGUE_H
#define TRITBENCH_KERNELS_DOT_EPILOGUE_H

#include <string.h>

#include "kernels/api/kernel.h"
#include "kernels/api/prepared_int8.h"

namespace {

// Where the results of one call go: float y, or raw int32 sums when acc is not null.
struct Sink {
    float* y;
    int32_t* acc;
    int64_t ld;
};

// What the epilogue needs of one token.
struct Token {
    int32_t sum;  // of q over the row, times the code of 0
    float scale;  // dx * sw
};

// Of kernels that ask for the scales of some rows: one for the whole tensor.
struct TensorScale {
    float value;

    void operator()(int64_t, int64_t rows, float* to) const {
        for (int64_t r = 0; r < rows; ++r) to[r] = value;
    }
};

// zero: the code of the weight 0.
inline Token token_of(const tb_int8_batch& x, int64_t m, float weight_scale, int32_t zero = 1) {
    return {zero * tb_int8_row_sum(&x, m), x.scale[m] * weight_scale};
}

typedef int32_t four_int32 __attribute__((vector_size(16)));
typedef float four_float __attribute__((vector_size(16)));

inline void put(const Sink& out, int64_t m, int64_t n, int32_t code_sum, const Token& token) {
    const int32_t sum = code_sum - token.sum;
    if (out.acc != nullptr) {
        out.acc[m * out.ld + n] = sum;
    } else {
        out.y[m * out.ld + n] = static_cast<float>(sum) * token.scale;
    }
}

// The same for rows n, n + apart, n + 2 apart, n + 3 apart at once: a GEMV writes so few bytes that
// converting them one by one is all that its output costs.
inline void put_four(const Sink& out, int64_t m, int64_t n, int64_t apart, const int32_t* code_sums,
                     const Token& token) {
    four_int32 sums;
    memcpy(&sums, code_sums, sizeof sums);
    sums -= token.sum;
    if (out.acc != nullptr) {
        for (int i = 0; i < 4; ++i) out.acc[m * out.ld + n + i * apart] = sums[i];
    } else {
        const four_float y = __builtin_convertvector(sums, four_float) * token.scale;
        for (int i = 0; i < 4; ++i) out.y[m * out.ld + n + i * apart] = y[i];
    }
}

}  // namespace

#endif
