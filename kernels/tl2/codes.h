/* The rows of a block of tl2 (layout.h) on their way into the index plane and the sign plane.
 *
 * Static: see dot/epilogue.h. */
#ifndef TRITBENCH_KERNELS_TL2_CODES_H
#define TRITBENCH_KERNELS_TL2_CODES_H

#include <stdint.h>
#include <string.h>

#include "kernels/dot/trits.h"

namespace {

constexpr int64_t kBlockRows = 32;    // bm of the original, which knows no other here
constexpr int64_t kSignColumns = 24;  // of a sign word: 8 triples

// The byte of row r in the 32 bytes of its block.
inline int64_t byte_of_row(int64_t r) {
    const int64_t group = r % 32 / 8;
    return (group == 1 ? 16 : group == 2 ? 8 : group * 8) + r % 8;
}

// Two triples of codes, c0 c1 c2 and c3 c4 c5, as a byte of the index plane, and above it bits 15
// and 13 where they are negative. Found under v0 | v1 << 5, v = 9 c0 + 3 c1 + c2.
struct Tl2Triples {
    uint32_t of[1024];  // wider than it needs: what is kept of them is then read as it was stored

    constexpr Tl2Triples() : of() {
        for (int i = 0; i < 1024; ++i) {
            const int first = i % 32 - 13, second = i / 32 - 13;  // 9 w0 + 3 w1 + w2
            const int bytes = (first < 0 ? -first : first) << 4 | (second < 0 ? -second : second);
            of[i] = static_cast<uint32_t>((first < 0 ? 0x8000 : 0) | (second < 0 ? 0x2000 : 0) |
                                          (bytes & 0xff));
        }
    }
};

constexpr Tl2Triples kTl2Triples;

inline unsigned triples_of_codes(const uint8_t* codes) {
    const uint64_t sums = eight_codes(codes) * 0x090301U;  // in bytes 2 and 5
    return kTl2Triples.of[(sums >> 16 & 31) | (sums >> 35 & 31 << 5)];
}

// Row i of a block: `columns` codes of a tile, and two bytes more that do not matter, at the
// block's bytes of them in the index plane and the sign plane. Rows i < 16 come before the others,
// with whom they share words.
inline void tl2_pack_triples(const uint8_t* codes, int64_t columns, int64_t i, uint8_t* index,
                             uint8_t* signs) {
    index += byte_of_row(i);
    signs += 2 * (i % 16);
    for (int64_t c = 0; c < columns; c += kSignColumns, signs += 32) {
        unsigned minus = 0;
        for (int g = 0; g < 4; ++g, index += 32) {
            const unsigned two = triples_of_codes(codes + c + 6 * g);
            *index = static_cast<uint8_t>(two);
            minus |= (two & 0xff00) >> (4 * g);
        }
        uint16_t word = 0;
        if (i >= 16) memcpy(&word, signs, sizeof word);
        word = static_cast<uint16_t>(word | minus >> (i / 16));
        memcpy(signs, &word, sizeof word);
    }
}

}  // namespace

#endif
