// The loops that read memory as fast as it goes: which is fastest depends on the core.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "harness/roofline/probes.h"

namespace tritbench {

struct ReadLoop {
    const tb_probe_table* table;
    uint32_t streams;
    uint32_t how;  // TB_READ_*

    std::string name() const;  // "avx512 4 streams, prefetch 2 KiB"
    // Reads rounds * TB_PROBE_ROUND_BYTES bytes at base (64-byte aligned), `passes` times.
    uint64_t read(const void* base, uint64_t rounds, uint64_t passes) const {
        return table->read(base, rounds, passes, streams, how);
    }
};

// Those worth trying here: never empty.
std::vector<ReadLoop> read_loops();

}  // namespace tritbench
