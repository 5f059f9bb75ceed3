/* Prepared activations of the block formats (prepare_tag "int8_block32"): int8 with one float scale
 * per 32 columns, as llama.cpp's Q8_0 but for the scale, which stays float32. Header only, static;
 * see prepared_int8.h.
 *
 * Tokens one after the other; a token is ceil(K / 256) chunks of 320 bytes, 64-byte aligned, each
 * 8 blocks of 32 columns:
 *
 *   q      int8 [8][32]   position p holds dword i = p / 2 + 4 * (p % 2) of every block:
 *                         q[p][4 b + j] is column 32 b + 4 i + j of the chunk
 *   scale  float [8]      of block b
 *   sums   int16 [2][8]   [h][b]: sum of q over the columns 16 h .. 16 h + 15 of block b
 *
 * so that a product adds up whole blocks in the lanes of a vector: lane b of every load of q is
 * block b, a load of 32 bytes is one dword of 8 blocks, and one of 64 bytes is that dword of the
 * first and of the second half of the blocks (formats with a scale per 16 columns). What lies past
 * K in the last chunk is zero, scales and sums too.
 *
 * Quantisation, as llama.cpp's quantize_row_q8_0 on AVX: a = max|x| of the block,
 * q = round_half_even(x * (127 / a)), scale = a / 127; a block with a < 1e-30 is all zero, scale 0.
 * |q| <= 127 (see prepared_int8.h). From given int8 rows q is taken as it is, -128 allowed, and the
 * token's scale is that of every block.
 *
 * The product of such a kernel (kernel.h, tb_kernel.gemm) sums q over blocks exactly:
 *   S_b = sum over block b of w_k q_k        integers, |S_b| <= 2^24: exact in int32 and in float
 *   lane[b % 8] = fma(d_b * scale_b, (float)S_b, lane[b % 8])      b ascending, d_b of the weights
 *   y = the tree 8 -> 4 -> 2 -> 1 over the lanes, adding lane i + width/2 to lane i. */
#ifndef TRITBENCH_KERNELS_API_PREPARED_BLOCK_H
#define TRITBENCH_KERNELS_API_PREPARED_BLOCK_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/api/kernel.h"
#include "kernels/api/prepared_int8.h"

#define TB_BLOCK32_COLUMNS 32
#define TB_BLOCK32_BLOCKS 8 /* of a chunk */
#define TB_BLOCK32_CHUNK (TB_BLOCK32_COLUMNS * TB_BLOCK32_BLOCKS)
#define TB_BLOCK32_PREPARE_TAG "int8_block32"
#define TB_BLOCK32_LEAST_ABSMAX 1e-30f /* below it 127 / absmax may overflow */

typedef struct tb_block32_chunk {
    int8_t q[TB_BLOCK32_BLOCKS][TB_BLOCK32_COLUMNS];
    float scale[TB_BLOCK32_BLOCKS];
    int16_t sums[2][TB_BLOCK32_BLOCKS];
} tb_block32_chunk;

static inline int64_t tb_block32_chunks(int64_t k) {
    return (k + TB_BLOCK32_CHUNK - 1) / TB_BLOCK32_CHUNK;
}

static inline size_t tb_block32_prepared_size(const tb_shape* shape, const tb_tile* tile,
                                              int64_t m) {
    (void)tile;
    return (size_t)(m * tb_block32_chunks(shape->k)) * sizeof(tb_block32_chunk);
}

/* The first chunk of a token. */
static inline const tb_block32_chunk* tb_block32_token(const tb_shape* shape, const void* prepared,
                                                       int64_t token) {
    return (const tb_block32_chunk*)prepared + token * tb_block32_chunks(shape->k);
}

/* Where column k of a chunk is in its q. */
static inline int64_t tb_block32_position(int64_t k) {
    const int64_t block = k / 32, dword = k % 32 / 4;
    return 32 * (2 * (dword % 4) + dword / 4) + 4 * block + k % 4;
}

/* Not needed: every block has its own maximum. */
static inline float tb_block32_row_absmax(const float* x, int64_t count) {
    (void)x;
    (void)count;
    return 0;
}

