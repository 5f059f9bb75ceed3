// What may be said about logits without knowing the model.
#pragma once

#include <span>
#include <string>

namespace tritbench {

// Why these cannot be the logits of a right model: none, one that is not finite, all equal. Empty
// when there is nothing to say.
std::string logits_problem(std::span<const float> logits);

}  // namespace tritbench
