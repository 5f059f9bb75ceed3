/* The tile parameter `prefetch`: how many bytes ahead of its loads a GEMV fetches each of its
 * streams from memory, 0 for not at all (t3r and t5r then still ask L1 for their next lines).
 *
 * It changes no result, only how well arithmetic and memory overlap, and which value is right
 * belongs to the core: Intel's server cores need 2 KB to reach their read bandwidth, AMD's Zen 4
 * loses a tenth by it, because its own prefetchers are ahead already (both measured). The host
 * chooses (default_tile in api/registry.h); a kernel compiles both loops. Static: see epilogue.h.
 */
#ifndef TRITBENCH_KERNELS_DOT_PREFETCH_H
#define TRITBENCH_KERNELS_DOT_PREFETCH_H

#include "kernels/api/kernel.h"

namespace {

constexpr int32_t kPrefetchValues[] = {0, 2048};

// The first, and for most kernels the only, parameter of a kernel that has it.
constexpr tb_tile_param kPrefetchParam = {"prefetch", kPrefetchValues, 2, 2048,
                                          TB_TILE_AFFECTS_CALL};

constexpr tb_kernel with_prefetch(tb_kernel d) {
    d.tile_params = &kPrefetchParam;
    d.tile_param_count = 1;
    return d;
}

inline bool wants_prefetch(const tb_tile* tile) {
    return tile == nullptr || tile->value[0] != 0;
}

// Asks memory for what a stream will load in a while.
inline void fetch_ahead(const uint8_t* p) {
    __builtin_prefetch(p + kPrefetchValues[1]);
}

}  // namespace

#endif
