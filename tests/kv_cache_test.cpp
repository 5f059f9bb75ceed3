// Keys and values where the attention operation looks for them, of either type.
#include "model/kv_cache.h"

#include <gtest/gtest.h>

#include "kernels/api/half.h"
#include "tests/ops_fixture.h"

namespace tritbench {
namespace {

constexpr int64_t kLayers = 2, kHeads = 3, kDim = 20, kContext = 17, kSequences = 2;

float element(const KvCache& cache, const void* plane, int64_t at) {
    return cache.type() == CacheType::F16
               ? tb_half_to_float(static_cast<const uint16_t*>(plane)[at])
               : static_cast<const float*>(plane)[at];
}

TEST(KvCache, EveryRowHasAPlaceOfItsOwn) {
    for (const CacheType type : {CacheType::F16, CacheType::F32}) {
        KvCache cache(kLayers, kHeads, kDim, kContext, kSequences, type);
        EXPECT_EQ(cache.op_type() == TB_CACHE_F16, type == CacheType::F16);
        EXPECT_EQ(cache.row_stride(), 32);
        EXPECT_EQ(cache.head_stride(), 32 * 32);
        // Whole numbers, which halves hold: another one for each head of each plane of each row.
        const auto number = [](int64_t sequence, int64_t layer, int64_t position, bool value,
                               int64_t head) {
            const int64_t row = (sequence * kLayers + layer) * kContext + position;
            return static_cast<float>((row * 2 + (value ? 1 : 0)) * kHeads + head + 1);
        };
        const auto each_row = [](auto body) {
            for (int64_t s = 0; s < kSequences; ++s) {
                for (int64_t l = 0; l < kLayers; ++l) {
                    for (int64_t p = 0; p < kContext; ++p) body(s, l, p);
                }
            }
        };
        each_row([&](int64_t s, int64_t l, int64_t p) {
            Floats k;
            Floats v;
            for (int64_t head = 0; head < kHeads; ++head) {
                k.insert(k.end(), kDim, number(s, l, p, false, head));
                v.insert(v.end(), kDim, number(s, l, p, true, head));
            }
            cache.store(best_ops(), s, l, p, k.data(), v.data());
        });
        each_row([&](int64_t s, int64_t l, int64_t p) {
            for (const bool value : {false, true}) {
                const void* plane = value ? cache.values(s, l) : cache.keys(s, l);
                for (int64_t head = 0; head < kHeads; ++head) {
                    const int64_t at = head * cache.head_stride() + p * cache.row_stride();
                    const float expected = number(s, l, p, value, head);
                    EXPECT_EQ(element(cache, plane, at), expected);
                    EXPECT_EQ(element(cache, plane, at + kDim - 1), expected);
                    EXPECT_EQ(element(cache, plane, at + kDim), 0.0F);
                }
            }
        });
    }
}

TEST(KvCache, BytesOfATokenFollowTheType) {
    const KvCache halves(kLayers, kHeads, kDim, kContext, kSequences, CacheType::F16);
    const KvCache floats(kLayers, kHeads, kDim, kContext, kSequences, CacheType::F32);
    EXPECT_EQ(halves.bytes_per_token(), 2U * kLayers * kHeads * 32 * 2);
    EXPECT_EQ(floats.bytes_per_token(), 2 * halves.bytes_per_token());
}

}  // namespace
}  // namespace tritbench
