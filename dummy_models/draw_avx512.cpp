// Eight words at a time: AVX-512 can multiply 64 bits, AVX2 cannot.
#define TB_DRAW_VECTORS
#include "dummy_models/draw.inl"

extern "C" const tb_draw tb_draw_avx512;
const tb_draw tb_draw_avx512 = {"avx512", TB_ISA_AVX512, draw_trits, draw_i2s};
