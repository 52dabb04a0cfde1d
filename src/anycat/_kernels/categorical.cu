// The draw in CUDA: stream version 1, as docs/draw.md defines it. The twin of cpu_kernels.py.
//
// Compiled for one type of parameters, by the macros NUMBER (float16, bfloat16, float or double) and
// LOGITS (0 or 1), and for one kernel, by its name in capitals: compiling all of them takes seconds.
// Everything after `_weigh` is integer arithmetic, so neither the split of a row over threads and
// blocks nor the order of their sums can change a draw.

#include "philox.cuh"

namespace anycat {

struct float16 {
  unsigned short bits;
};
struct bfloat16 {
  unsigned short bits;
};

// Draws form a lattice of rows, runs and draws: draw i of run j of row r has the number
// numbers[0] + r numbers[1] + j numbers[2] + i numbers[3], and goes to the place in `out` that
// `places` tells in the same way.
struct Lattice {
  u64 key, counter;
  u64 numbers[4], places[4];
  u64 runs, draws;
};

#ifdef __CUDACC__
extern __shared__ u64 room[];

// CuPy compiles with -ftz=true, which sets subnormals to zero in all but inline PTX.
__device__ inline float _fma(float x, float y, float z) {
  float r;
  asm("fma.rn.f32 %0, %1, %2, %3;" : "=f"(r) : "f"(x), "f"(y), "f"(z));
  return r;
}
__device__ inline float _multiply(float x, float y) {
  float r;
  asm("mul.rn.f32 %0, %1, %2;" : "=f"(r) : "f"(x), "f"(y));
  return r;
}
__device__ inline float _add(float x, float y) {
  float r;
  asm("add.rn.f32 %0, %1, %2;" : "=f"(r) : "f"(x), "f"(y));
  return r;
}
__device__ inline float _subtract(float x, float y) {
  float r;
  asm("sub.rn.f32 %0, %1, %2;" : "=f"(r) : "f"(x), "f"(y));
  return r;
}
__device__ inline int _nearest(float x) {
  int r;
  asm("cvt.rni.s32.f32 %0, %1;" : "=r"(r) : "f"(x));
  return r;
}
__device__ inline float _widen(float16 x) {
  float r;
  asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(x.bits));
  return r;
}
__device__ inline double _fma(double x, double y, double z) { return __fma_rn(x, y, z); }
__device__ inline double _multiply(double x, double y) { return __dmul_rn(x, y); }
__device__ inline double _add(double x, double y) { return __dadd_rn(x, y); }
__device__ inline double _subtract(double x, double y) { return __dsub_rn(x, y); }
__device__ inline u32 _bits(float x) { return __float_as_uint(x); }
__device__ inline u64 _bits(double x) { return (u64)__double_as_longlong(x); }
__device__ inline float _from_bits(u32 x) { return __uint_as_float(x); }
__device__ inline double _from_bits(u64 x) { return __longlong_as_double((long long)x); }

#else
#include "host.h"  // of the tests, which run this on a CPU
#endif

constexpr u64 TILE = 4096;         // categories that share an exponent: part of the definition
constexpr int FIXED = 49;          // bits below the leading one of a tile's largest weight
constexpr int EMPTY = -(1 << 30);  // the exponent of a tile without weight

constexpr u32 ALL = 0xFFFFFFFF;  // the lanes of a warp
constexpr int WARP = 32, WARPS = 8, THREADS = WARP * WARPS;
constexpr int PACK = 8;                // numbers next to each other in a thread
constexpr int ITEMS = TILE / THREADS;  // numbers of a tile in a thread

// --- bits ------------------------------------------------------------------------------------

template <typename Real> struct Ieee;
template <> struct Ieee<float> {
  typedef u32 Bits;
  typedef int Integer;
  static constexpr int MANTISSA = 23, BIAS = 127, LOW = -64, LIFT = 96;
};
template <> struct Ieee<double> {
  typedef u64 Bits;
  typedef long long Integer;
  static constexpr int MANTISSA = 52, BIAS = 1023, LOW = -900, LIFT = 512;
};

// Minus infinity.
__device__ inline float16 _lowest(float16) { return {0xFC00}; }
__device__ inline bfloat16 _lowest(bfloat16) { return {0xFF80}; }
__device__ inline float _lowest(float) { return _from_bits((u32)0xFF800000); }
__device__ inline double _lowest(double) { return _from_bits((u64)0xFFF << 52); }

__device__ inline float _widen(bfloat16 x) { return _from_bits((u32)x.bits << 16); }
__device__ inline float _widen(float x) { return x; }
__device__ inline double _widen(double x) { return x; }

typedef decltype(_widen(NUMBER())) Real;  // the type that a row is weighed in
typedef Ieee<Real> Form;
typedef Form::Bits Bits;

