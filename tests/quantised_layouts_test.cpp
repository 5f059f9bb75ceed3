// The block formats q8_0, q4_0 and q6_k: their bytes, their rounding, their activations, and that
// the gate and the proof of a cell bite on what goes wrong with blocks.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "harness/verify/gate.h"
#include "harness/verify/proof.h"
#include "harness/verify/random_data.h"
#include "kernels/api/half.h"
#include "kernels/api/prepared_block.h"
#include "kernels/api/registry.h"
#include "kernels/reference/oracle.h"
#include "model/aligned_buffer.h"

namespace tritbench {
namespace {

using Bytes = std::vector<uint8_t>;
using Floats = std::vector<float>;

const char* const kLayouts[] = {"q8_0", "q4_0", "q6_k"};

const tb_kernel& kernel(const std::string& id) {
    return *match_kernels(id).front();
}

Floats random_floats(int64_t count, uint64_t seed, float scale = 1) {
    RandomStream random(seed);
    Floats x(static_cast<size_t>(count));
    for (float& v : x) v = (random.uniform() + random.uniform()) * scale;
    return x;
}

tb_status pack(const tb_kernel& k, const Floats& values, tb_shape shape, Bytes& bytes) {
    bytes.assign(k.packed_size(&shape, nullptr), 0xee);
    const tb_weights w{nullptr, values.data(), shape.k, nullptr};
    return k.pack(&shape, nullptr, &w, 0, shape.n, bytes.data());
}

Bytes pack_row(const std::string& layout, const Floats& values) {
    Bytes bytes;
    const tb_shape shape{1, static_cast<int64_t>(values.size())};
    EXPECT_EQ(pack(kernel(layout + "_scalar"), values, shape, bytes).code, TB_OK);
    return bytes;
}

Floats unpack(const tb_kernel& k, const Bytes& bytes, tb_shape shape) {
    Floats values(static_cast<size_t>(shape.n * shape.k), 77);
    const tb_weights_out w{nullptr, values.data(), shape.k, nullptr};
    EXPECT_EQ(k.unpack(&shape, nullptr, bytes.data(), 0, shape.n, &w).code, TB_OK);
    return values;
}

// ---- golden blocks, by hand from ggml-common.h and ggml-quants.c -------------------------------

TEST(Q8_0, GoldenBlock) {
    Floats x(32, 0.0F);
    x[0] = -127;  // d = 1 = 0x3c00
    x[1] = 127;
    x[2] = 0.5F;  // halves go away from zero
    x[3] = -0.5F;
    x[4] = 2.5F;
    x[5] = 0x1.fffffep-2F;  // just below one half
    x[31] = 100.4F;
    Bytes expected(34, 0);
    expected[1] = 0x3c;
    expected[2] = 0x81;
    expected[3] = 127;
    expected[4] = 1;
    expected[5] = 0xff;
    expected[6] = 3;
    expected[33] = 100;
    EXPECT_EQ(pack_row("q8_0", x), expected);
}

TEST(Q4_0, GoldenBlock) {
    Floats x(32, 0.0F);  // code 8
    x[0] = -8;           // the largest: d = -8 / -8 = 1, code 0
    x[1] = 7;            // code 15
    x[2] = 8;            // would need code 16: 15
    x[15] = 1.4F;        // code 9
    x[16] = 0.5F;        // high nibble of byte 0: 8.5 + 0.5 = 9
    x[31] = -2;          // high nibble of byte 15: 6
    Bytes expected(18, 0x88);
    expected[0] = 0;
    expected[1] = 0x3c;
    expected[2] = 0x90;
    expected[3] = 0x8f;
    expected[4] = 0x8f;
    expected[17] = 0x69;
    EXPECT_EQ(pack_row("q4_0", x), expected);
    EXPECT_EQ(unpack(kernel("q4_0_scalar"), expected, {1, 32})[2], 7);
}

// A positive maximum makes the scale negative; a block of zeros has scale -0 and codes 8.
TEST(Q4_0, SignsOfTheScale) {
    Floats x(64, 0.0F);
    x[0] = 8;   // d = -1, code 0
    x[1] = -7;  // code 15
    const Bytes bytes = pack_row("q4_0", x);
    EXPECT_EQ((Bytes{bytes.begin(), bytes.begin() + 4}), (Bytes{0, 0xbc, 0x80, 0x8f}));
    EXPECT_EQ((Bytes{bytes.begin() + 18, bytes.begin() + 21}), (Bytes{0, 0x80, 0x88}));
}

// Every group of 16 begins with -32, so that its best scale is 1; the largest scale gets -128, so
// that d = -1/128 = 0xa000. Column 1 is 31 (code 63), 33 is 1 (33), 65 is -1 (31), 97 is 5 (37).
TEST(Q6_K, GoldenBlock) {
    Floats x(256, 0.0F);  // code 32: low 0, high 2
    for (size_t g = 0; g < 16; ++g) x[16 * g] = -32;
    x[1] = 31;
    x[33] = 1;
    x[65] = -1;
    x[97] = 5;
    x[128 + 127] = 6;  // code 38: low 6, high 2: second half, ql byte 63, high nibble
    Bytes expected(210, 0);
    std::fill_n(expected.begin() + 128, 64, 0xaa);
    for (const size_t l : {0, 16, 32, 48}) expected[128 + l] = 0;  // codes 0
    expected[1] = 0xff;                                            // 15 and 15
    expected[33] = 0x51;
    expected[128 + 1] = 3 | 2 << 2 | 1 << 4 | 2 << 6;
    expected[64 + 63] = 0x60;
    std::fill_n(expected.begin() + 192, 16, 0x80);
    expected[209] = 0xa0;
    EXPECT_EQ(pack_row("q6_k", x), expected);
    EXPECT_EQ(unpack(kernel("q6_k_scalar"), expected, {1, 256}), x);
}

TEST(Q6_K, ZerosAreZeroBytes) {
    EXPECT_EQ(pack_row("q6_k", Floats(512, 0.0F)), Bytes(420, 0));
    Floats x(256, 0.0F);  // one group of zeros beside others: its codes are 0, its scale 0
    x[16] = 1;
    const Bytes bytes = pack_row("q6_k", x);
    EXPECT_EQ(bytes[0] & 15, 0);
    EXPECT_EQ(bytes[192], 0);
    EXPECT_EQ(bytes[193], 0x80);
}

// ---- rounding ----------------------------------------------------------------------------------

double relative_error(const Floats& found, const Floats& expected) {
    double error = 0, power = 0;
    for (size_t i = 0; i < found.size(); ++i) {
        const double e = static_cast<double>(found[i]) - static_cast<double>(expected[i]);
        error += e * e;
        power += static_cast<double>(expected[i]) * static_cast<double>(expected[i]);
    }
    return error / power;
}

TEST(QuantisedLayouts, RoundTripsAsWellAsTheirBitsAllow) {
    const tb_shape shape{16, 2560};
    const Floats x = random_floats(shape.n * shape.k, 5, 0.02F);
    for (const auto& [layout, error] :
         {std::pair{"q8_0", 4e-5}, std::pair{"q4_0", 8e-3}, std::pair{"q6_k", 4e-4}}) {
        const tb_kernel& k = kernel(std::string(layout) + "_scalar");
        Bytes bytes;
        ASSERT_EQ(pack(k, x, shape, bytes).code, TB_OK);
        EXPECT_LT(relative_error(unpack(k, bytes, shape), x), error) << layout;
        EXPECT_GT(relative_error(unpack(k, bytes, shape), x), error / 4) << layout;
    }
}

// Scales down to where half precision has no more bits: within the step that the oracle allows.
TEST(QuantisedLayouts, EveryMagnitudeStaysWithinItsStep) {
    for (const char* layout : kLayouts) {
        for (const float scale :
             {1e5F, 100.0F, 1.0F, 1e-3F, 1e-5F, 1e-7F, 1e-12F, 1e-30F, 1e-42F}) {
            Floats x = random_floats(512, 6, scale);
            for (size_t i = 0; i < 256; i += 3) x[i] *= 1e-3F;  // groups of unequal size
            const Bytes bytes = pack_row(layout, x);
            const auto row = reference::read_blocks(layout, bytes.data(), 512);
            ASSERT_TRUE(row);
            for (int64_t i = 0; i < 512; ++i) {
                const auto at = static_cast<size_t>(i);
                EXPECT_LE(std::fabs(row->weight(i) - x[at]), row->step[at / 32])
                    << layout << " scale " << scale << " column " << i;
            }
        }
    }
}

TEST(QuantisedLayouts, WhatTheyCannotHoldIsRefused) {
    for (const tb_kernel* k : match_kernels("q8_0_*,q4_0_*,q6_k_*")) {
        if (!runs_here(*k)) continue;
        const tb_shape shape{1, 256};
        Bytes bytes;
        Floats x(256, 1.0F);
        for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity(), 3e38F}) {
            x[200] = bad;
            EXPECT_EQ(pack(*k, x, shape, bytes).code, TB_BAD_WEIGHT) << k->id << " " << bad;
        }
        x[200] = 1;
        EXPECT_EQ(pack(*k, x, shape, bytes).code, TB_OK) << k->id;
        Floats out(256);
        const tb_weights_out o{nullptr, out.data(), 256, nullptr};
        Bytes damaged = bytes;  // a scale of infinity in the last block
        const size_t d = k->k_multiple == 256 ? 208 : bytes.size() - bytes.size() / 8;
        damaged[d] = 0;
        damaged[d + 1] = 0x7c;
        EXPECT_EQ(k->unpack(&shape, nullptr, damaged.data(), 0, 1, &o).code, TB_BAD_WEIGHT)
            << k->id;
        if (std::string(k->layout) == "q8_0") {
            damaged = bytes;
            damaged[33] = 0x80;  // -128, which ggml never writes
            EXPECT_EQ(k->unpack(&shape, nullptr, damaged.data(), 0, 1, &o).code, TB_BAD_WEIGHT);
        }
        for (const int64_t columns : {1, 31, 33, 255, 257}) {
            const tb_shape ragged{4, columns};
            EXPECT_EQ(k->accepts(&ragged, nullptr).code, TB_BAD_SHAPE) << k->id << " " << columns;
        }
        const tb_shape blocks_of_32{4, 96};
        EXPECT_EQ(k->accepts(&blocks_of_32, nullptr).code == TB_OK, k->k_multiple == 32) << k->id;
    }
}

