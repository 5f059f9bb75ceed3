#include "harness/tune/choose.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/api/error.h"

namespace tritbench {

namespace {

constexpr double kPromptTokens = 512, kDecodedTokens = 128;

}  // namespace

Goal parse_goal(std::string_view text) {
    for (const Goal goal : {Goal::Decode, Goal::Prefill, Goal::Balanced}) {
        if (text == goal_name(goal)) return goal;
    }
    throw Error(fmt::format("--for '{}': expected decode, prefill or balanced", text));
}

std::string_view goal_name(Goal goal) {
    switch (goal) {
        case Goal::Decode:
            return "decode";
        case Goal::Prefill:
            return "prefill";
        case Goal::Balanced:
            return "balanced";
    }
    return "?";
}

std::vector<double> goal_weights(Goal goal, std::span<const int64_t> batches) {
    std::vector<double> weights(batches.size(), 0.0);
    const auto largest = static_cast<double>(batches.back());
    if (goal != Goal::Decode) weights.back() += kPromptTokens / largest;
    if (goal != Goal::Prefill) {
        weights.front() += kDecodedTokens / static_cast<double>(batches.front());
    }
    return weights;
}

size_t choose_variant(std::span<const VariantTime> variants,
                      std::span<const std::string> preferred) {
    if (variants.empty()) throw Error("layouts of a tensor: none; expected at least one");
    const auto faster = [](const VariantTime& a, const VariantTime& b) { return a.ns < b.ns; };
    const auto best = std::min_element(variants.begin(), variants.end(), faster);
    for (const std::string& name : preferred) {
        for (size_t i = 0; i < variants.size(); ++i) {
            if (variants[i].name == name && variants[i].ns <= best->ns * (1 + kAlike)) return i;
        }
    }
    return static_cast<size_t>(best - variants.begin());
}

std::string gain_text(const Gain& gain) {
    if (!gain.interval) return fmt::format("{:.3f}x", gain.ratio);
    return fmt::format("{:.3f}x [{:.3f}, {:.3f}]", gain.ratio, gain.interval->first,
                       gain.interval->second);
}

std::vector<Choice> merge_choices(std::span<const Choice> choices) {
    std::vector<Choice> merged;
    for (const Choice& choice : choices) {
        if (!merged.empty() && same_candidate(merged.back().candidate, choice.candidate)) {
            merged.back().batch = choice.batch;
        } else {
            merged.push_back(choice);
        }
    }
    if (!merged.empty()) merged.back().batch = 0;
    return merged;
}

}  // namespace tritbench
