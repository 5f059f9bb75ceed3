// Plans that need no tuning.
#pragma once

#include <cstdint>
#include <span>

#include "model/config.h"
#include "model/gguf.h"
#include "model/load_options.h"
#include "model/plan.h"

namespace tritbench {

// "stored": the linear layers stay in the layout of the file, if a kernel reads it as it is, with
// the fastest exact kernel of that layout; else as default_kernel (transformer.h) chooses.
Plan stored_plan(const GgufFile& file, const LoadOptions& options = {});

// "default": the layout of ours that is fastest on this CPU, repacked at load unless the file has
// it. A model whose 2-bit weights fit in half of the last-level cache (`cache_bytes`) is limited by
// arithmetic, not by memory, and decodes fastest at 2 bits; larger ones at the fewest bits that
// the CPU unpacks as fast as memory delivers them (kernels/README.md has the measurements).
// ffn_down behind a squared ReLU gets i2c, which reads no weights of zero activations, where
// AVX-512 makes it faster with prompts too. Weights that are not ternary, or whose rows have scales
// of their own, stay as they are stored.
Plan default_plan(const GgufFile& file, const LoadOptions& options, uint64_t cache_bytes);

// What default_plan gives a ternary model of this config with one scale a tensor, from a file whose
// layout it does not keep, or from none.
Plan default_plan_of_config(const ModelConfig& config, uint64_t cache_bytes);

// What default_plan gives a model of these shapes that is larger than the caches.
Plan default_plan_of_shapes(std::span<const tb_shape> shapes);

}  // namespace tritbench
