// How errors about a kernel name it, its shape and its tile.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "kernels/api/kernel.h"
#include "kernels/api/registry.h"

namespace tritbench {

inline std::string describe(const tb_kernel& kernel, tb_shape shape, const tb_tile& tile) {
    const std::string tiles = tile_name(kernel, tile);
    return fmt::format("kernel {}, N={}, K={}{}{}", kernel.id, shape.n, shape.k,
                       tiles.empty() ? "" : ", tile ", tiles);
}

inline std::string_view reason_of(tb_status status) {
    return status.reason != nullptr ? status.reason : "no reason given";
}

}  // namespace tritbench