constexpr int WIDTH = 8 * sizeof(Real);
constexpr Bits SIGN = (Bits)1 << (WIDTH - 1);
constexpr Bits INFINITE = (Bits)(2 * Form::BIAS + 1) << Form::MANTISSA;
constexpr Bits LEAST = SIGN - 1 - INFINITE;  // minus infinity among all logits that are sorted
constexpr Bits FAULT = LOGITS ? SIGN + INFINITE - LEAST : INFINITE;

// Turn parameters into integers that sort as they do. 0 weighs nothing, and FAULT or more is no
// parameter: NaN of either sign, infinity, or a negative probability.
__device__ inline Bits _flip(Real x) {
  const Bits bits = _bits(x);
  if (!LOGITS) return bits == SIGN ? 0 : bits;
  return (bits ^ (SIGN | (Bits)((Form::Integer)bits >> (WIDTH - 1)))) - LEAST;
}

// The way back, for parameters.
__device__ inline Real _flip_back(Bits flipped) {
  if (!LOGITS) return _from_bits(flipped);
  const Bits rank = flipped + LEAST;
  return _from_bits(rank & SIGN ? rank ^ SIGN : ~rank);
}

__device__ inline int _bit_length(u64 n) { return 64 - __clzll((long long)n); }
__device__ inline int _ceil_log2(u64 n) { return _bit_length(n - 1); }

// floor(word * total / 2**64)
__device__ inline u64 _scale_word(u64 word, u64 total) { return __umul64hi(word, total); }

template <typename T> __device__ inline T _min(T x, T y) { return x < y ? x : y; }
template <typename T> __device__ inline T _max(T x, T y) { return x > y ? x : y; }
__device__ inline float _max(float x, float y) { return fmaxf(x, y); }

// --- sums over a warp or a block -------------------------------------------------------------

__device__ inline u32 _lane() { return threadIdx.x % WARP; }
__device__ inline u32 _warp() { return threadIdx.x / WARP; }

// Return the sum of `value` over the lanes before this one, and over all of them in `total`, for
// each group of so many lanes.
__device__ inline u64 _scan_lanes(u64 value, u64& total, u32 lanes = WARP) {
  u64 sum = value;
#pragma unroll
  for (u32 distance = 1; distance < WARP; distance *= 2)
    if (distance < lanes) {
      const u64 other = __shfl_up_sync(ALL, sum, distance, lanes);
      if (_lane() % lanes >= distance) sum += other;
    }
  total = __shfl_sync(ALL, sum, lanes - 1, lanes);
  return sum - value;
}

// Return the largest `value` of such a group.
template <typename T> __device__ inline T _highest_lane(T value, u32 lanes = WARP) {
#pragma unroll
  for (u32 distance = WARP / 2; distance; distance /= 2)
    if (distance < lanes) value = _max(value, __shfl_xor_sync(ALL, value, distance));
  return value;
}

// Let each warp tell the others a number. Two rows of numbers take turns, so that one barrier is
// enough: who writes to a row again has met all that have read it at the barrier between.
__device__ inline const u64* _tell(u64 value, u32& turn) {
  u64* told = room + WARPS * (turn ^= 1);
  if (_lane() == 0) told[_warp()] = value;
  __syncthreads();
  return told;
}

__device__ inline u64 _scan_block(u64 value, u64& total, u32& turn) {
  u64 before = _scan_lanes(value, total);
  const u64* sums = _tell(total, turn);
  total = 0;
#pragma unroll
  for (u32 w = 0; w < WARPS; ++w) {
    if (w == _warp()) before += total;
    total += sums[w];
  }
  return before;
}

template <typename T> __device__ inline T _highest_block(T value, u32& turn) {
  const u64* highest = _tell(_highest_lane(value), turn);
#pragma unroll
  for (u32 w = 0; w < WARPS; ++w) value = _max(value, (T)highest[w]);
  return value;
}

// --- weights as integers ---------------------------------------------------------------------

struct Power {
  Real g;
  int n;
};

// Return g and n with g * 2**n within an ulp of exp(x), g about 1, for abs(x) <= 2**21.
// x + rounder holds x, rounded, in its lowest bits.
__device__ inline Power _exp(float x) {
  const float rounder = 0x1.8p23f;
  const float rounded = _fma(x, 0x1.715476p+0f, rounder), n = _subtract(rounded, rounder);
  const float r = _fma(n, 0x1.05c61p-29f, _fma(n, -0x1.62e43p-1f, x));
  float p = 0x1.6a2434p-10f;
  p = _fma(p, r, 0x1.1239e2p-7f);
  p = _fma(p, r, 0x1.5558f2p-5f);
  p = _fma(p, r, 0x1.555492p-3f);
  p = _fma(p, r, 0x1.fffffcp-2f);
  p = _fma(p, r, 1.0f);
  return {(Real)_fma(p, r, 1.0f), (int)(_bits(rounded) - _bits(rounder))};
}

