// The gate must bite: copies of bugs that shipped elsewhere (tests/published_bugs) and some of our
// own making are wrapped around a right kernel, and each must be found. Every test also shows the
// right kernel passing, so that the gate cannot pass by refusing everything.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "harness/verify/gate.h"
#include "harness/verify/random_data.h"
#include "kernels/api/prepared_int8.h"
#include "kernels/api/registry.h"
#include "kernels/reference/oracle.h"
#include "tests/published_bugs/arithmetic.h"
#include "tests/published_bugs/layout.h"

namespace tritbench {
namespace {

const tb_kernel& real() {
    return *find_kernel("i2s_scalar");
}

void gemm_of(const tb_product* p) {
    real().gemm(p);
}
void accumulate_of(const tb_product* p) {
    real().accumulate(p);
}

// Adds to the result of every (m, n) for which `wrong` says so, in y and in the raw sums alike.
template <class Wrong>
void corrupt(const tb_product* p, Wrong wrong) {
    for (int64_t m = 0; m < p->m; ++m) {
        for (int64_t n = p->n_begin; n < p->n_end; ++n) {
            if (!wrong(m, n)) continue;
            if (p->acc != nullptr) p->acc[m * p->ldy + n] += 1;
            if (p->y != nullptr) p->y[m * p->ldy + n] *= 1.0F + 0x1p-20F;
        }
    }
}

using testing::Operation;

tb_kernel with(Operation product, Operation accumulate) {
    return testing::with_product(real(), product, accumulate);
}

std::string found(const tb_kernel& k) {
    const ProofResult result = quick_gate(k, default_tile(k));
    return result.ok() ? "" : result.reason;
}

TEST(Gate, EveryKernelThatRunsHerePasses) {
    for (const tb_kernel* k : all_kernels()) {
        if (!runs_here(*k)) continue;
        EXPECT_EQ(found(*k), "") << k->id;
        const std::vector<tb_tile> tiles = all_tiles(*k);
        for (size_t i = 1; i < tiles.size(); ++i) {
            const auto cases = gate_cases_of_tile(*k, tiles[i], GateDepth::Quick, i, tiles.size());
            EXPECT_EQ(run_gate(*k, tiles[i], cases).reason, "")
                << k->id << " " << tile_name(*k, tiles[i]);
        }
    }
}

TEST(Gate, TheWrappersThemselvesPass) {
    EXPECT_EQ(found(with(gemm_of, accumulate_of)), "");
}

TEST(Gate, FindsColumnsOf32ModuloBlockFromTheSecondRowOn) {
    const Operation product = [](const tb_product* p) {
        real().gemm(p);
        if (p->shape.k % 128 == 32) corrupt(p, [](int64_t, int64_t n) { return n >= 1; });
    };
    const Operation sums = [](const tb_product* p) {
        real().accumulate(p);
        if (p->shape.k % 128 == 32) corrupt(p, [](int64_t, int64_t n) { return n >= 1; });
    };
    EXPECT_NE(found(with(product, sums)), "");
    EXPECT_NE(found(with(product, accumulate_of)), "") << "wrong only in y";
    EXPECT_NE(found(with(gemm_of, sums)), "") << "wrong only in the sums";
}

// Each of them, but for three: tests/published_bugs_test.cpp has what they need, longer rows
// (B1.4), tiles that no kernel accepts (B1.3), and rows unpacked as floats (B2.16).
TEST(Gate, FindsPublishedBugs) {
    using namespace testing;
    const auto packed_by = [](auto pack) {
        tb_kernel k = real();
        k.pack = pack;
        return k;
    };
    const auto prepared_by = [](auto prepare) {
        tb_kernel k = real();
        k.prepare = prepare;
        return k;
    };
    const auto both = [](Operation wrong) { return with(wrong, wrong); };
    const tb_kernel &q8_0 = *find_kernel("q8_0_scalar"), &tl2 = *find_kernel("tl2_scalar");
    const std::pair<const char*, tb_kernel> bugs[] = {
        {"B1.1", arithmetic_mutant<WordsOf32Blocks>()},
        {"B1.2 bytes", with_product(q8_0, multiply_q8_0<FullRangeBytes>)},
        {"B1.2 sign", with_product(q8_0, multiply_q8_0<SignOfActivation>)},
        {"B1.2 ternary", arithmetic_mutant<SignOfMinus128>()},
        {"B1.5 floats", with(multiply_float_sums, accumulate_of)},
        {"B1.5 twice", arithmetic_mutant<SubtractedAllTheSame>()},
        {"B1.5 never", arithmetic_mutant<NeverSubtracted>()},
        {"B1.6", prepared_by(prepare_without_floor)},
        {"B1.7", both(multiply_onto_output)},
        {"B1.8 fours", both(multiply_but_fours)},
        {"B1.8 all", with(multiply_not_at_all, accumulate_of)},
        {"B2.10", packed_by(pack_64_16)},
        {"B2.12", both(multiply_whole_blocks)},
        {"B2.13", packed_by(pack_whole_blocks)},
        {"B2.14", both(multiply_whole_tiles)},
        {"B2.15", both(multiply_declared_stride)},
        {"B2.17 weights", with(multiply_scale_of_part, accumulate_of)},
        {"B2.17 tokens", prepared_by(prepare_scale_of_part)},
        {"B2.18 stride", with_product(tl2, multiply_without_batch_stride)},
        {"B2.18 batches", with_product(tl2, multiply_known_batches)},
        {"B2.19", with_product(tl2, multiply_pair_tables_misplaced)}};
    EXPECT_EQ(found(real()), "");
    EXPECT_EQ(found(q8_0), "");
    EXPECT_EQ(found(tl2), "");
    for (const auto& [name, bug] : bugs) EXPECT_NE(found(bug), "") << name;
}

// The last row of a range is never written.
TEST(Gate, FindsARowNeverWritten) {
    const Operation not_last = [](const tb_product* p) {
        tb_product shorter = *p;
        if (shorter.n_end - shorter.n_begin > 8) --shorter.n_end;
        real().gemm(&shorter);
    };
    EXPECT_NE(found(with(not_last, accumulate_of)), "");
}

TEST(Gate, FindsAWriteBesideTheRows) {
    const Operation beside = [](const tb_product* p) {
        real().gemm(p);
        p->y[p->n_end] = 0;  // the gate leaves room behind every row of y for this
    };
    EXPECT_NE(found(with(beside, accumulate_of)), "");
}

TEST(Gate, FindsABatchSizeThatGoesWrong) {
    const Operation seven = [](const tb_product* p) {
        real().gemm(p);
        if (p->m == 7) corrupt(p, [](int64_t m, int64_t) { return m == 6; });
    };
    EXPECT_NE(found(with(seven, accumulate_of)), "");
}

// A layout with a scale per row, read at the wrong row: the first of the call, or the one before.
TEST(Gate, FindsTheScaleOfAnotherRow) {
    static const tb_kernel& own = *find_kernel("iq2_bn_scalar");
    EXPECT_EQ(found(own), "");
    tb_kernel mutant = own;
    mutant.id = "mutant";
    mutant.gemv = mutant.gemm = [](const tb_product* p) {
        own.gemm(p);
        for (int64_t n = p->n_begin; n < p->n_end; ++n) {
            float scales[2] = {};
            const int64_t other = n == 0 ? 0 : n - 1;
            for (int i = 0; i < 2; ++i) {
                const int64_t row = i == 0 ? n : other;
                const tb_weights_out out{nullptr, nullptr, p->shape.k, scales + i};
                own.unpack(&p->shape, p->tile, p->packed, row, row + 1, &out);
            }
            for (int64_t m = 0; m < p->m; ++m) p->y[m * p->ldy + n] *= scales[1] / scales[0];
        }
    };
    EXPECT_NE(found(mutant), "");
    EXPECT_NE(found(mutant).find("expected"), std::string::npos)
        << "not refused for another reason";
}

// A layout that says so stores the half nearest to a scale, any other the scale as it is given.
TEST(Gate, FindsAScaleThatIsNotStoredAsDeclared) {
    static const tb_kernel& own = *find_kernel("iq2_bn_scalar");
    const auto storing = [](float (*change)(float), tb_scale_type declared) {
        static float (*stored)(float);
        stored = change;
        tb_kernel k = own;
        k.scale_type = declared;
        k.pack = [](const tb_shape* s, const tb_tile* tile, const tb_weights* w, int64_t begin,
                    int64_t end, void* packed) {
            std::vector<float> scales(w->scales, w->scales + (end - begin));
            for (float& scale : scales) scale = stored(scale);
            tb_weights changed = *w;
            changed.scales = scales.data();
            return own.pack(s, tile, &changed, begin, end, packed);
        };
        return k;
    };
    const auto given = [](float scale) { return scale; };
    EXPECT_EQ(found(storing(given, TB_SCALE_F32)), "");
    EXPECT_EQ(found(storing(reference::nearest_half, TB_SCALE_F16)), "");
    EXPECT_NE(found(storing(given, TB_SCALE_F16)), "");
    EXPECT_NE(found(storing(reference::nearest_half, TB_SCALE_F32)), "");
    const auto near = [](float scale) { return scale * (1 + 0x1p-20F); };
    const auto inverse = [](float scale) { return 1 / scale; };
    for (const tb_scale_type declared : {TB_SCALE_F32, TB_SCALE_F16}) {
        EXPECT_NE(found(storing(near, declared)), "");
        EXPECT_NE(found(storing(inverse, declared)), "");
    }
}

TEST(Gate, FindsPackedBytesThatDependOnTheSplit) {
    tb_kernel k = real();
    k.pack = [](const tb_shape* s, const tb_tile* tile, const tb_weights* w, int64_t begin,
                int64_t end, void* packed) {
        const tb_status status = real().pack(s, tile, w, begin, end, packed);
        // The padding after the scale is left as found: two files of one model would differ.
        if (end == s->n) {
            static_cast<uint8_t*>(packed)[real().packed_size(s, tile) - 1] =
                static_cast<uint8_t>(begin == 0 ? 0 : 1);
        }
        return status;
    };
    EXPECT_NE(found(k), "");
}

TEST(GateDeathTest, AReadPastTheWeightsIsAFault) {
    const Operation reads_on = [](const tb_product* p) {
        const auto* bytes = static_cast<const volatile uint8_t*>(p->packed);
        (void)bytes[real().packed_size(&p->shape, p->tile)];
        real().gemm(p);
    };
    EXPECT_DEATH(found(with(reads_on, accumulate_of)), "");
}

TEST(GateDeathTest, AReadBeforeTheActivationsIsAFault) {
    const Operation reads_before = [](const tb_product* p) {
        const auto* bytes = static_cast<const volatile uint8_t*>(p->prepared);
        (void)*(bytes - 1);
        real().gemm(p);
    };
    EXPECT_DEATH(found(with(reads_before, accumulate_of)), "");
}

// ---- the proof of one cell ---------------------------------------------------------------------

struct Cell {
    explicit Cell(int64_t k = 352) : shape{1500, k} {}

