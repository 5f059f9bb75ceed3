// For any CPU: vectors of 4 lanes, which every 64-bit baseline has.
#define TB_OPS_LANES 4
#include "kernels/ops/ops.inl"

extern "C" const tb_ops tb_ops_scalar;
const tb_ops tb_ops_scalar = TB_OPS_TABLE("scalar", TB_ISA_SCALAR);
