// The gate must bite: faithful copies of bugs that shipped elsewhere (and some of our own making)
// are wrapped around a right kernel, and each must be found. Every test also shows the right kernel
// passing, so that the gate cannot pass by refusing everything.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "harness/verify/gate.h"
#include "harness/verify/random_data.h"
#include "kernels/api/prepared_int8.h"
#include "kernels/api/registry.h"
#include "kernels/reference/oracle.h"

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

using Operation = void (*)(const tb_product*);

tb_kernel with(Operation product, Operation accumulate) {
    tb_kernel k = real();
    k.id = "mutant";
    k.gemv = k.gemm = product;
    k.accumulate = accumulate;
    return k;
}

std::string found(const tb_kernel& k) {
    const ProofResult result = quick_gate(k, default_tile(k));
    return result.ok() ? "" : result.reason;
}

// Rebuilds trits and int8 activations from a product, for mutants that compute for themselves.
struct Operands {
    std::vector<int8_t> trits;
    tb_int8_batch x;
    explicit Operands(const tb_product* p)
        : trits(static_cast<size_t>(p->shape.n * p->shape.k)),
          x(tb_int8_open(&p->shape, p->prepared, p->m)) {
        const tb_weights_out out{trits.data(), nullptr, p->shape.k, nullptr};
        real().unpack(&p->shape, p->tile, p->packed, 0, p->shape.n, &out);
    }
};

