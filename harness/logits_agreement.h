// Exact kernels of one model must end with the same logits: what the rows of a run are held to.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "harness/schema.h"

namespace tritbench {

class LogitsAgreement {
  public:
    // Rows without logits, or of kernels that are not exact, are passed over.
    void remember(const Row& row);
    // Why the logits of this row cannot stand beside those of earlier rows; empty: they can.
    std::string problem(const Row& row) const;

  private:
    std::map<std::string, std::pair<std::string, std::string>> logits_;  // kernel, hash
};

}  // namespace tritbench
