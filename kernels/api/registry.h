// Every kernel compiled in, and the questions a host asks of them.
//
// The table is generated in the build folder from the CMake list of kernel files, not from static
// constructors: it is complete before main and its order is fixed.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/api/kernel.h"

namespace tritbench {

// All descriptors, sorted by layout then ISA as registered.
std::span<const tb_kernel* const> all_kernels();

// The descriptor with exactly this id, or null.
const tb_kernel* find_kernel(std::string_view id);

// Kernels whose id matches a shell glob (*, ?, [..]); several globs separated by commas, each may
// be negated with a leading '!'. Throws Error, with the nearest ids, if nothing matches.
std::vector<const tb_kernel*> match_kernels(std::string_view globs);

// Empty if the kernel runs here, else why not ("needs avx512vnni", "... taken away by
// TRITBENCH_CPU").
std::string why_not_here(const tb_kernel& kernel);
inline bool runs_here(const tb_kernel& kernel) {
    return why_not_here(kernel).empty();
}

// The fastest kernel of a layout that runs here: the last one registered. Null if none.
const tb_kernel* best_kernel_of_layout(std::string_view layout);

// "exact", "bounded", "lossy".
std::string_view exactness_name(tb_exactness exactness);

double bits_per_weight(const tb_kernel& kernel);

// "BM=256,BK=128", or "" for a kernel without tiles.
std::string tile_name(const tb_kernel& kernel, const tb_tile& tile);
// The declared defaults, but `prefetch` (dot/prefetch.h) is 0 where cpu_prefetches_well().
tb_tile default_tile(const tb_kernel& kernel);
// Parses "BM=256,BK=128" over the defaults. Throws Error on an unknown name or value.
tb_tile parse_tile(const tb_kernel& kernel, std::string_view text);

// Throws Error naming kernel, shape and reason unless kernel.accepts(shape, tile).
void require_accepts(const tb_kernel& kernel, const tb_shape& shape, const tb_tile& tile);

// First 16 hex digits of the hash of the object file that holds the kernel ("" for none known):
// two kernels with equal hashes are the same machine code.
std::string_view object_hash(const tb_kernel& kernel);

}  // namespace tritbench