// ---- activations -------------------------------------------------------------------------------

tb_status prepare(const Floats& x, int64_t begin, int64_t end,
                  std::vector<tb_block32_chunk>& chunks) {
    const tb_shape shape{1, static_cast<int64_t>(x.size())};
    const float none = 0;
    tb_activations act{};
    act.m = 1;
    act.ld = shape.k;
    act.x = x.data();
    act.absmax = &none;
    chunks.resize(static_cast<size_t>(tb_block32_chunks(shape.k)));
    return tb_block32_prepare(&shape, nullptr, &act, 0, 1, begin, end, chunks.data());
}

TEST(PreparedBlock, HoldsWhatTheOracleQuantises) {
    for (const int64_t k : {32, 64, 256, 288, 1000, 2560}) {
        Floats x = random_floats(k, 7, 100);
        std::fill_n(x.begin(), 32, 0.0F);                      // a block of zeros
        if (k >= 64) std::fill_n(x.begin() + 32, 32, 1e-35F);  // too small to divide by
        if (k >= 256) std::fill_n(x.begin() + 64, 32, -127.0F);
        std::vector<int8_t> q(x.size());
        Floats scale(static_cast<size_t>((k + 31) / 32));
        reference::quantise_blocks(x.data(), k, q.data(), scale.data());
        std::vector<tb_block32_chunk> chunks(static_cast<size_t>(tb_block32_chunks(k)));
        std::memset(chunks.data(), 0x55, chunks.size() * sizeof(tb_block32_chunk));
        ASSERT_EQ(prepare(x, 0, k, chunks).code, TB_OK);
        for (int64_t i = 0; i < static_cast<int64_t>(chunks.size()) * 256; ++i) {
            const tb_block32_chunk& c = chunks[static_cast<size_t>(i / 256)];
            const int64_t b = i % 256 / 32, half = i % 32 / 16;
            EXPECT_EQ(c.q[tb_block32_position(i % 256) / 32][tb_block32_position(i % 256) % 32],
                      i < k ? q[static_cast<size_t>(i)] : 0);
            if (i % 32 == 0) {
                EXPECT_EQ(c.scale[b], i < k ? scale[static_cast<size_t>(i / 32)] : 0) << i;
            }
            if (i % 16 != 0) continue;
            int sum = 0;
            for (int64_t j = i; j < std::min(i + 16, k); ++j) sum += q[static_cast<size_t>(j)];
            EXPECT_EQ(c.sums[half][b], sum) << i;
        }
    }
}

