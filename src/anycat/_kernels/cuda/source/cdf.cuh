// The integer cdf of rows: the running sums of their integer weights.

#include "tiles.cuh"

#ifdef FILL_CDF
namespace anycat {

// Return the leading 32 bits of the random words at which a category ends. All words with other
// leading bits are on the side of the end that these tell.
__device__ inline u32 end_prefix(u64 end, u64 total) {
  if (total == 0) return 0;
  const u64 prefix = min((u64)((double)end * (0x1p32 / (double)total)), (u64)0xFFFFFFFF);
  // The quotient is off by one at most. Words from (prefix + 1) << 32 on must be beyond `end`.
  if (prefix < 0xFFFFFFFF && multiply_high((prefix + 1) << 32, total) < end) return (u32)prefix + 1;
  return (u32)prefix - (end && multiply_high(prefix << 32, total) >= end);
}

// Fill the cdf of rows whose tiles are scanned, with zeros for an invalid row, and its prefixes.
extern "C" __global__ void __launch_bounds__(THREADS, 2)
fill_cdf(const PARAM* x, u64 size, u64 rows, u64* workspace, u64* cdf, u32* prefixes) {
  const u64 t = blockIdx.x, r = t / tile_count(size), j = t % tile_count(size);
  const u64 first = r * size + j * TILE;
  const TileStats row = stats_of_row(workspace, size, r);
  const RowScan scan = *row.scan;
  const u32 n = tile_length(size, j);
  const int exponent =
      scan.total ? tile_exponent((Bits)row.tile_max[j], scan.offset) : EMPTY_EXPONENT;
  const u64 start = scan.total ? row.tile_offset[j] : 0;
  Real tile[TILE_ITEMS] = {};
  u64 running[TILE_ITEMS / PACK];
  u32 turn = 0;
  if (exponent != EMPTY_EXPONENT) {
    load_tile(x + r * size, size, j, tile);
    to_weights(tile, exponent, scan.offset);
  }
  scan_packs(tile, running, turn);
#pragma unroll
  for (u32 c = 0; c < TILE_ITEMS / PACK; ++c) {
    const u32 k = (c * THREADS + threadIdx.x) * PACK;
#pragma unroll
    for (u32 v = 0; v < PACK; ++v) {
      running[c] += integer_weight(tile[c * PACK + v]);
      u64 end = start + (running[c] >> tile_shift(scan.exponent, exponent));
      if (j * TILE + k + v == size - 1) end = scan.total;  // even if the row has changed meanwhile
      if (k + v < n) {
        cdf[first + k + v] = end;
        prefixes[first + k + v] = end_prefix(end, scan.total);
      }
    }
  }
}

}  // namespace anycat
#endif
