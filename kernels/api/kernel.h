/* The kernel contract of tritbench: one constant descriptor per kernel, plain C.
 *
 *   y[M,N] = x[M,K] . W[N,K]^T
 *
 *   N  output features, the rows of W      n indexes rows of W
 *   K  input features, the columns of W    k indexes columns
 *   M  tokens, the rows of x and y         m indexes tokens
 *
 * A kernel does not allocate, start threads, do I/O, throw, or keep state. The host owns every
 * buffer and every thread and asks the descriptor how large, how aligned and how divisible each
 * thing is. All sizes are in bytes, all matrices are row-major, all ranges are half open
 * [begin, end). CONTRACT.md beside this file works three hard cases through the header.
 *
 * Order of calls:   accepts -> packed_size -> pack -> prepared_size -> row_absmax -> prepare
 *                   -> gemv / gemm / accumulate       (from any number of threads)
 */
#ifndef TRITBENCH_KERNELS_API_KERNEL_H
#define TRITBENCH_KERNELS_API_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/api/features.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Raised whenever the meaning or the order of anything below changes. */
#define TB_ABI_VERSION 1u

/* ---- what a kernel computes with ------------------------------------------------------------ */

typedef enum tb_weight_kind {
    TB_WEIGHT_TERNARY = 0,   /* canonical view: trits {-1,0,+1} and scales */
    TB_WEIGHT_QUANTISED = 1, /* canonical view: float rows, stored lossily (q8_0, q6_k, q4_0) */
    TB_WEIGHT_FLOAT = 2      /* canonical view: float rows (f32, f16, bf16) */
} tb_weight_kind;

typedef enum tb_scale_granularity {
    TB_SCALE_NONE = 0,   /* float weights */
    TB_SCALE_TENSOR = 1, /* one scale for W */
    TB_SCALE_ROW = 2,    /* one scale per row of W */
    TB_SCALE_BLOCK = 3   /* one scale per `scale_block` columns of a row */
} tb_scale_granularity;

typedef enum tb_scale_type { /* what packed bytes keep of a scale */
                             TB_SCALE_F32 = 0,
                             TB_SCALE_F16 = 1 /* the nearest half: sw, and so y, is that of the
                                                 rounded scale */
} tb_scale_type;

typedef enum tb_activation_kind {
    TB_ACT_INT8_TOKEN = 0, /* W1.58A8: int8, one scale per token (the default of b1.58) */
    TB_ACT_INT8_BLOCK = 1, /* int8, one scale per `activation_block` columns (prepared_block.h) */
    TB_ACT_FLOAT = 2,      /* float32 as given */
    /* int8, four scales per token: scale i is of the columns with k / activation_block % 4 == i */
    TB_ACT_INT8_PHASE = 3
} tb_activation_kind;

typedef enum tb_exactness {
    TB_EXACT = 0,   /* integer sums equal the oracle's; y equals it bit for bit (see gemm) */
    TB_BOUNDED = 1, /* |y - oracle| <= bound * sum_k |w||x|, for every element (see gemm) */
    TB_LOSSY = 2    /* normalised mean square error against float weights <= bound */
} tb_exactness;

/* ---- results of a call ---------------------------------------------------------------------- */

typedef enum tb_code {
    TB_OK = 0,
    TB_BAD_SHAPE = 1,  /* this N, K or M cannot be held or computed */
    TB_BAD_TILE = 2,   /* a tile value is not allowed, or not safe for this shape */
    TB_BAD_WEIGHT = 3, /* a canonical value or a packed code is outside its domain */
    TB_BAD_RANGE = 4,  /* a row, token or column range is not on the declared step */
    TB_BAD_INPUT = 5   /* the view given is of the wrong kind for this kernel */
} tb_code;

/* `reason` is a static string, null when code is TB_OK. The host adds ids and numbers. */
typedef struct tb_status {
    tb_code code;
    const char* reason;
} tb_status;

/* ---- shapes and tiles ----------------------------------------------------------------------- */

typedef struct tb_shape {
    int64_t n; /* rows of W */
    int64_t k; /* columns of W */
} tb_shape;

#define TB_MAX_TILE_PARAMS 6

enum {                              /* what a tile parameter affects; a bit set */
       TB_TILE_AFFECTS_PACK = 1,    /* bytes of the packed weights (TL1, TL2: BM, BK) */
       TB_TILE_AFFECTS_PREPARE = 2, /* bytes of the prepared activations */
       TB_TILE_AFFECTS_CALL = 4     /* only the order of the arithmetic */
};

typedef struct tb_tile_param {
    const char* name;      /* as on the command line: --tile name=value */
    const int32_t* values; /* allowed values, ascending */
    int32_t value_count;
    int32_t default_value;
    uint32_t affects; /* TB_TILE_AFFECTS_* */
} tb_tile_param;