__device__ inline Power _exp(double x) {
  const double rounder = 0x1.8p52;
  const double rounded = _fma(x, 0x1.71547652b82fep+0, rounder), n = _subtract(rounded, rounder);
  const double r = _fma(n, -0x1.abc9e3b39803fp-56, _fma(n, -0x1.62e42fefa39efp-1, x));
  double p = 0x1.ad7f6966eed54p-26;
  p = _fma(p, r, 0x1.28ad72c46d724p-22);
  p = _fma(p, r, 0x1.71df2555820b7p-19);
  p = _fma(p, r, 0x1.a0199a0c7067bp-16);
  p = _fma(p, r, 0x1.a01a012a56626p-13);
  p = _fma(p, r, 0x1.6c16c1842a0e4p-10);
  p = _fma(p, r, 0x1.1111111127be9p-7);
  p = _fma(p, r, 0x1.555555555087dp-5);
  p = _fma(p, r, 0x1.55555555554fap-3);
  p = _fma(p, r, 0x1.000000000000ap-1);
  p = _fma(p, r, 1.0);
  return {(Real)_fma(p, r, 1.0), (int)(_bits(rounded) - _bits(rounder))};
}

// Return g * 2**n, for a normal g and a normal result.
__device__ inline Real _times_power(Real g, int n) {
  return _from_bits(_bits(g) + ((Bits)n << Form::MANTISSA));
}

// Load a thread's numbers of a tile: those from PACK * thread on, PACK at a time, in steps of
// PACK * threads. What lies beyond the end weighs nothing.
template <int N>
__device__ inline void _load(const NUMBER* x, u32 n, u32 thread, u32 threads, Real (&tile)[N]) {
  struct alignas(16) Pack {
    NUMBER numbers[PACK];
  };
  const u32 whole = (u64)x % 16 == 0 ? n / PACK * PACK : 0;
  Pack packs[N / PACK];
#pragma unroll
  for (int c = 0; c < N / PACK; ++c) {
    const u32 k = (c * threads + thread) * PACK;
#pragma unroll
    for (u32 v = 0; v < PACK; ++v) packs[c].numbers[v] = LOGITS ? _lowest(NUMBER()) : NUMBER();
    if (k < whole) {
      packs[c] = *(const Pack*)(x + k);
    } else {
#pragma unroll
      for (u32 v = 0; v < PACK; ++v)
        if (k + v < n) packs[c].numbers[v] = x[k + v];
    }
  }
#pragma unroll
  for (int k = 0; k < N; ++k) tile[k] = _widen(packs[k / PACK].numbers[k % PACK]);
}

// Return the largest parameter of a tile, flipped.
template <int N> __device__ inline Bits _top(const Real (&tile)[N]) {
  Bits top = 0;
#pragma unroll
  for (int k = 0; k < N; ++k) top = _max(top, _flip(tile[k]));
  return top;
}

// Return what the logits of a row with this largest one are shifted by.
__device__ inline Real _shift(Bits top) {
  if (!LOGITS || top == 0) return 0;
  const Real x = _flip_back(top);
  return x > (Real)0x1p20 || x < -(Real)0x1p20 ? x : 0;
}

// Return the exponent E of a tile.
__device__ inline int _exponent(Bits top, Real shift) {
  if (top == 0 || top >= FAULT) return EMPTY;
  if (LOGITS) {
    const Real highest = _subtract(_flip_back(top), shift);
    // More than 2**20 has yet to be shifted.
    return highest >= -(Real)0x1p21 && highest <= (Real)0x1p20 ? _exp(highest).n : EMPTY;
  }
  const int exponent = (int)(top >> Form::MANTISSA);
  return exponent ? exponent - Form::BIAS : _bit_length(top) - (Form::BIAS + Form::MANTISSA);
}

__device__ inline Real _power(int n) { return _times_power(1, n); }

// Turn the parameters of a tile into weights * 2**(49 - E). All of them are normal, or too small to
// count, so that powers of two change no bit of them.
template <int N> __device__ inline void _weigh(Real (&tile)[N], int exponent, Real shift) {
  if (LOGITS) {
    // Less than 2**-70 units is nothing, however much less it is. And a logit that is subnormal
    // may as well be zero, so that a plain difference will do.
    const Real lowest = (Real)(exponent - 120) * (Real)0.6931472;
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const Power power = _exp(_max(tile[k] - shift, lowest));
      tile[k] = _times_power(power.g, power.n - exponent + FIXED);
    }
  } else {
    // Subnormals are lifted first, or else 2**(49 - E) might be too large for the type.
    const int lift = exponent < Form::LOW ? Form::LIFT : 0;
    const Real first = _power(lift), second = _power(FIXED - exponent - lift);
#pragma unroll
    for (int k = 0; k < N; ++k) tile[k] = _multiply(_multiply(tile[k], first), second);
  }
}