// Runs `sum(trits of the row, q of the token, K)` in place of the kernel's arithmetic.
template <class Sum>
void compute(const tb_product* p, Sum sum) {
    const Operands o(p);
    float scale = 0;
    const tb_weights_out out{nullptr, nullptr, p->shape.k, &scale};
    real().unpack(&p->shape, p->tile, p->packed, 0, 1, &out);
    for (int64_t m = 0; m < p->m; ++m) {
        for (int64_t n = p->n_begin; n < p->n_end; ++n) {
            const int32_t s = sum(o.trits.data() + n * p->shape.k, o.x.q + m * o.x.kp, p->shape.k);
            if (p->acc != nullptr) p->acc[m * p->ldy + n] = s;
            if (p->y != nullptr) {
                p->y[m * p->ldy + n] = reference::exact_output(s, o.x.scale[m], scale);
            }
        }
    }
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

// PITFALLS B1.1: the AVX2 loop of bitnet.cpp adds 32 blocks of four vpmaddubsw results in int16.
int32_t wrapping_sum(const int8_t* t, const int8_t* q, int64_t k) {
    int32_t total = 0, activations = 0;
    for (int64_t begin = 0; begin < k; begin += 32 * 128) {
        int16_t lanes[16] = {};
        for (int64_t i = begin; i < std::min(k, begin + 32 * 128); ++i) {
            const int code = t[i] + 1;
            int16_t& lane = lanes[i % 32 / 2];
            lane = static_cast<int16_t>(static_cast<uint16_t>(lane + code * q[i]));
        }
        for (const int16_t lane : lanes) total += lane;
    }
    for (int64_t i = 0; i < k; ++i) activations += q[i];
    return total - activations;
}

TEST(Gate, FindsInt16WrapOnSameSignActivations) {
    const Operation wrap = [](const tb_product* p) { compute(p, wrapping_sum); };
    EXPECT_NE(found(with(wrap, wrap)), "");
    // Random data of both signs never shows it: the reason the adversarial patterns exist.
    const GateCase random{{4, 4096}, 1, WeightPattern::Mixed, 6, GuardedBuffer::Place::AtEnd, true};
    std::vector<int8_t> t(4096), q(4096);
    RandomStream stream(1);
    for (size_t i = 0; i < t.size(); ++i) {
        t[i] = static_cast<int8_t>(stream.below(3) - 1);
        q[i] = static_cast<int8_t>(stream.below(255) - 127);
    }
    EXPECT_EQ(wrapping_sum(t.data(), q.data(), 4096), reference::dot(t.data(), q.data(), 4096));
    EXPECT_EQ(run_gate_case(real(), default_tile(real()), random), "");
}

// PITFALLS B1.2: the sign trick computes -128 * -1 as -128.
TEST(Gate, FindsMinus128) {
    const Operation sign_trick = [](const tb_product* p) {
        compute(p, [](const int8_t* t, const int8_t* q, int64_t k) {
            int32_t sum = 0;
            for (int64_t i = 0; i < k; ++i)
                sum += static_cast<int8_t>(static_cast<uint8_t>(t[i] * q[i]));
            return sum;
        });
    };
    EXPECT_NE(found(with(sign_trick, sign_trick)), "");
}

// PITFALLS B1.5: codes {0,1,2} without the subtraction of the sum of activations.
TEST(Gate, FindsAMissingActivationSum) {
    const Operation no_sum = [](const tb_product* p) {
        compute(p, [](const int8_t* t, const int8_t* q, int64_t k) {
            int32_t sum = 0;
            for (int64_t i = 0; i < k; ++i) sum += (t[i] + 1) * q[i];
            return sum;
        });
    };
    EXPECT_NE(found(with(no_sum, no_sum)), "");
}

// PITFALLS B1.6: a scale of 127 / absmax without a floor divides by zero on an all-zero row.
TEST(Gate, FindsAZeroRowWithoutAFloor) {
    tb_kernel k = real();
    k.prepare = [](const tb_shape* s, const tb_tile* tile, const tb_activations* act, int64_t m0,
                   int64_t m1, int64_t k0, int64_t k1, void* prepared) {
        const tb_status status = real().prepare(s, tile, act, m0, m1, k0, k1, prepared);
        auto* scale = reinterpret_cast<float*>(static_cast<char*>(prepared) +
                                               tb_int8_scale_offset(act->m, s->k));
        for (int64_t m = m0; m < m1; ++m) {
            if (act->x != nullptr && act->absmax[m] == 0) scale[m] = std::nanf("");
        }
        return status;
    };
    EXPECT_NE(found(k), "");
}

// PITFALLS B1.8: a path that was never written leaves the output as it was.
TEST(Gate, FindsOutputNeverWritten) {
    const Operation nothing = [](const tb_product*) {};
    EXPECT_NE(found(with(nothing, accumulate_of)), "");
    const Operation not_last = [](const tb_product* p) {
        tb_product shorter = *p;
        if (shorter.n_end - shorter.n_begin > 8) --shorter.n_end;
        real().gemm(&shorter);
    };
    EXPECT_NE(found(with(not_last, accumulate_of)), "");
}

// PITFALLS B2.12: K % 128 columns at the end of every row dropped.
TEST(Gate, FindsADroppedTail) {
    const Operation no_tail = [](const tb_product* p) {
        compute(p, [](const int8_t* t, const int8_t* q, int64_t k) {
            return reference::dot(t, q, k >= 128 ? k / 128 * 128 : k);
        });
    };
    EXPECT_NE(found(with(no_tail, no_tail)), "");
}

// PITFALLS B2.18: every token of a batch written over the first.
TEST(Gate, FindsABatchWithoutStride) {
    const Operation no_stride = [](const tb_product* p) {
        tb_product q = *p;
        q.ldy = 0;
        real().gemm(&q);
    };
    EXPECT_NE(found(with(no_stride, accumulate_of)), "");
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

// Layouts that store a scale per row may round it to half precision, and no further.
TEST(Gate, FindsAScaleThatIsNeitherGivenNorItsHalf) {
    static const tb_kernel& own = *find_kernel("iq2_bn_scalar");
    const auto with_unpack = [](float (*change)(float)) {
        static float (*stored)(float);
        stored = change;
        tb_kernel k = own;
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
    EXPECT_EQ(found(with_unpack([](float scale) { return scale; })), "");
    EXPECT_EQ(found(with_unpack(reference::nearest_half)), "");
    EXPECT_NE(found(with_unpack([](float scale) { return scale * (1 + 0x1p-20F); })), "");
    EXPECT_NE(found(with_unpack([](float scale) { return 1 / scale; })), "");
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
