/* Random weights, many at a time: the one thing of the generator that is compiled once per ISA
 * (draw.inl), as all else that it does with a weight is cheaper. Integers only, so that every table
 * gives the same weights. Word i of a key is splitmix64's finaliser of key + (i + 1) * golden ratio
 * (weights.h); a weight is 16 bits of it. */
#ifndef TRITBENCH_DUMMY_MODELS_DRAW_H
#define TRITBENCH_DUMMY_MODELS_DRAW_H

#include <stdint.h>

#include "kernels/api/features.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tb_draw {
    const char* isa;
    tb_features features;
    /* Elements [begin, begin + count): 0 for bits below `zero`, else +1 or -1 by the lowest bit, or
     * if `plus` is not 0, by whether they reach it. */
    void (*trits)(uint64_t key, uint64_t begin, uint64_t count, uint16_t zero, uint16_t plus,
                  int8_t* out);
    /* With signs by the lowest bit, bytes [begin, begin + count) of the I2_S layout; both are
     * multiples of 32: 128 weights, of which byte j holds j, 32 + j, 64 + j, 96 + j from its high
     * bits down. */
    void (*i2s)(uint64_t key, uint64_t begin, uint64_t count, uint16_t zero, uint8_t* out);
} tb_draw;

#ifdef __cplusplus
}
#endif

#endif
