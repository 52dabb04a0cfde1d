// A draw by a single thread, for kernels of users: see device.cuh.

#include "philox.cuh"
#include "scale.cuh"
#include "weights.cuh"

namespace anycat {

struct Row {
  const PARAM* x;
  u64 size;
  long long stride;

  __device__ Real operator[](u64 k) const { return widen(x[(long long)k * stride]); }
  __device__ u64 end(u64 j) const { return j * TILE + tile_length(size, j); }
};

// A tile of a row, measured.
struct Tile {
  int exponent;
  u64 sum;
};

__device__ inline Bits max_ordinal(const Row& row, u64 begin, u64 end) {
  Bits top = 0;
  for (u64 k = begin; k < end; ++k) top = max(top, to_ordinal(row[k]));
  return top;
}

__device__ inline u64 integer_at(const Row& row, u64 k, int exponent, Real offset) {
  Real weight[] = {row[k]};
  to_weights(weight, exponent, offset);
  return integer_weight(weight[0]);
}

__device__ inline Tile measure(const Row& row, u64 j, Real offset) {
  const Bits top = max_ordinal(row, j * TILE, row.end(j));
  Tile tile = {tile_exponent(top, offset), 0};
  if (tile.exponent != EMPTY_EXPONENT)
    for (u64 k = j * TILE; k < row.end(j); ++k)
      tile.sum += integer_at(row, k, tile.exponent, offset);
  return tile;
}

// Return the sum of the tiles of a row, on a scale of its own.
__device__ inline u64 sum_tiles(const Row& row, int scan, Real offset) {
  u64 sum = 0;
  for (u64 j = 0; j < tile_count(row.size); ++j) {
    const Tile tile = measure(row, j, offset);
    sum += tile.sum >> tile_shift(scan, tile.exponent);
  }
  return sum;
}

// Return the category that a random word draws from a row, or -1 if the row is invalid. The row is
// read three times, or nine times if it has several tiles; nothing of it is kept.
__device__ inline long long draw_from_row(const Row& row, u64 word) {
  const Bits top = max_ordinal(row, 0, row.size);
  if (top == 0 || top >= INVALID) return -1;
  const Real offset = logit_offset(top);
  const u64 tiles = tile_count(row.size);
  int scan = tile_exponent(top, offset);
  if (tiles > 1) {
    scan += ceil_log2(tiles);
    scan -= unused_headroom(tiles, tiles + sum_tiles(row, scan, offset));
  }
  u64 target = multiply_high(word, sum_tiles(row, scan, offset)), k = 0;
  for (u64 j = 0; j < tiles; ++j) {
    const Tile tile = measure(row, j, offset);
    const int shift = tile_shift(scan, tile.exponent);
    if (target >= tile.sum >> shift) {
      target -= tile.sum >> shift;
      continue;
    }
    const u64 within = ((target + 1) << shift) - 1;
    u64 running = 0;
    for (k = j * TILE; k < row.end(j) - 1; ++k) {
      running += integer_at(row, k, tile.exponent, offset);
      if (running > within) break;
    }
    break;
  }
  return (long long)k;
}

}  // namespace anycat
