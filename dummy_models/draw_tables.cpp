#include "dummy_models/draw_tables.h"

#include "kernels/api/cpu.h"

extern "C" const tb_draw tb_draw_scalar;
#if defined(__x86_64__)
extern "C" const tb_draw tb_draw_avx512;
#endif

namespace tritbench {

std::span<const tb_draw* const> all_draws() {
    static const tb_draw* const tables[] = {
        &tb_draw_scalar,
#if defined(__x86_64__)
        &tb_draw_avx512,
#endif
    };
    return tables;
}

const tb_draw& best_draw() {
    const tb_draw* best = &tb_draw_scalar;
    for (const tb_draw* draw : all_draws()) {
        if ((draw->features & ~allowed_features()) == 0) best = draw;
    }
    return *best;
}

}  // namespace tritbench
