// ik_llama.cpp's ternary types: the bytes of IQ1_BN, IQ2_BN and IQ2_BN_R4, what is refused, and the
// products of both forms. Axes: N rows of W, K columns, M tokens.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "harness/verify/random_data.h"
#include "kernels/api/registry.h"
#include "kernels/reference/oracle.h"
#include "model/aligned_buffer.h"

namespace tritbench {
namespace {

using Bytes = std::vector<uint8_t>;
using Trits = std::vector<int8_t>;
using Floats = std::vector<float>;

const std::vector<std::string> kLayouts = {"iq1_bn", "iq2_bn", "iq2_bn_r4"};

// iq2_bn_* is the beginning of iq2_bn_r4_* too.
std::vector<const tb_kernel*> kernels_of(const std::string& layout) {
    std::vector<const tb_kernel*> found;
    for (const tb_kernel* k : match_kernels(layout + "_*")) {
        if (k->layout == layout && runs_here(*k)) found.push_back(k);
    }
    return found;
}

std::vector<const tb_kernel*> all_kernels() {
    std::vector<const tb_kernel*> found;
    for (const std::string& layout : kLayouts) {
        for (const tb_kernel* k : kernels_of(layout)) found.push_back(k);
    }
    return found;
}

int64_t interleaved(const tb_kernel& k) {
    return std::string(k.layout) == "iq2_bn_r4" ? 4 : 1;
}

struct Matrix {
    tb_shape shape;
    Trits trits;
    Floats scales;

    Matrix(int64_t n, int64_t k, float scale = 0.5F)
        : shape{n, k},
          trits(static_cast<size_t>(n * k), 0),
          scales(static_cast<size_t>(n), scale) {}

    int8_t& at(int64_t n, int64_t k) { return trits[static_cast<size_t>(n * shape.k + k)]; }

