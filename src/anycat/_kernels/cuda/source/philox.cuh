// Random words: section 1 of docs/draw.md.

#include "types.cuh"

namespace anycat {

struct RandomWords {
  u64 even, odd;
};

// Return the two words of a Philox4x32-10 block: of draw indices 2 block and 2 block + 1.
__device__ inline RandomWords philox(u64 block, u64 key, u64 counter) {
  u32 k0 = (u32)key, k1 = (u32)(key >> 32);
  u32 c0 = (u32)block, c1 = (u32)(block >> 32), c2 = (u32)counter, c3 = (u32)(counter >> 32);
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    // Halves one by one: of a 64-bit product NVRTC makes two instructions more.
    const u32 high0 = __umulhi(0xD2511F53u, c0), low0 = 0xD2511F53u * c0;
    const u32 high1 = __umulhi(0xCD9E8D57u, c2), low1 = 0xCD9E8D57u * c2;
    c0 = high1 ^ c1 ^ k0, c1 = low1;
    c2 = high0 ^ c3 ^ k1, c3 = low0;
    k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
  }
  return {c0 | (u64)c1 << 32, c2 | (u64)c3 << 32};
}

}  // namespace anycat
