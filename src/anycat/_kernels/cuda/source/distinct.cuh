// Draws without replacement: each from what the draws before it have left of the row.
//
// Integers of what is left are those of the row, less those of the categories that are drawn, as
// long as the largest value of each tile is left. Only otherwise is anything measured again.

#include "rows.cuh"
#include "tiles.cuh"

namespace anycat {

// The category that is drawn, where threads look for it: its integer, and the pack that has it.
// A thread that has not found it has 0, which is less than any other.
struct Drawn {
  static constexpr int PACK_BITS = 9;  // TILE / PACK is 2**9
  u64 integer;
  u32 pack;
};

[[maybe_unused]] __device__ inline u64 to_number(Drawn d) {
  return d.integer << Drawn::PACK_BITS | d.pack;
}
[[maybe_unused]] __device__ inline Drawn from_number(u64 n) {
  return {n >> Drawn::PACK_BITS, (u32)n % (1 << Drawn::PACK_BITS)};
}

// Remove the first category of a pack whose running sum, from `running` on, exceeds `target`; return
// which one that is, and set `integer` to what it was.
[[maybe_unused]] __device__ inline u32 take_from_pack(Real* weights, u64 running, u64 target,
                                                      u64& integer) {
  const u32 k = min(search_pack(weights, running, target), (u32)PACK - 1);
#pragma unroll
  for (u32 v = 0; v < PACK; ++v)
    if (v == k) integer = integer_weight(weights[v]), weights[v] = 0;
  return k;
}

// Return the integer of the largest parameter of a tile.
[[maybe_unused]] __device__ inline u64 largest_integer(Bits top, int exponent, Real offset) {
  Real weight[] = {from_ordinal(top)};
  to_weights(weight, exponent, offset);
  return integer_weight(weight[0]);
}

#ifdef DRAW_DISTINCT_ROWS
// Draw from rows of up to 1024 categories, or 512 in float64, each by a group of `lanes` lanes.
extern "C" __global__ void __launch_bounds__(THREADS, 2)
draw_distinct_rows(const PARAM* x, u64 size, u64 rows, DrawGrid grid, void* out, u32 itemsize,
                   u32 lanes) {
  const u64 thread = (u64)blockIdx.x * THREADS + threadIdx.x, r = thread / lanes;
  const u32 lane = (u32)(thread % lanes);  // the last groups may have no row
  Real row[ROW_ITEMS];
  u32 removed = 0;  // a bit for each value of the lane
  u64 before[ROW_ITEMS / PACK], sums[ROW_ITEMS / PACK], total = 0, largest = 0;
  bool again = true;  // measure the row, as all groups of a warp do at once
  for (u64 first = 0; first < grid.draws; first += lanes) {  // each lane prepares a word
    const u64 own_index = grid_point(grid.counter_strides, r, 0, first + lane);
    const u64 own_word = random_word(grid, own_index);
    for (u32 i = 0; i < lanes && i < grid.draws - first; ++i) {
      if (again) {
        load_values(x + r * size, r < rows ? (u32)size : 0, lane, lanes, row);
#pragma unroll
        for (int k = 0; k < ROW_ITEMS; ++k)
          if (removed >> k & 1) row[k] = without_weight();
        const Bits top = max_over_lanes(max_ordinal(row), lanes);
        const Real offset = logit_offset(top);
        const int exponent = tile_exponent(top, offset);
        const bool empty = exponent == EMPTY_EXPONENT;
        if (!empty) to_weights(row, exponent, offset);
        largest = empty ? 0 : largest_integer(top, exponent, offset);
        total = 0;
#pragma unroll
        for (int c = 0; c < ROW_ITEMS / PACK; ++c) {
          u64 sum;
          sums[c] = empty ? 0 : sum_weights(row + c * PACK, PACK);
          before[c] = total + scan_lanes(sums[c], sum, lanes);
          total += sum;
        }
      }
      const u64 target = multiply_high(__shfl_sync(ALL_LANES, own_word, i, lanes), total);
      const u64 position = grid_point(grid.out_strides, r, 0, first + i);
      Drawn drawn = {0, 0};
#pragma unroll
      for (u32 c = 0; c < ROW_ITEMS / PACK; ++c)
        if (target - before[c] < sums[c]) {  // true in one pack of one lane, if total is positive
          drawn.pack = c * lanes + lane;
          const u32 k = take_from_pack(row + c * PACK, before[c], target, drawn.integer);
          removed |= 1u << (c * PACK + k);
          sums[c] -= drawn.integer;
          store(out, itemsize, position, drawn.pack * PACK + k);
        }
      if (total == 0 && lane == 0 && r < rows) store(out, itemsize, position, NO_CATEGORY);
      drawn = from_number(max_over_lanes(to_number(drawn), lanes));
      total -= drawn.integer;
#pragma unroll
      for (u32 c = 0; c < ROW_ITEMS / PACK; ++c)
        if (c * lanes + lane > drawn.pack) before[c] -= drawn.integer;
      again = max_over_lanes((u32)(drawn.integer && drawn.integer == largest));
    }
  }
}
#endif

#ifdef DRAW_DISTINCT_LONG_ROWS
// A row, of whose packs each has a byte of bits that tell what is drawn. The thread that loads a
// pack is the only one that uses its byte.
struct Urn {
  const PARAM* x;
  u64 size;
  unsigned char* removed;
  TileStats stats;
  u64* sums;  // of the tiles
};

__device__ inline u64 pack_index(u64 j, int c) {
  return j * (TILE / PACK) + c * THREADS + threadIdx.x;
}

// Load a tile of what is left.
__device__ inline void load_left(const Urn& urn, u64 j, Real (&tile)[TILE_ITEMS]) {
  load_tile(urn.x, urn.size, j, tile);
#pragma unroll
  for (int c = 0; c < TILE_ITEMS / PACK; ++c) {
    const u64 pack = pack_index(j, c);
    const u32 removed = pack * PACK < urn.size ? urn.removed[pack] : 0;
#pragma unroll
    for (int v = 0; v < PACK; ++v)
      if (removed >> v & 1) tile[c * PACK + v] = without_weight();
  }
}

// Reduce a tile of what is left, which overwrites `tile`; return its maximum.
__device__ inline Bits reduce_left(const Urn& urn, u64 j, Real offset, Real (&tile)[TILE_ITEMS],
                                   u32& turn) {
  Bits top;
  load_left(urn, j, tile);
  const u64 sum = reduce_tile(tile, offset, top, turn);
  if (threadIdx.x == 0) urn.stats.tile_max[j] = top, urn.sums[j] = sum;
  return top;
}

// Scan the sums of reduced tiles, after reducing all tiles again if the logits need another offset.
__device__ inline RowScan scan_left(const Urn& urn, Real offset, Real (&tile)[TILE_ITEMS],
                                    u32& turn, u64& bound) {
  const u64 tiles = tile_count(urn.size);
  Bits top = 0;
  for (u64 j = threadIdx.x; j < tiles; j += THREADS) top = max(top, (Bits)urn.stats.tile_max[j]);
  top = max_over_block(top, turn);
  if (top == 0 || top >= INVALID) return {0, 0, 0};
  if (offset != logit_offset(top)) {
    offset = logit_offset(top);
    for (u64 j = 0; j < tiles; ++j) reduce_left(urn, j, offset, tile, turn);
    __syncthreads();
  }
  for (u64 j = threadIdx.x; j < tiles; j += THREADS) urn.stats.tile_offset[j] = urn.sums[j];
  __syncthreads();
  return scan_sums(urn.stats, tiles, offset, turn, bound);
}

// Draw from rows of any length, a block for each row. Only the tile of a draw is loaded again,
// unless it is still there.
extern "C" __global__ void __launch_bounds__(THREADS, sizeof(Real) == 4 ? 2 : 1)
draw_distinct_long_rows(const PARAM* x, u64 size, u64 rows, DrawGrid grid, void* out, u32 itemsize,
                        u64* workspace, u32 reduced, u64* sums, unsigned char* removed) {
  const u64 r = blockIdx.x, tiles = tile_count(size), packs = (size + PACK - 1) / PACK;
  const TileStats stats = stats_of_row(workspace, size, r);
  const Urn urn = {x + r * size, size, removed + r * packs, stats, sums + r * tiles};
  Real tile[TILE_ITEMS];
  u32 turn = 0;
  if (reduced)
    for (u64 j = threadIdx.x; j < tiles; j += THREADS) urn.sums[j] = stats.tile_offset[j];
  else
    for (u64 j = 0; j < tiles; ++j) reduce_left(urn, j, 0, tile, turn);
  __syncthreads();
  u64 bound = 0, sum = 0, loaded = tiles;  // the tile whose weights are in `tile`, and their sum
  RowScan scan = scan_left(urn, 0, tile, turn, bound);
  u64 before[TILE_ITEMS / PACK];
  for (u64 i = 0; i < grid.draws; ++i) {
    const u64 position = grid_point(grid.out_strides, r, 0, i);
    if (scan.total == 0) {
      if (threadIdx.x == 0) store(out, itemsize, position, NO_CATEGORY);
      continue;
    }
    const u64 word = random_word(grid, grid_point(grid.counter_strides, r, 0, i));
    const u64 target = multiply_high(word, scan.total);
    const u64 t = search_tiles(stats.tile_offset, tiles, target);
    const Bits top = (Bits)stats.tile_max[t];
    const int exponent = tile_exponent(top, scan.offset);
    if (t != loaded) {
      load_left(urn, t, tile);
      to_weights(tile, exponent, scan.offset);
      sum = scan_packs(tile, before, turn);
      loaded = t;
    }
    const int shift = tile_shift(scan.exponent, exponent);
    const u64 in_tile = target - stats.tile_offset[t];
    const u64 within = ((in_tile + 1) << shift) - 1;
    Drawn drawn = {0, 0};
#pragma unroll
    for (u32 c = 0; c < TILE_ITEMS / PACK; ++c)
      if (within - before[c] < sum_weights(tile + c * PACK, PACK)) {  // in one pack of one thread
        drawn.pack = c * THREADS + threadIdx.x;
        const u32 k = take_from_pack(tile + c * PACK, before[c], within, drawn.integer);
        const u64 pack = pack_index(t, c);
        if (pack < packs) urn.removed[pack] |= 1u << k;
        store(out, itemsize, position, min(pack * PACK + k, size - 1));
      }
    drawn = from_number(max_over_block(to_number(drawn), turn));
    // If the row has changed since it was measured, no pack may have the target, or several.
    if (drawn.integer == 0 && threadIdx.x == 0) store(out, itemsize, position, t * TILE);
#pragma unroll
    for (u32 c = 0; c < TILE_ITEMS / PACK; ++c)
      if (c * THREADS + threadIdx.x > drawn.pack) before[c] -= drawn.integer;

    if (drawn.integer == largest_integer(top, exponent, scan.offset)) {
      loaded = tiles;
      if (reduce_left(urn, t, scan.offset, tile, turn) != top) {
        __syncthreads();
        scan = scan_left(urn, scan.offset, tile, turn, bound);
        continue;
      }
    }
    const u64 left = sum - drawn.integer;
    const int unused = unused_headroom(tiles, bound);
    const int wide_shift = tile_shift(scan.exponent + unused, exponent);
    if (threadIdx.x == 0) urn.sums[t] = left;
    bound -= (sum >> wide_shift) - (left >> wide_shift);
    if (unused_headroom(tiles, bound) != unused) {
      __syncthreads();
      scan = scan_left(urn, scan.offset, tile, turn, bound);
      loaded = tiles;
    } else {
      const u64 less = (sum >> shift) - (left >> shift);
      scan.total -= less;
      for (u64 j = t + 1 + threadIdx.x; j < tiles; j += THREADS) stats.tile_offset[j] -= less;
      __syncthreads();
    }
    sum = left;
  }
}
#endif

}  // namespace anycat
