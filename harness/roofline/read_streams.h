/* What a table's `read` does, once the ISA file that includes this has defined
 * read_streams<kStreams, kHow>(base, rounds, passes). Static: one copy in each ISA file. */
#ifndef TRITBENCH_HARNESS_ROOFLINE_READ_STREAMS_H
#define TRITBENCH_HARNESS_ROOFLINE_READ_STREAMS_H

#include "harness/roofline/probes.h"

namespace {

template <uint32_t kStreams, uint32_t kHow>
uint64_t read_streams(const void* base, uint64_t rounds, uint64_t passes);

uint64_t read(const void* base, uint64_t rounds, uint64_t passes, uint32_t streams, uint32_t how) {
    switch (streams * 4 + how) {
        case 4 + TB_READ_PREFETCH:
            return read_streams<1, TB_READ_PREFETCH>(base, rounds, passes);
        case 4 + TB_READ_PACED:
            return read_streams<1, TB_READ_PACED>(base, rounds, passes);
        case 8 + TB_READ_PACED:
            return read_streams<2, TB_READ_PACED>(base, rounds, passes);
        case 16 + TB_READ_PLAIN:
            return read_streams<4, TB_READ_PLAIN>(base, rounds, passes);
        case 16 + TB_READ_PREFETCH:
            return read_streams<4, TB_READ_PREFETCH>(base, rounds, passes);
        case 32 + TB_READ_PLAIN:
            return read_streams<8, TB_READ_PLAIN>(base, rounds, passes);
        case 32 + TB_READ_PREFETCH:
            return read_streams<8, TB_READ_PREFETCH>(base, rounds, passes);
        default:
            return read_streams<1, TB_READ_PLAIN>(base, rounds, passes);
    }
}

}  // namespace

#endif
