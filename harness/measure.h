// Timing: two clock reads around a counted loop. Repetitions are interleaved in random order
// (stopping.h): that spreads a slow spell of the machine over all cells that will be compared,
// where one cell after the other would charge it to one of them.
#pragma once

#include <cstdint>

namespace tritbench {

// Monotonic nanoseconds.
int64_t now_ns();

// A repetition is at least this long, so that two clock reads are below 0.01% of it.
inline constexpr int64_t kShortestRepetitionNs = 2'000'000;

// One thing that is timed: repeat(context, calls) makes `calls` calls between two clock reads and
// returns the nanoseconds between them. A plain pointer, called once per repetition.
struct Timed {
    int64_t (*repeat)(void* context, int64_t calls) = nullptr;
    void* context = nullptr;
};

// Calls per repetition, so that one takes kShortestRepetitionNs; 1 when a single call is longer.
// The calls it makes are the warm-up; their number is added to *warmups when it is given.
int64_t calibrate(const Timed& timed, int64_t shortest_ns = kShortestRepetitionNs,
                  int* warmups = nullptr);

}  // namespace tritbench
