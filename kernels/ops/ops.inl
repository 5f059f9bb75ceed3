// The one source of all operation tables; each ISA file includes it with TB_OPS_LANES set to the
// lanes of its native vectors. Same bits from every lane count: see kernels/api/ops.h.
#include "kernels/api/ops.h"

// Each needs those above it.
// clang-format off
#include "kernels/ops/vec16.inl"
#include "kernels/ops/exp.inl"
#include "kernels/ops/half.inl"
#include "kernels/ops/rows.inl"
#include "kernels/ops/rope.inl"
#include "kernels/ops/attention_tiles.inl"
#include "kernels/ops/attention.inl"
// clang-format on

#define TB_OPS_TABLE(isa, features)                                                             \
    {                                                                                           \
        isa, features, rms_norm, sum_squares, norm_scale, rope, rope_pairs, softmax, attention, \
            relu2_gate, silu_gate, add, exp_all, store_f16                                      \
    }