// Return the sum of weights, each rounded to the nearest integer.
//
// Weights are at most 2**50. As few GPUs have fast float64 or 64-bit integers, a float32 is taken
// apart in float32, exactly: into multiples of 2**27, which adding 2**50 leaves in the lowest bits,
// and a rest of at most 2**26 either way, which alone needs to be rounded. Both parts of up to 16
// weights add up in 32 bits.
__device__ inline u64 _sum(const float* weights, int n) {
  const float large = 0x1p50f;
  u32 high = 0;
  int low = 0;
#pragma unroll
  for (int k = 0; k < n; ++k) {
    const float multiple = _add(weights[k], large);
    high += _bits(multiple) - _bits(large);
    low += _nearest(_subtract(weights[k], _subtract(multiple, large)));
  }
  return ((u64)high << 27) + (u64)(long long)low;
}

__device__ inline u64 _sum(const double* weights, int n) {
  u64 sum = 0;
#pragma unroll
  for (int k = 0; k < n; ++k) sum += _bits(_add(weights[k], 0x1p52)) - _bits(0x1p52);
  return sum;
}

__device__ inline u64 _integer(Real weight) { return _sum(&weight, 1); }

// Return the first of some categories at which `running`, plus what they weigh, exceeds `target`.
__device__ inline u32 _crossing(const Real* weights, u64 running, u64 target) {
  u32 k = 0;
#pragma unroll
  for (u32 v = 0; v < PACK; ++v) {
    running += _integer(weights[v]);
    k += running <= target;
  }
  return k;
}

// --- one row ---------------------------------------------------------------------------------
//
// A row of tiles is a block's. `known` has room for what is known of each row.

struct Measure {
  u64 total;   // T, or 0 where nothing can be drawn
  Real shift;  // what logits are shifted by
  int lift;    // s_j = lift - E_j
};

struct Row {
  u64* tops;         // the largest parameter of each tile, flipped
  u64* starts;       // first the sum of each tile, then the sum of those before it
  Measure* measure;  // for other kernels
};

__device__ inline u64 _tiles(u64 size) { return (size + TILE - 1) / TILE; }
__device__ inline Row _row(u64* known, u64 size, u64 r) {
  const u64 tiles = _tiles(size);
  u64* const begin = known + r * (2 * tiles + 3);
  return {begin, begin + tiles, (Measure*)(begin + 2 * tiles)};
}
__device__ inline u32 _length(u64 size, u64 j) { return (u32)_min(TILE, size - j * TILE); }
__device__ inline int _right(int lift, int exponent) { return _min(lift - exponent, 63); }

// Load a block's tile.
__device__ inline void _load_tile(const NUMBER* x, u64 size, u64 j, Real (&tile)[ITEMS]) {
  _load(x + j * TILE, _length(size, j), threadIdx.x, THREADS, tile);
}

// Weigh a tile, and return the sum of its integers.
__device__ inline u64 _sum_tile(Real (&tile)[ITEMS], Real shift, Bits& top, u32& turn) {
  top = _highest_block(_top(tile), turn);
  const int exponent = _exponent(top, shift);
  if (exponent == EMPTY) return 0;
  _weigh(tile, exponent, shift);
  u64 total;
  _scan_block(_sum(tile, ITEMS), total, turn);
  return total;
}

// Lay the measured tiles of a row end to end. Each thread takes a stretch of them.
__device__ inline Measure _lay(const Row& row, u64 tiles, Real shift, u32& turn) {
  const u64 stretch = (tiles + THREADS - 1) / THREADS;
  const u64 begin = _min(threadIdx.x * stretch, tiles), end = _min(begin + stretch, tiles);
  const auto exponent = [&](u64 j) { return _exponent((Bits)row.tops[j], shift); };
  int highest = EMPTY;
  for (u64 j = begin; j < end; ++j) highest = _max(highest, exponent(j));
  highest = (int)_highest_block((u32)(highest - EMPTY), turn) + EMPTY;

  const int spare = _ceil_log2(tiles);
  int lift = highest + spare;
  const auto part = [&](u64 j) { return row.starts[j] >> _right(lift, exponent(j)); };
  u64 sum = 0, total;
  for (u64 j = begin; j < end; ++j) sum += part(j);
  _scan_block(sum, total, turn);
  lift -= _min(spare, _max(0, 62 - _bit_length(tiles + total)));

  sum = 0;
  for (u64 j = begin; j < end; ++j) sum += part(j);
  u64 start = _scan_block(sum, total, turn);
  for (u64 j = begin; j < end; ++j) {
    sum = part(j);
    row.starts[j] = start, start += sum;
  }
  __syncthreads();
  return {total, shift, lift};
}

