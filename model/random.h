// Random bits from a counter: the same on every machine, and word n needs no word before it.
#pragma once

#include <cstdint>

namespace tritbench {

// splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014): the word
// that follows state z. Words of the states z, z + 1, ... are independent enough for sampling and
// test data, and for nothing secret.
constexpr uint64_t mix64(uint64_t z) {
    z += 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

}  // namespace tritbench
