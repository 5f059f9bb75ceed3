// Counts calls of operator new, for tests of what may not allocate.
#pragma once

#include <cstdint>

namespace tritbench::test {

// Allocations of the whole process so far.
uint64_t allocations();

}  // namespace tritbench::test
