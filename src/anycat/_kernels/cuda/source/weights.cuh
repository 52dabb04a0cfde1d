// Parameters in registers, their weights, and these as integers.

#include "exponential.cuh"

namespace anycat {

constexpr int FRACTION_BITS = 49;           // bits below the leading one of a tile's largest
constexpr int EMPTY_EXPONENT = -(1 << 30);  // the exponent of a tile without weight

// Load a thread's values of `n`: those from PACK * thread on, PACK at a time, in steps of
// PACK * threads. Values beyond the end have no weight.
template <int N>
__device__ inline void load_values(const PARAM* x, u32 n, u32 thread, u32 threads,
                                   Real (&values)[N]) {
  struct alignas(16) Pack {
    PARAM values[PACK];
  };
  const u32 vectorized = (u64)x % 16 == 0 ? n / PACK * PACK : 0;
  Pack packs[N / PACK];
#pragma unroll
  for (int c = 0; c < N / PACK; ++c) {
    const u32 k = (c * threads + thread) * PACK;
#pragma unroll
    for (u32 v = 0; v < PACK; ++v) packs[c].values[v] = LOGITS ? minus_infinity(PARAM()) : PARAM();
    if (k < vectorized) {
      packs[c] = *(const Pack*)(x + k);
    } else {
#pragma unroll
      for (u32 v = 0; v < PACK; ++v)
        if (k + v < n) packs[c].values[v] = x[k + v];
    }
  }
#pragma unroll
  for (int k = 0; k < N; ++k) values[k] = widen(packs[k / PACK].values[k % PACK]);
}

// Return the ordinal of the largest parameter.
template <int N> __device__ inline Bits max_ordinal(const Real (&values)[N]) {
  Bits top = 0;
#pragma unroll
  for (int k = 0; k < N; ++k) top = max(top, to_ordinal(values[k]));
  return top;
}

// Return what is subtracted from the logits of a row with this maximum.
__device__ inline Real logit_offset(Bits top) {
  if (!LOGITS || top == 0) return 0;
  const Real x = from_ordinal(top);
  return x > (Real)0x1p20 || x < -(Real)0x1p20 ? x : 0;
}

// Return the exponent E of a tile with this maximum.
__device__ inline int tile_exponent(Bits top, Real offset) {
  if (top == 0 || top >= INVALID) return EMPTY_EXPONENT;
  if (LOGITS) {
    const Real highest = subtract(from_ordinal(top), offset);
    // Above 2**20 the offset is not yet that of the row.
    const bool counts = highest >= -(Real)0x1p21 && highest <= (Real)0x1p20;
    return counts ? exp_parts(highest).n : EMPTY_EXPONENT;
  }
  const int exponent = (int)(top >> Format::MANTISSA);
  return exponent ? exponent - Format::BIAS : bit_length(top) - (Format::BIAS + Format::MANTISSA);
}

// Turn the parameters of a tile into weights * 2**(49 - E). All of them are normal, or too small to
// count, so that multiplication by powers of two is exact.
template <int N> __device__ inline void to_weights(Real (&values)[N], int exponent, Real offset) {
  if (LOGITS) {
    // Weights of less than 2**-70 units count as nothing. A subnormal logit may be flushed to zero,
    // so that a plain difference will do.
    const Real lowest = (Real)(exponent - 120) * (Real)0.6931472;
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const ExpParts weight = exp_parts(max(values[k] - offset, lowest));
      values[k] = times_power(weight.g, (u32)weight.n - exponent + FRACTION_BITS);
    }
  } else {
    // Without the prescale, 2**(49 - E) might be too large for the type.
    const int prescale = exponent < Format::PRESCALE_BELOW ? Format::PRESCALE : 0;
    const Real first = power_of_two(prescale);
    const Real second = power_of_two(FRACTION_BITS - exponent - prescale);
#pragma unroll
    for (int k = 0; k < N; ++k) values[k] = multiply(multiply(values[k], first), second);
  }
}

// Return the sum of weights, each rounded to the nearest integer.
//
// Weights are at most 2**50. As few GPUs have fast float64 or 64-bit integers, a float32 is split
// in float32, exactly: into a multiple of 2**27, which adding 2**50 leaves in the lowest bits, and
// a rest of at most 2**26 either way, which alone needs rounding. Both parts of up to 16 weights
// add up in 32 bits.
__device__ inline u64 sum_weights(const float* weights, int n) {
  const float large = 0x1p50f;
  u32 high = 0, low = 0;  // unsigned, since a row that is changing may make them overflow
#pragma unroll
  for (int k = 0; k < n; ++k) {
    const float multiple = add(weights[k], large);
    high += bits_of(multiple) - bits_of(large);
    low += (u32)round_to_int(subtract(weights[k], subtract(multiple, large)));
  }
  return ((u64)high << 27) + (u64)(long long)(int)low;
}

__device__ inline u64 sum_weights(const double* weights, int n) {
  u64 sum = 0;
#pragma unroll
  for (int k = 0; k < n; ++k) sum += bits_of(add(weights[k], 0x1p52)) - bits_of(0x1p52);
  return sum;
}

__device__ inline u64 integer_weight(Real weight) { return sum_weights(&weight, 1); }

// Return the first category of a pack whose running sum, from `running` on, exceeds `target`.
__device__ inline u32 search_pack(const Real* weights, u64 running, u64 target) {
  u32 k = 0;
#pragma unroll
  for (u32 v = 0; v < PACK; ++v) {
    running += integer_weight(weights[v]);
    k += running <= target;
  }
  return k;
}

}  // namespace anycat
