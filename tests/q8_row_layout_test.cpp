// The layout q8_row: its bytes by hand, its rounding, what it refuses, and that the gate and the
// proof of a cell bite on integers and scales that are wrong.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "harness/verify/gate.h"
#include "harness/verify/proof.h"
#include "harness/verify/random_data.h"
#include "kernels/api/prepared_int8.h"
#include "kernels/api/registry.h"
#include "kernels/reference/oracle.h"

namespace tritbench {
namespace {

using Bytes = std::vector<uint8_t>;
using Floats = std::vector<float>;

const tb_kernel& scalar() {
    return *find_kernel("q8_row_scalar");
}

tb_status pack(const tb_kernel& k, const Floats& values, tb_shape shape, Bytes& bytes) {
    bytes.assign(k.packed_size(&shape, nullptr), 0xee);
    const tb_weights w{nullptr, values.data(), shape.k, nullptr};
    return k.pack(&shape, nullptr, &w, 0, shape.n, bytes.data());
}

tb_status unpack(const tb_kernel& k, const Bytes& bytes, tb_shape shape, Floats& values) {
    values.assign(static_cast<size_t>(shape.n * shape.k), 77);
    const tb_weights_out w{nullptr, values.data(), shape.k, nullptr};
    return k.unpack(&shape, nullptr, bytes.data(), 0, shape.n, &w);
}

float scale_of(const Bytes& bytes, tb_shape shape, int64_t n) {
    float scale;
    std::memcpy(&scale, bytes.data() + (shape.n * shape.k + 3) / 4 * 4 + 4 * n, sizeof scale);
    return scale;
}

TEST(Q8Row, GoldenRows) {
    // Three rows of 3: 9 bytes of integers, 3 of padding, 3 scales.
    const tb_shape shape{3, 3};
    Bytes bytes;
    ASSERT_EQ(pack(scalar(), {-127, 2.5F, 0.5F, 0, 0, 0, 0.25F, -254, 3}, shape, bytes).code,
              TB_OK);
    ASSERT_EQ(bytes.size(), 24U);
    // Row 0 has the scale 1: halves go to even. Row 2 has 2, and 3 / 2 is between 1 and 2.
    const Bytes integers = {0x81, 2, 0, 0, 0, 0, 0, 0x81, 2, 0, 0, 0};
    EXPECT_EQ(Bytes(bytes.begin(), bytes.begin() + 12), integers);
    EXPECT_EQ(scale_of(bytes, shape, 0), 1.0F);
    EXPECT_EQ(scale_of(bytes, shape, 1), 0.0F);
    EXPECT_EQ(scale_of(bytes, shape, 2), 2.0F);
}

TEST(Q8Row, PackedSizeIsAByteAWeightAndAFloatARow) {
    const tb_shape head{128256, 2560};  // of BitNet 2B-4T
    EXPECT_EQ(scalar().packed_size(&head, nullptr), 128256U * 2564U);
}

// So that a file of this layout can be written anew without a change, and be proved on its rows.
TEST(Q8Row, UnpackedRowsArePackedToTheSameBytes) {
    RandomStream random(1);
    const tb_shape shape{300, 67};
    Floats values(static_cast<size_t>(shape.n * shape.k));
    for (float& v : values) v = random.uniform() * 0.037F;
    for (const tb_kernel* k : all_kernels()) {
        if (std::string(k->layout) != "q8_row" || !runs_here(*k)) continue;
        Bytes first, second;
        Floats stored;
        ASSERT_EQ(pack(*k, values, shape, first).code, TB_OK);
        ASSERT_EQ(unpack(*k, first, shape, stored).code, TB_OK);
        ASSERT_EQ(pack(*k, stored, shape, second).code, TB_OK);
        EXPECT_EQ(first, second) << k->id;
        for (size_t i = 0; i < values.size(); ++i) {
            const float scale = scale_of(first, shape, static_cast<int64_t>(i) / shape.k);
            EXPECT_LE(std::fabs(values[i] - stored[i]), scale * 0.501F);
        }
    }
}

TEST(Q8Row, WeightsThatAreNotNumbersAreRefused) {
    Bytes bytes;
    for (const float bad : {std::nanf(""), -std::nanf(""), std::numeric_limits<float>::infinity(),
                            -std::numeric_limits<float>::infinity()}) {
        EXPECT_EQ(pack(scalar(), {1, 2, bad, 3}, {2, 2}, bytes).code, TB_BAD_WEIGHT) << bad;
    }
    const tb_weights none{nullptr, nullptr, 2, nullptr};
    const tb_shape shape{1, 2};
    EXPECT_EQ(scalar().pack(&shape, nullptr, &none, 0, 1, bytes.data()).code, TB_BAD_INPUT);
    const tb_shape too_long{1, (1 << 16) + 1};
    EXPECT_EQ(scalar().accepts(&too_long, nullptr).code, TB_BAD_SHAPE);
}

TEST(Q8Row, BytesThatNoPackerWritesAreRefused) {
    const tb_shape shape{2, 4};
    Bytes good;
    Floats values;
    ASSERT_EQ(pack(scalar(), {1, 2, 3, 4, 5, 6, 7, 8}, shape, good).code, TB_OK);
    Bytes bad = good;
    bad[5] = 0x80;
    EXPECT_EQ(unpack(scalar(), bad, shape, values).code, TB_BAD_WEIGHT);
    for (const float scale : {-1.0F, std::nanf(""), std::numeric_limits<float>::infinity()}) {
        bad = good;
        std::memcpy(bad.data() + 12, &scale, sizeof scale);
        EXPECT_EQ(unpack(scalar(), bad, shape, values).code, TB_BAD_WEIGHT) << scale;
    }
}

// ---- bugs that the gate and the proof of a cell must find ---------------------------------------

tb_status pack_with_any_scale(const tb_shape* s, const tb_tile* tile, const tb_weights* w,
                              int64_t begin, int64_t end, void* packed) {
    const tb_status status = scalar().pack(s, tile, w, begin, end, packed);
    auto* scales = static_cast<uint8_t*>(packed) + (s->n * s->k + 3) / 4 * 4;
    for (int64_t n = begin; n < end; ++n) {
        const auto row = static_cast<size_t>(n - begin);
        float most = 0;
        for (int64_t k = 0; k < s->k; ++k) {
            most = std::fmax(most, std::fabs(w->values[static_cast<int64_t>(row) * w->ld + k]));
        }
        const float all_bits = most / 127.0F;  // 24 bits: not what the layout says
        std::memcpy(scales + 4 * n, &all_bits, sizeof all_bits);
    }
    return status;
}

// One scale for all rows.
void multiply_with_first_scale(const tb_product* p) {
    scalar().gemm(p);
    float first = 0, own = 0;
    const auto* scales =
        static_cast<const uint8_t*>(p->packed) + (p->shape.n * p->shape.k + 3) / 4 * 4;
    std::memcpy(&first, scales, sizeof first);
    for (int64_t n = p->n_begin; n < p->n_end; ++n) {
        std::memcpy(&own, scales + 4 * n, sizeof own);
        for (int64_t m = 0; m < p->m; ++m) p->y[m * p->ldy + n] *= own > 0 ? first / own : 1;
    }
}

// The last column is forgotten where K is odd.
void accumulate_even(const tb_product* p) {
    scalar().accumulate(p);
    if (p->shape.k % 2 == 0) return;
    const tb_int8_batch x = tb_int8_open(&p->shape, p->prepared, p->m);
    const auto* q = static_cast<const int8_t*>(p->packed);
    for (int64_t n = p->n_begin; n < p->n_end; ++n) {
        for (int64_t m = 0; m < p->m; ++m) {
            p->acc[m * p->ldy + n] -= q[(n + 1) * p->shape.k - 1] * x.q[m * x.kp + p->shape.k - 1];
        }
    }
}

TEST(Q8Row, TheGateFindsWrongScalesSumsAndPackers) {
    const tb_tile tile = default_tile(scalar());
    EXPECT_EQ(run_gate(scalar(), tile, GateDepth::Quick).proof, Proof::BitExact);
    tb_kernel bug = scalar();
    bug.pack = pack_with_any_scale;
    EXPECT_FALSE(run_gate(bug, tile, GateDepth::Quick).ok());
    bug = scalar();
    bug.gemv = bug.gemm = multiply_with_first_scale;
    EXPECT_FALSE(run_gate(bug, tile, GateDepth::Quick).ok());
    bug = scalar();
    bug.accumulate = accumulate_even;
    EXPECT_FALSE(run_gate(bug, tile, GateDepth::Quick).ok());
}

TEST(Q8Row, TheProofOfACellFindsOneWrongByteAndOneWrongScale) {
    const tb_kernel& kernel = scalar();
    const tb_tile tile = default_tile(kernel);
    const tb_shape shape{200, 96};
    const RowProvider rows = random_ternary_rows(shape, 5);
    ThreadPool pool(2, {}, false);
    const CellProof proof(pool, kernel, tile, shape, rows, 6);
    const TestActivations x = random_activations(3, shape.k, 7);
    PreparedBatch prepared;
    prepared.reserve(kernel, tile, shape, x.m);
    prepared.prepare(pool, kernel, tile, shape, x.x.data(), x.m, x.k);
    ProductScratch scratch;
    PackedWeights weights = pack_weights(pool, kernel, tile, shape, rows);
    EXPECT_EQ(proof.check(pool, weights, prepared, x, scratch).proof, Proof::BitExact);
    auto* bytes = weights.storage.as<uint8_t>();
    bytes[101 * 96 + 40] ^= 1;
    EXPECT_FALSE(proof.check(pool, weights, prepared, x, scratch).ok());
    bytes[101 * 96 + 40] ^= 1;
    EXPECT_TRUE(proof.check(pool, weights, prepared, x, scratch).ok());
    bytes[200 * 96 + 4 * 101 + 1] ^= 1;
    EXPECT_FALSE(proof.check(pool, weights, prepared, x, scratch).ok());
}

}  // namespace
}  // namespace tritbench
