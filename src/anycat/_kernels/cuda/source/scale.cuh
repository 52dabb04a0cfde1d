// Tiles, and the scale that they have in common: section 3 of docs/draw.md.

#include "arithmetic.cuh"

namespace anycat {

__device__ inline u64 tile_count(u64 size) { return (size + TILE - 1) / TILE; }
__device__ inline u32 tile_length(u64 size, u64 j) { return (u32)min(TILE, size - j * TILE); }
__device__ inline int tile_shift(int scan, int tile) { return min(scan - tile, 63); }

// Return how much of the headroom that suffices for any row of so many tiles is left unused, by the
// upper bound of the sum.
__device__ inline int unused_headroom(u64 tiles, u64 bound) {
  return min(ceil_log2(tiles), max(0, 62 - bit_length(bound)));
}

}  // namespace anycat