/* int8 values and scales of a chunk of floats. Returns 0 if one of them is infinite or NaN. */
static inline int tb_block32_quantise(const float* x, int8_t* q, float* scale) {
    uint32_t largest[TB_BLOCK32_BLOCKS];
    for (int b = 0; b < TB_BLOCK32_BLOCKS; ++b) {
        /* Magnitudes compare as integers, and NaN is above all. */
        uint32_t most = 0;
        for (int i = 0; i < TB_BLOCK32_COLUMNS; ++i) {
            uint32_t bits;
            memcpy(&bits, x + TB_BLOCK32_COLUMNS * b + i, sizeof bits);
            bits &= 0x7fffffffu;
            most = bits > most ? bits : most;
        }
        largest[b] = most;
    }
    float inverse[TB_BLOCK32_BLOCKS];
    int finite = 1;
    for (int b = 0; b < TB_BLOCK32_BLOCKS; ++b) {
        float absmax;
        memcpy(&absmax, largest + b, sizeof absmax);
        const int zero = absmax < TB_BLOCK32_LEAST_ABSMAX;
        scale[b] = zero ? 0.0f : absmax / 127.0f;
        inverse[b] = zero ? 0.0f : 127.0f / absmax;
        finite &= largest[b] < 0x7f800000u;
    }
    for (int b = 0; b < TB_BLOCK32_BLOCKS; ++b) {
        const int at = TB_BLOCK32_COLUMNS * b;
        tb_int8_quantise(x + at, inverse[b], TB_BLOCK32_COLUMNS, q + at);
    }
    return finite;
}

/* Puts the values of a chunk, in the order of the columns, in their place, and their sums. */
static inline void tb_block32_place(const int8_t* q, tb_block32_chunk* chunk) {
    uint32_t columns[TB_BLOCK32_CHUNK / 4], sums[2][TB_BLOCK32_BLOCKS] = {{0}};
    memcpy(columns, q, sizeof columns);
    for (int p = 0; p < 8; ++p) {
        uint32_t dwords[TB_BLOCK32_BLOCKS];
        for (int b = 0; b < TB_BLOCK32_BLOCKS; ++b)
            dwords[b] = columns[8 * b + p / 2 + 4 * (p % 2)];
        memcpy(chunk->q[p], dwords, sizeof dwords);
        for (int b = 0; b < TB_BLOCK32_BLOCKS; ++b) {
            /* Two sums of bytes + 128 in the halves of a dword. */
            const uint32_t bytes = dwords[b] ^ 0x80808080u;
            sums[p % 2][b] += (bytes & 0x00ff00ffu) + (bytes >> 8 & 0x00ff00ffu);
        }
    }
    for (int h = 0; h < 2; ++h) {
        for (int b = 0; b < TB_BLOCK32_BLOCKS; ++b) {
            const uint32_t sum = (sums[h][b] & 0xffffu) + (sums[h][b] >> 16);
            chunk->sums[h][b] = (int16_t)((int)sum - 16 * 128);
        }
    }
}

static inline tb_status tb_block32_prepare(const tb_shape* shape, const tb_tile* tile,
                                           const tb_activations* act, int64_t m_begin,
                                           int64_t m_end, int64_t k_begin, int64_t k_end,
                                           void* prepared) {
    (void)tile;
    const tb_status bad_range = {TB_BAD_RANGE, "k range must begin on 256 and end on 256 or K"};
    const tb_status bad_input = {TB_BAD_INPUT, "needs float rows, or int8 rows with scales"};
    const tb_status not_finite = {TB_BAD_INPUT, "an activation is infinite or not a number"};
    const tb_status ok = {TB_OK, NULL};
    if (k_begin % TB_BLOCK32_CHUNK != 0 || (k_end % TB_BLOCK32_CHUNK != 0 && k_end != shape->k)) {
        return bad_range;
    }
    if (act->x == NULL && (act->q == NULL || act->q_scale == NULL)) return bad_input;
    const int64_t chunks = tb_block32_chunks(shape->k);
    for (int64_t m = m_begin; m < m_end; ++m) {
        tb_block32_chunk* token = (tb_block32_chunk*)prepared + m * chunks;
        for (int64_t k = k_begin; k < k_end; k += TB_BLOCK32_CHUNK) {
            tb_block32_chunk* chunk = token + k / TB_BLOCK32_CHUNK;
            const int64_t left = k_end - k;
            const int64_t count = left < TB_BLOCK32_CHUNK ? left : TB_BLOCK32_CHUNK;
            int8_t q[TB_BLOCK32_CHUNK] = {0};
            if (act->x == NULL) {
                memcpy(q, act->q + m * act->ld + k, (size_t)count);
                for (int64_t b = 0; b < TB_BLOCK32_BLOCKS; ++b) {
                    chunk->scale[b] = b * TB_BLOCK32_COLUMNS < count ? act->q_scale[m] : 0.0f;
                }
            } else if (count == TB_BLOCK32_CHUNK) {
                if (!tb_block32_quantise(act->x + m * act->ld + k, q, chunk->scale)) {
                    return not_finite;
                }
            } else {
                float x[TB_BLOCK32_CHUNK] = {0};
                memcpy(x, act->x + m * act->ld + k, (size_t)count * sizeof(float));
                if (!tb_block32_quantise(x, q, chunk->scale)) return not_finite;
            }
            tb_block32_place(q, chunk);
        }
    }
    return ok;
}

#endif
