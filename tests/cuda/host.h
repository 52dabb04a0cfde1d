// What arithmetic.cuh asks of the hardware, in C++. All other arithmetic in float32 may find
// subnormals flushed to zero, as with CuPy's -ftz=true: see harness.h.

template <typename Real> inline Real fma(Real x, Real y, Real z) {
  return exactly([](Real x, Real y, Real z) { return std::fma(x, y, z); }, x, y, z);
}
template <typename Real> inline Real multiply(Real x, Real y) {
  return exactly([](Real x, Real y) { return x * y; }, x, y);
}
template <typename Real> inline Real add(Real x, Real y) {
  return exactly([](Real x, Real y) { return x + y; }, x, y);
}
template <typename Real> inline Real subtract(Real x, Real y) {
  return exactly([](Real x, Real y) { return x - y; }, x, y);
}
template <typename Real> inline Real divide(Real x, Real y) {
  return exactly([](Real x, Real y) { return x / y; }, x, y);
}
inline float to_float(double x) {
  return exactly([](double x) { return (float)x; }, x);
}

// cvt.rni.s32.f32 saturates, and NaN becomes 0.
inline int round_to_int(float x) {
  if (x >= 0x1p31f) return INT_MAX;
  if (x < -0x1p31f) return INT_MIN;
  return x == x ? (int)std::nearbyint(x) : 0;
}

template <typename To, typename From> inline To bit_cast(From x) {
  static_assert(sizeof(To) == sizeof(From));
  To y;
  std::memcpy(&y, &x, sizeof y);
  return y;
}
inline u32 bits_of(float x) { return bit_cast<u32>(x); }
inline u64 bits_of(double x) { return bit_cast<u64>(x); }
inline float from_bits(u32 x) { return bit_cast<float>(x); }
inline double from_bits(u64 x) { return bit_cast<double>(x); }

inline float widen(float16 x) {
  const u32 sign = (u32)(x.bits & 0x8000) << 16, exponent = x.bits >> 10 & 31;
  const u32 rest = x.bits & 0x3FF;
  if (exponent == 31) return from_bits(sign | 0x7F800000 | rest << 13);
  if (exponent) return from_bits(sign | (exponent + 112) << 23 | rest << 13);
  return sign ? -(float)rest * 0x1p-24f : (float)rest * 0x1p-24f;
}
