#include "kernels/api/ops.h"

#include "kernels/api/cpu.h"

extern "C" const tb_ops tb_ops_scalar;
#if defined(__x86_64__)
extern "C" const tb_ops tb_ops_avx2;
extern "C" const tb_ops tb_ops_avx512;
#endif

namespace tritbench {

std::span<const tb_ops* const> all_ops() {
    static const tb_ops* const tables[] = {
        &tb_ops_scalar,
#if defined(__x86_64__)
        &tb_ops_avx2,
        &tb_ops_avx512,
#endif
    };
    return tables;
}

const tb_ops& best_ops() {
    const tb_ops* best = &tb_ops_scalar;
    for (const tb_ops* ops : all_ops()) {
        if ((ops->features & ~allowed_features()) == 0) best = ops;
    }
    return *best;
}

}  // namespace tritbench
