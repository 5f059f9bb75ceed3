// Linear layers from a file into the layout of a kernel: mapped where the file has it, packed anew
// where it has not.
#pragma once

#include <string>
#include <vector>

#include "model/model_impl.h"
#include "model/thread_pool.h"

namespace tritbench {

// A layer to be loaded, and the matrix that was found for it.
struct LinearJob {
    std::string name;  // "blk.0.attn_q.weight"
    StoredMatrix stored;
    Linear* into;
    PlanCall packer;  // its kernel packs, with its tile
};

// Loads the layers one after another, each in parallel. Throws Error, naming file and tensor, on
// values that are not ternary, and if the kernel cannot hold a shape or a tile. Only a kernel of
// q8_0, q6_k or q4_0 takes a matrix of its own layout as it is, ternary or not: these encodings
// round, and files of other quantisers have them.
void load_linears(const std::vector<LinearJob>& jobs, ThreadPool& pool,
                  const LoadProgress& progress);

// No NaN, and no code that a kernel would take for another one. Throws Error, naming file and
// tensor.
void check_values(const StoredMatrix& stored, ThreadPool& pool);

// Only looks at them: at the scales that follow a tensor's codes, and with a pool at every value.
void check_linears(const std::vector<LinearJob>& jobs, ThreadPool* pool);

// The bytes of a matrix as they lie in the file, for a kernel of its layout and with its tile.
// Copied only where the kernel would read past the mapping, or wants more alignment than the file
// gives.
PackedWeights map_packed(const PlanCall& packer, const StoredMatrix& stored);

}  // namespace tritbench
