// Draws from rows of any length, a block for each row.

#include "grid.cuh"
#include "tiles.cuh"

#ifdef DRAW_LONG_ROWS
namespace anycat {

// Draw from rows of any length. Only the tile of a draw is loaded again, unless it is still there.
extern "C" __global__ void __launch_bounds__(THREADS, sizeof(Real) == 4 ? 2 : 1)
draw_long_rows(const PARAM* x, u64 size, u64 rows, DrawGrid grid, void* out, u32 itemsize,
               u64* workspace, u32 reduced) {
  const u64 r = blockIdx.x, tiles = tile_count(size);
  u32 turn = 0;
  const TileStats row = stats_of_row(workspace, size, r);
  Real tile[TILE_ITEMS];
  u64 before[TILE_ITEMS / PACK], sum = 0;
  const RowScan scan = reduce_and_scan(x + r * size, size, row, reduced, tile, turn);
  u64 loaded = reduced ? tiles : tiles - 1;  // the tile whose weights are in `tile`
  bool scanned = false;
  for (u64 j = 0; j < grid.runs; ++j)
    for (u64 i = 0; i < grid.draws; ++i) {
      const auto put = [&](u64 category) {
        record(out, itemsize, grid_point(grid.out_strides, r, j, i), category);
      };
      if (scan.total == 0) {
        if (threadIdx.x == 0) put(NO_CATEGORY);
        continue;
      }
      const u64 word = random_word(grid, grid_point(grid.counter_strides, r, j, i));
      const u64 target = multiply_high(word, scan.total);
      const u64 t = search_tiles(row.tile_offset, tiles, target);
      const int exponent = tile_exponent((Bits)row.tile_max[t], scan.offset);
      if (t != loaded) {
        load_tile(x + r * size, size, t, tile);
        to_weights(tile, exponent, scan.offset);
      }
      if (t != loaded || !scanned) sum = scan_packs(tile, before, turn);
      loaded = t, scanned = true;
      const u64 in_tile = target - row.tile_offset[t];
      const u64 within = ((in_tile + 1) << tile_shift(scan.exponent, exponent)) - 1;
      // If the row has changed since its tiles were reduced, the target may be beyond the tile, and
      // the sums of packs may overflow.
      if (within >= sum && threadIdx.x == 0) put(t * TILE);
#pragma unroll
      for (u32 c = 0; c < TILE_ITEMS / PACK; ++c)
        if (within - before[c] < sum_weights(tile + c * PACK, PACK)) {  // in one pack of one thread
          const u64 pack = t * TILE + (c * THREADS + threadIdx.x) * PACK;
          put(min(pack + search_pack(tile + c * PACK, before[c], within), size - 1));
        }
    }
}

}  // namespace anycat
#endif
