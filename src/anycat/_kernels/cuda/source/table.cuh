// Draws from prepared rows: their cdf and its prefixes, and a guide table.

#include "arithmetic.cuh"
#include "grid.cuh"

namespace anycat {

struct Table {
  const u64* cdf;
  const u32 *prefixes, *guide;
  u64 size, total;
  u32 guide_bits, guide_shift;
};

[[maybe_unused]] __device__ inline Table table_of_row(const u64* cdf, u64 size, const u32* prefixes,
                                                      u32 guide_bits, u32 guide_shift,
                                                      const u32* guide, u64 r) {
  const u64 begin = r * size, total = cdf[begin + size - 1];
  return {cdf + begin, prefixes + begin, guide + (r << guide_bits),
          size,        total,            guide_bits,
          guide_shift};
}

// Copy what every search reads to shared memory.
[[maybe_unused]] __device__ inline void stage(Table& table, u32* shared) {
  u32 *const prefixes = shared, *const guide = prefixes + table.size;
  for (u64 k = threadIdx.x; k < table.size; k += THREADS) prefixes[k] = table.prefixes[k];
  for (u64 i = threadIdx.x; i < 1u << table.guide_bits; i += THREADS) guide[i] = table.guide[i];
  table.prefixes = prefixes, table.guide = guide;
}

// Return the category that a random word draws from a prepared row.
[[maybe_unused]] __device__ inline u64 search_table(const Table& table, u64 word) {
  if (table.total == 0) return NO_CATEGORY;
  const u32 prefix = (u32)(word >> 32), i = prefix >> (32 - table.guide_bits);
  u64 k = (u64)table.guide[i] << table.guide_shift;
  k += prefix > table.prefixes[k];
  if (prefix < table.prefixes[k]) return k;
  u64 last = table.size - 1;
  if (i + 1 < 1u << table.guide_bits)
    last = min((((u64)table.guide[i + 1] + 1) << table.guide_shift) - 1, last);
  while (k < last) {
    const u64 middle = (k + last) / 2;
    if (prefix > table.prefixes[middle]) k = middle + 1;
    else last = middle;
  }
  if (prefix < table.prefixes[k]) return k;
  const u64 target = multiply_high(word, table.total);
  last = table.size - 1;
  while (k < last) {
    const u64 middle = (k + last) / 2;
    if (table.cdf[middle] <= target) k = middle + 1;
    else last = middle;
  }
  return k;
}

// Draw all runs of a prepared row. Where the draws of a run have consecutive indices, a thread uses
// both words of a Philox block. `put` takes the position of each draw, or of two and the step between
// them, and the outcomes.
template <typename Put>
__device__ inline void draw_runs(const Table& table, const DrawGrid& grid, u64 r, const Put& put) {
  const u64 thread = (u64)blockIdx.x * THREADS + threadIdx.x, threads = (u64)gridDim.x * THREADS;
  const u64 draws = grid.draws, step = grid.out_strides[3];
  for (u64 j = 0; j < grid.runs; ++j) {
    const u64 index = grid_point(grid.counter_strides, r, j, 0);
    const u64 position = grid_point(grid.out_strides, r, j, 0);
    if (grid.counter_strides[3] == 1 && !grid.seeds) {
      for (u64 b = index / 2 + thread; b <= (index + draws - 1) / 2; b += threads) {
        const RandomWords words = philox(b, grid.key, grid.counter);
        const u64 even = search_table(table, words.even), odd = search_table(table, words.odd);
        const u64 i = 2 * b - index;  // of the even one; -1 if the first index is odd
        if (i < draws && i + 1 < draws)
          put(position + i * step, step, even, odd);
        else if (i < draws) put(position + i * step, even);
        else put(position, odd);
      }
    } else {
      for (u64 i = thread; i < draws; i += threads) {
        const u64 word = random_word(grid, index + i * grid.counter_strides[3]);
        put(position + i * step, search_table(table, word));
      }
    }
  }
}

#ifdef DRAW_TABLE
struct Output {
  void* out;
  u32 itemsize;

  __device__ void operator()(u64 position, u64 k) const { store(out, itemsize, position, k); }
  __device__ void operator()(u64 position, u64 step, u64 even, u64 odd) const {
    store_pair(out, itemsize, position, step, even, odd);
  }
};

// Draw from prepared rows: y counts the rows, x the draws of each. Small tables are staged in
// shared memory.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
draw_table(const u64* cdf, u64 size, u64 rows, const u32* prefixes, u32 guide_bits,
           u32 guide_shift, const u32* guide, DrawGrid grid, void* out, u32 itemsize, u32 staged) {
  for (u64 r = blockIdx.y; r < rows; r += gridDim.y) {
    Table table = table_of_row(cdf, size, prefixes, guide_bits, guide_shift, guide, r);
    if (staged) {
      stage(table, (u32*)shared_memory);
      __syncthreads();
      draw_runs(table, grid, r, Output{out, itemsize});
      __syncthreads();
    } else {
      draw_runs(table, grid, r, Output{out, itemsize});
    }
  }
}
#endif

}  // namespace anycat
