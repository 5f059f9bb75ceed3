// Halves: the portable conversions of kernels/api/half.h and the operation that fills the KV cache,
// against arithmetic of their own.
#include "kernels/api/half.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "tests/ops_fixture.h"

namespace tritbench {
namespace {

double value_of_half(uint32_t half) {
    const int exponent = static_cast<int>(half >> 10 & 31);
    const int mantissa = static_cast<int>(half & 1023);
    const double sign = (half & 0x8000) != 0 ? -1.0 : 1.0;
    return sign *
           (exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25));
}

TEST(Half, EveryHalfBecomesItsFloat) {
    for (uint32_t i = 0; i < 65536; ++i) {
        const float y = tb_half_to_float(static_cast<uint16_t>(i));
        if ((i >> 10 & 31) == 31) {
            EXPECT_EQ(std::isnan(y), (i & 1023) != 0);
            EXPECT_EQ(std::isinf(y), (i & 1023) == 0);
            EXPECT_EQ(std::signbit(y), (i & 0x8000) != 0);
        } else {
            EXPECT_EQ(y, value_of_half(i)) << i;
            EXPECT_EQ(std::signbit(y), (i & 0x8000) != 0) << i;
        }
    }
}

// The half nearest to x by comparing distances, which doubles hold exactly; the even one of two.
// Beyond the largest it is the largest.
uint16_t nearest_half(float x) {
    const uint32_t sign = std::signbit(x) ? 0x8000 : 0;
    if (std::isnan(x)) return static_cast<uint16_t>(0x7e00 | sign);
    if (std::isinf(x)) return static_cast<uint16_t>(0x7c00 | sign);
    const double size = std::abs(double{x});
    uint32_t low = 0;  // value_of_half(low) <= size, the largest that is
    for (uint32_t bit = 1U << 14; bit != 0; bit >>= 1) {
        if ((low | bit) < 0x7c00 && value_of_half(low | bit) <= size) low |= bit;
    }
    if (low == 0x7bff) return static_cast<uint16_t>(low | sign);
    const double below = size - value_of_half(low);
    const double above = value_of_half(low + 1) - size;
    const bool up = above < below || (above == below && low % 2 == 1);
    return static_cast<uint16_t>((up ? low + 1 : low) | sign);
}

// Every half, the ties between neighbours, and a little to either side of both, with both signs.
Floats floats_around_halves() {
    const float infinity = std::numeric_limits<float>::infinity();
    Floats out = {0.0F,
                  65504.0F,
                  65519.0F,
                  65520.0F,
                  65536.0F,
                  1e9F,
                  infinity,
                  std::numeric_limits<float>::max(),
                  std::numeric_limits<float>::denorm_min(),
                  std::numeric_limits<float>::min(),
                  0x1p-25F,
                  0x1p-26F,
                  std::nanf("")};
    for (const uint32_t nan : {0x7f800001U, 0x7fffffffU, 0x7fbfffffU}) {
        out.push_back(std::bit_cast<float>(nan));
    }
    for (uint32_t i = 0; i < 0x7bff; ++i) {
        const auto half = static_cast<float>(value_of_half(i));
        const auto tie = static_cast<float>((value_of_half(i) + value_of_half(i + 1)) / 2);
        for (const float centre : {half, tie}) {
            out.push_back(std::nextafter(centre, -infinity));
            out.push_back(centre);
            out.push_back(std::nextafter(centre, infinity));
        }
    }
    const size_t count = out.size();
    for (size_t i = 0; i < count; ++i) {
        out.push_back(std::bit_cast<float>(std::bit_cast<uint32_t>(out[i]) ^ 0x80000000U));
    }
    return out;
}

TEST(Half, StoreRoundsToTheNearestOnEveryTable) {
    const Floats x = floats_around_halves();
    std::vector<uint16_t> expected(x.size());
    for (size_t i = 0; i < x.size(); ++i) expected[i] = nearest_half(x[i]);
    for (const tb_ops* ops : tables_here()) {
        std::vector<uint16_t> found(x.size());
        ops->store_f16(x.data(), static_cast<int64_t>(x.size()), found.data());
        size_t wrong = 0;
        for (size_t i = 0; i < x.size() && wrong < 5; ++i) {
            EXPECT_EQ(found[i], expected[i]) << ops->isa << ": " << x[i];
            if (found[i] != expected[i]) ++wrong;
        }
    }
}

TEST(Half, PortableConversionOverflowsToInfinityAndIsTheSameElse) {
    for (const float x : floats_around_halves()) {
        const uint16_t half = nearest_half(x);
        if (std::isfinite(x) && std::abs(x) >= 65520.0F) {
            EXPECT_EQ(tb_float_to_half(x) & 0x7fff, 0x7c00) << x;
        } else {
            ASSERT_EQ(tb_float_to_half(x), half) << x;
        }
    }
}

TEST(Half, StoreWritesItsElementsOnly) {
    for (const tb_ops* ops : tables_here()) {
        for (int64_t n = 0; n <= 35; ++n) {
            const Floats x = random_floats(40, 1);
            std::vector<uint16_t> y(40, 0xabcd);
            ops->store_f16(x.data(), n, y.data());
            for (int64_t i = 0; i < 40; ++i) {
                const auto at = static_cast<size_t>(i);
                EXPECT_EQ(y[at], i < n ? nearest_half(x[at]) : 0xabcd) << ops->isa << " " << n;
            }
        }
    }
}

// What attention reads of a half, through a single value with a single key: p = 1, out = v.
TEST(Half, EveryHalfOfTheCacheIsReadExactly) {
    constexpr int64_t kDim = 32;
    for (const tb_ops* ops : tables_here()) {
        Floats scratch(static_cast<size_t>(tb_attention_scratch(kDim, 1)) + 16);
        const Floats q(kDim, 0.0F);
        const std::vector<uint16_t> k(16 * kDim, 0);
        for (uint32_t first = 0; first < 65536; first += kDim) {
            if ((first & 0x7c00) == 0x7c00) continue;
            std::vector<uint16_t> v(16 * kDim, 0);
            for (uint32_t i = 0; i < kDim; ++i) v[i] = static_cast<uint16_t>(first + i);
            Floats out(kDim);
            tb_attention a{};
            a.q = q.data();
            a.k = k.data();
            a.v = v.data();
            a.cache_type = TB_CACHE_F16;
            a.head_stride = 16 * kDim;
            a.row_stride = a.head_dim = a.q_stride = a.out_stride = kDim;
            a.heads = a.kv_heads = a.token_end = a.head_end = 1;
            a.scale = 1.0F;
            a.out = out.data();
            a.scratch = aligned64(scratch);
            ops->attention(&a);
            for (uint32_t i = 0; i < kDim; ++i) {
                ASSERT_EQ(out[i], value_of_half(first + i)) << ops->isa << " " << first + i;
            }
        }
    }
}

}  // namespace
}  // namespace tritbench
