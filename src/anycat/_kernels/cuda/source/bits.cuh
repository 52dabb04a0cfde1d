// Parameters as integers that sort as the parameters do: their ordinals.

#include "arithmetic.cuh"

namespace anycat {

template <typename Real> struct Ieee;
template <> struct Ieee<float> {
  typedef u32 Bits;
  typedef int Integer;
  static constexpr int MANTISSA = 23, BIAS = 127, PRESCALE_BELOW = -64, PRESCALE = 96;
};
template <> struct Ieee<double> {
  typedef u64 Bits;
  typedef long long Integer;
  static constexpr int MANTISSA = 52, BIAS = 1023, PRESCALE_BELOW = -900, PRESCALE = 512;
};

typedef decltype(widen(PARAM())) Real;  // the type in which weights are computed
typedef Ieee<Real> Format;
typedef Format::Bits Bits;

constexpr int WIDTH = 8 * sizeof(Real);
constexpr Bits SIGN = (Bits)1 << (WIDTH - 1);
constexpr Bits INFINITY_BITS = (Bits)(2 * Format::BIAS + 1) << Format::MANTISSA;
constexpr Bits FIRST_LOGIT = SIGN - 1 - INFINITY_BITS;  // minus infinity, among all sorted floats
constexpr Bits INVALID = LOGITS ? SIGN + INFINITY_BITS - FIRST_LOGIT : INFINITY_BITS;

__device__ inline float16 minus_infinity(float16) { return {0xFC00}; }
__device__ inline bfloat16 minus_infinity(bfloat16) { return {0xFF80}; }
__device__ inline float minus_infinity(float) { return from_bits((u32)0xFF800000); }
__device__ inline double minus_infinity(double) { return from_bits((u64)0xFFF << 52); }

// Return the parameter of a category that is never drawn.
__device__ inline Real without_weight() { return LOGITS ? minus_infinity(Real()) : Real(); }

// Return the ordinal of a parameter: 0 for a weight of zero, INVALID or more for NaN of either
// sign, infinity, and negative probabilities.
__device__ inline Bits to_ordinal(Real x) {
  const Bits bits = bits_of(x);
  if (!LOGITS) return bits == SIGN ? 0 : bits;
  return (bits ^ (SIGN | (Bits)((Format::Integer)bits >> (WIDTH - 1)))) - FIRST_LOGIT;
}

// Return the parameter with a valid ordinal.
__device__ inline Real from_ordinal(Bits ordinal) {
  if (!LOGITS) return from_bits(ordinal);
  const Bits rank = ordinal + FIRST_LOGIT;
  return from_bits(rank & SIGN ? rank ^ SIGN : ~rank);
}

}  // namespace anycat