/* value[i] belongs to tile_params[i]. A null tb_tile pointer means all defaults. */
typedef struct tb_tile {
    int32_t value[TB_MAX_TILE_PARAMS];
} tb_tile;

/* ---- canonical views ------------------------------------------------------------------------ */

/* Weights as everybody agrees on them, for the rows [row_begin, row_end) that a call is about.
 * Pointers are to row_begin. Ternary: `trits` and `scales`. Quantised and float: `values`. */
typedef struct tb_weights {
    const int8_t* trits; /* [rows][ld], each -1, 0 or +1 */
    const float* values; /* [rows][ld] */
    int64_t ld;          /* elements between rows, >= K */
    const float* scales; /* tensor: 1 value; row: [rows]; block: [rows][ceil(K/block)] */
} tb_weights;

/* The same, to be written by unpack. Any pointer may be null: that part is not wanted. */
typedef struct tb_weights_out {
    int8_t* trits;
    float* values;
    int64_t ld;
    float* scales;
} tb_weights_out;

/* Activations to prepare: either float rows with the maxima that row_absmax found, or int8 rows
 * with their dequantisation scales (x = q * q_scale). Exactly one of x and q is non-null.
 * With x, values must be finite and absmax[m] must be max_k |x[m,k]| over the whole row. */
typedef struct tb_activations {
    int64_t m;            /* tokens in this batch */
    int64_t ld;           /* elements between rows, >= K */
    const float* x;       /* [m][ld] */
    const float* absmax;  /* [m], used with x */
    const int8_t* q;      /* [m][ld], -128 allowed */
    const float* q_scale; /* [m], used with q */
} tb_activations;

/* ---- a product ------------------------------------------------------------------------------ */

typedef struct tb_product {
    tb_shape shape;
    const tb_tile* tile;  /* null: defaults */
    const void* packed;   /* the whole packed tensor */
    const void* prepared; /* the whole prepared batch */
    int64_t m;            /* tokens in `prepared` */
    int64_t n_begin;      /* rows of W to compute; any range is right, ... */
    int64_t n_end;        /* ... multiples of row_step are fast */
    float* y;             /* gemv, gemm: y[m * ldy + n], absolute n; nothing else is written */
    int32_t* acc;         /* accumulate: the same indexing */
    int64_t ldy;
    void* scratch; /* scratch_size bytes, 64-byte aligned, one per thread; null if 0 */
} tb_product;

/* Declared work of one whole product, for GB/s, GMAC/s and the roofline. */
typedef struct tb_work {
    double weight_bytes;     /* packed bytes streamed */
    double activation_bytes; /* prepared bytes read at least once */
    double table_bytes;      /* lookup tables, if the preparation builds them */
    double output_bytes;
    double macs;    /* N * K * M, whatever the kernel really executes */
    double lookups; /* table lookups, 0 for arithmetic kernels */
} tb_work;

/* ---- the descriptor ------------------------------------------------------------------------- */