TEST(PreparedBlock, GivenInt8RowsAreKeptWithTheScaleOfTheirToken) {
    const tb_shape shape{1, 96};
    std::vector<int8_t> q(96, -128);
    q[40] = 127;
    const float scale = 0.25F;
    tb_activations act{};
    act.m = 1;
    act.ld = 96;
    act.q = q.data();
    act.q_scale = &scale;
    tb_block32_chunk c;
    ASSERT_EQ(tb_block32_prepare(&shape, nullptr, &act, 0, 1, 0, 96, &c).code, TB_OK);
    for (int64_t k = 0; k < 256; ++k) {
        EXPECT_EQ(c.q[tb_block32_position(k) / 32][tb_block32_position(k) % 32],
                  k < 96 ? q[static_cast<size_t>(k)] : 0)
            << k;
    }
    EXPECT_EQ(c.scale[2], 0.25F);
    EXPECT_EQ(c.scale[3], 0.0F);
    EXPECT_EQ(c.sums[0][0], -2048);
    EXPECT_EQ(c.sums[0][1], -2048 + 255);
    EXPECT_EQ(c.sums[1][1], -2048);
    EXPECT_EQ(c.sums[0][3], 0);
}

TEST(PreparedBlock, PositionsAreAPermutationWithADwordOfAllBlocksTogether) {
    std::vector<int> seen(256, 0);
    for (int64_t k = 0; k < 256; ++k) ++seen[static_cast<size_t>(tb_block32_position(k))];
    EXPECT_EQ(seen, std::vector<int>(256, 1));
    EXPECT_EQ(tb_block32_position(0), 0);
    EXPECT_EQ(tb_block32_position(32), 4);   // the next block: the next lane
    EXPECT_EQ(tb_block32_position(16), 32);  // dword 4: second half of the first 64 bytes
    EXPECT_EQ(tb_block32_position(4), 64);
}

