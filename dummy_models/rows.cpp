#include "dummy_models/rows.h"

#include "kernels/api/ops.h"
#include "kernels/reference/oracle.h"

namespace tritbench {
RowProvider dummy_rows(const DummyOptions& options, const DummyTensor& tensor) {
    return [options, tensor](int64_t b, int64_t e, int8_t* trits, float* values, float* scales) {
        const tb_shape shape{tensor.ne[1], tensor.ne[0]};
        if (tensor.kind == DummyTensor::Kind::Ternary) {
            scales[0] = dummy_scale(options.seed, tensor.index, shape.k, options.zeros);
            dummy_trits(options.seed, tensor.index, shape, b, e, options.zeros, trits);
            return;
        }
        scales[0] = 1;
        std::vector<uint16_t> half(static_cast<size_t>((e - b) * shape.k));
        dummy_f16(options.seed, tensor.index, static_cast<uint64_t>(b * shape.k), half);
        for (size_t i = 0; i < half.size(); ++i) {
            _Float16 f;
            __builtin_memcpy(&f, &half[i], 2);
            values[i] = static_cast<float>(f);
        }
    };
}
}
