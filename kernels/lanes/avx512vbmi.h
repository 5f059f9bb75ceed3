/* AVX-512 VBMI instructions that stay in the order in which they are written.
 *
 * A lookup and what follows it (vpermb, vpand, vpdpbusd) is a chain of 15 and more cycles, and the
 * formats that need lookups are bound by the vector ports, where only an instruction that waits for
 * nothing but its turn keeps a port busy. So their GEMV looks up one step while it multiplies
 * another, the two interleaved by hand (found by trying some thousand orders on Zen 4, whose pipes
 * differ most). Compilers would change the order, hence volatile: as written the loops reach 95% of
 * the port bound and more, as compilers order the same operations 70% (t5r) and 85% (t3r).
 *
 * Static: see dot/epilogue.h. Include only from AVX-512 VBMI files. */
#ifndef TRITBENCH_KERNELS_LANES_AVX512VBMI_H
#define TRITBENCH_KERNELS_LANES_AVX512VBMI_H

#include <immintrin.h>

#include "kernels/dot/prefetch.h"

namespace {
namespace ordered {

// As an instruction, because clang makes vmovups of the intrinsic, and Zen 4 hands what is loaded
// for floats to integer instructions later: a fifth of the speed.
inline __m512i load(const uint8_t* p) {
    __m512i r;
    asm volatile("vmovdqu64 %1, %0" : "=v"(r) : "m"(*reinterpret_cast<const __m512i_u*>(p)));
    return r;
}

// Four activations, for every lane.
inline __m512i broadcast4(const int8_t* x) {
    __m512i r;
    asm volatile("vpbroadcastd %1, %0" : "=v"(r) : "m"(*reinterpret_cast<const int8_t(*)[4]>(x)));
    return r;
}

// acc += bytes . x
inline void dot4(__m512i& acc, __m512i bytes, __m512i x) {
    asm volatile("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(bytes), "v"(x));
}

inline __m512i bits_of(__m512i v, __m512i mask) {
    __m512i r;
    asm volatile("vpandd %2, %1, %0" : "=v"(r) : "v"(v), "v"(mask));
    return r;
}

// Byte i of the result: byte (index[i] & 63) of the table.
inline __m512i lookup(__m512i index, __m512i table) {
    __m512i r;
    asm volatile("vpermb %2, %1, %0" : "=v"(r) : "v"(index), "v"(table));
    return r;
}

// The same where `where` has a bit, leaving the other bytes of r.
inline void lookup(__m512i& r, __mmask64 where, __m512i index, __m512i table) {
    asm volatile("vpermb %2, %1, %0%{%3%}" : "+v"(r) : "v"(index), "v"(table), "Yk"(where));
}

// The same, r being index and result.
inline void lookup_in_place(__m512i& r, __mmask64 where, __m512i table) {
    asm volatile("vpermb %1, %0, %0%{%2%}" : "+v"(r) : "v"(table), "Yk"(where));
}

inline __mmask64 at_least(__m512i a, __m512i b) {
    __mmask64 k;
    asm volatile("vpcmpub $5, %2, %1, %0" : "=Yk"(k) : "v"(a), "v"(b));
    return k;
}

}  // namespace ordered

// Where the hardware fetches a stream from memory by itself, the last step from L2 to L1 is still
// worth asking for, `Near` bytes ahead: the order above holds only while loads do not wait.
template <bool Prefetch, int Near>
inline void fetch(const uint8_t* p) {
    if (Prefetch) {
        fetch_ahead(p);
    } else {
        __builtin_prefetch(p + Near);
    }
}

}  // namespace

#endif
