#include "harness/verify/code_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "kernels/reference/oracle.h"

namespace tritbench {

std::string read_code_rows(const tb_kernel& kernel, tb_shape shape, const void* packed,
                           int8_t* codes, float* scales) {
    for (int64_t n = 0; n < shape.n; ++n) {
        const auto row = reference::read_code_row(
            kernel.layout, static_cast<const uint8_t*>(packed), shape.n, shape.k, n);
        if (!row) return fmt::format("the oracle cannot read the layout {}", kernel.layout);
        std::copy(row->q.begin(), row->q.end(), codes + n * shape.k);
        scales[n] = row->scale;
    }
    return "";
}

std::string check_code_rows(const tb_kernel& kernel, const tb_tile& tile, tb_shape shape,
                            const void* packed, const float* weights, const int8_t* codes,
                            const float* scales) {
    std::vector<float> unpacked(static_cast<size_t>(shape.n * shape.k), 77);
    const tb_weights_out out{nullptr, unpacked.data(), shape.k, nullptr};
    const tb_status status = kernel.unpack(&shape, &tile, packed, 0, shape.n, &out);
    if (status.code != TB_OK) {
        return fmt::format("unpack refused: {}",
                           status.reason != nullptr ? status.reason : "no reason given");
    }
    for (int64_t n = 0; n < shape.n; ++n) {
        const auto expected = reference::quantise_weights(weights + n * shape.k, shape.k);
        if (scales[n] != expected.scale) {
            return fmt::format("pack: scale of row {} is {:a}, expected {:a}", n, scales[n],
                               expected.scale);
        }
        for (int64_t k = 0; k < shape.k; ++k) {
            const int64_t at = n * shape.k + k;
            if (codes[at] != expected.q[static_cast<size_t>(k)]) {
                return fmt::format("pack: weight [{}, {}] is {}, expected {}", n, k, codes[at],
                                   expected.q[static_cast<size_t>(k)]);
            }
            const float value = static_cast<float>(codes[at]) * scales[n];
            if (unpacked[static_cast<size_t>(at)] == value) continue;
            return fmt::format("unpack: weight [{}, {}] is {}, the packed bytes say {}", n, k,
                               unpacked[static_cast<size_t>(at)], value);
        }
    }
    return "";
}

}  // namespace tritbench
