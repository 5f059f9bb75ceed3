/* What one call of a product of i2c multiplies, for all vector files. Static: see dot/epilogue.h.
 */
#ifndef TRITBENCH_KERNELS_I2C_CALL_H
#define TRITBENCH_KERNELS_I2C_CALL_H

#include "kernels/dot/epilogue.h"
#include "kernels/i2c/layout.h"

namespace {

struct Call {
    const tb_product* p;
    tb_int8_batch x;
    float scale;
    Sink out;
    const uint8_t* packed;
    int64_t stride;      // of columns
    int64_t begin, end;  // lines

    Call(const tb_product* product, int32_t* acc)
        : p(product),
          x(tb_int8_open(&product->shape, product->prepared, product->m)),
          scale(scale_of(product->shape, product->packed)),
          out{product->y, acc, product->ldy},
          packed(static_cast<const uint8_t*>(product->packed)),
          stride(column_bytes(product->shape)),
          begin(product->n_begin / kLineRows),
          end(product->n_end > product->n_begin ? (product->n_end + kLineRows - 1) / kLineRows
                                                : begin) {}
};

}  // namespace

#endif
