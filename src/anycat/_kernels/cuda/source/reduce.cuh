// Sums and maxima over the lanes of a warp or the threads of a block.

#include "arithmetic.cuh"

namespace anycat {

__device__ inline u32 lane_index() { return threadIdx.x % WARP; }
__device__ inline u32 warp_index() { return threadIdx.x / WARP; }

// Return the sum of `value` over the lanes before this one, and set `total` to that over all lanes,
// for each group of `lanes` lanes.
__device__ inline u64 scan_lanes(u64 value, u64& total, u32 lanes = WARP) {
  u64 sum = value;
#pragma unroll
  for (u32 distance = 1; distance < WARP; distance *= 2)
    if (distance < lanes) {
      const u64 other = __shfl_up_sync(ALL_LANES, sum, distance, lanes);
      if (lane_index() % lanes >= distance) sum += other;
    }
  total = __shfl_sync(ALL_LANES, sum, lanes - 1, lanes);
  return sum - value;
}

// Return the maximum of `value` over each group of `lanes` lanes.
template <typename T> __device__ inline T max_over_lanes(T value, u32 lanes = WARP) {
#pragma unroll
  for (u32 distance = WARP / 2; distance; distance /= 2)
    if (distance < lanes) value = max(value, __shfl_xor_sync(ALL_LANES, value, distance));
  return value;
}

// Return what the first lane of each warp passes as `value`. Two buffers take turns, so that one
// barrier is enough: before a warp writes to a buffer again, all have read it and reached the
// barrier between.
__device__ inline const u64* exchange_warps(u64 value, u32& turn) {
  u64* warp_scratch = shared_memory + WARPS * (turn ^= 1);
  if (lane_index() == 0) warp_scratch[warp_index()] = value;
  __syncthreads();
  return warp_scratch;
}

// Return the sum of `value` over the threads before this one, and set `total` to that over all.
__device__ inline u64 scan_block(u64 value, u64& total, u32& turn) {
  u64 before = scan_lanes(value, total);
  const u64* sums = exchange_warps(total, turn);
  total = 0;
#pragma unroll
  for (u32 w = 0; w < WARPS; ++w) {
    if (w == warp_index()) before += total;
    total += sums[w];
  }
  return before;
}

// Return the maximum of `value` over all threads of the block.
template <typename T> __device__ inline T max_over_block(T value, u32& turn) {
  const u64* highest = exchange_warps(max_over_lanes(value), turn);
#pragma unroll
  for (u32 w = 0; w < WARPS; ++w) value = max(value, (T)highest[w]);
  return value;
}

}  // namespace anycat
