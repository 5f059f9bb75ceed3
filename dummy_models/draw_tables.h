// The tables of draw.h that were compiled in.
#pragma once

#include <span>

#include "dummy_models/draw.h"

namespace tritbench {

std::span<const tb_draw* const> all_draws();  // from slow to fast
const tb_draw& best_draw();                   // of those that this CPU, and TRITBENCH_CPU, allow

}  // namespace tritbench
