// Vectors of 8 lanes.
#define TB_OPS_LANES 8
#include "kernels/ops/ops.inl"

extern "C" const tb_ops tb_ops_avx2;
const tb_ops tb_ops_avx2 = TB_OPS_TABLE("avx2", TB_ISA_AVX2);
