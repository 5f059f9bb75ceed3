// The cases that published bugs are looked for with, and what is expected of them.
#pragma once

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "tests/published_bugs/mutant.h"

namespace tritbench::testing {

using Cases = std::vector<GateCase>;

inline const tb_kernel& kernel(const char* id) {
    return *find_kernel(id);
}

inline std::vector<const tb_kernel*> kernels_here() {
    std::vector<const tb_kernel*> here;
    for (const tb_kernel* k : all_kernels()) {
        if (runs_here(*k)) here.push_back(k);
    }
    return here;
}

// Tokens of a case with m == 1, by its seed; of a batch they come in this order, the random first.
enum Token : uint64_t { kRandom, kAll127, kAllMinus127, kAllMinus128, kAllZero, kPositive };

inline GateCase int8_case(int64_t n, int64_t k, int64_t m, WeightPattern weights, uint64_t seed) {
    const auto place = seed % 2 == 0 ? GuardedBuffer::Place::AtEnd : GuardedBuffer::Place::AtStart;
    return {{n, k}, m, weights, seed, place, false};
}

inline GateCase mixed(int64_t n, int64_t k, int64_t m, uint64_t seed = 0) {
    return int8_case(n, k, m, WeightPattern::Mixed, seed);
}

inline GateCase from_floats(GateCase c) {
    c.float_input = true;
    return c;
}

// The copy is found by the cases, ...
inline void expect_found(const tb_kernel& mutant, const Cases& cases) {
    const std::string wrong = first_wrong(mutant, cases);
    EXPECT_NE(wrong, "");
    EXPECT_EQ(wrong.find("refused"), std::string::npos) << wrong;
    EXPECT_NE(wrong, "no case was held");
}

// ... right by these, ...
inline void expect_right(const tb_kernel& mutant, const Cases& cases) {
    EXPECT_EQ(first_wrong(mutant, cases), "") << mutant.id;
}

// ... and every kernel passes them, in the next shapes that it holds.
inline void expect_right_everywhere(const Cases& cases) {
    for (const tb_kernel* k : kernels_here()) {
        EXPECT_EQ(first_wrong(*k, held(*k, cases)), "") << k->id;
    }
}

// The same where shapes are what matters: kernels that cannot hold one leave it out, and at least
// those of i2s, tl1, tl2 and int8 hold all.
inline void expect_right_where_held(const Cases& cases) {
    const std::set<std::string> any_shape = {"i2s", "tl1", "tl2", "int8"};
    for (const tb_kernel* k : kernels_here()) {
        Cases held;
        for (const GateCase& c : cases) {
            const tb_tile tile = default_tile(*k);
            if (k->accepts(&c.shape, &tile).code == TB_OK) held.push_back(c);
        }
        if (any_shape.count(k->layout) > 0) {
            EXPECT_EQ(held.size(), cases.size()) << k->id;
        }
        if (!held.empty()) {
            EXPECT_EQ(first_wrong(*k, held), "") << k->id;
        }
    }
}

// Rows of one sign with tokens of one sign, alone and in a batch.
inline Cases one_sign(int64_t k) {
    Cases cases;
    for (const WeightPattern weights : {WeightPattern::AllPlus, WeightPattern::AllMinus}) {
        for (const Token token : {kAll127, kAllMinus127, kAllMinus128}) {
            cases.push_back(int8_case(2, k, 1, weights, token));
        }
        cases.push_back(int8_case(2, k, 6, weights, 0));
    }
    return cases;
}

}  // namespace tritbench::testing