    ThreadPool pool{2, {}, false};
    tb_shape shape;
    RowProvider rows = random_ternary_rows(shape, 21);
    TestActivations x = random_activations(3, shape.k, 22);
    ProductScratch scratch;

    ProofResult check(const tb_kernel& k, const std::function<void(std::byte*)>& damage = {}) {
        const tb_tile tile = default_tile(k);
        PackedWeights packed = pack_weights(pool, k, tile, shape, rows);
        if (damage) damage(const_cast<std::byte*>(packed.bytes.data()));
        PreparedBatch prepared;
        prepared.reserve(k, tile, shape, x.m);
        prepared.prepare(pool, k, tile, shape, x.x.data(), x.m, x.k);
        return CellProof(pool, k, tile, shape, rows, 23).check(pool, packed, prepared, x, scratch);
    }
};

TEST(CellProof, RightKernelsPass) {
    for (const tb_kernel* k : all_kernels()) {
        if (!runs_here(*k)) continue;
        const ProofResult result = Cell(352 % k->k_multiple == 0 ? 352 : 512).check(*k);
        EXPECT_TRUE(result.ok()) << k->id << ": " << result.reason;
        EXPECT_EQ(result.proof, k->exactness == TB_EXACT ? Proof::BitExact : Proof::Bounded);
    }
}

// One weight of half a million: no sampled row need see it, the weighted sum over all rows does.
TEST(CellProof, OneFlippedWeightIsFound) {
    const std::pair<const char*, std::byte> flips[] = {{"i2s_scalar", std::byte{0x40}},
                                                       {"int8_scalar", std::byte{0x01}},
                                                       {"f16_scalar", std::byte{0x40}}};
    for (const auto& [id, bit] : flips) {
        const ProofResult result =
            Cell().check(*find_kernel(id), [&](std::byte* bytes) { bytes[70001] ^= bit; });
        EXPECT_FALSE(result.ok()) << id;
    }
}

TEST(CellProof, AnInvertedScaleIsFound) {
    const ProofResult result = Cell().check(real(), [](std::byte* bytes) {
        float* scale = reinterpret_cast<float*>(bytes + 1500 * 352 / 4);
        *scale = 1 / *scale;
    });
    EXPECT_FALSE(result.ok());
}

TEST(CellProof, OneWrongOutputIsFound) {
    const Operation one = [](const tb_product* p) {
        real().gemm(p);
        corrupt(p, [](int64_t m, int64_t n) { return m == 2 && n == 777; });
    };
    EXPECT_FALSE(Cell().check(with(one, accumulate_of)).ok());
    EXPECT_FALSE(
        Cell()
            .check(with(gemm_of,
                        [](const tb_product* p) {
                            real().accumulate(p);
                            corrupt(p, [](int64_t m, int64_t n) { return m == 0 && n == 1234; });
                        }))
            .ok());
}

}  // namespace
}  // namespace tritbench