// Measure all tiles of a row, unless that is done, and lay them end to end. `tile` is left with the
// weights of the last tile if this measured it.
__device__ inline Measure _measure(const NUMBER* x, u64 size, const Row& row, bool measured,
                                   Real (&tile)[ITEMS], u32& turn) {
  const u64 tiles = _tiles(size);
  Real shift = 0;
  while (true) {
    if (!measured) {
      Real next[ITEMS];  // on its way while a tile is measured
      _load_tile(x, size, 0, next);
      for (u64 j = 0; j < tiles; ++j) {
#pragma unroll
        for (int k = 0; k < ITEMS; ++k) tile[k] = next[k];
        if (j + 1 < tiles) _load_tile(x, size, j + 1, next);
        Bits top;
        const u64 sum = _sum_tile(tile, shift, top, turn);
        if (threadIdx.x == 0) row.tops[j] = top, row.starts[j] = sum;
      }
    }
    __syncthreads();
    Bits top = 0;
    for (u64 j = threadIdx.x; j < tiles; j += THREADS) top = _max(top, (Bits)row.tops[j]);
    top = _highest_block(top, turn);
    if (top == 0 || top >= FAULT) return {0, 0, 0};
    if (shift == _shift(top)) return _lay(row, tiles, shift, turn);
    shift = _shift(top);
    measured = false;
  }
}

// Return the tile of a laid row whose integers hold `target`.
__device__ inline u64 _find(const u64* starts, u64 tiles, u64 target) {
  u64 j = 0, after = tiles;
  while (after - j > 1) {
    const u64 middle = (j + after) / 2;
    (starts[middle] <= target ? j : after) = middle;
  }
  return j;
}

// Tell, for each pack of a thread's weights, the sum of all weights before it.
template <int N>
__device__ inline void _scan_packs(const Real (&tile)[N], u64 (&before)[N / PACK], u32& turn) {
  u64 sum = 0, total;
#pragma unroll
  for (int c = 0; c < N / PACK; ++c) {
    before[c] = sum + _scan_block(_sum(tile + c * PACK, PACK), total, turn);
    sum += total;
  }
}

// --- draws -----------------------------------------------------------------------------------

__device__ inline u64 _point(const u64 (&origin)[4], u64 r, u64 j, u64 i) {
  return origin[0] + r * origin[1] + j * origin[2] + i * origin[3];
}

__device__ inline u64 _word(const Lattice& lattice, u64 number) {
  const Words words = _philox(number / 2, lattice.key, lattice.counter);
  return number % 2 ? words.odd : words.even;
}

// Put a draw in its place, which is `width` bytes wide.
__device__ inline void _put(void* out, u32 width, u64 place, u64 k) {
  if (width == 8) ((u64*)out)[place] = k;
  else if (width == 4) ((u32*)out)[place] = (u32)k;
  else if (width == 2) ((unsigned short*)out)[place] = (unsigned short)k;
  else ((unsigned char*)out)[place] = (unsigned char)k;
}

constexpr u64 VOID = ~(u64)0;  // -1

#ifdef DRAW_SHORT_ROWS
constexpr int SHORT_THREADS = 128;  // and rows that a block takes at once

// Draw from rows of up to 32 categories, a thread each. They come through shared memory: as they
// lie in `x`, but for one number left free in each 32, so that no two threads want the same bank.
extern "C" __global__ void __launch_bounds__(SHORT_THREADS)
draw_short_rows(const NUMBER* x, u64 size, u64 rows, Lattice lattice, void* out, u32 width) {
  Real* numbers = (Real*)room;
  const auto at = [](u32 i) { return i + i / WARP; };
  const u64 first = (u64)blockIdx.x * SHORT_THREADS, r = first + threadIdx.x;
  const u32 n = (u32)(_min<u64>(SHORT_THREADS, rows - first) * size);
  for (u32 step = 0; step < n; step += SHORT_THREADS * PACK) {
    Real pack[PACK];
    const u32 begin = step + threadIdx.x * PACK;
    _load(x + first * size + step, n - step, threadIdx.x, SHORT_THREADS, pack);
#pragma unroll
    for (u32 v = 0; v < PACK; ++v)
      if (begin + v < n) numbers[at(begin + v)] = pack[v];
  }
  __syncthreads();
  if (r >= rows) return;

  const u32 begin = threadIdx.x * (u32)size;
  Bits top = 0;
  for (u32 k = 0; k < size; ++k) top = _max(top, _flip(numbers[at(begin + k)]));
  const Real shift = _shift(top);
  const int exponent = _exponent(top, shift);
  u64 total = 0;
  for (u32 k = 0; k < size && exponent != EMPTY; ++k) {
    Real weight[] = {numbers[at(begin + k)]};
    _weigh(weight, exponent, shift);
    numbers[at(begin + k)] = weight[0];
    total += _integer(weight[0]);
  }
  for (u64 j = 0; j < lattice.runs; ++j)
    for (u64 i = 0; i < lattice.draws; ++i) {
      const u64 word = _word(lattice, _point(lattice.numbers, r, j, i));
      const u64 target = _scale_word(word, total);
      u64 found = 0, running = 0;
      for (u32 k = 0; k < size && total; ++k) {
        running += _integer(numbers[at(begin + k)]);
        found += running <= target;
      }
      _put(out, width, _point(lattice.places, r, j, i), total ? found : VOID);
    }
}
#endif

