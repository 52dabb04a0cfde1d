// Draws from rows that fit in the registers of a warp, a group of lanes for each row.

#include "grid.cuh"
#include "reduce.cuh"
#include "weights.cuh"

namespace anycat {

[[maybe_unused]] constexpr int ROW_ITEMS = 128 / sizeof(Real);  // values of a row in a thread

#ifdef DRAW_ROWS
// Draw from rows of up to 1024 categories, or 512 in float64, each by a group of `lanes` lanes.
extern "C" __global__ void __launch_bounds__(THREADS, 2)
draw_rows(const PARAM* x, u64 size, u64 rows, DrawGrid grid, void* out, u32 itemsize, u32 lanes) {
  const u64 thread = (u64)blockIdx.x * THREADS + threadIdx.x, r = thread / lanes;
  const u32 lane = (u32)(thread % lanes);  // the last groups may have no row
  Real row[ROW_ITEMS];
  load_values(x + r * size, r < rows ? (u32)size : 0, lane, lanes, row);
  const Bits top = max_over_lanes(max_ordinal(row), lanes);
  const Real offset = logit_offset(top);
  const int exponent = tile_exponent(top, offset);
  u64 before[ROW_ITEMS / PACK], sums[ROW_ITEMS / PACK], total = 0;
  if (exponent != EMPTY_EXPONENT) to_weights(row, exponent, offset);
#pragma unroll
  for (int c = 0; c < ROW_ITEMS / PACK; ++c) {
    u64 sum;
    sums[c] = exponent == EMPTY_EXPONENT ? 0 : sum_weights(row + c * PACK, PACK);
    before[c] = total + scan_lanes(sums[c], sum, lanes);
    total += sum;
  }
  const u64 draws = grid.runs * grid.draws;
  for (u64 first = 0; first < draws; first += lanes) {  // each lane prepares a draw
    const u64 d = first + lane, j = grid.draws == 1 ? d : d / grid.draws;
    const u64 i = d - j * grid.draws;
    const u64 word = random_word(grid, grid_point(grid.counter_strides, r, j, i));
    const u64 own_position = grid_point(grid.out_strides, r, j, i);
    const u64 own_target = multiply_high(word, total);
    if (total == 0 && r < rows && d < draws) record(out, itemsize, own_position, NO_CATEGORY);
    for (u32 i = 0; i < lanes && i < draws - first; ++i) {
      const u64 target = __shfl_sync(ALL_LANES, own_target, i, lanes);
      const u64 position = __shfl_sync(ALL_LANES, own_position, i, lanes);
#pragma unroll
      for (u32 c = 0; c < ROW_ITEMS / PACK; ++c)
        if (target - before[c] < sums[c])  // true in one pack of one lane, if total is positive
          record(out, itemsize, position,
                (c * lanes + lane) * PACK + search_pack(row + c * PACK, before[c], target));
    }
  }
}
#endif

}  // namespace anycat
