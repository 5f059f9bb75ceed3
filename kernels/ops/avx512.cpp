// Vectors of 16 lanes.
#define TB_OPS_LANES 16
#include "kernels/ops/ops.inl"

extern "C" const tb_ops tb_ops_avx512;
const tb_ops tb_ops_avx512 = TB_OPS_TABLE("avx512", TB_ISA_AVX512);
