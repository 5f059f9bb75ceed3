// For any CPU.
#include "dummy_models/draw.inl"

extern "C" const tb_draw tb_draw_scalar;
const tb_draw tb_draw_scalar = {"scalar", TB_ISA_SCALAR, draw_trits, draw_i2s};
