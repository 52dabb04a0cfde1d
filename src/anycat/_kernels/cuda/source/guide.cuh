// Guide tables: from the leading bits of a random word to the categories it may draw.

#include "types.cuh"

#ifdef FILL_GUIDE
namespace anycat {

// For all random words with the same `guide_bits` leading bits, find the first category that does
// not end before them. The guide table of a row has 2**guide_bits entries, each without the lowest
// `guide_shift` bits.
extern "C" __global__ void __launch_bounds__(THREADS)
fill_guide(const u64* cdf, u64 size, u64 rows, const u32* prefixes, u32 guide_bits,
           u32 guide_shift, u32* guide) {
  const u64 entry = (u64)blockIdx.x * THREADS + threadIdx.x, r = entry >> guide_bits;
  if (r >= rows) return;
  u64 k = 0, last = size - 1;
  while (k < last) {
    const u64 middle = (k + last) / 2, at = r * size + middle;
    if (cdf[at] && prefixes[at] >> (32 - guide_bits) >= entry - (r << guide_bits)) last = middle;
    else k = middle + 1;
  }
  guide[entry] = (u32)(k >> guide_shift);
}

}  // namespace anycat
#endif
