// Counts of draws from prepared rows. (Other kernels count too, where outcomes have no bytes.)

#include "table.cuh"

#ifdef COUNT_TABLE
namespace anycat {

// Counts of a row: in a block, where it has room for them, or else those of all blocks.
struct Counts {
  u32* of_block;
  u64* of_all;

  __device__ void operator()(u64, u64 k) const {
    if (of_block) atomicAdd(of_block + k, 1u);
    else atomicAdd(of_all + k, (u64)1);
  }
  __device__ void operator()(u64 position, u64, u64 even, u64 odd) const {
    (*this)(position, even), (*this)(position, odd);
  }
};

// Add the counts of draws from prepared rows: y counts the rows, x the draws of each, of which there
// are less than 2**32. `gathered` tells whether a block counts in shared memory first.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
count_table(const u64* cdf, u64 size, u64 rows, const u32* prefixes, u32 guide_bits,
            u32 guide_shift, const u32* guide, DrawGrid grid, void* out, u32, u32 staged,
            u32 gathered) {
  u32* const in_block = (u32*)shared_memory;
  for (u64 r = blockIdx.y; r < rows; r += gridDim.y) {
    const u64 position = grid_point(grid.out_strides, r, 0, 0);
    Table table = table_of_row(cdf, size, prefixes, guide_bits, guide_shift, guide, r);
    if (table.total == 0) {
      if (threadIdx.x == 0) count(out, position, NO_CATEGORY);
      continue;
    }
    if (staged) stage(table, in_block + (gathered ? size : 0));
    for (u64 k = threadIdx.x; k < size && gathered; k += THREADS) in_block[k] = 0;
    __syncthreads();
    u64* const of_all = (u64*)out + position;
    draw_runs(table, grid, r, Counts{gathered ? in_block : nullptr, of_all});
    __syncthreads();
    for (u64 k = threadIdx.x; k < size && gathered; k += THREADS)
      if (in_block[k]) atomicAdd(of_all + k, (u64)in_block[k]);
    __syncthreads();
  }
}

}  // namespace anycat
#endif
