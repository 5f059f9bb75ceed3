// The source of every tb_draw table. Plain loops in 64 and 16 bits, which compilers vectorise.
//
// Static, and without anything of the standard library: see dot/epilogue.h.
#include <stddef.h>
#include <string.h>

#include "dummy_models/draw.h"

namespace {

constexpr uint64_t kGolden = 0x9E3779B97F4A7C15;

// Words that are made at a time: stored by one loop, and read by another as vectors of 16 bits,
// long after the first has left the store buffers.
constexpr uint64_t kWords = 256;
static_assert(kWords % 4 == 0);

// mix64 of model/random.h, which is not to be compiled with the flags of an ISA.
inline uint64_t word(uint64_t state) {
    uint64_t z = state + kGolden;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

// Words [begin, begin + count), and up to three more.
inline void fill_words(uint64_t key, uint64_t begin, uint64_t count, uint64_t* words) {
    const uint64_t state = key + begin * kGolden;
#ifdef TB_DRAW_VECTORS
    for (uint64_t i = 0; i < count; ++i) words[i] = word(state + i * kGolden);
#else
    // There is no vector multiplication of 64 bits: four at a time keep the scalar one busy.
    for (uint64_t i = 0; i < count; i += 4) {
        const uint64_t four = state + i * kGolden;
        words[i] = word(four);
        words[i + 1] = word(four + kGolden);
        words[i + 2] = word(four + 2 * kGolden);
        words[i + 3] = word(four + 3 * kGolden);
    }
#endif
}

inline uint16_t bits_at(const uint64_t* words, uint64_t i) {
    uint16_t bits;
    memcpy(&bits, reinterpret_cast<const char*>(words) + 2 * i, sizeof bits);
    return bits;
}

template <bool ByLowestBit>
void trits_by(uint64_t key, uint64_t begin, uint64_t count, uint16_t zero, uint16_t plus,
              int8_t* out) {
    alignas(64) uint64_t words[kWords];
    while (count > 0) {
        const uint64_t first = begin % 4;
        const uint64_t take = count < 4 * kWords - first ? count : 4 * kWords - first;
        fill_words(key, begin / 4, (first + take + 3) / 4, words);
        for (uint64_t i = 0; i < take; ++i) {
            const uint16_t bits = bits_at(words, first + i);
            const auto sign = static_cast<uint16_t>(ByLowestBit   ? (bits & 1U) * 2 - 1
                                                    : bits < plus ? 0xFFFFU
                                                                  : 1U);
            out[i] = static_cast<int8_t>(bits < zero ? uint16_t{0} : sign);
        }
        begin += take;
        out += take;
        count -= take;
    }
}

void draw_trits(uint64_t key, uint64_t begin, uint64_t count, uint16_t zero, uint16_t plus,
                int8_t* out) {
    if (plus == 0) {
        trits_by<true>(key, begin, count, zero, plus, out);
    } else {
        trits_by<false>(key, begin, count, zero, plus, out);
    }
}

// Codes 0, 1, 2 of -1, 0, +1.
inline uint16_t code_of(uint16_t bits, uint16_t zero) {
    return bits < zero ? uint16_t{1} : static_cast<uint16_t>((bits & 1U) << 1U);
}

void draw_i2s(uint64_t key, uint64_t begin, uint64_t count, uint16_t zero, uint8_t* out) {
    alignas(64) uint64_t words[kWords];
    for (uint64_t at = 0; at < count; at += kWords) {  // a word is four weights, and so a byte
        const uint64_t bytes = count - at < kWords ? count - at : kWords;
        fill_words(key, begin + at, bytes, words);
        for (uint64_t i = 0; i < bytes; i += 32) {
            for (uint64_t j = 0; j < 32; ++j) {
                const uint64_t e = 4 * i + j;
                out[at + i + j] = static_cast<uint8_t>(code_of(bits_at(words, e), zero) << 6 |
                                                       code_of(bits_at(words, e + 32), zero) << 4 |
                                                       code_of(bits_at(words, e + 64), zero) << 2 |
                                                       code_of(bits_at(words, e + 96), zero));
            }
        }
    }
}

}  // namespace