typedef struct tb_kernel {
    /* identity */
    const char* id;          /* <layout>_<isa>[_<tag>] */
    const char* layout;      /* kernels with equal layout (and pack tiles) share packed bytes */
    const char* isa;         /* scalar, avx2, avx512vnni, neon, ... */
    const char* description; /* one line */
    const char* source;      /* paper, format or repository the idea was published in */

    /* arithmetic */
    tb_weight_kind weight_kind;
    tb_scale_granularity scale_granularity;
    int32_t scale_block;
    tb_scale_type scale_type;
    tb_activation_kind activation_kind;
    int32_t activation_block;
    tb_exactness exactness;
    double bound; /* meaning by exactness; 0 when exact */

    /* needs and limits */
    tb_features features; /* every bit must be allowed on this CPU */
    int32_t bits_num;     /* bits per weight = bits_num / bits_den, ... */
    int32_t bits_den;
    int64_t overhead_bytes_tensor; /* ... plus this per tensor ... */
    int64_t overhead_bytes_row;    /* ... and this per row */
    int64_t k_multiple;            /* K % k_multiple == 0 or accepts refuses */
    int64_t row_step;              /* rows computed together; splits on its multiples are fast */
    int64_t max_k;                 /* largest K with no overflow, activations down to -128 */
    int64_t min_m, max_m;          /* tokens per call of gemm; max_m 0: no limit */
    int32_t packed_align;          /* bytes */
    int32_t prepared_align;        /* bytes */
    int32_t packed_overread;       /* bytes read (never used) past the end of packed */
    int32_t prepared_overread;
    int64_t prepare_k_step; /* prepare may be split over K on multiples of this */

    /* tiles */
    const tb_tile_param* tile_params;
    int32_t tile_param_count;

    /* kernels with equal tags (and prepare tiles) share one prepared activation */
    const char* prepare_tag;

    /* operations; none may be null but accumulate (null unless TB_EXACT) */
    tb_status (*accepts)(const tb_shape* shape, const tb_tile* tile);

    size_t (*packed_size)(const tb_shape* shape, const tb_tile* tile);
    /* pack ranges begin on multiples of this and end on one or on N; unpack takes any. Ranges on it
     * touch disjoint bytes, so that they may run in parallel; the range holding the last row also
     * writes whatever follows the rows (a tensor scale, padding). */
    int64_t (*pack_row_step)(const tb_shape* shape, const tb_tile* tile);
    tb_status (*pack)(const tb_shape* shape, const tb_tile* tile, const tb_weights* weights,
                      int64_t row_begin, int64_t row_end, void* packed);
    /* The inverse. Refuses (TB_BAD_WEIGHT) codes that no packer writes. With all pointers null it
     * does nothing but that, at the speed of memory where it can; with scales alone it may leave
     * codes unread. */
    tb_status (*unpack)(const tb_shape* shape, const tb_tile* tile, const void* packed,
                        int64_t row_begin, int64_t row_end, const tb_weights_out* weights);

    size_t (*prepared_size)(const tb_shape* shape, const tb_tile* tile, int64_t m);
    /* Phase one: max |x| over `count` floats, 0 for none. Maxima of pieces combine with max.
     * A kernel whose preparation needs no maximum returns 0. */
    float (*row_absmax)(const float* x, int64_t count);
    /* Phase two: int8 values, sums, tables for tokens x columns. Pieces are independent: k_begin
     * is a multiple of prepare_k_step, k_end one or K. */
    tb_status (*prepare)(const tb_shape* shape, const tb_tile* tile, const tb_activations* act,
                         int64_t m_begin, int64_t m_end, int64_t k_begin, int64_t k_end,
                         void* prepared);

    size_t (*scratch_size)(const tb_shape* shape, const tb_tile* tile, int64_t m);
    /* y[m,n] for every token and the rows [n_begin, n_end). gemv: p->m == 1; gemm: any m.
     * Exact class: y = (float)acc * (dx[m] * sw[n]), float32, round to nearest, in that order,
     * with dx = max(absmax, 1e-5f) / 127 (or q_scale as given) and sw the scale of the row. Of
     * quantised weights acc is the sum of the stored integers instead of trits (q8_row).
     * Bounded float class: 16 lanes (lane = k % 16), one fused multiply-add per element, then the
     * tree 16 -> 8 -> 4 -> 2 -> 1 adding lane i + width/2 to lane i.
     * Bounded int8-block class, blocks of 32 columns: the weights are integers times a scale of
     * their block, w_k = v_k * d_b. S_b = sum of v_k q_k over block b in integers; 8 lanes (lane =
     * b % 8), one fused multiply-add of (d_b * dx_b, (float)S_b) a block, b ascending; then the
     * tree 8 -> 4 -> 2 -> 1. Its bound is between y and the sum of w as unpacked and x as
     * quantised; what storing w and quantising x cost is not in it. q8_0, q4_0 and q6_k with
     * activations as in prepared_block.h.
     * The same with blocks of 256 columns (llama.cpp's Q8_K, prepared_q8k.h): one lane, y =
     * fma(d_b * dx_b, (float)S_b, y), b ascending from 0.
     * Bounded int8-phase class (ik_llama.cpp's Q8_K64 and Q8_K16, prepared_phase.h): S_i = sum of
     * trit * q over the columns of phase i in integers; y = sw * t with t = fma(dx_3, S_3,
     * fma(dx_2, S_2, fma(dx_1, S_1, dx_0 * S_0))), sums converted to float, sw the row's scale.
     * Hence, in all classes, the same bits from any ISA, split, batch and tile. The caller has made
     * the shape pass accepts. */
    void (*gemv)(const tb_product* p);
    void (*gemm)(const tb_product* p);
    /* Exact class: the raw int32 sums  acc[m,n] = sum_k trit[n,k] * q[m,k]. */
    void (*accumulate)(const tb_product* p);

    void (*work)(const tb_shape* shape, const tb_tile* tile, int64_t m, tb_work* out);

    /* 1: columns of W whose activation is zero in every token are not read, so that weight_bytes of
     * work is the most that a product may take */
    int32_t skips_zeros;
} tb_kernel;

/* What an ISA file (or a plug-in) exports: its only external symbol. */
typedef struct tb_kernel_table {
    uint32_t abi;             /* TB_ABI_VERSION */
    uint32_t descriptor_size; /* sizeof(tb_kernel) */
    uint32_t count;
    const tb_kernel* const* kernels;
} tb_kernel_table;

#ifdef __cplusplus
}
#endif

#endif