#ifdef DRAW_ROWS
constexpr int ROW_ITEMS = 128 / sizeof(Real);  // numbers of a row in a thread

// Draw from rows of up to 1024 categories, or 512 in float64, each by a group of `lanes` lanes.
extern "C" __global__ void __launch_bounds__(THREADS, 2)
draw_rows(const NUMBER* x, u64 size, u64 rows, Lattice lattice, void* out, u32 width, u32 lanes) {
  const u64 thread = (u64)blockIdx.x * THREADS + threadIdx.x, r = thread / lanes;
  const u32 lane = (u32)(thread % lanes);  // the last groups may have no row
  Real row[ROW_ITEMS];
  _load(x + r * size, r < rows ? (u32)size : 0, lane, lanes, row);
  const Bits top = _highest_lane(_top(row), lanes);
  const Real shift = _shift(top);
  const int exponent = _exponent(top, shift);
  u64 before[ROW_ITEMS / PACK], sums[ROW_ITEMS / PACK], total = 0;
  if (exponent != EMPTY) _weigh(row, exponent, shift);
#pragma unroll
  for (int c = 0; c < ROW_ITEMS / PACK; ++c) {
    u64 sum;
    sums[c] = exponent == EMPTY ? 0 : _sum(row + c * PACK, PACK);
    before[c] = total + _scan_lanes(sums[c], sum, lanes);
    total += sum;
  }
  const u64 draws = lattice.runs * lattice.draws;
  for (u64 first = 0; first < draws; first += lanes) {  // each lane prepares a draw
    const u64 d = first + lane, j = lattice.draws == 1 ? d : d / lattice.draws;
    const u64 i = d - j * lattice.draws;
    const u64 word = _word(lattice, _point(lattice.numbers, r, j, i));
    const u64 prepared_place = _point(lattice.places, r, j, i);
    const u64 prepared = _scale_word(word, total);
    if (total == 0 && r < rows && d < draws) _put(out, width, prepared_place, VOID);
    for (u32 i = 0; i < lanes && i < draws - first; ++i) {
      const u64 target = __shfl_sync(ALL, prepared, i, lanes);
      const u64 place = __shfl_sync(ALL, prepared_place, i, lanes);
#pragma unroll
      for (u32 c = 0; c < ROW_ITEMS / PACK; ++c)
        if (target - before[c] < sums[c])  // true in one pack of one lane, if total is positive
          _put(out, width, place,
               (c * lanes + lane) * PACK + _crossing(row + c * PACK, before[c], target));
    }
  }
}
#endif

#ifdef MEASURE_TILES
// Measure the tiles of rows, a block each, as if no row needed a shift.
extern "C" __global__ void __launch_bounds__(THREADS, sizeof(Real) == 4 ? 5 : 4)
measure_tiles(const NUMBER* x, u64 size, u64 rows, u64* known) {
  const u64 t = blockIdx.x, r = t / _tiles(size), j = t % _tiles(size);
  Real tile[ITEMS];
  Bits top;
  u32 turn = 0;
  _load_tile(x + r * size, size, j, tile);
  const u64 sum = _sum_tile(tile, 0, top, turn);
  const Row row = _row(known, size, r);
  if (threadIdx.x == 0) row.tops[j] = top, row.starts[j] = sum;
}
#endif

