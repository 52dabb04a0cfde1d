// Runs CUDA kernels on a CPU, for tests: one block after the other, each thread a fiber.
//
// A thread runs until it comes to a barrier or a shuffle, and goes on when every thread that has to
// be there has come to the same line. What cannot be so, on a GPU, is an error here:
// a thread that ends while others wait for it, waits at another line, or names a mask that it or
// its source is not in. Shared memory is as large as the launch says, and full of 0xA5 before each
// block. Blocks, the warps of each and the lanes of these run in an order of their own in each
// launch, and a warp runs as far ahead of the others as it can.

#include <algorithm>
#include <climits>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#if defined(__x86_64__)
#include <xmmintrin.h>
#else
#include <ucontext.h>
#endif

#define __device__
#define __global__
#define __launch_bounds__(...)

struct Dim {
  unsigned int x, y, z;
};
static Dim threadIdx, blockIdx, blockDim, gridDim;
static unsigned long long* shared_memory;

namespace harness {

// --- fibers ----------------------------------------------------------------------------------

#if defined(__x86_64__)
extern "C" void harness_switch(void** from, void* to);
asm(R"(
.text
.type harness_switch, @function
harness_switch:
  pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
  ret
)");
struct Context {
  void* top = nullptr;
  void make(char* stack, size_t size, void (*entry)()) {
    void** end = (void**)(((size_t)stack + size) & ~(size_t)15) - 1;
    *--end = (void*)entry;
    top = end - 6;
  }
  void go(Context& to) { harness_switch(&top, to.top); }
};
#else
struct Context {
  ucontext_t context;
  void make(char* stack, size_t size, void (*entry)()) {
    getcontext(&context);
    context.uc_stack.ss_sp = stack, context.uc_stack.ss_size = size, context.uc_link = nullptr;
    makecontext(&context, entry, 0);
  }
  void go(Context& to) { swapcontext(&context, &to.context); }
};
#endif

enum State { READY, WAITING, DONE };
enum { BARRIER = 0 };  // the mask of a barrier: no shuffle has that

struct Fiber {
  Context context;
  State state;
  Dim index;
  int line;
  unsigned int mask, source;  // where it waits, and the lane that it wants to hear
  unsigned long long value;
};

constexpr size_t MOST = 1024, STACK = 1 << 18;  // threads of a block, and bytes for each
static std::unique_ptr<char[]> stacks;
static Context scheduler;
static std::vector<Fiber> fibers;
static Fiber* current;
static std::function<void()> body;
static std::string failure;

static std::string name(const Fiber& f) {
  return "block " + std::to_string(blockIdx.x) + "," + std::to_string(blockIdx.y) + " thread " +
         std::to_string(&f - fibers.data());
}

static std::string place(const Fiber& f) {
  const std::string at = " at line " + std::to_string(f.line);
  if (f.state == DONE) return name(f) + " has ended";
  return name(f) + (f.mask == BARRIER ? " is at the barrier" : " is at the shuffle") + at;
}

[[noreturn]] static void fail(const std::string& message) {
  if (failure.empty()) failure = message;
  while (true) current->context.go(scheduler);
}

static unsigned long long wait(int line, unsigned int mask, unsigned int source,
                               unsigned long long value) {
  current->state = WAITING, current->line = line;
  current->mask = mask, current->source = source, current->value = value;
  current->context.go(scheduler);
  return current->value;
}

// Let all go on that wait for each other, if all are there.
static void release(size_t begin, size_t end, const Fiber& one) {
  const struct {
    int line;
    unsigned int mask;
  } first = {one.line, one.mask};
  const auto awaited = [&](size_t k) { return first.mask == BARRIER || first.mask >> k & 1; };
  unsigned long long heard[MOST];
  for (size_t k = 0; k < end - begin; ++k) {
    const Fiber& f = fibers[begin + k];
    if (!awaited(k)) continue;
    if (f.state == READY) return;
    if (f.state == DONE || f.line != first.line || f.mask != first.mask) {
      failure = place(f) + ", where others wait at line " + std::to_string(first.line);
      return;
    }
    if (first.mask != BARRIER) heard[k] = fibers[begin + f.source].value;
  }
  for (size_t k = 0; k < end - begin; ++k)
    if (awaited(k)) fibers[begin + k].state = READY, fibers[begin + k].value = heard[k];
}

static void run_fiber() {
  body();
  current->state = DONE;
  current->context.go(scheduler);
}

// Run what can run of a warp, as far as it can: no other warp has to be as far for that.
static void run_warp(size_t begin, const std::vector<size_t>& lanes) {
  const size_t end = std::min(begin + 32, fibers.size());
  for (bool moved = true; moved && failure.empty();) {
    moved = false;
    for (size_t lane : lanes) {
      if (begin + lane >= end || fibers[begin + lane].state != READY) continue;
      current = &fibers[begin + lane], threadIdx = current->index, moved = true;
      scheduler.go(current->context);
      if (!failure.empty()) return;
    }
    for (size_t k = begin; k < end && failure.empty(); ++k)
      if (fibers[k].state == WAITING && fibers[k].mask != BARRIER) release(begin, end, fibers[k]);
  }
}

static void run_block(const std::vector<size_t>& warps, const std::vector<size_t>& lanes) {
  for (size_t k = 0; k < fibers.size(); ++k) {
    Fiber& f = fibers[k];
    f.state = READY;
    f.index = {(unsigned)(k % blockDim.x), (unsigned)(k / blockDim.x), 0};
    f.context.make(stacks.get() + k * STACK, STACK, run_fiber);
  }
  while (failure.empty()) {
    for (size_t w : warps)
      if (failure.empty()) run_warp(32 * w, lanes);
    const auto waits = [](const Fiber& f) { return f.state == WAITING; };
    const auto f = std::find_if(fibers.begin(), fibers.end(), waits);
    if (f == fibers.end()) return;
    if (f->mask == BARRIER) release(0, fibers.size(), *f);
    else if (failure.empty()) failure = "no thread can go on: " + place(*f);
  }
}

// --- launches --------------------------------------------------------------------------------

struct Launch {
  unsigned int grid[3], block[3];
  size_t shared;
  unsigned int seed;
};

template <class... A, size_t... I>
static const char* run(void (*kernel)(A...), const Launch& l, void** args,
                       std::index_sequence<I...>) {
  const size_t threads = (size_t)l.block[0] * l.block[1] * l.block[2];
  if (threads > MOST) return "more threads in a block than CUDA allows";
  if (!stacks) stacks.reset(new char[MOST * STACK]);
  std::mt19937 random(l.seed);
  const auto permuted = [&](size_t n) {
    std::vector<size_t> order(n);
    std::iota(order.begin(), order.end(), 0), std::shuffle(order.begin(), order.end(), random);
    return order;
  };
  const auto blocks = permuted((size_t)l.grid[0] * l.grid[1] * l.grid[2]);
  gridDim = {l.grid[0], l.grid[1], l.grid[2]}, blockDim = {l.block[0], l.block[1], l.block[2]};
  body = [=] { kernel(*(std::decay_t<A>*)args[I]...); };
  failure.clear();
  fibers.resize(threads);
  for (size_t b : blocks) {
    blockIdx = {(unsigned)(b % l.grid[0]), (unsigned)(b / l.grid[0] % l.grid[1]), 0};
    shared_memory = (unsigned long long*)std::malloc(l.shared);  // so that ASan knows where it ends
    std::memset((void*)shared_memory, 0xA5, l.shared);
    run_block(permuted((threads + 31) / 32), permuted(32));
    std::free(shared_memory);
    if (!failure.empty()) {
      stacks.reset();  // of fibers that will not go on
      return failure.c_str();
    }
  }
  return nullptr;
}

template <class... A>
static const char* run(void (*kernel)(A...), const Launch& launch, void** args) {
  return run(kernel, launch, args, std::index_sequence_for<A...>());
}

// --- shuffles --------------------------------------------------------------------------------

template <typename T> static T shuffle(int line, unsigned int mask, T value, int lane, int source) {
  static_assert(std::is_unsigned<T>::value && sizeof(T) >= 4);
  if (!(mask >> lane & 1) || !(mask >> source & 1))
    fail("lane " + std::to_string(mask >> lane & 1 ? source : lane) + " of " + name(*current) +
         " is not in the mask at line " + std::to_string(line));
  return (T)wait(line, mask, (unsigned)source, value);
}

static int lane() { return (int)((current - fibers.data()) % 32); }

template <typename T>
static T up(int line, unsigned mask, T value, unsigned distance, int width = 32) {
  const int me = lane(), from = me - (int)distance;
  return shuffle(line, mask, value, me, from < me / width * width ? me : from);
}

template <typename T>
static T from(int line, unsigned mask, T value, int source, int width = 32) {
  const int me = lane();
  return shuffle(line, mask, value, me, me / width * width + source % width);
}

template <typename T> static T other(int line, unsigned mask, T value, int distance) {
  const int me = lane();
  return shuffle(line, mask, value, me, me ^ distance);
}

// --- float32 as CuPy has it --------------------------------------------------------------------

// Subnormals are set to zero in all but `exactly`, which stands for inline PTX and for float64.
#if defined(__x86_64__)
inline void flush(bool yes) { _mm_setcsr(yes ? 0x9FC0 : 0x1F80); }
template <class F, class... T> __attribute__((noinline)) auto exactly(F f, T... x) {
  flush(false);
  (..., [](auto& y) { asm volatile("" : "+x"(y)); }(x));
  auto result = f(x...);
  asm volatile("" : "+x"(result));
  flush(true);
  return result;
}
#else
inline void flush(bool) {}
template <class F, class... T> auto exactly(F f, T... x) { return f(x...); }
#endif

}  // namespace harness

using harness::exactly;

#define __syncthreads() harness::wait(__LINE__, harness::BARRIER, 0, 0)
#define __shfl_up_sync(...) harness::up(__LINE__, __VA_ARGS__)
#define __shfl_sync(...) harness::from(__LINE__, __VA_ARGS__)
#define __shfl_xor_sync(...) harness::other(__LINE__, __VA_ARGS__)

template <class T> static inline T atomicAdd(T* sum, T value) {
  const T old = *sum;
  *sum += value;
  return old;
}
static inline int __clzll(long long n) { return n ? __builtin_clzll((unsigned long long)n) : 64; }
static inline unsigned int __umulhi(unsigned int x, unsigned int y) {
  return (unsigned int)((unsigned long long)x * y >> 32);
}
static inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y) {
  return (unsigned long long)((unsigned __int128)x * y >> 64);
}

#define KERNEL(name)                                                                      \
  extern "C" const char* launch_##name(const harness::Launch* launch, void** args) {      \
    harness::flush(true);                                                                 \
    const char* failure = harness::run(anycat::name, *launch, args);                      \
    harness::flush(false);                                                                \
    return failure;                                                                       \
  }
