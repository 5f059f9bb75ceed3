#include "harness/measure.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <random>
#include <vector>

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

void interleave(std::span<const int> repetitions, uint64_t seed,
                const std::function<bool(size_t item, int repetition)>& visit) {
    std::mt19937_64 random(seed);
    std::vector<size_t> order(repetitions.size());
    std::iota(order.begin(), order.end(), size_t{0});
    for (int repetition = 0; !order.empty(); ++repetition) {
        std::erase_if(order, [&](size_t item) { return repetition >= repetitions[item]; });
        std::shuffle(order.begin(), order.end(), random);
        std::vector<size_t> kept;
        for (const size_t item : order) {
            if (visit(item, repetition)) kept.push_back(item);
        }
        order = std::move(kept);
    }
}

}  // namespace tritbench
