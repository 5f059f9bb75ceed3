/* TB_UNROLL before a loop over a register tile: the loop must vanish for the tile to live in
 * registers, and GCC 12 leaves some to a pass that comes after it has placed arrays in memory. */
#ifndef TRITBENCH_KERNELS_DOT_UNROLL_H
#define TRITBENCH_KERNELS_DOT_UNROLL_H

#define TB_UNROLL _Pragma("GCC unroll 8")

#endif
