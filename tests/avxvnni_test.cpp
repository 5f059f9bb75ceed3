// Proves the AVX-VNNI kernels on a processor that has AVX-512 VNNI instead: tests/CMakeLists.txt
// compiles their sources once more with the other encoding of vpdpbusd (kernels/dot/avxvnni.h), and
// the gate runs on the result. Where AVX-VNNI itself is there, the gate's own tests prove them.
#include <gtest/gtest.h>

#include <vector>

#include "harness/verify/gate.h"
#include "kernels/api/registry.h"

// TB_EVEX_LAYOUTS is X(i2s) X(int8) ...: the layouts compiled so.
#define X(layout) extern "C" const tb_kernel_table tb_table_##layout##_evex;
TB_EVEX_LAYOUTS
#undef X

namespace tritbench {
namespace {

std::vector<tb_kernel> kernels_in_the_other_encoding() {
#define X(layout) &tb_table_##layout##_evex,
    const tb_kernel_table* const tables[] = {TB_EVEX_LAYOUTS};
#undef X
    std::vector<tb_kernel> kernels;
    for (const tb_kernel_table* table : tables) {
        for (uint32_t i = 0; i < table->count; ++i) {
            kernels.push_back(*table->kernels[i]);
            kernels.back().features = TB_ISA_AVX512VNNI;
        }
    }
    return kernels;
}

TEST(AvxVnni, KernelsPassTheGateInTheOtherEncoding) {
    const std::vector<tb_kernel> kernels = kernels_in_the_other_encoding();
    ASSERT_FALSE(kernels.empty());
    for (const tb_kernel& kernel : kernels) {
        SCOPED_TRACE(kernel.id);
        EXPECT_STREQ(kernel.isa, "avxvnni");
        if (!runs_here(kernel)) {
            GTEST_SKIP() << "this CPU cannot stand in for AVX-VNNI: " << why_not_here(kernel);
        }
        for (const tb_tile& tile : all_tiles(kernel)) {
            const ProofResult result = run_gate(kernel, tile, GateDepth::Quick);
            EXPECT_TRUE(result.ok()) << tile_name(kernel, tile) << ": " << result.reason;
        }
    }
}

}  // namespace
}  // namespace tritbench
