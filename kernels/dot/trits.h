/* Weights on their way into packed bytes: from trits to codes 0, 1, 2 (trit + 1), and from the
 * codes of neighbouring columns to the one number that a layout stores for them.
 *
 * Everything stays in bytes, which compilers vectorise, or is one multiplication: eight codes in a
 * word times a constant, of which byte i is the factor of the code i places before, leave in each
 * byte the sum of products that end there. No byte of any of these carries over.
 *
 * Static: see dot/epilogue.h. */
#ifndef TRITBENCH_KERNELS_DOT_TRITS_H
#define TRITBENCH_KERNELS_DOT_TRITS_H

#include <stdint.h>
#include <string.h>

namespace {

// False unless all are -1, 0 or +1.
inline bool are_trits(const int8_t* trits, int64_t count) {
    uint8_t most = 0;
    for (int64_t i = 0; i < count; ++i) {
        const auto code = static_cast<uint8_t>(trits[i] + 1);
        most = code > most ? code : most;
    }
    return most <= 2;
}

// Of -1, 0 and +1 alone.
inline void codes_of_trits(const int8_t* trits, int64_t count, uint8_t* codes) {
    for (int64_t i = 0; i < count; ++i) codes[i] = static_cast<uint8_t>(trits[i] + 1);
}

// Eight codes, the first in the lowest byte.
inline uint64_t eight_codes(const uint8_t* codes) {
    uint64_t eight;
    memcpy(&eight, codes, sizeof eight);
    return eight;
}

// Two pairs of codes, each the number 3 c0 + c1 in 0..8, the first in the high half of the byte.
inline uint8_t pairs_of_codes(const uint8_t* codes) {
    uint32_t four;
    memcpy(&four, codes, sizeof four);
    return static_cast<uint8_t>(four * 0x30100301U >> 24);  // 48, 16, 3, 1
}

// ceil(256 number / 243) of the numbers 0..242 of five codes: fractions, which multiplying by 3
// takes apart again. What is added, ceil(13 number / 243), without a division.
inline void fractions_of_numbers(const uint8_t* numbers, int64_t count, uint8_t* fractions) {
    for (int64_t i = 0; i < count; ++i) {
        const uint32_t number = numbers[i];
        fractions[i] = static_cast<uint8_t>(number + ((number * 3507 + 65280) >> 16));
    }
}

}  // namespace

#endif
