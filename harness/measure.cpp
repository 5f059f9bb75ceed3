#include "harness/measure.h"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace tritbench {
int64_t now_ns() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

int64_t calibrate(const Timed& timed, int64_t shortest_ns, int* warmups) {
    int made = 2;
    timed.repeat(timed.context, 1);  // faults pages in, wakes the pool
    int64_t calls = 1;
    int64_t ns = timed.repeat(timed.context, calls);
    while (ns < shortest_ns && calls < (int64_t{1} << 30)) {
        // A tenth more than needed; never more than 16 times the last count, since a short count
        // measures mostly the first call.
        const double factor = 1.1 * static_cast<double>(shortest_ns) / std::max<double>(1, ns);
        calls =
            static_cast<int64_t>(std::ceil(static_cast<double>(calls) * std::min(16.0, factor)));
        ns = timed.repeat(timed.context, calls);
        ++made;
    }
    if (warmups != nullptr) *warmups += made;
    return calls;
}

}  // namespace tritbench
