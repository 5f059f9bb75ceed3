/* The layout `i2r`: 2-bit codes, 64 rows interleaved. lanes/panels.h has the panel.
 *
 *   byte = code0 | code1 << 2 | code2 << 4 | code3 << 6     of rows lane, 16+lane, 32+lane, 48+lane
 *   codes 0 -> -1, 1 -> 0, 2 -> +1; 3 is invalid
 *
 * A step is 4 columns of 64 rows, 64 bytes. 2 bits per weight. */
#ifndef TRITBENCH_KERNELS_I2R_LAYOUT_H
#define TRITBENCH_KERNELS_I2R_LAYOUT_H

#include "kernels/lanes/panels.h"

namespace {

struct Format {
    static constexpr const char* kLayout = "i2r";
    static constexpr const char* kSource = "tritbench: rows as fields of a byte and lanes";
    static constexpr int32_t kBitsNum = 2, kBitsDen = 1;
    static constexpr int kFields = 4, kColumns = 4, kStepBytes = 64;

    static void encode(const uint8_t* codes, uint8_t* bytes) {
        for (int i = 0; i < 64; ++i) {
            bytes[i] = static_cast<uint8_t>(codes[i] | codes[64 + i] << 2 | codes[128 + i] << 4 |
                                            codes[192 + i] << 6);
        }
    }

    static bool good_codes(const uint8_t* bytes, int64_t count) {
        uint8_t bad = 0;
        for (int64_t i = 0; i < count; ++i) {
            bad |= static_cast<uint8_t>(bytes[i] & bytes[i] >> 1 & 0x55);
        }
        return bad == 0;
    }

    static bool decode(const uint8_t* bytes, uint8_t* codes) {
        int bad = 0;
        for (int i = 0; i < 64; ++i) {
            for (int f = 0; f < kFields; ++f) {
                const uint8_t code = bytes[i] >> (2 * f) & 3;
                codes[64 * f + i] = code;
                bad |= code == 3;
            }
        }
        return bad == 0;
    }
};

}  // namespace

#endif
