// The exponential, as section 2 of docs/draw.md defines it.

#include "bits.cuh"

namespace anycat {

struct ExpParts {
  Real g;
  int n;
};

// Return g and n with g * 2**n within an ulp of exp(x), g about 1, for abs(x) <= 2**21.
// x + rounder holds x, rounded, in its lowest bits.
__device__ inline ExpParts exp_parts(float x) {
  const float rounder = 0x1.8p23f;
  const float rounded = fma(x, 0x1.715476p+0f, rounder), n = subtract(rounded, rounder);
  const float r = fma(n, 0x1.05c61p-29f, fma(n, -0x1.62e43p-1f, x));
  float p = 0x1.6a2434p-10f;
  p = fma(p, r, 0x1.1239e2p-7f);
  p = fma(p, r, 0x1.5558f2p-5f);
  p = fma(p, r, 0x1.555492p-3f);
  p = fma(p, r, 0x1.fffffcp-2f);
  p = fma(p, r, 1.0f);
  return {(Real)fma(p, r, 1.0f), (int)(bits_of(rounded) - bits_of(rounder))};
}

__device__ inline ExpParts exp_parts(double x) {
  const double rounder = 0x1.8p52;
  const double rounded = fma(x, 0x1.71547652b82fep+0, rounder), n = subtract(rounded, rounder);
  const double r = fma(n, -0x1.abc9e3b39803fp-56, fma(n, -0x1.62e42fefa39efp-1, x));
  double p = 0x1.ad7f6966eed54p-26;
  p = fma(p, r, 0x1.28ad72c46d724p-22);
  p = fma(p, r, 0x1.71df2555820b7p-19);
  p = fma(p, r, 0x1.a0199a0c7067bp-16);
  p = fma(p, r, 0x1.a01a012a56626p-13);
  p = fma(p, r, 0x1.6c16c1842a0e4p-10);
  p = fma(p, r, 0x1.1111111127be9p-7);
  p = fma(p, r, 0x1.555555555087dp-5);
  p = fma(p, r, 0x1.55555555554fap-3);
  p = fma(p, r, 0x1.000000000000ap-1);
  p = fma(p, r, 1.0);
  return {(Real)fma(p, r, 1.0), (int)(bits_of(rounded) - bits_of(rounder))};
}

// Return g * 2**n, for a normal g and a normal result; n is modulo 2**32.
__device__ inline Real times_power(Real g, u32 n) {
  return from_bits(bits_of(g) + ((Bits)n << Format::MANTISSA));
}

__device__ inline Real power_of_two(int n) { return times_power(1, n); }

}  // namespace anycat
