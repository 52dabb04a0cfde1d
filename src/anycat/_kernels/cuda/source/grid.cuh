// The draws of a launch: their random words, and where their outcomes go.

#include "philox.cuh"

namespace anycat {

// Draws [row, run, draw]. Both arrays of strides hold an origin and the strides of the three axes:
// of the draw index, and of the position in the output. If the rows of the batch have seeds, `key` is
// the position of the first draw of all rows, unless each has its own in `starts`.
struct DrawGrid {
  u64 key, counter;
  u64 counter_strides[4], out_strides[4];
  u64 runs, draws;
  const u64 *seeds, *starts;
  u64 batch;  // its rows, if they have seeds
};

[[maybe_unused]] constexpr u64 NO_CATEGORY = ~(u64)0;  // -1: the outcome for an invalid row

// Return the index or the position of draw i of run j of row r.
__device__ inline u64 grid_point(const u64 (&strides)[4], u64 r, u64 j, u64 i) {
  return strides[0] + r * strides[1] + j * strides[2] + i * strides[3];
}

__device__ inline u64 random_word(const DrawGrid& grid, u64 index) {
  u64 key = grid.key, origin = 0;
  if (grid.seeds) {
    const u64 row = index % grid.batch;
    index = index / grid.batch + (grid.starts ? grid.starts[row] : grid.key);
    key = grid.seeds[row];
    origin = (u64)1 << 63;
  }
  const RandomWords words = philox(origin + index / 2, key, grid.counter);
  return index % 2 ? words.odd : words.even;
}

// Count a category in the row of counts that begins at a position. Of an invalid row, the first count
// becomes -1.
__device__ inline void count(void* out, u64 position, u64 k) {
  u64* const counts = (u64*)out + position;
  if (k == NO_CATEGORY) *counts = NO_CATEGORY;
  else atomicAdd(counts + k, (u64)1);
}

// Store a category in an output whose elements have `itemsize` bytes.
__device__ inline void store(void* out, u32 itemsize, u64 position, u64 k) {
  if (itemsize == 8) ((u64*)out)[position] = k;
  else if (itemsize == 4) ((u32*)out)[position] = (u32)k;
  else if (itemsize == 2) ((unsigned short*)out)[position] = (unsigned short)k;
  else ((unsigned char*)out)[position] = (unsigned char)k;
}

// Store a category, or count it if elements have no bytes.
[[maybe_unused]] __device__ inline void record(void* out, u32 itemsize, u64 position, u64 k) {
  if (itemsize) store(out, itemsize, position, k);
  else count(out, position, k);
}

// Store two categories, with one instruction where possible.
__device__ inline void store_pair(void* out, u32 itemsize, u64 position, u64 step, u64 even,
                                  u64 odd) {
  struct alignas(16) Pair {
    u64 even, odd;
  };
  u64* const both = (u64*)out + position;
  if (itemsize == 8 && step == 1 && (u64)both % 16 == 0) {
    *(Pair*)both = {even, odd};
  } else {
    store(out, itemsize, position, even);
    store(out, itemsize, position + step, odd);
  }
}

}  // namespace anycat