    tb_status pack(const tb_kernel& k, Bytes& bytes) const {
        bytes.assign(k.packed_size(&shape, nullptr), 0xee);
        const tb_weights w{trits.data(), nullptr, shape.k, scales.data()};
        return k.pack(&shape, nullptr, &w, 0, shape.n, bytes.data());
    }
    Bytes packed(const tb_kernel& k) const {
        Bytes bytes;
        EXPECT_EQ(pack(k, bytes).code, TB_OK);
        return bytes;
    }
};

struct Unpacked {
    tb_code code;
    Trits trits;
    Floats values, scales;
};

Unpacked unpack(const tb_kernel& k, const Bytes& bytes, tb_shape shape) {
    const auto count = static_cast<size_t>(shape.n * shape.k);
    Unpacked u{TB_OK, Trits(count, 77), Floats(count, 77), Floats(static_cast<size_t>(shape.n), 7)};
    const tb_weights_out w{u.trits.data(), u.values.data(), shape.k, u.scales.data()};
    u.code = k.unpack(&shape, nullptr, bytes.data(), 0, shape.n, &w).code;
    return u;
}

void expect_golden(const std::string& layout, const Matrix& m, const Bytes& expected) {
    for (const tb_kernel* k : kernels_of(layout)) {
        EXPECT_EQ(m.packed(*k), expected) << k->id;
        const Unpacked u = unpack(*k, expected, m.shape);
        EXPECT_EQ(u.code, TB_OK) << k->id;
        EXPECT_EQ(u.trits, m.trits) << k->id;
        EXPECT_EQ(u.scales, m.scales) << k->id;
    }
}

// ---- golden bytes, by hand ---------------------------------------------------------------------

// A byte is ceil(256 idx / 243) of idx = sum of (trit_j + 1) * 3^j, first column least significant.
// Zeros are 1 + 3 + 9 + 27 + 81 = 121: ceil(127.5) = 0x80; in byte 12, which has four columns, 40:
// ceil(42.1) = 0x2b. A row is a half-precision scale, 0.5 = 0x3800, and 13 bytes for 64 columns.
TEST(Iq1Bn, GoldenBytes) {
    Matrix m(2, 128);
    Bytes expected(56, 0x80);
    for (const size_t row : {0, 28}) {
        expected[row] = 0x00;
        expected[row + 1] = 0x38;
        expected[row + 2 + 12] = expected[row + 15 + 12] = 0x2b;
    }
    uint8_t* block = expected.data() + 2;
    m.at(0, 0) = 1;  // digit 0 of byte 0: 122, ceil(128.53)
    block[0] = 0x81;
    m.at(0, 6) = -1;  // byte 1 has columns 5..9; digit 1: 121 - 3 = 118, ceil(124.3)
    block[1] = 0x7d;
    m.at(0, 12) = 1;  // digit 2 of byte 2: 121 + 9 = 130, ceil(136.95)
    block[2] = 0x89;
    m.at(0, 19) = -1;  // column 16 begins byte 3; digit 3: 121 - 27 = 94, ceil(99.03)
    block[3] = 0x64;
    m.at(0, 25) = 1;  // 16 + 5 + 4, digit 4 of byte 4: 121 + 81 = 202, ceil(212.8)
    block[4] = 0xd5;
    for (int64_t k = 32; k < 37; ++k) m.at(0, k) = -1;  // byte 6: 0
    block[6] = 0x00;
    for (int64_t k = 58; k < 63; ++k) m.at(0, k) = 1;  // 48 + 10.., byte 11: 242, ceil(254.95)
    block[11] = 0xff;
    m.at(0, 15) = 1;   // every sixteenth column is in byte 12, this one digit 0,
    m.at(0, 63) = -1;  // this one digit 3: 40 + 1 - 27 = 14, ceil(14.7)
    block[12] = 0x0f;
    m.at(0, 64 + 47) = 1;  // digit 2 of byte 12 of the second block: 40 + 9 = 49, ceil(51.6)
    block[13 + 12] = 0x34;
    m.at(1, 64) = -1;  // the second row, the second block: 120, ceil(126.4)
    expected[28 + 2 + 13] = 0x7f;
    expect_golden("iq1_bn", m, expected);
}

// Codes trit + 1 of columns j, j + 16, j + 32, j + 48 at bits 0, 2, 4, 6 of byte j. Zeros are
// 01010101 = 0x55. A row is a float32 scale, 0.5 = 0x3f000000, and 16 bytes for 64 columns.
TEST(Iq2Bn, GoldenBytes) {
    Matrix m(2, 128);
    Bytes expected(72, 0x55);
    for (const size_t row : {0, 36}) {
        expected[row] = expected[row + 1] = expected[row + 2] = 0x00;
        expected[row + 3] = 0x3f;
    }
    uint8_t* block = expected.data() + 4;
    m.at(0, 0) = 1;
    block[0] = 0x56;  // 01 01 01 10
    m.at(0, 17) = -1;
    block[1] = 0x51;  // 01 01 00 01
    m.at(0, 34) = 1;
    block[2] = 0x65;  // 01 10 01 01
    m.at(0, 51) = -1;
    block[3] = 0x15;  // 00 01 01 01
    m.at(0, 4) = m.at(0, 20) = m.at(0, 36) = m.at(0, 52) = -1;
    block[4] = 0x00;
    m.at(0, 15) = m.at(0, 31) = m.at(0, 47) = m.at(0, 63) = 1;
    block[15] = 0xaa;
    m.at(0, 127) = 1;  // the second block
    block[31] = 0x95;  // 10 01 01 01
    m.at(1, 64) = -1;  // the second row, the second block
    expected[36 + 4 + 16] = 0x54;
    expect_golden("iq2_bn", m, expected);
}

// Four rows: four float32 scales, then 64 bytes for 64 columns of all four. Byte 16 l + 4 r + i has
// the codes of row r, columns 16 l + i + {0, 4, 8, 12} at bits 0, 2, 4, 6.
TEST(Iq2BnR4, GoldenBytes) {
    Matrix m(8, 128);
    Bytes expected(288, 0x55);
    const float scales[4] = {0.5F, 1, 2, 0.25F};
    const uint8_t scale_bytes[16] = {0, 0, 0, 0x3f, 0, 0, 0x80, 0x3f,
                                     0, 0, 0, 0x40, 0, 0, 0x80, 0x3e};
    for (const size_t group : {0, 1}) {
        std::copy(scales, scales + 4, m.scales.begin() + static_cast<int64_t>(4 * group));
        memcpy(expected.data() + 144 * group, scale_bytes, sizeof scale_bytes);
    }
    uint8_t* block = expected.data() + 16;
    m.at(0, 0) = 1;  // l = 0, i = 0, bits 1:0
    block[0] = 0x56;
    m.at(1, 5) = -1;  // l = 0, i = 1, bits 3:2; row 1 begins at byte 4
    block[4 + 1] = 0x51;
    m.at(2, 16 + 8 + 2) = 1;  // l = 1, i = 2, bits 5:4
    block[16 + 8 + 2] = 0x65;
    m.at(3, 63) = -1;  // l = 3, i = 3, bits 7:6
    block[48 + 12 + 3] = 0x15;
    m.at(3, 32) = m.at(3, 36) = m.at(3, 40) = m.at(3, 44) = -1;  // l = 2, i = 0
    block[32 + 12] = 0x00;
    m.at(0, 64 + 47) = 1;  // the second block, l = 2, i = 3, bits 7:6
    block[64 + 32 + 3] = 0x95;
    m.at(4, 64) = -1;  // the second four rows, the second block
    expected[144 + 16 + 64] = 0x54;
    expect_golden("iq2_bn_r4", m, expected);
}

// ---- sizes and shapes --------------------------------------------------------------------------

// Row sizes of ggml: nothing but blocks and the scale of the row.
TEST(IkLayouts, PublishedSizes) {
    for (const tb_kernel* k : all_kernels()) {
        for (const tb_shape shape : {tb_shape{4, 64}, tb_shape{2560, 2560}, tb_shape{6912, 2560},
                                     tb_shape{2560, 6912}, tb_shape{4096, 14336}}) {
            const int64_t row =
                std::string(k->layout) == "iq1_bn" ? 2 + shape.k / 64 * 13 : 4 + shape.k / 4;
            EXPECT_EQ(k->packed_size(&shape, nullptr), static_cast<size_t>(shape.n * row)) << k->id;
        }
    }
}

TEST(IkLayouts, ShapesThatTheFormatsCannotHold) {
    for (const tb_kernel* k : all_kernels()) {
        const auto code = [&](int64_t n, int64_t columns) {
            const tb_shape shape{n, columns};
            return k->accepts(&shape, nullptr).code;
        };
        EXPECT_EQ(k->k_multiple, 64) << k->id;
        for (const int64_t columns : {1, 32, 63, 65, 96, 100, 2592}) {
            EXPECT_EQ(code(4, columns), TB_BAD_SHAPE) << k->id << " K=" << columns;
        }
        for (const int64_t columns : {64, 128, 192, 2560, 8640}) {
            EXPECT_EQ(code(4, columns), TB_OK) << k->id << " K=" << columns;
        }
        for (const int64_t n : {1, 2, 3, 5, 6, 7, 4097}) {
            EXPECT_EQ(code(n, 64), interleaved(*k) == 4 ? TB_BAD_SHAPE : TB_OK)
                << k->id << " N=" << n;
        }
        EXPECT_EQ(k->pack_row_step(nullptr, nullptr), interleaved(*k)) << k->id;
    }
}

// ---- what no packer writes ---------------------------------------------------------------------

// All bytes, each of the 243 values at byte 0 and of the 81 at byte 12 with its digits.
TEST(Iq1Bn, BytesOfNobodyAreRefused) {
    const Matrix zeros(1, 64);
    for (const tb_kernel* k : kernels_of("iq1_bn")) {
        for (const auto& [byte, digits, step] : {std::tuple{0, 5, 1}, std::tuple{12, 4, 16}}) {
            std::set<int> known;
            Bytes bytes = zeros.packed(*k);
            for (int index = 0; index < (digits == 5 ? 243 : 81); ++index) {
                const int value = static_cast<int>(std::ceil(256.0 * index / 243));
                known.insert(value);
                bytes[static_cast<size_t>(2 + byte)] = static_cast<uint8_t>(value);
                Trits expected(64, 0);
                for (int j = 0, rest = index; j < digits; ++j, rest /= 3) {
                    const int column = byte == 0 ? j : 15 + step * j;
                    expected[static_cast<size_t>(column)] = static_cast<int8_t>(rest % 3 - 1);
                }
                const Unpacked u = unpack(*k, bytes, zeros.shape);
                ASSERT_EQ(u.code, TB_OK) << k->id << " " << value;
                ASSERT_EQ(u.trits, expected) << k->id << " " << value;
            }
            for (int value = 0; value < 256; ++value) {
                bytes[static_cast<size_t>(2 + byte)] = static_cast<uint8_t>(value);
                EXPECT_EQ(unpack(*k, bytes, zeros.shape).code,
                          known.count(value) != 0 ? TB_OK : TB_BAD_WEIGHT)
                    << k->id << " byte " << byte << " = " << value;
            }
        }
    }
}

TEST(IkLayouts, TheFourthCodeIsRefused) {
    const Matrix zeros(4, 128);
    for (const std::string layout : {"iq2_bn", "iq2_bn_r4"}) {
        for (const tb_kernel* k : kernels_of(layout)) {
            const Bytes good = zeros.packed(*k);
            for (const size_t at : {good.size() - 1, good.size() - 128 / 4, size_t{16}}) {
                for (const int shift : {0, 2, 4, 6}) {
                    Bytes bytes = good;
                    bytes[at] = static_cast<uint8_t>(bytes[at] | 3 << shift);
                    EXPECT_EQ(unpack(*k, bytes, zeros.shape).code, TB_BAD_WEIGHT)
                        << k->id << " byte " << at << " bits " << shift;
                }
            }
        }
    }
}

TEST(IkLayouts, ScalesThatAreNoNumbersAreRefused) {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    for (const tb_kernel* k : all_kernels()) {
        Bytes bytes;
        for (const float scale : {kInfinity, -kInfinity, std::nanf("")}) {
            EXPECT_EQ(Matrix(4, 64, scale).pack(*k, bytes).code, TB_BAD_WEIGHT) << k->id;
        }
        // 65520 is the first number that half precision rounds to infinity.
        const bool half = std::string(k->layout) == "iq1_bn";
        EXPECT_EQ(Matrix(4, 64, 65519).pack(*k, bytes).code, TB_OK) << k->id;
        EXPECT_EQ(Matrix(4, 64, 65520).pack(*k, bytes).code, half ? TB_BAD_WEIGHT : TB_OK) << k->id;

        bytes = Matrix(4, 64).packed(*k);
        bytes[half ? 1 : 3] = 0x7f;  // NaN as a half is 0x7f00, as a float 0x7fc00000
        bytes[half ? 0 : 2] = 0xc0;
        EXPECT_EQ(unpack(*k, bytes, {4, 64}).code, TB_BAD_WEIGHT) << k->id;
    }
}

TEST(IkLayouts, WeightsThatAreNoTritsAreRefused) {
    for (const tb_kernel* k : all_kernels()) {
        for (const int8_t bad : {-2, 2, 127, -128}) {
            Matrix m(4, 64);
            m.at(3, 63) = bad;
            Bytes bytes;
            EXPECT_EQ(m.pack(*k, bytes).code, TB_BAD_WEIGHT) << k->id << " " << int{bad};
        }
    }
}

// ---- products ----------------------------------------------------------------------------------

struct Batch {
    int64_t m, k;
    std::vector<int8_t> q;
    Floats scale;

