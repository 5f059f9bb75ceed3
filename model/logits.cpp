#include "model/logits.h"

#include <algorithm>
#include <cmath>

namespace tritbench {

std::string logits_problem(std::span<const float> logits) {
    if (logits.empty()) return "there are no logits";
    for (const float value : logits) {
        if (!std::isfinite(value)) return "a logit is not a finite number";
    }
    const auto [low, high] = std::minmax_element(logits.begin(), logits.end());
    return *low == *high ? "all logits are equal" : "";
}

}  // namespace tritbench
