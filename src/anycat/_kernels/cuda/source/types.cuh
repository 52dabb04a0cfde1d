// Types of parameters, and the sizes that kernels and launches agree on.

namespace anycat {

typedef unsigned int u32;
typedef unsigned long long u64;

struct float16 {
  unsigned short bits;
};
struct bfloat16 {
  unsigned short bits;
};

constexpr u64 TILE = 4096;  // categories that share an exponent: part of the definition of the draw

[[maybe_unused]] constexpr int WARP = 32, WARPS = 8, THREADS = WARP * WARPS;
[[maybe_unused]] constexpr u32 ALL_LANES = 0xFFFFFFFF;  // of a warp
constexpr int PACK = 8;  // consecutive values that a thread loads at once
[[maybe_unused]] constexpr int TILE_ITEMS = TILE / THREADS;  // values of a tile in a thread

}  // namespace anycat
