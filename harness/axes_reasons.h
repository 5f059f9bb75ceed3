// Why a cell cannot be measured here; each empty if it can.
#pragma once

#include <string>

#include "kernels/api/kernel.h"

namespace tritbench {

std::string too_many_threads(int threads);
std::string not_these_pins(const std::string& pins, int threads);
std::string not_accepted(const tb_kernel& kernel, const tb_shape& shape, const tb_tile& tile);
std::string not_this_batch(const tb_kernel& kernel, int64_t batch);

// The first text that is not empty.
template <class... Texts>
std::string first_of(const Texts&... texts) {
    std::string found;
    ((found = found.empty() ? texts : found), ...);
    return found;
}

}  // namespace tritbench
