/* What TQ1_0 and TQ2_0 of llama.cpp share: a row is blocks of 256 columns, each of them with a
 * half-precision scale d at its end, and nothing beside.
 *
 * Every block has a scale of its own. b1.58 has one for all, which quantize_row_tq*_ref finds again
 * as the largest magnitude of the block; a block of zeros has none and stores d = 0. pack writes
 * the same bytes; the scale of a row is that of its first block with d != 0 (0 if there is none).
 *
 * A Format derives from TqBlocks<itself> and adds kLayout, kSource, kBlockBytes, kBitsNum, kBitsDen
 *   static void pack_block(const int8_t* trits, uint8_t* block)        codes only
 *   static bool block_codes(const uint8_t* block, uint8_t* to)         256 of them; see layout.h
 * Static: see dot/epilogue.h. */
#ifndef TRITBENCH_KERNELS_TRIT_BLOCKS_TQ_H
#define TRITBENCH_KERNELS_TRIT_BLOCKS_TQ_H

#include "kernels/api/half.h"
#include "kernels/trit_blocks/layout.h"

namespace {

constexpr int64_t kTqColumns = 256;

template <class Format>
struct TqBlocks {
    static constexpr int64_t kColumns = kTqColumns;
    static constexpr int kGroup = 1;
    static constexpr int64_t kRowOverhead = 0;
    static constexpr tb_scale_granularity kGranularity = TB_SCALE_BLOCK;
    static constexpr int32_t kScaleBlock = kTqColumns;
    static constexpr tb_scale_type kScaleType = TB_SCALE_F16;

    static int64_t group_bytes(int64_t k) { return k / kColumns * Format::kBlockBytes; }

    // d of a block as a float.
    static float block_scale(const uint8_t* block) {
        uint16_t h;
        memcpy(&h, block + Format::kBlockBytes - 2, sizeof h);
        return tb_half_to_float(h);
    }

    static void pack_row(const int8_t* t, float scale, int64_t k, int, uint8_t* row) {
        for (; k > 0; k -= kColumns, t += kColumns, row += Format::kBlockBytes) {
            int8_t any = 0;
            for (int64_t i = 0; i < kColumns; ++i) any = static_cast<int8_t>(any | t[i]);
            const uint16_t d = any == 0 ? uint16_t{0} : tb_float_to_half(scale);
            Format::pack_block(t, row);
            memcpy(row + Format::kBlockBytes - 2, &d, sizeof d);
        }
    }

    static float scale(const uint8_t* row, int, int64_t k) {
        for (; k > 0; k -= kColumns, row += Format::kBlockBytes) {
            const float d = block_scale(row);
            if (d != 0) return d;
        }
        return 0;
    }

    static bool scales_agree(const uint8_t* row, int r, int64_t k) {
        const float expected = scale(row, r, k);
        for (; k > 0; k -= kColumns, row += Format::kBlockBytes) {
            if (block_scale(row) == expected) continue;
            uint8_t codes[kColumns];
            Format::block_codes(row, codes);
            for (const uint8_t code : codes) {
                if (code != 1) return false;
            }
        }
        return true;
    }

    static bool codes(const uint8_t* row, int, int64_t begin, int64_t count, uint8_t* to) {
        const uint8_t* block = row + begin / kColumns * Format::kBlockBytes;
        bool good = true;
        for (; count > 0; count -= kColumns, block += Format::kBlockBytes, to += kColumns) {
            good &= Format::block_codes(block, to);
        }
        return good;
    }
};

}  // namespace

#endif