#ifdef DRAW_LONG_ROWS
// Draw from rows of any length, a block each. Of many tiles just that of a draw is read again.
extern "C" __global__ void __launch_bounds__(THREADS, sizeof(Real) == 4 ? 2 : 1)
draw_long_rows(const NUMBER* x, u64 size, u64 rows, Lattice lattice, void* out, u32 width,
               u64* known, u32 measured) {
  const u64 r = blockIdx.x, tiles = _tiles(size);
  u32 turn = 0;
  const Row row = _row(known, size, r);
  Real tile[ITEMS];
  u64 before[ITEMS / PACK];
  const Measure m = _measure(x + r * size, size, row, measured, tile, turn);
  u64 held = measured ? tiles : tiles - 1;  // the tile of which `tile` has the weights
  bool scanned = false;
  for (u64 j = 0; j < lattice.runs; ++j)
    for (u64 i = 0; i < lattice.draws; ++i) {
      if (m.total == 0) {
        if (threadIdx.x == 0) _put(out, width, _point(lattice.places, r, j, i), VOID);
        continue;
      }
      const u64 word = _word(lattice, _point(lattice.numbers, r, j, i));
      const u64 target = _scale_word(word, m.total);
      const u64 t = _find(row.starts, tiles, target);
      const int exponent = _exponent((Bits)row.tops[t], m.shift);
      if (t != held) {
        _load_tile(x + r * size, size, t, tile);
        _weigh(tile, exponent, m.shift);
      }
      if (t != held || !scanned) _scan_packs(tile, before, turn);
      held = t, scanned = true;
      const u64 within = ((target - row.starts[t] + 1) << _right(m.lift, exponent)) - 1;
#pragma unroll
      for (u32 c = 0; c < ITEMS / PACK; ++c)
        if (within - before[c] < _sum(tile + c * PACK, PACK))  // true in one pack of one thread
          _put(out, width, _point(lattice.places, r, j, i),
               t * TILE + (c * THREADS + threadIdx.x) * PACK +
                   _crossing(tile + c * PACK, before[c], within));
    }
}
#endif

#ifdef MEASURE_ROWS
// Measure rows, a block each, for `fill_ends`.
extern "C" __global__ void __launch_bounds__(THREADS, sizeof(Real) == 4 ? 2 : 1)
measure_rows(const NUMBER* x, u64 size, u64 rows, u64* known, u32 measured) {
  const u64 r = blockIdx.x;
  const Row row = _row(known, size, r);
  Real tile[ITEMS];
  u32 turn = 0;
  const Measure m = _measure(x + r * size, size, row, measured, tile, turn);
  if (threadIdx.x == 0) *row.measure = m;
}
#endif

// Return the first 32 bits of the words between which a category ends: of all words that do not
// begin with them, these bits alone tell which side they are on.
__device__ inline u32 _mark(u64 end, u64 total) {
  if (total == 0) return 0;
  const u64 mark = _min((u64)((double)end * (0x1p32 / (double)total)), (u64)0xFFFFFFFF);
  // The quotient is off by one at most. Words from (mark + 1) << 32 on are to be beyond `end`.
  if (mark < 0xFFFFFFFF && _scale_word((mark + 1) << 32, total) < end) return (u32)mark + 1;
  return (u32)mark - (end && _scale_word(mark << 32, total) >= end);
}

#ifdef FILL_ENDS
// Put all boundaries C_k of measured rows into `ends`, zeros where nothing can be drawn, and where
// they cut the range of words into `marks`.
extern "C" __global__ void __launch_bounds__(THREADS, 2)
fill_ends(const NUMBER* x, u64 size, u64 rows, u64* known, u64* ends, u32* marks) {
  const u64 t = blockIdx.x, r = t / _tiles(size), j = t % _tiles(size), place = r * size + j * TILE;
  const Row row = _row(known, size, r);
  const Measure m = *row.measure;
  const u32 n = _length(size, j);
  const int exponent = m.total ? _exponent((Bits)row.tops[j], m.shift) : EMPTY;
  const u64 start = m.total ? row.starts[j] : 0;
  Real tile[ITEMS] = {};
  u64 before[ITEMS / PACK];
  u32 turn = 0;
  if (exponent != EMPTY) {
    _load_tile(x + r * size, size, j, tile);
    _weigh(tile, exponent, m.shift);
  }
  _scan_packs(tile, before, turn);
#pragma unroll
  for (u32 c = 0; c < ITEMS / PACK; ++c) {
    const u32 k = (c * THREADS + threadIdx.x) * PACK;
#pragma unroll
    for (u32 v = 0; v < PACK; ++v) {
      before[c] += _integer(tile[c * PACK + v]);
      const u64 end = start + (before[c] >> _right(m.lift, exponent));
      if (k + v < n) ends[place + k + v] = end, marks[place + k + v] = _mark(end, m.total);
    }
  }
}
#endif

