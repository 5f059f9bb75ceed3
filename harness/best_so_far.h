// The fastest row of those that compare with the last one, for progress.
#pragma once

#include <map>
#include <string>

#include "harness/schema.h"

namespace tritbench {

class BestSoFar {
  public:
    // Rows without a proof or a time do not count.
    void add(const Row& row);

    // "best i2r_avx2 93.1 us (2560x6912 batch 1, 1 thread, cold)", of the group that the last row
    // that counted is of; "" before there is one.
    std::string text() const;

    // The note with the text after it.
    std::string beside(const std::string& note) const;

  private:
    struct Best {
        double ns = 0;
        std::string text;
    };
    std::map<std::string, Best> groups_;
    std::string last_;
};

}  // namespace tritbench