    Batch(int64_t tokens, int64_t columns, uint64_t seed)
        : m(tokens), k(columns), q(static_cast<size_t>(tokens * columns)) {
        RandomStream random(seed);
        for (int8_t& v : q) v = static_cast<int8_t>(random.below(256) - 128);
        for (int64_t t = 0; t < m; ++t) scale.push_back(0.01F * static_cast<float>(t + 1));
    }
    const int8_t* token(int64_t t) const { return q.data() + t * k; }
};

constexpr float kUntouched = -12345.5F;

// y of rows [begin, end); the rest is kUntouched.
Floats multiply(const tb_kernel& kernel, const Bytes& bytes, tb_shape shape, const Batch& x,
                int64_t begin, int64_t end) {
    const tb_tile tile = default_tile(kernel);
    AlignedBuffer packed(bytes.size());
    memcpy(packed.data(), bytes.data(), bytes.size());
    AlignedBuffer prepared(kernel.prepared_size(&shape, &tile, x.m));
    AlignedBuffer scratch(kernel.scratch_size(&shape, &tile, x.m) + 64);
    const tb_activations act{x.m, shape.k, nullptr, nullptr, x.q.data(), x.scale.data()};
    EXPECT_EQ(kernel.prepare(&shape, &tile, &act, 0, x.m, 0, shape.k, prepared.data()).code, TB_OK);
    Floats y(static_cast<size_t>(x.m * shape.n), kUntouched);
    tb_product p{};
    p.shape = shape;
    p.tile = &tile;
    p.packed = packed.data();
    p.prepared = prepared.data();
    p.m = x.m;
    p.n_begin = begin;
    p.n_end = end;
    p.y = y.data();
    p.ldy = shape.n;
    p.scratch = scratch.data();
    (x.m == 1 ? kernel.gemv : kernel.gemm)(&p);
    return y;
}

// One element as kernel.h says, exact or by phases.
float expected_result(const tb_kernel& kernel, const int8_t* trits, float sw, const int8_t* q,
                      float dx, int64_t k) {
    if (kernel.activation_kind == TB_ACT_INT8_TOKEN) {
        return static_cast<float>(reference::dot(trits, q, k)) * (dx * sw);
    }
    int32_t sums[4] = {};
    for (int64_t i = 0; i < k; ++i) sums[i / kernel.activation_block % 4] += trits[i] * q[i];
    float t = dx * static_cast<float>(sums[0]);
    for (int i = 1; i < 4; ++i) t = std::fmaf(dx, static_cast<float>(sums[i]), t);
    return sw * t;
}

// Rows, blocks and tokens that fill no register; and a part of the rows.
TEST(IkLayouts, OddShapesEqualTheOracle) {
    for (const tb_kernel* kernel : all_kernels()) {
        const int64_t g = interleaved(*kernel);
        for (const int64_t n : {int64_t{4}, g == 4 ? int64_t{12} : int64_t{13}, 64 + g}) {
            for (const int64_t k : {64, 128, 192, 256, 320, 448, 1088, 2624}) {
                Matrix w(n, k);
                RandomStream random(static_cast<uint64_t>(n * k));
                for (int8_t& t : w.trits) t = static_cast<int8_t>(random.below(3) - 1);
                for (size_t i = 0; i < w.scales.size(); ++i) {
                    w.scales[i] = 0.125F * static_cast<float>(i + 1);  // as a half, too
                }
                const Bytes bytes = w.packed(*kernel);
                for (const int64_t m : {1, 2, 3, 5, 8, 9, 33}) {
                    const Batch x(m, k, 5);
                    const int64_t begin = n > 4 ? 3 : 0, end = n > 4 ? n - 2 : n;
                    const Floats y = multiply(*kernel, bytes, w.shape, x, begin, end);
                    for (int64_t i = 0; i < m * n; ++i) {
                        const int64_t t = i / n, r = i % n;
                        const float expected =
                            r < begin || r >= end
                                ? kUntouched
                                : expected_result(*kernel, w.trits.data() + r * k,
                                                  w.scales[static_cast<size_t>(r)], x.token(t),
                                                  x.scale[static_cast<size_t>(t)], k);
                        ASSERT_EQ(y[static_cast<size_t>(i)], expected)
                            << kernel->id << " N=" << n << " K=" << k << " M=" << m << " token "
                            << t << " row " << r;
                    }
                }
            }
        }
    }
}

// Products of one sign fill whatever is added in 16 bits; activations of -128.
TEST(IkLayouts, SumsOfOneSignFit) {
    for (const tb_kernel* kernel : all_kernels()) {
        for (const int8_t weight : {-1, 1}) {
            Matrix w(8, 8640, 1);
            std::fill(w.trits.begin(), w.trits.end(), weight);
            const Bytes bytes = w.packed(*kernel);
            for (const int64_t m : {1, 8, 40}) {
                Batch x(m, 8640, 1);
                std::fill(x.q.begin(), x.q.end(), int8_t{-128});
                std::fill(x.scale.begin(), x.scale.end(), 1.0F);
                for (const float y : multiply(*kernel, bytes, w.shape, x, 0, 8)) {
                    ASSERT_EQ(y, static_cast<float>(weight * -128 * 8640)) << kernel->id;
                }
            }
        }
    }
}

// ---- rows of zeros -----------------------------------------------------------------------------

// Bytes of 4 rows x 128 columns whose row 1 is as ik_llama.cpp's quantiser leaves a row of zeros:
// the threshold for a zero is half of the largest magnitude, |0| < 0 is false, hence +1 everywhere,
// and the scale is 0. The other rows are zeros with a scale.
Bytes with_their_row_of_zeros(const tb_kernel& kernel) {
    Bytes bytes = Matrix(4, 128).packed(kernel);
    const std::string layout = kernel.layout;
    if (layout == "iq2_bn_r4") {
        std::fill_n(bytes.begin() + 4, 4, uint8_t{0});
        for (size_t part = 0; part < 8; ++part) {
            std::fill_n(bytes.begin() + static_cast<int64_t>(16 + 16 * part + 4), 4, uint8_t{0xaa});
        }
        return bytes;
    }
    const bool one = layout == "iq1_bn";
    const auto row = static_cast<int64_t>(bytes.size() / 4);
    std::fill_n(bytes.begin() + row, row, one ? uint8_t{0xff} : uint8_t{0xaa});
    std::fill_n(bytes.begin() + row, one ? 2 : 4, uint8_t{0});
    if (one) {  // 2 * (1 + 3 + 9 + 27) = 80, ceil(84.3)
        bytes[static_cast<size_t>(row + 2 + 12)] = bytes[static_cast<size_t>(row + 15 + 12)] = 0x55;
    }
    return bytes;
}

// Read as they are written: trits +1, scale 0, so that values and results are 0, and packing what
// was read gives the same bytes.
TEST(IkLayouts, RowsOfZerosAsPublishedAreZero) {
    const tb_shape shape{4, 128};
    for (const tb_kernel* kernel : all_kernels()) {
        const Bytes bytes = with_their_row_of_zeros(*kernel);
        const Unpacked u = unpack(*kernel, bytes, shape);
        ASSERT_EQ(u.code, TB_OK) << kernel->id;
        for (const float value : u.values) ASSERT_EQ(value, 0.0F) << kernel->id;
        EXPECT_EQ(u.scales, (Floats{0.5F, 0, 0.5F, 0.5F})) << kernel->id;
        Matrix again(4, 128);
        again.trits = u.trits;
        again.scales = u.scales;
        EXPECT_EQ(std::count(again.trits.begin(), again.trits.end(), 1), 128) << kernel->id;
        EXPECT_EQ(again.packed(*kernel), bytes) << kernel->id;
        for (const int64_t m : {1, 8, 40}) {
            for (const float y : multiply(*kernel, bytes, shape, Batch(m, 128, 3), 0, 4)) {
                ASSERT_EQ(y, 0.0F) << kernel->id;
            }
        }
    }
}

// Our own packer stores the zeros, and the scale it is given.
TEST(IkLayouts, RowsOfZerosKeepTheirScale) {
    for (const tb_kernel* kernel : all_kernels()) {
        const Unpacked u = unpack(*kernel, Matrix(4, 128).packed(*kernel), {4, 128});
        EXPECT_EQ(std::count(u.trits.begin(), u.trits.end(), 0), 4 * 128) << kernel->id;
        EXPECT_EQ(u.scales, Floats(4, 0.5F)) << kernel->id;
    }
}

}  // namespace
}  // namespace tritbench
