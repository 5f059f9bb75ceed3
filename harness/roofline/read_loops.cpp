#include "harness/roofline/read_loops.h"

#include <fmt/format.h>

#include "harness/roofline/probe_tables.h"

namespace tritbench {

std::string ReadLoop::name() const {
    constexpr const char* kHow[] = {"", ", prefetch 2 KiB", ", paced"};
    return fmt::format("{} {} stream{}{}", table->isa, streams, streams > 1 ? "s" : "", kHow[how]);
}

std::vector<ReadLoop> read_loops() {
    std::vector<const tb_probe_table*> readers;
    for (const tb_probe_table* table : allowed_probe_tables())
        if (table->read) readers.push_back(table);
    const tb_probe_table* widest = readers.back();
    std::vector<ReadLoop> loops{{widest, 1, TB_READ_PLAIN},
                                {widest, 1, TB_READ_PREFETCH},
                                {widest, 4, TB_READ_PLAIN},
                                {widest, 4, TB_READ_PREFETCH},
                                {widest, 8, TB_READ_PREFETCH}};
    // The next narrower ISA too, in the two extreme shapes: wide registers may lower the clock.
    if (readers.size() > 1) {
        const tb_probe_table* narrower = readers[readers.size() - 2];
        loops.push_back({narrower, 1, TB_READ_PLAIN});
        loops.push_back({narrower, 4, TB_READ_PREFETCH});
        loops.push_back({widest, 1, TB_READ_PACED});
        loops.push_back({widest, 2, TB_READ_PACED});
    }
    return loops;
}

}  // namespace tritbench
