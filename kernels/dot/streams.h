/* How far apart the streams of a GEMV walk. Rows cut in equal parts often begin at the same place
 * of a 4 KB page (4096 rows of 3584 bytes in four parts do), so that all streams, and what is
 * fetched ahead of them, compete for the same sets of L1. A few rows less in each part set them
 * apart. Static: see epilogue.h. */
#ifndef TRITBENCH_KERNELS_DOT_STREAMS_H
#define TRITBENCH_KERNELS_DOT_STREAMS_H

#include <stdint.h>

namespace {

constexpr int64_t kSetBytes = 4096;  // addresses so far apart share a set of an L1 of 64 sets

// The least distance between two of `streams` places `bytes` apart, modulo kSetBytes.
inline int64_t least_distance(int64_t streams, int64_t bytes) {
    int64_t least = kSetBytes;
    for (int64_t i = 1; i < streams; ++i) {
        const int64_t offset = i * bytes % kSetBytes;
        const int64_t distance = offset < kSetBytes - offset ? offset : kSetBytes - offset;
        least = distance < least ? distance : least;
    }
    return least;
}

// Rows from one stream to the next: a multiple of `step`, at most rows / streams, less by at most a
// 32nd. What is left of the rows is for the caller to do: less than streams * (that + step).
inline int64_t rows_apart(int64_t rows, int64_t streams, int64_t row_bytes, int64_t step = 1) {
    const int64_t most = rows / streams / step * step;
    const int64_t enough = kSetBytes / streams / 2;
    int64_t best = most, best_distance = -1;
    for (int64_t apart = most; apart > 0 && apart >= most - most / 32; apart -= step) {
        const int64_t distance = least_distance(streams, apart * row_bytes);
        if (distance > best_distance) {
            best = apart;
            best_distance = distance;
        }
        if (distance >= enough) break;
    }
    return best;
}

}  // namespace

#endif
