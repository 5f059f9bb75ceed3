// Bugs that were published with other ternary kernels, one named test each: B1 of arithmetic, B2 of
// layout, remainder, stride and memory (published_bugs_layout_test.cpp). A test runs one check on a
// copy of the bug, which it must find, and on every kernel that runs here, which must pass. Where
// it can, it also shows the copy to be right where the original is, so that what is found is the
// bug and not a slip in the copy.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "kernels/api/cpu.h"
#include "tests/published_bugs/arithmetic.h"
#include "tests/published_bugs/cases.h"
#include "tests/published_bugs/memory.h"

namespace tritbench {
namespace {

using namespace testing;

// ---- B1, arithmetic ----------------------------------------------------------------------------

TEST(PublishedBugs, B1_1_SumsOf16BitsWrapOnActivationsOfOneSign) {
    const tb_kernel bug = arithmetic_mutant<WordsOf32Blocks>();
    for (const Token token : {kAll127, kAllMinus127, kAllMinus128}) {
        expect_found(bug, {int8_case(2, 4096, 1, WeightPattern::AllPlus, token)});
        // 16 blocks: 64 * 508 = 32512 of 127, and 64 * -512 is just -32768.
        expect_right(bug, {int8_case(2, 2048, 1, WeightPattern::AllPlus, token)});
        expect_right(bug, {int8_case(2, 4096, 1, WeightPattern::AllMinus, token)});  // codes 0
    }
    expect_found(bug, {int8_case(2, 2176, 1, WeightPattern::AllPlus, kAll127)});
    expect_right(bug, {mixed(2, 4096, 1, kRandom)});  // what random data shows: nothing
    expect_right_everywhere(one_sign(6912));
}

// Up to the largest K that a kernel declares, where -128 is worth most; of layouts that pad to many
// rows, as far as 8 MB go.
TEST(PublishedBugs, B1_1_SumsOfOneSignOverTheLargestK) {
    for (const tb_kernel* k : kernels_here()) {
        if (k->exactness != TB_EXACT) continue;
        const tb_tile tile = default_tile(*k);
        GateCase c = int8_case(1, 1, 1, WeightPattern::AllPlus, kAllMinus128);
        c.shape = held_shape(*k, {1, k->max_k / k->k_multiple * k->k_multiple});
        while (k->packed_size(&c.shape, &tile) > (8U << 20)) {
            c.shape = held_shape(*k, {1, c.shape.k / 2});
        }
        ASSERT_GE(c.shape.k, std::min<int64_t>(k->max_k, 1 << 17)) << k->id;
        Rig rig(*k, tile, c, {});
        ASSERT_EQ(rig.pack(), "") << k->id;
        ASSERT_EQ(rig.prepare(), "") << k->id;
        const int64_t weight = k->weight_kind == TB_WEIGHT_TERNARY ? 1 : 127;
        EXPECT_EQ(rig.sums()[0], -128 * weight * c.shape.k) << k->id << " K=" << c.shape.k;
    }
}

TEST(PublishedBugs, B1_2_SaturatedMultiplyAddOfFullRangeBytes) {
    const tb_kernel bug = with_product(kernel("q8_0_scalar"), multiply_q8_0<FullRangeBytes>);
    const tb_kernel frame = with_product(kernel("q8_0_scalar"), multiply_q8_0<PlainBytes>);
    const Cases cases = {int8_case(3, 256, 1, WeightPattern::AllPlus, kAll127 + 6),
                         int8_case(3, 256, 1, WeightPattern::AllPlus, kAllMinus128 + 6),
                         mixed(9, 512, 6, 1), mixed(9, 512, 6, 2)};
    expect_found(bug, {cases[0]});
    expect_found(bug, {cases[1]});
    expect_found(bug, {cases[2]});
    // Weights down to -1 only: 0 or 127 to 255 at most half of which is there.
    expect_right(bug, {int8_case(3, 256, 1, WeightPattern::AllMinus, kAll127 + 5)});
    expect_right(frame, cases);
    expect_right_everywhere(cases);
}

TEST(PublishedBugs, B1_2_SignInstructionOnMinus128) {
    const tb_kernel ternary = arithmetic_mutant<SignOfMinus128>();
    const tb_kernel bytes = with_product(kernel("q8_0_scalar"), multiply_q8_0<SignOfActivation>);
    const Cases minus = {int8_case(3, 256, 1, WeightPattern::AllMinus, kAllMinus128),
                         int8_case(3, 256, 6, WeightPattern::AllMinus, 2), mixed(9, 512, 6, 2)};
    for (const GateCase& c : minus) {
        expect_found(ternary, {c});
        expect_found(bytes, {from_floats(c), c});
    }
    for (const Token token : {kAll127, kAllMinus127, kPositive}) {
        expect_right(ternary, {int8_case(3, 256, 1, WeightPattern::AllMinus, token)});
    }
    expect_right(ternary, {from_floats(mixed(9, 512, 6, 2))});  // quantised here: within +-127
    expect_right_everywhere(minus);
}

// The published tables add BK columns in 16 bits, and nobody asks whether they fit. The tests of
// the layouts have the tiles by name; here are the copies that wrap, and whatever kernel has a BK.
int32_t widest_safe(const tb_kernel& k, size_t bk) {
    int32_t widest = 0;
    for (int32_t columns = 8; columns <= 1024; columns += 8) {
        tb_tile tile = default_tile(k);
        tile.value[bk] = columns;
        const tb_shape shape{64, 4096};
        const tb_status status = k.accepts(&shape, &tile);
        if (status.code == TB_OK) {
            EXPECT_LE(columns * 128, INT16_MAX) << k.id << ": an unsafe tile is accepted";
            widest = columns;
        } else if (columns * 128 > INT16_MAX) {
            EXPECT_EQ(status.code, TB_BAD_TILE) << k.id;
            EXPECT_NE(std::string(status.reason).find("BK"), std::string::npos) << status.reason;
        }
    }
    return widest;
}

tb_status accept_all(const tb_shape*, const tb_tile*) {
    return {TB_OK, nullptr};
}

std::string wrong_with_columns(const tb_kernel& k, int32_t columns, const Cases& cases) {
    tb_tile tile = default_tile(k);
    tile.value[2] = columns;
    return first_wrong(k, tile, cases);
}

TEST(PublishedBugs, B1_3_TableSumsLeave16Bits) {
    tb_kernel tl1 = arithmetic_mutant<WordsOfPairs>();
    tb_kernel tl2 = arithmetic_mutant<WordsOfTriples>();
    tl1.accepts = tl2.accepts = accept_all;
    const Cases signs = one_sign(1056 + 32);
    const Cases published = {int8_case(2, 1088, 1, WeightPattern::AllPlus, kAll127),
                             int8_case(2, 1088, 1, WeightPattern::AllMinus, kAllMinus127)};
    EXPECT_EQ(wrong_with_columns(tl1, 248, signs), "") << "248 * 128 = 31744";
    EXPECT_NE(wrong_with_columns(tl1, 256, signs), "") << "256 * 128 = 32768";
    EXPECT_EQ(wrong_with_columns(tl1, 256, published), "") << "256 * 127 = 32512";
    EXPECT_NE(wrong_with_columns(tl1, 264, published), "") << "264 * 127 = 33528";
    EXPECT_EQ(wrong_with_columns(tl2, 240, signs), "") << "80 triples of 384 = 30720";
    EXPECT_NE(wrong_with_columns(tl2, 264, signs), "") << "88 triples of 384 = 33792";
    EXPECT_NE(wrong_with_columns(tl2, 264, published), "") << "88 triples of 381 = 33528";
    int checked = 0;
    for (const tb_kernel* k : kernels_here()) {
        for (int32_t i = 0; i < k->tile_param_count; ++i) {
            if (std::string(k->tile_params[i].name) != "BK") continue;
            ASSERT_EQ(i, 2) << k->id;
            const int32_t widest = widest_safe(*k, 2);
            EXPECT_GE(widest, 240) << k->id;
            EXPECT_EQ(wrong_with_columns(*k, widest, signs), "") << k->id << " BK=" << widest;
            ++checked;
        }
    }
    EXPECT_GE(checked, 2);
}

TEST(PublishedBugs, B1_4_IntegerDotReturnedAsFloat) {
    const tb_kernel bug = with_product(kernel("i2s_scalar"), multiply_float_return);
    // Up to 2 * 127 * K = 2^24, at K = 66052, the float holds every sum.
    expect_right(bug, {mixed(2, 66048, 1, kAll127), mixed(2, 66048, 1, kAllMinus127)});
    // 127 * 133120 is beyond 2^24, and beside it no odd number is left.
    const GateCase longer = mixed(2, 133120, 1, kAll127);
    expect_found(bug, {longer});
    for (const tb_kernel* k : kernels_here()) {
        GateCase c = longer;
        c.shape.k = std::min(c.shape.k, k->max_k);  // 65536 of some: within what a float holds
        EXPECT_EQ(first_wrong(*k, held(*k, {c})), "") << k->id;
    }
}

TEST(PublishedBugs, B1_5_SumOfActivations) {
    const tb_kernel floats = with_product(kernel("i2s_scalar"), multiply_float_sums);
    const tb_kernel twice = arithmetic_mutant<SubtractedAllTheSame>();
    const tb_kernel never = arithmetic_mutant<NeverSubtracted>();
    // After ReLU^2 no activation is negative: their sum is as large as it can be.
    const Cases positive = {mixed(9, 6912, 1, kPositive), mixed(9, 2560, 6, 3)};
    for (const tb_kernel* bug : {&floats, &twice, &never}) {
        expect_found(*bug, {positive[0]});
        expect_found(*bug, {positive[1]});
        expect_right(*bug, {mixed(9, 2560, 1, kAllZero)});
    }
    expect_right_everywhere(positive);
}

TEST(PublishedBugs, B1_6_DivisionByTheMaximumOfARowOfZeros) {
    tb_kernel bug = kernel("i2s_scalar");
    bug.prepare = prepare_without_floor;
    const Cases zeros = {from_floats(mixed(9, 300, 1, kAllZero)),
                         from_floats(mixed(9, 256, 6, 3))};  // one token of six
    expect_found(bug, {zeros[0]});
    expect_found(bug, {zeros[1]});
    expect_right(bug, {from_floats(mixed(9, 300, 1, kAll127))});
    expect_right_everywhere(zeros);
}

// The original makes a zero by an AND of a register that nobody has set, which compilers may read
// as anything. A test cannot see what is undefined; it can see what depends on memory that nobody
// has set, by setting it to different things. Of zeros alone, as fresh memory is, nothing shows.
TEST(PublishedBugs, B1_7_UninitialisedZero) {
    const tb_kernel bug =
        with_product(kernel("i2s_scalar"), multiply_onto_output, multiply_onto_output);
    const std::vector<Conditions> fills = {{0x00}, {0xff}, {0x7f}, {0x01}};
    const Cases cases = {mixed(37, 352, 1, 6), mixed(9, 288, 5, 7)};
    for (const GateCase& c : cases) {
        EXPECT_NE(depends_on(bug, c, fills), "");
        EXPECT_EQ(depends_on(bug, c, {{0x00}, {0x00}}), "");
        for (const tb_kernel* k : kernels_here()) {
            EXPECT_EQ(depends_on(*k, held(*k, {c})[0], fills), "") << k->id;
        }
    }
    expect_found(bug, cases);
    expect_right_everywhere(cases);
}

TEST(PublishedBugs, B1_8_PathThatWritesNothing) {
    const tb_kernel fours =
        with_product(kernel("i2s_scalar"), multiply_but_fours, multiply_but_fours);
    const tb_kernel none = with_product(kernel("i2s_scalar"), multiply_not_at_all);
    const Cases single = {mixed(37, 352, 1)}, batches = {mixed(37, 352, 4), mixed(37, 352, 7)};
    expect_right(fours, single);
    expect_found(fours, {batches[0]});
    expect_found(fours, {batches[1]});
    expect_found(none, single);
    expect_found(none, batches);
    expect_right_everywhere(single);
    expect_right_everywhere(batches);
    // Nor is there a layout without a path for a machine that has nothing.
    std::set<std::string> layouts, plain;
    for (const tb_kernel* k : all_kernels()) {
        layouts.insert(k->layout);
        if (k->features == 0) plain.insert(k->layout);
    }
    EXPECT_EQ(plain, layouts);
}

// What instructions an ISA's files are compiled for, as TRITBENCH_CPU spells them. That nothing of
// such a file reaches another is checked by the build (cmake/check_isa_object.cmake).
const std::map<std::string, std::string>& instructions() {
    static const std::map<std::string, std::string> of = {
        {"scalar", "baseline"},
        {"ssse3", "ssse3"},
        {"avx2", "avx2,fma,f16c"},
        {"avxvnni", "avx2,fma,f16c,avxvnni"},
        {"avx512", "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq"},
        {"avx512vnni", "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"},
        {"avx512vbmi", "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512vbmi"}};
    return of;
}

std::string wrong_gate(const tb_kernel& k) {
    const auto isa = instructions().find(k.isa);
    if (isa == instructions().end()) return "an ISA that this test does not know";
    const tb_features needs = parse_feature_list(isa->second);
    if ((needs & ~k.features) == 0) return "";
    return "does not ask for " + feature_names(needs & ~k.features);
}

TEST(PublishedBugs, B1_9_InstructionsBehindTheWrongFeature) {
    tb_kernel vex = *find_kernel("i2s_avxvnni"), evex = *find_kernel("i2s_avx512vnni");
    EXPECT_EQ(wrong_gate(vex), "");
    EXPECT_EQ(wrong_gate(evex), "");
    std::swap(vex.features, evex.features);  // each behind the macro of the other
    EXPECT_NE(wrong_gate(vex), "");
    EXPECT_NE(wrong_gate(evex), "");
    for (const tb_kernel* k : all_kernels()) EXPECT_EQ(wrong_gate(*k), "") << k->id;
}

// In a process of its own, as the variable is read once: kernels whose ISA is taken away are not
// chosen, and of every layout one is left.
void check_choice(const char* allowed, const std::set<std::string>& isas) {
    setenv("TRITBENCH_CPU", allowed, 1);
    for (const tb_kernel* k : all_kernels()) {
        if (runs_here(*k) && isas.count(k->isa) == 0) std::_Exit(2);
        const tb_kernel* best = best_kernel_of_layout(k->layout);
        if (best == nullptr || !runs_here(*best)) std::_Exit(3);
    }
    std::_Exit(0);
}

TEST(PublishedBugsDeathTest, B1_9_TheChoiceIsMadeAtRunTime) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    const auto left = ::testing::ExitedWithCode(0);
    EXPECT_EXIT(check_choice("baseline", {"scalar"}), left, "");
    EXPECT_EXIT(check_choice("avx2,fma,f16c", {"scalar", "ssse3", "avx2"}), left, "");
    EXPECT_EXIT(
        check_choice("icelake", {"scalar", "ssse3", "avx2", "avx512", "avx512vnni", "avx512vbmi"}),
        left, "");
    if (runs_here(*find_kernel("i2s_avx2"))) {  // and that the check can tell
        EXPECT_EXIT(check_choice("avx2,fma,f16c", {"scalar"}), ::testing::ExitedWithCode(2), "");
    }
}

}  // namespace
}  // namespace tritbench
