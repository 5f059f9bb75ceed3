// From the times of a race to a decision: what a goal weighs, which layout a tensor gets, which
// kernel each batch, and whether the default stays. Pure: no clock, no weights.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "harness/tune/candidates.h"

namespace tritbench {

enum class Goal {
    Decode,   // tokens one at a time
    Prefill,  // prompts
    Balanced  // a prompt of 512 tokens, then 128 tokens one at a time
};
// "decode", "prefill" or "balanced". Throws Error on anything else.
Goal parse_goal(std::string_view text);
std::string_view goal_name(Goal goal);

// How often a goal takes a product of each batch; 0 for those that do not decide. Batches ascend:
// the smallest stands for decoding, the largest for prompts.
std::vector<double> goal_weights(Goal goal, std::span<const int64_t> batches);

// A layout of a tensor, with the weighted time of its fastest kernels.
struct VariantTime {
    std::string name;  // of a PackedVariant
    double ns = 0;
};

// Layouts within this part of the best are equally good: timing does not tell them apart.
inline constexpr double kAlike = 0.01;

// The place of the fastest; of those as good as it, one of `preferred` (the first that is there).
size_t choose_variant(std::span<const VariantTime> variants,
                      std::span<const std::string> preferred);

// How the winner of a race and the default did in pairs: the default's time over the winner's.
struct Gain {
    double ratio = 1;
    std::optional<std::pair<double, double>> interval;  // 95%

    bool beyond_doubt() const { return interval && interval->first > 1; }
    bool loss_beyond_doubt() const { return interval && interval->second < 1; }
};
// "1.23x [1.20, 1.27]".
std::string gain_text(const Gain& gain);

// What products of up to `batch` tokens of a layer run on (0: of any number).
struct Choice {
    int64_t batch = 0;
    Candidate candidate;
};

// The last one for any batch, and neighbours with the same kernel and tile made one.
std::vector<Choice> merge_choices(std::span<const Choice> choices);

}  // namespace tritbench
