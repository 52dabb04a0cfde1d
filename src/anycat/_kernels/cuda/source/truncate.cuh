// Truncation of rows: temperature, top_k, top_p and min_p, in that order, a block for each row.

#include "tiles.cuh"

#ifdef TRUNCATE_ROWS
namespace anycat {

// The first ranks of a row: entries of larger keys, and those of this key up to a position.
struct Cut {
  Bits key;
  u64 last;
};

struct TruncatedRow {
  const PARAM* x;
  u64 size;
  Real top, temperature;  // 1 where nothing is divided
};

__device__ inline float rounded(double x, float) { return to_float(x); }
__device__ inline double rounded(double x, double) { return x; }

// Return a temperature in the type of weights, in which it may be infinite.
__device__ inline Real to_divisor(double temperature) {
  const Bits bits = bits_of(rounded(temperature, Real()));
  return from_bits(bits == SIGN ? 0 : bits);
}

// Tell whether a number, if it is one, is positive, even if subnormals are flushed to zero.
__device__ inline bool is_positive(double x) { return (long long)bits_of(x) > 0; }

// An argument has a number for each row, or one for all.
template <typename T> __device__ inline T of_row(const T* numbers, T number, u64 r) {
  return numbers ? numbers[r] : number;
}

// Return a number that sorts as the values do; zeros of either sign are equal.
__device__ inline Bits key_of(Real value) {
  return to_ordinal(bits_of(value) == SIGN ? Real() : value);
}

// Return the category of a value of a thread.
__device__ inline u64 category(u64 j, int k) {
  return j * TILE + (k / PACK * THREADS + threadIdx.x) * PACK + k % PACK;
}

// Load a tile of what temperature has left.
__device__ inline void load_tempered(const TruncatedRow& row, u64 j, Real (&tile)[TILE_ITEMS]) {
  load_tile(row.x, row.size, j, tile);
  if (LOGITS && row.temperature != 1) {
#pragma unroll
    for (int k = 0; k < TILE_ITEMS; ++k)
      tile[k] = divide(subtract(tile[k], row.top), row.temperature);
  }
}

// Load a tile of what is left. Nothing beyond the end of the row is, as no cut reaches that far.
__device__ inline void load_kept(const TruncatedRow& row, Cut cut, u64 j,
                                 Real (&tile)[TILE_ITEMS]) {
  load_tempered(row, j, tile);
#pragma unroll
  for (int k = 0; k < TILE_ITEMS; ++k) {
    const Bits key = key_of(tile[k]);
    if (key < cut.key || (key == cut.key && category(j, k) > cut.last)) tile[k] = without_weight();
  }
}

// Count the entries that a cut keeps.
__device__ inline u64 count_kept(const TruncatedRow& row, Cut cut, u32& turn) {
  u64 n = 0, total;
  for (u64 j = 0; j < tile_count(row.size); ++j) {
    Real tile[TILE_ITEMS];
    load_tempered(row, j, tile);
#pragma unroll
    for (int k = 0; k < TILE_ITEMS; ++k) {
      const Bits key = key_of(tile[k]);
      n += key > cut.key || (key == cut.key && category(j, k) <= cut.last);
    }
  }
  scan_block(n, total, turn);
  return total;
}

// Reduce and scan the tiles of what is left. Of each tile, a cut keeps the largest entry or nothing,
// so that later cuts change no exponent that counts.
__device__ inline RowScan measure(const TruncatedRow& row, Cut cut, Real offset,
                                  const TileStats& stats, u32& turn) {
  for (u64 j = 0; j < tile_count(row.size); ++j) {
    Real tile[TILE_ITEMS];
    Bits top;
    load_kept(row, cut, j, tile);
    const u64 sum = reduce_tile(tile, offset, top, turn);
    if (threadIdx.x == 0) stats.tile_max[j] = top, stats.tile_offset[j] = sum;
  }
  __syncthreads();
  return scan_sums(stats, tile_count(row.size), offset, turn);
}

// Return the mass of the entries that a cut keeps, in units of a measured row.
__device__ inline u64 mass(const TruncatedRow& row, Cut cut, const RowScan& scan,
                           const TileStats& stats, u32& turn) {
  u64 sum = 0;
  for (u64 j = 0; j < tile_count(row.size); ++j) {
    const int exponent = tile_exponent((Bits)stats.tile_max[j], scan.offset);
    if (exponent == EMPTY_EXPONENT) continue;
    Real tile[TILE_ITEMS];
    u64 total;
    load_kept(row, cut, j, tile);
    to_weights(tile, exponent, scan.offset);
    scan_block(sum_weights(tile, TILE_ITEMS), total, turn);
    sum += total >> tile_shift(scan.exponent, exponent);
  }
  return sum;
}

// Return the smallest cut whose `amount` reaches the target, as that of `cut` does. `high` is the
// largest key. Amounts never fall from one rank to the next, so halving finds it.
template <typename Amount>
__device__ inline Cut select(const TruncatedRow& row, Cut cut, Bits high, u64 target, u32& turn,
                             const Amount& amount) {
  const u64 last = row.size - 1;
  Bits low = cut.key;
  while (low < high) {
    const Bits middle = high - (high - low) / 2;
    if (amount(Cut{middle, last}) >= target) low = middle;
    else high = middle - 1;
  }
  u64 first = last, end = 0;  // of the entries of this key
  for (u64 j = 0; j < tile_count(row.size); ++j) {
    Real tile[TILE_ITEMS];
    load_tempered(row, j, tile);
#pragma unroll
    for (int k = 0; k < TILE_ITEMS; ++k)
      if (key_of(tile[k]) == low && category(j, k) <= last)
        first = min(first, category(j, k)), end = max(end, category(j, k));
  }
  first = last - max_over_block(last - first, turn);
  end = max_over_block(end, turn);
  while (first < end) {
    const u64 middle = first + (end - first) / 2;
    if (amount(Cut{low, middle}) >= target) end = middle;
    else first = middle + 1;
  }
  return {low, end};
}

// Return max(p - 2**-20, 0) * 2**64, rounded up, for p < 1.
__device__ inline u64 units_of_top_p(double p) {
  const double units = ceil(p * 0x1p64);
  return units > 0x1p44 ? (u64)(units - 0x1p44) : 0;
}

// Return m * (1 - 2**-20) * 2**64, rounded up. With m * 2**44 = whole + f, this is
// whole * (2**20 - 1) + f * (2**20 - 1).
__device__ inline u64 units_of_min_p(double m) {
  const double whole = floor(m * 0x1p44), f = m * 0x1p44 - whole, up = floor(f * 0x1p20);
  return (u64)whole * ((1 << 20) - 1) + (u64)up + (f * 0x1p20 - up > f);
}

// Return share * total / 2**64, rounded up, but at least 1.
__device__ inline u64 share_of(u64 share, u64 total) {
  return max(multiply_high(share, total) + (share * total != 0), (u64)1);
}

// Return the weights of a tile of what is left as integers in the unit of the row's largest.
__device__ inline void load_integers(const TruncatedRow& row, Cut cut, u64 j, int highest,
                                     int exponent, Real offset, u64 (&integers)[TILE_ITEMS]) {
  Real tile[TILE_ITEMS];
  load_kept(row, cut, j, tile);
  to_weights(tile, exponent, offset);
#pragma unroll
  for (int k = 0; k < TILE_ITEMS; ++k)
    integers[k] = integer_weight(tile[k]) >> tile_shift(highest, exponent);
}

// Truncate rows. Those that are invalid, or have an argument out of its range, become NaN. Blocks
// have a workspace each, and take turns at the rows.
extern "C" __global__ void __launch_bounds__(THREADS, sizeof(Real) == 4 ? 2 : 1)
truncate_rows(const PARAM* x, u64 size, u64 rows, const double* temperatures, double temperature,
              const long long* top_ks, long long top_k, const double* top_ps, double top_p,
              const double* min_ps, double min_p, Real* out, u64* workspace) {
  const u64 tiles = tile_count(size);
  const TileStats stats = stats_of_row(workspace, size, blockIdx.x);
  u32 turn = 0;
  for (u64 r = blockIdx.x; r < rows; r += gridDim.x) {
    const double heat = of_row(temperatures, temperature, r), p = of_row(top_ps, top_p, r);
    const double m = of_row(min_ps, min_p, r);
    const long long k = of_row(top_ks, top_k, r);
    const Real divisor = to_divisor(heat);
    const bool in_range = heat >= 0 && bits_of(divisor) < INFINITY_BITS && k >= 1 &&
                          is_positive(p) && p <= 1 && m >= 0 && m <= 1;
    TruncatedRow row = {x + r * size, size, 0, 1};
    Bits top = 0;
    for (u64 j = 0; j < tiles; ++j) {
      Real tile[TILE_ITEMS];
      load_tile(row.x, size, j, tile);
      top = max(top, max_ordinal(tile));
    }
    top = max_over_block(top, turn);
    const bool valid = in_range && top != 0 && top < INVALID;

    Cut cut = {0, size - 1};
    u64 least = 0;  // of the integers, by min_p
    Real offset = 0;
    int highest = EMPTY_EXPONENT;
    if (valid) {
      if (LOGITS && bits_of(divisor) != 0 && divisor != 1) {
        row.top = from_ordinal(top), row.temperature = divisor;
        top = key_of(0);
      }
      offset = logit_offset(top);
      const Bits high = key_of(from_ordinal(top));
      const u64 n = LOGITS && bits_of(divisor) == 0 ? 1 : (u64)k;
      if (n < size)
        cut = select(row, cut, high, n, turn, [&](Cut c) { return count_kept(row, c, turn); });
      RowScan scan = {0, 0, 0};
      if (p < 1 || is_positive(m)) scan = measure(row, cut, offset, stats, turn);
      if (p < 1) {
        const u64 target = share_of(units_of_top_p(p), scan.total);
        cut = select(row, cut, high, target, turn,
                     [&](Cut c) { return mass(row, c, scan, stats, turn); });
      }
      if (is_positive(m)) {
        highest = tile_exponent(top, offset);
        u64 largest = 0;
        for (u64 j = 0; j < tiles; ++j) {
          const int exponent = tile_exponent((Bits)stats.tile_max[j], offset);
          if (exponent != highest) continue;
          u64 integers[TILE_ITEMS];
          load_integers(row, cut, j, highest, exponent, offset, integers);
#pragma unroll
          for (int i = 0; i < TILE_ITEMS; ++i) largest = max(largest, integers[i]);
        }
        least = share_of(units_of_min_p(m), max_over_block(largest, turn));
      }
    }
    for (u64 j = 0; j < tiles; ++j) {
      Real tile[TILE_ITEMS] = {};
      if (valid) load_kept(row, cut, j, tile);
      if (least) {
        const int exponent = tile_exponent((Bits)stats.tile_max[j], offset);
        u64 integers[TILE_ITEMS] = {};
        if (exponent != EMPTY_EXPONENT)
          load_integers(row, cut, j, highest, exponent, offset, integers);
#pragma unroll
        for (int i = 0; i < TILE_ITEMS; ++i)
          if (integers[i] < least) tile[i] = without_weight();
      }
#pragma unroll
      for (int i = 0; i < TILE_ITEMS; ++i)
        if (category(j, i) < size)
          out[r * size + category(j, i)] = valid ? tile[i] : from_bits(~(Bits)0);
    }
  }
}

}  // namespace anycat
#endif
