// Arithmetic that no compiler option may change, and the bits of floats.

#include "types.cuh"

namespace anycat {

#ifdef __CUDACC__
extern __shared__ u64 shared_memory[];

// CuPy compiles with -ftz=true, which flushes subnormals to zero in all but inline PTX.
__device__ inline float fma(float x, float y, float z) {
  float r;
  asm("fma.rn.f32 %0, %1, %2, %3;" : "=f"(r) : "f"(x), "f"(y), "f"(z));
  return r;
}
__device__ inline float multiply(float x, float y) {
  float r;
  asm("mul.rn.f32 %0, %1, %2;" : "=f"(r) : "f"(x), "f"(y));
  return r;
}
__device__ inline float add(float x, float y) {
  float r;
  asm("add.rn.f32 %0, %1, %2;" : "=f"(r) : "f"(x), "f"(y));
  return r;
}
__device__ inline float subtract(float x, float y) {
  float r;
  asm("sub.rn.f32 %0, %1, %2;" : "=f"(r) : "f"(x), "f"(y));
  return r;
}
__device__ inline float divide(float x, float y) {
  float r;
  asm("div.rn.f32 %0, %1, %2;" : "=f"(r) : "f"(x), "f"(y));
  return r;
}
__device__ inline float to_float(double x) {
  float r;
  asm("cvt.rn.f32.f64 %0, %1;" : "=f"(r) : "d"(x));
  return r;
}
__device__ inline int round_to_int(float x) {
  int r;
  asm("cvt.rni.s32.f32 %0, %1;" : "=r"(r) : "f"(x));
  return r;
}
__device__ inline float widen(float16 x) {
  float r;
  asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(x.bits));
  return r;
}
__device__ inline double fma(double x, double y, double z) { return __fma_rn(x, y, z); }
__device__ inline double multiply(double x, double y) { return __dmul_rn(x, y); }
__device__ inline double add(double x, double y) { return __dadd_rn(x, y); }
__device__ inline double subtract(double x, double y) { return __dsub_rn(x, y); }
__device__ inline double divide(double x, double y) { return __ddiv_rn(x, y); }
__device__ inline u32 bits_of(float x) { return __float_as_uint(x); }
__device__ inline u64 bits_of(double x) { return (u64)__double_as_longlong(x); }
__device__ inline float from_bits(u32 x) { return __uint_as_float(x); }
__device__ inline double from_bits(u64 x) { return __longlong_as_double((long long)x); }

#else
#include "host.h"  // of the tests, which run the kernels on a CPU
#endif

__device__ inline float widen(bfloat16 x) { return from_bits((u32)x.bits << 16); }
__device__ inline float widen(float x) { return x; }
__device__ inline double widen(double x) { return x; }

__device__ inline int bit_length(u64 n) { return 64 - __clzll((long long)n); }
__device__ inline int ceil_log2(u64 n) { return bit_length(n - 1); }

// floor(word * total / 2**64)
__device__ inline u64 multiply_high(u64 word, u64 total) { return __umul64hi(word, total); }

template <typename T> __device__ inline T min(T x, T y) { return x < y ? x : y; }
template <typename T> __device__ inline T max(T x, T y) { return x > y ? x : y; }
__device__ inline float max(float x, float y) { return fmaxf(x, y); }

}  // namespace anycat