#ifdef FILL_GUIDE
// For each range of words that begin with the same `bits`, find the first category that does not
// end before it. The guide table of a row has 2**bits entries, without their lowest `grain` bits.
extern "C" __global__ void __launch_bounds__(THREADS)
fill_guide(const u64* ends, u64 size, u64 rows, const u32* marks, u32 bits, u32 grain, u32* guide) {
  const u64 e = (u64)blockIdx.x * THREADS + threadIdx.x, r = e >> bits;
  if (r >= rows) return;
  u64 k = 0, last = size - 1;
  while (k < last) {
    const u64 middle = (k + last) / 2;
    if (ends[r * size + middle] && marks[r * size + middle] >> (32 - bits) >= e - (r << bits))
      last = middle;
    else k = middle + 1;
  }
  guide[e] = (u32)(k >> grain);
}
#endif

// A prepared row.
struct Table {
  const u64* ends;
  const u32 *marks, *guide;
  u64 size, total;
  u32 bits, grain;
};

// Return the category that a word draws from a prepared row.
__device__ inline u64 _look_up(const Table& table, u64 word) {
  if (table.total == 0) return VOID;
  const u32 begin = (u32)(word >> 32), i = begin >> (32 - table.bits);
  u64 k = (u64)table.guide[i] << table.grain;
  k += begin > table.marks[k];
  if (begin < table.marks[k]) return k;
  u64 last = table.size - 1;
  if (i + 1 < 1u << table.bits)
    last = _min((((u64)table.guide[i + 1] + 1) << table.grain) - 1, last);
  while (k < last) {
    const u64 middle = (k + last) / 2;
    if (begin > table.marks[middle]) k = middle + 1;
    else last = middle;
  }
  if (begin < table.marks[k]) return k;
  const u64 target = _scale_word(word, table.total);
  last = table.size - 1;
  while (k < last) {
    const u64 middle = (k + last) / 2;
    if (table.ends[middle] <= target) k = middle + 1;
    else last = middle;
  }
  return k;
}

// Put two draws in their places, both at once if they lie so.
__device__ inline void _put_both(void* out, u32 width, u64 place, u64 step, u64 even, u64 odd) {
  struct alignas(16) Pair {
    u64 even, odd;
  };
  u64* const both = (u64*)out + place;
  if (width == 8 && step == 1 && (u64)both % 16 == 0) {
    *(Pair*)both = {even, odd};
  } else {
    _put(out, width, place, even);
    _put(out, width, place + step, odd);
  }
}

// Make the draws of a prepared row. Where draws of one run have numbers that follow each other, a
// thread makes both of a Philox block.
__device__ inline void _draw_runs(const Table& table, const Lattice& lattice, u64 r, void* out,
                                  u32 width) {
  const u64 thread = (u64)blockIdx.x * THREADS + threadIdx.x, threads = (u64)gridDim.x * THREADS;
  const u64 draws = lattice.draws, step = lattice.places[3];
  for (u64 j = 0; j < lattice.runs; ++j) {
    const u64 number = _point(lattice.numbers, r, j, 0), place = _point(lattice.places, r, j, 0);
    if (lattice.numbers[3] == 1) {
      for (u64 b = number / 2 + thread; b <= (number + draws - 1) / 2; b += threads) {
        const Words words = _philox(b, lattice.key, lattice.counter);
        const u64 even = _look_up(table, words.even), odd = _look_up(table, words.odd);
        const u64 i = 2 * b - number;  // of the even one; -1 if the first number is odd
        if (i < draws && i + 1 < draws) _put_both(out, width, place + i * step, step, even, odd);
        else if (i < draws) _put(out, width, place + i * step, even);
        else _put(out, width, place, odd);
      }
    } else {
      for (u64 i = thread; i < draws; i += threads) {
        const u64 word = _word(lattice, number + i * lattice.numbers[3]);
        _put(out, width, place + i * step, _look_up(table, word));
      }
    }
  }
}

#ifdef DRAW_TABLE
// Draw from prepared rows: the grid's second axis goes through the rows, its first through the
// draws of each. Small tables are `staged` in shared memory.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
draw_table(const u64* ends, u64 size, u64 rows, const u32* marks, u32 bits, u32 grain,
           const u32* guide, Lattice lattice, void* out, u32 width, u32 staged) {
  for (u64 r = blockIdx.y; r < rows; r += gridDim.y) {
    const u64 begin = r * size, total = ends[begin + size - 1];
    Table table = {ends + begin, marks + begin, guide + (r << bits), size, total, bits, grain};
    if (staged) {
      u32 *const near_marks = (u32*)room, *const near_guide = near_marks + size;
      for (u64 k = threadIdx.x; k < size; k += THREADS) near_marks[k] = table.marks[k];
      for (u64 i = threadIdx.x; i < 1u << bits; i += THREADS) near_guide[i] = table.guide[i];
      table.marks = near_marks, table.guide = near_guide;
      __syncthreads();
      _draw_runs(table, lattice, r, out, width);
      __syncthreads();
    } else {
      _draw_runs(table, lattice, r, out, width);
    }
  }
}
#endif

}  // namespace anycat
