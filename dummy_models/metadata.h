// The keys of a dummy model's file.
#pragma once

#include <cstdint>

#include "dummy_models/generator.h"

namespace tritbench {

// Everything but the keys of tensors: hyper-parameters, vocabulary, and under tritbench.dummy what
// the weights are. What has its default is left out where files of before had no key for it.
void set_dummy_keys(GgufWriter& writer, const DummyOptions& options);

// Tokens of the vocabulary in a file. Throws Error if it has none.
int64_t vocabulary_size(const GgufFile& file);

}  // namespace tritbench