TEST(PreparedBlock, RefusesWhatIsNotFiniteAndRangesOffTheStep) {
    std::vector<tb_block32_chunk> chunks;
    for (const float bad :
         {std::nanf(""), -std::nanf(""), std::numeric_limits<float>::infinity()}) {
        for (const size_t at : {size_t{0}, size_t{300}, size_t{319}}) {
            Floats x(320, 1.0F);
            x[at] = bad;
            EXPECT_EQ(prepare(x, 0, 320, chunks).code, TB_BAD_INPUT) << at;
        }
    }
    const Floats x(320, 1.0F);
    EXPECT_EQ(prepare(x, 32, 320, chunks).code, TB_BAD_RANGE);
    EXPECT_EQ(prepare(x, 0, 32, chunks).code, TB_BAD_RANGE);
    EXPECT_EQ(prepare(x, 256, 320, chunks).code, TB_OK);
}

// ---- products ----------------------------------------------------------------------------------

// Several panels of rows, batches around the tile of four, both prefetch tiles: the bits of the
// oracle from every kernel.
TEST(QuantisedLayouts, LargeProductsEqualTheOracleOnEveryIsa) {
    const tb_shape shape{301, 2560};
    const Floats w = random_floats(shape.n * shape.k, 8, 0.1F);
    const Floats x = random_floats(9 * shape.k, 9);
    for (const char* layout : kLayouts) {
        Bytes bytes;
        ASSERT_EQ(pack(kernel(std::string(layout) + "_scalar"), w, shape, bytes).code, TB_OK);
        Floats expected;
        for (int64_t m = 0; m < 9; ++m) {
            std::vector<int8_t> q(2560);
            Floats dx(80);
            reference::quantise_blocks(x.data() + m * 2560, 2560, q.data(), dx.data());
            for (int64_t n = 0; n < shape.n; ++n) {
                const auto row = reference::read_blocks(
                    layout, bytes.data() + bytes.size() / 301 * static_cast<size_t>(n), 2560);
                expected.push_back(reference::dot_blocks(*row, q.data(), dx.data(), 2560));
            }
        }
        for (const tb_kernel* k : match_kernels(std::string(layout) + "_*")) {
            if (!runs_here(*k)) continue;
            for (const tb_tile& tile : all_tiles(*k)) {
                for (const int64_t m : {1, 4, 9}) {
                    const Floats none(9, 0.0F);
                    tb_activations act{};
                    act.m = m;
                    act.ld = 2560;
                    act.x = x.data();
                    act.absmax = none.data();
                    AlignedBuffer prepared(k->prepared_size(&shape, &tile, m));
                    ASSERT_EQ(k->prepare(&shape, &tile, &act, 0, m, 0, 2560, prepared.data()).code,
                              TB_OK);
                    Floats y(static_cast<size_t>(m * shape.n), std::nanf(""));
                    tb_product p{};
                    p.shape = shape;
                    p.tile = &tile;
                    p.packed = bytes.data();
                    p.prepared = prepared.data();
                    p.m = m;
                    p.n_end = shape.n;
                    p.y = y.data();
                    p.ldy = shape.n;
                    k->gemm(&p);
                    EXPECT_EQ(std::memcmp(y.data(), expected.data(), y.size() * sizeof(float)), 0)
                        << k->id << " M=" << m;
                }
            }
        }
    }
}

