/* The columns of one token that count: those whose int8 is not zero, ascending, and the values.
 * A list is made per call and thread, in scratch, from the shared preparation "int8_token": some 3
 * cycles for 8 columns, which is little beside the lines that it saves.
 *
 * Lists are padded to whole quads with a column of value 0, and by kPadding entries more that a
 * kernel may fetch ahead of but never multiplies with a value that is not 0.
 *
 * Static: see dot/epilogue.h. */
#ifndef TRITBENCH_KERNELS_I2C_ACTIVE_H
#define TRITBENCH_KERNELS_I2C_ACTIVE_H

#include "kernels/i2c/layout.h"

namespace {

constexpr int64_t kPadding = 64;

struct ActiveColumns {
    const uint16_t* index;  // of the column; K <= 65536
    const int8_t* q;
    int64_t count;  // a multiple of 4
};

// Entries that a list of K columns may need, written 8 at a time.
inline int64_t list_capacity(const tb_shape& s) {
    return tb_round_up(s.k, 64) + kPadding;
}

// Bytes of scratch for a list.
inline int64_t list_bytes(const tb_shape& s) {
    return list_capacity(s) * 3;
}

// A place for a list.
struct ListSpace {
    uint16_t* index;
    int8_t* q;

    ListSpace(const tb_shape& s, void* scratch)
        : index(static_cast<uint16_t*>(scratch)),
          q(reinterpret_cast<int8_t*>(index + list_capacity(s))) {}

    // The list of q [kp], kp a multiple of 64 and zeros from K on. `write` writes index and value
    // of the columns that count, in whole eights, and returns their number.
    template <class Fill>
    ActiveColumns fill(const int8_t* row, int64_t kp, const Fill& write) {
        const int64_t count = write(row, kp, index, q);
        const uint16_t last = count > 0 ? index[count - 1] : uint16_t{0};
        const int64_t used = tb_round_up(count, 4);
        for (int64_t i = count; i < used + kPadding; ++i) index[i] = last;
        memset(q + count, 0, static_cast<size_t>(used + kPadding - count));
        return {index, q, used};
    }
};

// Asks memory for the first columns of a list, `lines` lines of each from `line` on; while these
// are multiplied, the next are fetched.
inline void fetch_first(const uint8_t* line, int64_t lines, int64_t stride,
                        const ActiveColumns& list, int64_t columns) {
    for (int64_t i = 0; i < smaller(columns, list.count); ++i) {
        const uint8_t* column = line + list.index[i] * stride;
        for (int64_t l = 0; l < lines; ++l) __builtin_prefetch(column + l * kLineBytes, 0, 2);
    }
}

// The share of the activations of a batch that count.
inline double active_share(const tb_int8_batch& x) {
    int64_t zeros = 0;
    for (int64_t m = 0; m < x.m; ++m) {
        const int8_t* q = x.q + m * x.kp;
        int32_t of_row = 0;
        for (int64_t k = 0; k < x.k; ++k) of_row += q[k] == 0;
        zeros += of_row;
    }
    return 1 - static_cast<double>(zeros) / (static_cast<double>(x.m) * static_cast<double>(x.k));
}

inline int64_t fill_scalar(const int8_t* row, int64_t kp, uint16_t* index, int8_t* q) {
    int64_t count = 0;
    for (int64_t k = 0; k < kp; ++k) {
        if (row[k] == 0) continue;
        index[count] = static_cast<uint16_t>(k);
        q[count++] = row[k];
    }
    return count;
}

}  // namespace

#endif
