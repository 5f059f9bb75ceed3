/* Prepared activations of the kernels that look sums up: the batch of prepared_int8.h, whole, and
 * behind it, for batches of at most Tokens tokens, the tables of each token. Larger batches
 * multiply the int8 activations, for which tables would only be traffic.
 *
 *   offset 0              the batch of prepared_int8.h
 *   next multiple of 64   tables  [m][Tables::bytes(shape, tile)]     only if m <= Tokens
 *
 * Tables supplies what a layout looks up:
 *   static int64_t bytes(const tb_shape&, const tb_tile*)       of one token, a multiple of 64
 *   static void build(const tb_shape&, const tb_tile*, const int8_t* q, int64_t k_begin,
 *                     int64_t k_end, uint8_t* tables)
 *        the tables of columns [k_begin, k_end) of a token, and behind column K those of the
 * columns that the layout pads with. q is padded with zeros to a multiple of 64 columns then.
 * Static: an ISA file compiles its own copy. */
#ifndef TRITBENCH_KERNELS_TL_TABLES_H
#define TRITBENCH_KERNELS_TL_TABLES_H

#include "kernels/api/kernel.h"
#include "kernels/api/prepared_int8.h"

namespace {

inline size_t tables_offset(const tb_shape& s, int64_t m) {
    return static_cast<size_t>(
        tb_round_up(static_cast<int64_t>(tb_int8_prepared_size(&s, nullptr, m)), 64));
}

template <class Tables, int64_t Tokens>
size_t prepared_tables_size(const tb_shape* s, const tb_tile* tile, int64_t m) {
    if (m > Tokens) return tb_int8_prepared_size(s, tile, m);
    return tables_offset(*s, m) + static_cast<size_t>(m * Tables::bytes(*s, tile));
}

template <class Tables, int64_t Tokens>
tb_status prepare_tables(const tb_shape* s, const tb_tile* tile, const tb_activations* act,
                         int64_t m_begin, int64_t m_end, int64_t k_begin, int64_t k_end,
                         void* prepared) {
    const tb_status status =
        tb_int8_prepare(s, tile, act, m_begin, m_end, k_begin, k_end, prepared);
    if (status.code != TB_OK || act->m > Tokens) return status;
    const tb_int8_batch x = tb_int8_open(s, prepared, act->m);
    auto* tables = static_cast<uint8_t*>(prepared) + tables_offset(*s, act->m);
    for (int64_t m = m_begin; m < m_end; ++m) {
        Tables::build(*s, tile, x.q + m * x.kp, k_begin, k_end,
                      tables + m * Tables::bytes(*s, tile));
    }
    return status;
}

}  // namespace

#endif
