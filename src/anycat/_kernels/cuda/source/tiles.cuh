// The tiles of rows, a block for each row: maxima, sums, and the sums scanned to offsets.

#include "reduce.cuh"
#include "scale.cuh"
#include "weights.cuh"

namespace anycat {

// What is the same for all tiles of a row.
struct RowScan {
  u64 total;     // T, or 0 where nothing can be drawn
  Real offset;   // what is subtracted from logits
  int exponent;  // s_j = exponent - E_j
};

// A row's part of the workspace.
struct TileStats {
  u64* tile_max;     // the ordinal of the largest parameter of each tile
  u64* tile_offset;  // first the sum of each tile, then the sum of those before it
  RowScan* scan;     // for other kernels
};

__device__ inline TileStats stats_of_row(u64* workspace, u64 size, u64 r) {
  const u64 tiles = tile_count(size);
  u64* const begin = workspace + r * (2 * tiles + 3);
  return {begin, begin + tiles, (RowScan*)(begin + 2 * tiles)};
}

__device__ inline void load_tile(const PARAM* x, u64 size, u64 j, Real (&tile)[TILE_ITEMS]) {
  load_values(x + j * TILE, tile_length(size, j), threadIdx.x, THREADS, tile);
}

// Turn a tile into weights; return the sum of their integers, and the maximum in `top`.
__device__ inline u64 reduce_tile(Real (&tile)[TILE_ITEMS], Real offset, Bits& top, u32& turn) {
  top = max_over_block(max_ordinal(tile), turn);
  const int exponent = tile_exponent(top, offset);
  if (exponent == EMPTY_EXPONENT) return 0;
  to_weights(tile, exponent, offset);
  u64 total;
  scan_block(sum_weights(tile, TILE_ITEMS), total, turn);
  return total;
}

// Scan the sums of a row's tiles to offsets. Each thread takes a range of tiles. `bound` is set to
// the upper bound of the sum from which the headroom follows.
__device__ inline RowScan scan_sums(const TileStats& row, u64 tiles, Real offset, u32& turn,
                                    u64& bound) {
  const u64 tiles_per_thread = (tiles + THREADS - 1) / THREADS;
  const u64 begin = min(threadIdx.x * tiles_per_thread, tiles);
  const u64 end = min(begin + tiles_per_thread, tiles);
  const auto exponent_of = [&](u64 j) { return tile_exponent((Bits)row.tile_max[j], offset); };
  int highest = EMPTY_EXPONENT;
  for (u64 j = begin; j < end; ++j) highest = max(highest, exponent_of(j));
  highest = (int)max_over_block((u32)(highest - EMPTY_EXPONENT), turn) + EMPTY_EXPONENT;

  int exponent = highest + ceil_log2(tiles);
  const auto shifted = [&](u64 j) {
    return row.tile_offset[j] >> tile_shift(exponent, exponent_of(j));
  };
  u64 sum = 0, total;
  for (u64 j = begin; j < end; ++j) sum += shifted(j);
  scan_block(sum, total, turn);
  bound = tiles + total;
  exponent -= unused_headroom(tiles, bound);

  sum = 0;
  for (u64 j = begin; j < end; ++j) sum += shifted(j);
  u64 start = scan_block(sum, total, turn);
  for (u64 j = begin; j < end; ++j) {
    sum = shifted(j);
    row.tile_offset[j] = start, start += sum;
  }
  __syncthreads();
  return {total, offset, exponent};
}

__device__ inline RowScan scan_sums(const TileStats& row, u64 tiles, Real offset, u32& turn) {
  u64 bound;
  return scan_sums(row, tiles, offset, turn, bound);
}

// Reduce all tiles of a row, unless they are reduced, and scan their sums. If this reduces them,
// `tile` is left with the weights of the last tile. The second pass is the last: in a row that
// changes meanwhile, the offset may never be right.
__device__ inline RowScan reduce_and_scan(const PARAM* x, u64 size, const TileStats& row,
                                          bool reduced, Real (&tile)[TILE_ITEMS], u32& turn) {
  const u64 tiles = tile_count(size);
  Real offset = 0;
  for (int pass = 0;; ++pass) {
    if (!reduced) {
      Real next[TILE_ITEMS];  // is being loaded while a tile is reduced
      load_tile(x, size, 0, next);
      for (u64 j = 0; j < tiles; ++j) {
#pragma unroll
        for (int k = 0; k < TILE_ITEMS; ++k) tile[k] = next[k];
        if (j + 1 < tiles) load_tile(x, size, j + 1, next);
        Bits top;
        const u64 sum = reduce_tile(tile, offset, top, turn);
        if (threadIdx.x == 0) row.tile_max[j] = top, row.tile_offset[j] = sum;
      }
    }
    __syncthreads();
    Bits top = 0;
    for (u64 j = threadIdx.x; j < tiles; j += THREADS) top = max(top, (Bits)row.tile_max[j]);
    top = max_over_block(top, turn);
    if (top == 0 || top >= INVALID) return {0, 0, 0};
    if (pass || offset == logit_offset(top)) return scan_sums(row, tiles, offset, turn);
    offset = logit_offset(top);
    reduced = false;
  }
}

// Return the tile of a scanned row whose integers contain `target`.
__device__ inline u64 search_tiles(const u64* tile_offset, u64 tiles, u64 target) {
  u64 j = 0, after = tiles;
  while (after - j > 1) {
    const u64 middle = (j + after) / 2;
    (tile_offset[middle] <= target ? j : after) = middle;
  }
  return j;
}

// For each pack of a thread's weights, store the sum of all weights of the tile before it. Return
// the sum of the tile.
template <int N>
__device__ inline u64 scan_packs(const Real (&tile)[N], u64 (&before)[N / PACK], u32& turn) {
  u64 sum = 0, total;
#pragma unroll
  for (int c = 0; c < N / PACK; ++c) {
    before[c] = sum + scan_block(sum_weights(tile + c * PACK, PACK), total, turn);
    sum += total;
  }
  return sum;
}

#ifdef REDUCE_TILES
// Reduce the tiles of rows, a block each, as if no row needed an offset.
extern "C" __global__ void __launch_bounds__(THREADS, sizeof(Real) == 4 ? 5 : 4)
reduce_tiles(const PARAM* x, u64 size, u64 rows, u64* workspace) {
  const u64 t = blockIdx.x, r = t / tile_count(size), j = t % tile_count(size);
  Real tile[TILE_ITEMS];
  Bits top;
  u32 turn = 0;
  load_tile(x + r * size, size, j, tile);
  const u64 sum = reduce_tile(tile, 0, top, turn);
  const TileStats row = stats_of_row(workspace, size, r);
  if (threadIdx.x == 0) row.tile_max[j] = top, row.tile_offset[j] = sum;
}
#endif

#ifdef SCAN_TILES
// Scan the tiles of rows, a block for each row, for `fill_cdf`.
extern "C" __global__ void __launch_bounds__(THREADS, sizeof(Real) == 4 ? 2 : 1)
scan_tiles(const PARAM* x, u64 size, u64 rows, u64* workspace, u32 reduced) {
  const u64 r = blockIdx.x;
  const TileStats row = stats_of_row(workspace, size, r);
  Real tile[TILE_ITEMS];
  u32 turn = 0;
  const RowScan scan = reduce_and_scan(x + r * size, size, row, reduced, tile, turn);
  if (threadIdx.x == 0) *row.scan = scan;
}
#endif

}  // namespace anycat