// ---- the gate bites ----------------------------------------------------------------------------

using Operation = void (*)(const tb_product*);

template <int kLayout>
const tb_kernel& real() {
    static const tb_kernel& k = kernel(std::string(kLayouts[kLayout]) + "_scalar");
    return k;
}

constexpr int kQ80 = 0, kQ40 = 1, kQ6K = 2;

template <int kLayout>
tb_kernel with(Operation product) {
    tb_kernel k = real<kLayout>();
    k.id = "mutant";
    k.gemv = k.gemm = product;
    return k;
}

std::string found(const tb_kernel& k) {
    const ProofResult result = quick_gate(k, default_tile(k));
    return result.ok() ? "" : result.reason;
}

// The product of weights in which damage(bytes of row n, n, K) went wrong.
template <int kLayout, class Damage>
void with_damaged_rows(const tb_product* p, Damage damage) {
    const size_t size = real<kLayout>().packed_size(&p->shape, p->tile);
    Bytes bytes(size);
    std::memcpy(bytes.data(), p->packed, size);
    const int64_t row = static_cast<int64_t>(size) / p->shape.n;
    for (int64_t n = 0; n < p->shape.n; ++n) damage(bytes.data() + n * row, n, p->shape.k);
    tb_product damaged = *p;
    damaged.packed = bytes.data();
    real<kLayout>().gemm(&damaged);
}

void swap_nibbles(uint8_t* row, int64_t k) {
    for (int64_t i = 0; i < k / 32 * 18; ++i) {
        if (i % 18 >= 2) row[i] = static_cast<uint8_t>(row[i] << 4 | row[i] >> 4);
    }
}

