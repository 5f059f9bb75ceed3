// A dummy model without a file: what generate_dummy would write, as a WeightSource.
#pragma once

#include "dummy_models/generator.h"
#include "model/weight_source.h"

namespace tritbench {

// Throws Error as generate_dummy does on an impossible shape.
WeightSource dummy_source(const DummyOptions& options);

}  // namespace tritbench
