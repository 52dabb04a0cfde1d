// Draws from short rows, a thread for each row.

#include "grid.cuh"
#include "weights.cuh"

#ifdef DRAW_SHORT_ROWS
namespace anycat {

constexpr int SHORT_THREADS = 128;  // of a block, and rows that it takes

// Draw from rows of up to 32 categories. They come through shared memory, where one value is left
// unused after each 32, to avoid bank conflicts.
extern "C" __global__ void __launch_bounds__(SHORT_THREADS)
draw_short_rows(const PARAM* x, u64 size, u64 rows, DrawGrid grid, void* out, u32 itemsize) {
  Real* values = (Real*)shared_memory;
  const auto at = [](u32 i) { return i + i / WARP; };
  const u64 first = (u64)blockIdx.x * SHORT_THREADS, r = first + threadIdx.x;
  const u32 n = (u32)(min<u64>(SHORT_THREADS, rows - first) * size);
  for (u32 step = 0; step < n; step += SHORT_THREADS * PACK) {
    Real pack[PACK];
    const u32 begin = step + threadIdx.x * PACK;
    load_values(x + first * size + step, n - step, threadIdx.x, SHORT_THREADS, pack);
#pragma unroll
    for (u32 v = 0; v < PACK; ++v)
      if (begin + v < n) values[at(begin + v)] = pack[v];
  }
  __syncthreads();
  if (r >= rows) return;

  const u32 begin = threadIdx.x * (u32)size;
  Bits top = 0;
  for (u32 k = 0; k < size; ++k) top = max(top, to_ordinal(values[at(begin + k)]));
  const Real offset = logit_offset(top);
  const int exponent = tile_exponent(top, offset);
  u64 total = 0;
  for (u32 k = 0; k < size && exponent != EMPTY_EXPONENT; ++k) {
    Real weight[] = {values[at(begin + k)]};
    to_weights(weight, exponent, offset);
    values[at(begin + k)] = weight[0];
    total += integer_weight(weight[0]);
  }
  for (u64 j = 0; j < grid.runs; ++j)
    for (u64 i = 0; i < grid.draws; ++i) {
      const u64 word = random_word(grid, grid_point(grid.counter_strides, r, j, i));
      const u64 target = multiply_high(word, total);
      u64 found = 0, running = 0;
      for (u32 k = 0; k < size && total; ++k) {
        running += integer_weight(values[at(begin + k)]);
        found += running <= target;
      }
      const u64 position = grid_point(grid.out_strides, r, j, i);
      record(out, itemsize, position, total ? found : NO_CATEGORY);
    }
}

}  // namespace anycat
#endif