TEST(QuantisedGate, TheWrappersThemselvesPass) {
    EXPECT_EQ(found(with<kQ80>([](const tb_product* p) {
                  with_damaged_rows<kQ80>(p, [](uint8_t*, int64_t, int64_t) {});
              })),
              "");
    EXPECT_EQ(found(with<kQ40>([](const tb_product* p) {
                  with_damaged_rows<kQ40>(p, [](uint8_t*, int64_t, int64_t) {});
              })),
              "");
    EXPECT_EQ(found(with<kQ6K>([](const tb_product* p) {
                  with_damaged_rows<kQ6K>(p, [](uint8_t*, int64_t, int64_t) {});
              })),
              "");
}

// One bit of the scale of one block, and the neighbour's scale.
TEST(QuantisedGate, FindsTheWrongScaleOfOneBlock) {
    EXPECT_NE(found(with<kQ80>([](const tb_product* p) {
                  with_damaged_rows<kQ80>(p, [](uint8_t* row, int64_t n, int64_t k) {
                      if (n == 2 && k > 256) row[34 * 8] ^= 1;
                  });
              })),
              "");
    EXPECT_NE(found(with<kQ40>([](const tb_product* p) {
                  with_damaged_rows<kQ40>(p, [](uint8_t* row, int64_t n, int64_t k) {
                      if (n == 0 && k >= 64) std::memcpy(row, row + 18, 2);
                  });
              })),
              "");
    EXPECT_NE(found(with<kQ6K>([](const tb_product* p) {
                  with_damaged_rows<kQ6K>(p, [](uint8_t* row, int64_t n, int64_t) {
                      if (n == 0) std::swap(row[192 + 5], row[192 + 6]);
                  });
              })),
              "");
}

TEST(QuantisedGate, FindsSwappedNibbles) {
    EXPECT_NE(found(with<kQ40>([](const tb_product* p) {
                  with_damaged_rows<kQ40>(
                      p, [](uint8_t* row, int64_t, int64_t k) { swap_nibbles(row, k); });
              })),
              "");
}

// A packer and a product that agree with each other, and not with ggml.
TEST(QuantisedGate, FindsALayoutOfItsOwn) {
    tb_kernel k = with<kQ40>([](const tb_product* p) {
        with_damaged_rows<kQ40>(
            p, [](uint8_t* row, int64_t, int64_t columns) { swap_nibbles(row, columns); });
    });
    k.pack = [](const tb_shape* s, const tb_tile* tile, const tb_weights* w, int64_t begin,
                int64_t end, void* packed) {
        const tb_status status = real<kQ40>().pack(s, tile, w, begin, end, packed);
        const int64_t row = s->k / 32 * 18;
        swap_nibbles(static_cast<uint8_t*>(packed) + begin * row, (end - begin) * s->k);
        return status;
    };
    k.unpack = [](const tb_shape* s, const tb_tile* tile, const void* packed, int64_t begin,
                  int64_t end, const tb_weights_out* w) {
        Bytes bytes(real<kQ40>().packed_size(s, tile));
        std::memcpy(bytes.data(), packed, bytes.size());
        swap_nibbles(bytes.data(), s->n * s->k);
        return real<kQ40>().unpack(s, tile, bytes.data(), begin, end, w);
    };
    EXPECT_NE(found(k), "");
}

TEST(QuantisedGate, FindsHighBitsOfTheLastQuarterDropped) {
    EXPECT_NE(found(with<kQ6K>([](const tb_product* p) {
                  with_damaged_rows<kQ6K>(p, [](uint8_t* row, int64_t, int64_t k) {
                      for (int64_t i = 0; i < k / 256 * 210; ++i) {
                          if (i % 210 >= 128 && i % 210 < 192) row[i] &= 0x3f;
                      }
                  });
              })),
              "");
}

