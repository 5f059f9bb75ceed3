/* Machine-code probes behind the ceilings: one table per ISA, the only symbol of its object file.
 *
 * Every probe returns something that depends on all it read or computed, so that a test can tell
 * that it did exactly the work it is counted for, and no compiler can leave it out. */
#ifndef TRITBENCH_HARNESS_ROOFLINE_PROBES_H
#define TRITBENCH_HARNESS_ROOFLINE_PROBES_H

#include <stdint.h>

#include "kernels/api/features.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A read probe goes through memory in rounds of this many bytes: 8 cache lines of 64 bytes, divided
 * evenly among its streams. */
#define TB_PROBE_ROUND_BYTES 512

/* How a read probe goes about its loads. */
enum {
    TB_READ_PLAIN = 0,
    TB_READ_PREFETCH = 1, /* prefetches 2 KiB ahead in each stream */
    /* Waits a few cycles after every four lines, as a kernel computes between its loads: the core's
     * own prefetchers are then further ahead, which is worth 4% on Zen 4. */
    TB_READ_PACED = 2
};

/* All instructions of a kernel's inner loop but its loads, on registers: what bound does the mix
 * itself set on the ports? `bytes` is one packed step of the kernel, x four activations. */
typedef struct tb_probe_mix {
    const char* kernel;       /* its id */
    const char* instructions; /* of one iteration */
    uint32_t macs;            /* of one iteration */
    /* Returns the sum of all accumulators modulo 2^32 after `iterations`: linear in them. */
    uint32_t (*run)(uint64_t iterations, const uint8_t* bytes, const int8_t* x);
} tb_probe_mix;

typedef struct tb_probe_table {
    const char* isa;
    tb_features features;

    /* Reads rounds * TB_PROBE_ROUND_BYTES bytes at base (64-byte aligned), each once per pass, as
     * `streams` (1, 2, 4 or 8) contiguous parts side by side, with one of TB_READ_*; what a probe
     * has no loop for is read plainly. Returns the sum, modulo 2^64, of all 64-bit words read.
     * Null: none of its own. */
    uint64_t (*read)(const void* base, uint64_t rounds, uint64_t passes, uint32_t streams,
                     uint32_t how);

    /* Dot products from registers: each iteration multiplies dot_macs pairs of a[i % 64] (unsigned)
     * and b[i % 64], a whole number of times around, and accumulates in int32. Returns the sum of
     * all accumulators modulo 2^32. a[i] * b[i] + a[i+1] * b[i+1] must fit int16. */
    uint32_t (*dot)(uint64_t iterations, const uint8_t* a, const int8_t* b);
    uint32_t dot_macs;
    const char* dot_instruction;

    /* Byte lookups in a table of lookup_entries bytes held in registers: lookup_bytes independent
     * chains x = table[x], starting at start[i % 64] (all values below lookup_entries). Returns the
     * sum of all x after `iterations` steps modulo 2^32. */
    uint32_t (*lookup)(uint64_t iterations, const uint8_t* table, const uint8_t* start);
    uint32_t lookup_bytes;
    uint32_t lookup_entries;
    const char* lookup_instruction;

    /* float32 multiply-adds from registers: fma_macs chains acc += a[i % 16] * b[i % 16], from 0.
     * Returns the sum of all accumulators. */
    float (*fma)(uint64_t iterations, const float* a, const float* b);
    uint32_t fma_macs;
    const char* fma_instruction;

    const tb_probe_mix* mixes;
    uint32_t mix_count;
} tb_probe_table;

#ifdef __cplusplus
}
#endif

#endif
