// Which layout, kernel and tile serve which linear layer, by the number of tokens: a plan.
//
// A tensor is packed once: all calls of a layer are of one layout and agree in the tile parameters
// that affect the packed bytes. Plans come from the CPU (default_plan.h), from one kernel, or from
// a file, which `tritbench tune` writes and a person may:
//
//   version = 1
//   threads = 2                    # optional: what it was tuned with
//   [[layer]]
//   role = "ffn_down"              # and/or shape = "2560x6912" (NxK); neither: every layer
//   layout = "t5r"
//     [[layer.call]]
//     batch = 1                    # for products of up to so many tokens; left out: any more
//     kernel = "t5r_avx512vbmi"
//     tile = "prefetch=0"          # left out: the defaults
//     [[layer.call]]
//     kernel = "t5r_avx512vbmi"
//
// The first layer that fits serves. Other keys, such as comments of a tuner, belong in a table
// [notes], which is not looked at.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/api/kernel.h"
#include "model/linear_shapes.h"

namespace tritbench {

// For products of up to `batch` tokens.
struct PlanCall {
    int64_t batch = 0;  // 0: any number
    const tb_kernel* kernel = nullptr;
    tb_tile tile{};
};

struct PlanLayer {
    std::string role;             // one of kPlanRoles; "": any
    tb_shape shape{};             // {0, 0}: any
    std::string layout;           // of all calls
    std::vector<PlanCall> calls;  // ascending batch, the last 0
};

struct Plan {
    std::string name;  // "default", "stored", a kernel's id, or the stem of its file
    int threads = 0;   // that it was tuned with; 0: not said
    std::vector<PlanLayer> layers;

    // The first layer that fits, or null.
    const PlanLayer* find(std::string_view role, tb_shape shape) const;
};

// As in the tensors' names; "output" is the LM head, whose layout the model has chosen: a layer of
// another layout does not concern it.
inline constexpr auto kPlanRoles = [] {
    std::array<std::string_view, kLinearRoles.size() + 1> roles{};
    std::copy(kLinearRoles.begin(), kLinearRoles.end(), roles.begin());
    roles.back() = "output";
    return roles;
}();

// The call for m tokens.
const PlanCall& call_for(const std::vector<PlanCall>& calls, int64_t m);

// The id of the kernel for m tokens if it is the same in every layer but "output", else "mixed".
std::string kernel_name(const Plan& plan, int64_t m);

// That kernel, with its default tile or the one given, for everything.
Plan plan_of_kernel(const tb_kernel& kernel);
Plan plan_of_kernel(const tb_kernel& kernel, const tb_tile& tile);

// Throws Error, with file and line, on anything that is not understood: TOML, a key, a kernel, a
// tile, a role, a shape, batches that do not ascend, kernels of another layout than the layer's.
Plan read_plan(const std::filesystem::path& path);

// Inverse of read_plan, but for the name.
std::string plan_text(const Plan& plan);

}  // namespace tritbench