// Codes 0..15 (0..63) without the 8 (32): what a kernel gives whose sums of activations are zero.
void forget_the_sums(tb_kernel& k) {
    k.prepare = [](const tb_shape* s, const tb_tile* tile, const tb_activations* act, int64_t m0,
                   int64_t m1, int64_t k0, int64_t k1, void* prepared) {
        const tb_status status = tb_block32_prepare(s, tile, act, m0, m1, k0, k1, prepared);
        auto* chunks = static_cast<tb_block32_chunk*>(prepared);
        for (int64_t m = m0; m < m1; ++m) {
            for (int64_t i = k0 / 256; i < (k1 + 255) / 256; ++i) {
                auto& sums = chunks[m * tb_block32_chunks(s->k) + i].sums;
                std::memset(sums, 0, sizeof sums);
            }
        }
        return status;
    };
}

TEST(QuantisedGate, FindsAForgottenOffset) {
    int tried = 0;
    for (const tb_kernel* right : match_kernels("q4_0_*,q6_k_*,q8_0_avx512vnni,!*_scalar")) {
        if (!runs_here(*right)) continue;
        tb_kernel k = *right;
        forget_the_sums(k);
        EXPECT_NE(found(k), "") << right->id;
        ++tried;
    }
    if (tried == 0) GTEST_SKIP() << "only the scalar kernels run here, which need no sums";
}

// Within the bound, but not the order that is promised: another ISA would give other bits.
TEST(QuantisedGate, FindsSumsInAnotherOrder) {
    const std::string wrong = found(with<kQ80>([](const tb_product* p) {
        Bytes none;
        for (int64_t m = 0; m < p->m; ++m) {
            const tb_block32_chunk* x = tb_block32_token(&p->shape, p->prepared, m);
            for (int64_t n = p->n_begin; n < p->n_end; ++n) {
                const uint8_t* row =
                    static_cast<const uint8_t*>(p->packed) + n * (p->shape.k / 32 * 34);
                float y = 0;
                for (int64_t b = 0; b < p->shape.k / 32; ++b) {
                    uint16_t d;
                    std::memcpy(&d, row + 34 * b, 2);
                    int32_t sum = 0;
                    for (int64_t i = 0; i < 32; ++i) {
                        const int64_t at = tb_block32_position(b % 8 * 32 + i);
                        sum +=
                            static_cast<int8_t>(row[34 * b + 2 + i]) * x[b / 8].q[at / 32][at % 32];
                    }
                    y = std::fma(tb_half_to_float(d) * x[b / 8].scale[b % 8],
                                 static_cast<float>(sum), y);
                }
                p->y[m * p->ldy + n] = y;
            }
        }
    }));
    EXPECT_NE(wrong.find("in the order of the contract"), std::string::npos) << wrong;
}

TEST(QuantisedGate, FindsActivationsQuantisedOtherwise) {
    tb_kernel truncating = real<kQ80>();
    truncating.prepare = [](const tb_shape* s, const tb_tile* tile, const tb_activations* act,
                            int64_t m0, int64_t m1, int64_t k0, int64_t k1, void* prepared) {
        const tb_status status = tb_block32_prepare(s, tile, act, m0, m1, k0, k1, prepared);
        auto* chunks = static_cast<tb_block32_chunk*>(prepared);
        if (act->x != nullptr && m0 == 0) chunks[k0 / 256].q[0][0] += 1;
        return status;
    };
    EXPECT_NE(found(truncating), "");
    tb_kernel half_scale = real<kQ80>();  // the scale rounded to half, as llama.cpp stores it
    half_scale.prepare = [](const tb_shape* s, const tb_tile* tile, const tb_activations* act,
                            int64_t m0, int64_t m1, int64_t k0, int64_t k1, void* prepared) {
        const tb_status status = tb_block32_prepare(s, tile, act, m0, m1, k0, k1, prepared);
        auto* chunks = static_cast<tb_block32_chunk*>(prepared);
        for (int64_t m = m0; m < m1; ++m) {
            for (float& scale : chunks[m * tb_block32_chunks(s->k) + k0 / 256].scale) {
                scale = tb_half_to_float(tb_float_to_half(scale));
            }
        }
        return status;
    };
    EXPECT_NE(found(half_scale), "");
}

