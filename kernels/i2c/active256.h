/* Lists of active columns (active.h) with AVX2: eight columns a step, compacted by a table of
 * shuffles. Static: see dot/epilogue.h. Include only from files of AVX2 and above. */
#ifndef TRITBENCH_KERNELS_I2C_ACTIVE256_H
#define TRITBENCH_KERNELS_I2C_ACTIVE256_H

#include <immintrin.h>

#include "kernels/i2c/active.h"

namespace {

struct CompactTable {
    uint8_t from[256][8];  // from[mask][i]: the i-th bit that is set in mask

    constexpr CompactTable() : from() {
        for (int mask = 0; mask < 256; ++mask) {
            int count = 0;
            for (int bit = 0; bit < 8; ++bit) {
                if ((mask >> bit & 1) != 0) from[mask][count++] = static_cast<uint8_t>(bit);
            }
        }
    }
};

alignas(64) constexpr CompactTable kCompact;

// Writes eight entries at a time, of which the next step overwrites those that do not count.
inline int64_t fill_table(const int8_t* row, int64_t kp, uint16_t* index, int8_t* q) {
    const __m128i zero = _mm_setzero_si128();
    int64_t count = 0;
    for (int64_t k = 0; k < kp; k += 8) {
        const __m128i eight = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(row + k));
        const int zeros = _mm_movemask_epi8(_mm_cmpeq_epi8(eight, zero)) & 0xff;
        const int mask = zeros ^ 0xff;
        const __m128i from = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(kCompact.from[mask]));
        const __m128i columns =
            _mm_add_epi16(_mm_cvtepu8_epi16(from), _mm_set1_epi16(static_cast<int16_t>(k)));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(index + count), columns);
        _mm_storel_epi64(reinterpret_cast<__m128i*>(q + count), _mm_shuffle_epi8(eight, from));
        count += __builtin_popcount(static_cast<unsigned>(mask));
    }
    return count;
}

}  // namespace

#endif
