// Masks of rows.

#include "bits.cuh"

#ifdef MASK_ROWS
namespace anycat {

// Store the parameters of the categories that a mask allows, and of the others that of a category
// without weight. The mask has a byte for each category or, if `packed`, a bit in words of 32. Its
// rows are `stride` bytes or words apart: 0 if it has one for all. `left`, which is false, becomes
// true for rows with a positive probability.
extern "C" __global__ void __launch_bounds__(THREADS)
mask_rows(const PARAM* x, u64 size, u64 rows, const void* mask, u32 packed, u64 stride, PARAM* out,
          bool* left) {
  const u64 begin = blockIdx.x * TILE, end = min(begin + TILE, rows * size);
  for (u64 i = begin + threadIdx.x; i < end; i += THREADS) {
    const u64 r = i / size, k = i - r * size;
    const u32* const words = (const u32*)mask + r * stride;
    const unsigned char* const bytes = (const unsigned char*)mask + r * stride;
    const bool allowed = packed ? (words[k / 32] >> (k % 32)) & 1 : bytes[k] != 0;
    const PARAM value = allowed ? x[i] : LOGITS ? minus_infinity(PARAM()) : PARAM();
    out[i] = value;
    if (to_ordinal(widen(value)) != 0 && !left[r]) left[r] = true;
  }
}

}  // namespace anycat
#endif