TEST(QuantisedGate, RefusesALayoutThatTheOracleCannotRead) {
    tb_kernel k = real<kQ80>();
    k.layout = "q9_9";
    EXPECT_NE(found(k).find("q9_9"), std::string::npos) << found(k);
}

// ---- the proof of one cell ---------------------------------------------------------------------

struct Cell {
    ThreadPool pool{2, {}, false};
    tb_shape shape{1500, 512};
    RowProvider rows = random_ternary_rows(shape, 21);
    TestActivations x = random_activations(3, 512, 22);
    ProductScratch scratch;

    ProofResult check(const tb_kernel& k, const std::function<void(uint8_t*)>& damage = {}) {
        const tb_tile tile = default_tile(k);
        PackedWeights packed = pack_weights(pool, k, tile, shape, rows);
        if (damage) damage(packed.storage.as<uint8_t>());
        PreparedBatch prepared;
        prepared.reserve(k, tile, shape, x.m);
        prepared.prepare(pool, k, tile, shape, x.x.data(), x.m, x.k);
        return CellProof(pool, k, tile, shape, rows, 23).check(pool, packed, prepared, x, scratch);
    }
};

TEST(QuantisedCellProof, RightKernelsPass) {
    for (const tb_kernel* k : match_kernels("q8_0_*,q4_0_*,q6_k_*")) {
        if (!runs_here(*k)) continue;
        const ProofResult result = Cell().check(*k);
        EXPECT_TRUE(result.ok()) << k->id << ": " << result.reason;
        EXPECT_EQ(result.proof, Proof::Bounded);
    }
}

// Damage in one of 1500 rows: no sampled row need see it, the signed sum over all rows does.
TEST(QuantisedCellProof, OneDamagedBlockIsFound) {
    const auto nothing = [](uint8_t*) {};
    EXPECT_TRUE(Cell().check(real<kQ40>(), nothing).ok());
    for (const int64_t row : {int64_t{0}, int64_t{777}, int64_t{1499}}) {
        const std::pair<const tb_kernel*, std::function<void(uint8_t*)>> damages[] = {
            {&real<kQ80>(), [&](uint8_t* w) { w[row * 544 + 34 * 5 + 1] ^= 4; }},  // a scale
            {&real<kQ80>(), [&](uint8_t* w) { w[row * 544 + 34 * 7 + 20] ^= 64; }},
            {&real<kQ40>(), [&](uint8_t* w) { w[row * 288 + 18 * 3 + 1] ^= 4; }},
            {&real<kQ40>(), [&](uint8_t* w) { swap_nibbles(w + row * 288 + 18 * 9, 32); }},
            {&real<kQ6K>(), [&](uint8_t* w) { w[row * 420 + 192 + 3] ^= 32; }},
            {&real<kQ6K>(), [&](uint8_t* w) { w[row * 420 + 210 + 128 + 7] ^= 0xff; }},
        };
        for (const auto& [k, damage] : damages) {
            EXPECT_FALSE(Cell().check(*k, damage).ok()) << k->id << " row " << row;
        }
    }
}

TEST(QuantisedCellProof, AForgottenOffsetIsFound) {
    for (const tb_kernel* right : match_kernels("q4_0_avx2,q6_k_avx2")) {
        if (!runs_here(*right)) GTEST_SKIP() << why_not_here(*right);
        tb_kernel k = *right;
        forget_the_sums(k);
        EXPECT_FALSE(Cell().check(k).ok()) << right->id;
    }
}

TEST(QuantisedCellProof, OneWrongOutputIsFound) {
    EXPECT_FALSE(Cell()
                     .check(with<kQ6K>([](const tb_product* p) {
                         real<kQ6K>().gemm(p);
                         if (p->n_begin <= 777 && 777 < p->n_end) p->y[2 * p->ldy + 777] *= 1.1F;
                     }))
                     .ok());
}

}  // namespace
}  // namespace tritbench
