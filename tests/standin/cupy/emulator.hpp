// CUDA C++ on one CPU core: what a kernel source may name without including anything.
//
// Blocks run one after the other. The threads of a block are fibres: each runs until it waits at a
// barrier or ends, then the next one runs; who never waits is run straight through, on one stack.
// A barrier opens when every thread that has not ended waits at it. What would be undefined on a
// GPU is a fault here: barriers that never open or stand on different lines, misaligned loads and
// stores, indices beyond an array's extent, writes behind dynamic shared memory.
//
// Shared arrays are thread_local: the fibres share one thread, templates may declare them, and
// the loader tells where all of them lie, so that every block finds them full of NaNs.
// Everything is static: each compiled source holds its own copy, and the caller lets one launch in
// at a time.
#pragma once

#include <link.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __shared__ static thread_local
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define EMULATOR_ENTRY __attribute__((visibility("default")))
#define __align__(n) __attribute__((aligned(n)))

// Vectors -----------------------------------------------------------------------------------------

#define EMULATOR_VECTORS(name, type, align2, align4)                                 \
  struct name##1 { type x; };                                                        \
  struct __align__(align2) name##2 { type x, y; };                                   \
  struct name##3 { type x, y, z; };                                                  \
  struct __align__(align4) name##4 { type x, y, z, w; };                             \
  static inline name##1 make_##name##1(type x) { return {x}; }                       \
  static inline name##2 make_##name##2(type x, type y) { return {x, y}; }            \
  static inline name##3 make_##name##3(type x, type y, type z) { return {x, y, z}; } \
  static inline name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }

EMULATOR_VECTORS(char, signed char, 2, 4)
EMULATOR_VECTORS(uchar, unsigned char, 2, 4)
EMULATOR_VECTORS(short, short, 4, 8)
EMULATOR_VECTORS(ushort, unsigned short, 4, 8)
EMULATOR_VECTORS(int, int, 8, 16)
EMULATOR_VECTORS(uint, unsigned, 8, 16)
EMULATOR_VECTORS(longlong, long long, 16, 16)
EMULATOR_VECTORS(ulonglong, unsigned long long, 16, 16)
EMULATOR_VECTORS(float, float, 8, 16)
EMULATOR_VECTORS(double, double, 16, 16)

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

// Blocks, threads and barriers --------------------------------------------------------------------

static uint3 threadIdx, blockIdx;
static dim3 blockDim, gridDim;
static constexpr int warpSize = 32;

namespace emulator {

constexpr unsigned MOST_THREADS = 1024;
constexpr unsigned WARP = 32;
// Behind and before dynamic shared memory. As a float or a double it is a NaN: who reads it shows.
constexpr uint32_t GUARD = 0xFFFFA5A5;
constexpr unsigned GUARD_WORDS = 64;

// The call; cupy/_emulator.py has the same fields.
struct Launch {
  uint32_t grid[3];
  uint32_t block[3];
  uint32_t shared_bytes;
  uint32_t reversed;      // the order in which threads run
  const void* params;     // the kernel's one argument
  unsigned char* shared;  // dynamic shared memory, with room for guards on both sides
  unsigned char* stacks;  // MOST_THREADS of them
  uint64_t stack_bytes;
  char* message;  // what went wrong
  uint64_t message_bytes;
};

using Invoke = void (*)(const void* kernel, const void* params);

enum State : unsigned char { READY, AT_BLOCK, AT_WARP, ENDED };

#if defined(__x86_64__)
using Context = void*;  // the stack pointer; the registers to be kept lie above it

extern "C" void fastconv_switch(Context* from, Context* to);
asm(R"(
    .text
    .local fastconv_switch
    .type fastconv_switch, @function
fastconv_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq (%rsi), %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size fastconv_switch, .-fastconv_switch
)");

static void prepare(Context* context, unsigned char* stack, size_t bytes, void (*run)()) {
  // What the switch pops, and a return address on a stack that is aligned as after a call.
  auto top = (reinterpret_cast<uintptr_t>(stack) + bytes) & ~uintptr_t{15};
  auto* frame = reinterpret_cast<void**>(top - 64);
  memset(frame, 0, 64);
  frame[6] = reinterpret_cast<void*>(run);
  *context = frame;
}
#else
using Context = ucontext_t;

static void fastconv_switch(Context* from, Context* to) { swapcontext(from, to); }

static void prepare(Context* context, unsigned char* stack, size_t bytes, void (*run)()) {
  getcontext(context);
  context->uc_stack.ss_sp = stack;
  context->uc_stack.ss_size = bytes;
  context->uc_link = nullptr;
  makecontext(context, run, 0);
}
#endif

static const Launch* launch;
static Invoke invoke;
static const void* kernel;
static unsigned threads, live;
static unsigned position;  // of the running thread, in the order in which they run
static unsigned current;   // the running thread
static Context scheduler;
static Context contexts[MOST_THREADS];
static bool started[MOST_THREADS];
static State states[MOST_THREADS];
static int lines[MOST_THREADS];  // of the barrier at which a thread waits
static uint3 indices[MOST_THREADS];
static int votes[MOST_THREADS];
static unsigned long long slots[MOST_THREADS];  // what the threads of a warp exchange
static unsigned free_stacks[MOST_THREADS], free_count;
static int any_vote, all_votes, vote_count;
static bool failed;
static thread_local unsigned char first_touch;  // has the loader make this thread's shared arrays

template <class... Values>
static void fault(const char* format, Values... values) {
  if (failed) return;
  failed = true;
  int used = snprintf(launch->message, launch->message_bytes,
                      "block (%u, %u, %u), thread (%u, %u, %u): ", blockIdx.x, blockIdx.y,
                      blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
  snprintf(launch->message + used, launch->message_bytes - used, format, values...);
}

// The running thread did wrong: it and its block go no further.
template <class... Values>
static void stop(const char* format, Values... values) {
  fault(format, values...);
  static Context left;
  fastconv_switch(&left, &scheduler);
}

static unsigned char* stack(unsigned i) { return launch->stacks + i * launch->stack_bytes; }

static unsigned thread_at(unsigned place) { return launch->reversed ? threads - 1 - place : place; }

// Make the next thread that can run the current one; false where none is left in this round.
static bool next_thread() {
  for (++position; position < threads; ++position) {
    unsigned thread = thread_at(position);
    if (states[thread] == READY) {
      current = thread;
      threadIdx = indices[thread];
      return true;
    }
  }
  return false;
}

static void run_threads() {
  for (;;) {
    started[current] = true;
    invoke(kernel, launch->params);
    states[current] = ENDED;
    --live;
    bool found = next_thread();
    if (found && !started[current]) continue;  // on this very stack
    auto here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
    free_stacks[free_count++] = static_cast<unsigned>(
        (here - reinterpret_cast<uintptr_t>(launch->stacks)) / launch->stack_bytes);
    Context left;
    fastconv_switch(&left, found ? &contexts[current] : &scheduler);
  }
}

static void start_if_new() {
  if (started[current]) return;
  prepare(&contexts[current], stack(free_stacks[--free_count]), launch->stack_bytes, run_threads);
}

static void wait(State state, int line) {
  unsigned thread = current;
  states[thread] = state;
  lines[thread] = line;
  if (next_thread()) {
    start_if_new();
    fastconv_switch(&contexts[thread], &contexts[current]);
  } else {
    fastconv_switch(&contexts[thread], &scheduler);
  }
}

// Open the barriers that can be opened; false where there is none.
static bool open_barriers() {
  unsigned at_block = 0, line = 0;
  any_vote = 0, all_votes = 1, vote_count = 0;
  for (unsigned i = 0; i < threads; ++i) {
    if (states[i] != AT_BLOCK) continue;
    if (at_block++ && static_cast<unsigned>(lines[i]) != line) {
      threadIdx = indices[i];
      fault("waits at the barrier of line %d while another thread waits at that of line %u",
            lines[i], line);
      return false;
    }
    line = lines[i];
    any_vote |= votes[i] != 0;
    all_votes &= votes[i] != 0;
    vote_count += votes[i] != 0;
  }
  if (at_block == live) {
    for (unsigned i = 0; i < threads; ++i)
      if (states[i] == AT_BLOCK) states[i] = READY;
    return true;
  }
  bool opened = false;
  for (unsigned first = 0; first < threads; first += WARP) {
    unsigned end = first + WARP < threads ? first + WARP : threads;
    bool all = true, any = false;
    for (unsigned i = first; i < end; ++i) {
      any |= states[i] == AT_WARP;
      all &= states[i] == AT_WARP || states[i] == ENDED;
    }
    if (!any || !all) continue;
    opened = true;
    for (unsigned i = first; i < end; ++i)
      if (states[i] == AT_WARP) states[i] = READY;
  }
  if (!opened) {
    fault("the block waits for ever: %u of its %u threads that have not ended are at __syncthreads",
          at_block, live);
  }
  return opened;
}

static int sync_block(int vote, int line) {
  votes[current] = vote;
  wait(AT_BLOCK, line);
  return any_vote;
}

static int sync_block_and(int vote, int line) {
  sync_block(vote, line);
  return all_votes;
}

static int sync_block_count(int vote, int line) {
  sync_block(vote, line);
  return vote_count;
}

static void sync_warp(unsigned mask, int line) {
  if (mask != 0xFFFFFFFF) stop("line %d: only whole warps can be synchronised here", line);
  wait(AT_WARP, line);
}

template <class T>
static T exchange(T value, unsigned lane, int line) {
  static_assert(sizeof(T) <= sizeof(slots[0]), "exchanged words have at most 64 bits");
  unsigned first = current / WARP * WARP;
  memcpy(&slots[current], &value, sizeof value);
  sync_warp(0xFFFFFFFF, line);
  unsigned from = first + lane;
  if (from >= threads || states[from] == ENDED) {
    stop("line %d: a word is asked from a thread that does not run", line);
  } else {
    memcpy(&value, &slots[from], sizeof value);
  }
  sync_warp(0xFFFFFFFF, line);
  return value;
}

static unsigned lane() { return current % WARP; }

template <class T>
static T shuffle(T value, int source, int width, int line) {
  return exchange(value, lane() / width * width + source % width, line);
}

template <class T>
static T shuffle_up(T value, unsigned delta, int width, int line) {
  unsigned in_group = lane() % width;
  return exchange(value, in_group < delta ? lane() : lane() - delta, line);
}

template <class T>
static T shuffle_down(T value, unsigned delta, int width, int line) {
  unsigned in_group = lane() % width;
  return exchange(value, in_group + delta >= unsigned(width) ? lane() : lane() + delta, line);
}

template <class T>
static T shuffle_xor(T value, int mask, int width, int line) {
  unsigned other = lane() ^ mask;
  return exchange(value, other / width > lane() / width ? lane() : other, line);
}

static unsigned ballot(int vote, int line) {
  unsigned first = current / WARP * WARP, bits = 0;
  slots[current] = vote != 0;
  sync_warp(0xFFFFFFFF, line);
  for (unsigned i = 0; i < WARP && first + i < threads; ++i)
    if (states[first + i] != ENDED && slots[first + i]) bits |= 1u << i;
  sync_warp(0xFFFFFFFF, line);
  return bits;
}

struct SharedArrays {
  unsigned char* begin = nullptr;
  size_t bytes = 0;
};

static int look_for_shared(dl_phdr_info* info, size_t, void* result) {
  auto here = reinterpret_cast<uintptr_t>(&look_for_shared);
  bool ours = false;
  const ElfW(Phdr)* tls = nullptr;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& part = info->dlpi_phdr[i];
    uintptr_t begin = info->dlpi_addr + part.p_vaddr;
    ours |= part.p_type == PT_LOAD && here >= begin && here - begin < part.p_memsz;
    if (part.p_type == PT_TLS) tls = &part;
  }
  if (!ours) return 0;
  if (tls && info->dlpi_tls_data) {
    *static_cast<SharedArrays*>(result) = {static_cast<unsigned char*>(info->dlpi_tls_data),
                                           tls->p_memsz};
  }
  return 1;
}

static SharedArrays shared_arrays() {
  static ptrdiff_t offset;
  static size_t bytes;
  volatile unsigned char* touched = &first_touch;
  *touched = 0;
  auto* address = const_cast<unsigned char*>(touched);
  if (!bytes) {
    SharedArrays found;
    dl_iterate_phdr(look_for_shared, &found);
    offset = found.begin - address;
    bytes = found.bytes;
  }
  return {address + offset, bytes};
}

static void set_guards() {
  for (unsigned i = 0; i < GUARD_WORDS; ++i) {
    memcpy(launch->shared + 4 * i, &GUARD, 4);
    memcpy(launch->shared + 4 * (GUARD_WORDS + i) + launch->shared_bytes, &GUARD, 4);
  }
}

static void check_guards() {
  for (unsigned i = 0; i < GUARD_WORDS; ++i) {
    if (memcmp(launch->shared + 4 * i, &GUARD, 4)) {
      fault("some thread wrote before dynamic shared memory");
    }
    if (memcmp(launch->shared + 4 * (GUARD_WORDS + i) + launch->shared_bytes, &GUARD, 4)) {
      fault("some thread wrote behind the %u bytes of dynamic shared memory", launch->shared_bytes);
    }
  }
  for (unsigned i = 0; i < threads; ++i) {
    if (memcmp(stack(i), &GUARD, 4)) fault("a thread's stack is too small for the kernel");
  }
}

static void run_block(SharedArrays arrays) {
  memset(arrays.begin, 0xFF, arrays.bytes);
  memset(launch->shared + 4 * GUARD_WORDS, 0xFF, launch->shared_bytes);
  memset(started, 0, threads * sizeof started[0]);
  memset(states, READY, threads * sizeof states[0]);
  memset(votes, 0, threads * sizeof votes[0]);
  free_count = 0;
  for (unsigned i = threads; i-- > 0;) free_stacks[free_count++] = i;
  live = threads;
  while (live) {
    position = ~0u;
    next_thread();
    start_if_new();
    fastconv_switch(&scheduler, &contexts[current]);
    if (failed || (live && !open_barriers())) return;
  }
  check_guards();
}

static int run_grid() {
  blockDim = {launch->block[0], launch->block[1], launch->block[2]};
  gridDim = {launch->grid[0], launch->grid[1], launch->grid[2]};
  threads = blockDim.x * blockDim.y * blockDim.z;
  for (unsigned i = 0; i < threads; ++i) {
    indices[i] = {i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y};
    memcpy(stack(i), &GUARD, 4);
  }
  failed = false;
  set_guards();
  SharedArrays arrays = shared_arrays();
  for (blockIdx.z = 0; blockIdx.z < gridDim.z; ++blockIdx.z)
    for (blockIdx.y = 0; blockIdx.y < gridDim.y; ++blockIdx.y)
      for (blockIdx.x = 0; blockIdx.x < gridDim.x && !failed; ++blockIdx.x) run_block(arrays);
  return failed;
}

template <class Params>
static void call(const void* function, const void* params) {
  Params copy;
  memcpy(static_cast<void*>(&copy), params, sizeof copy);
  reinterpret_cast<void (*)(Params)>(const_cast<void*>(function))(copy);
}

template <class Params>
static int start(void (*function)(Params), const Launch* given) {
  launch = given;
  kernel = reinterpret_cast<const void*>(function);
  invoke = call<Params>;
  return run_grid();
}

template <class Params>
static constexpr uint64_t size_of_params(void (*)(Params)) {
  return sizeof(Params);
}

static constexpr unsigned most_threads(unsigned threads, unsigned = 0, unsigned = 0) {
  return threads;
}

// What the compiler calls under -fsanitize=alignment,bounds.
struct Place {
  const char* file;
  uint32_t line, column;
};

}  // namespace emulator

extern "C" __attribute__((used)) void __ubsan_handle_type_mismatch_v1(void* data,
                                                                      uintptr_t address) {
  emulator::stop("line %u: an object at address %#lx that is not aligned for it",
                 static_cast<emulator::Place*>(data)->line, address);
}

extern "C" __attribute__((used)) void __ubsan_handle_out_of_bounds(void* data, uintptr_t index) {
  emulator::stop("line %u: index %ld is beyond the array's extent",
                 static_cast<emulator::Place*>(data)->line, static_cast<long>(index));
}

static unsigned char* fastconv_emulated_shared() {
  return emulator::launch->shared + 4 * emulator::GUARD_WORDS;
}

#define __syncthreads() ((void)emulator::sync_block(0, __LINE__))
#define __syncthreads_or(vote) emulator::sync_block(vote, __LINE__)
#define __syncthreads_and(vote) emulator::sync_block_and(vote, __LINE__)
#define __syncthreads_count(vote) emulator::sync_block_count(vote, __LINE__)
#define __syncwarp(...) emulator::sync_warp(emulator::whole_warp(__VA_ARGS__), __LINE__)
#define EMULATOR_SHUFFLE(kind, mask, value, other, ...) \
  emulator::kind(value, other, emulator::whole_width(__VA_ARGS__), __LINE__)
#define __shfl_sync(...) EMULATOR_SHUFFLE(shuffle, __VA_ARGS__)
#define __shfl_up_sync(...) EMULATOR_SHUFFLE(shuffle_up, __VA_ARGS__)
#define __shfl_down_sync(...) EMULATOR_SHUFFLE(shuffle_down, __VA_ARGS__)
#define __shfl_xor_sync(...) EMULATOR_SHUFFLE(shuffle_xor, __VA_ARGS__)
#define __ballot_sync(mask, vote) emulator::ballot(vote, __LINE__)
#define __any_sync(mask, vote) (emulator::ballot(vote, __LINE__) != 0)
#define __all_sync(mask, vote) (emulator::ballot(!(vote), __LINE__) == 0)

namespace emulator {
static unsigned whole_warp(unsigned mask = 0xFFFFFFFF) { return mask; }
static int whole_width(int width = 32) { return width; }
}  // namespace emulator

static inline void __threadfence() {}
static inline void __threadfence_block() {}
static inline void __trap() { emulator::stop("the kernel trapped"); }

// Numbers -----------------------------------------------------------------------------------------

#define EMULATOR_MIN_MAX(type)                                     \
  static inline type min(type a, type b) { return b < a ? b : a; } \
  static inline type max(type a, type b) { return a < b ? b : a; }
#define EMULATOR_MIN_MAX_MIXED(a_type, b_type, type)        \
  static inline type min(a_type a, b_type b) {              \
    return min(static_cast<type>(a), static_cast<type>(b)); \
  }                                                         \
  static inline type max(a_type a, b_type b) {              \
    return max(static_cast<type>(a), static_cast<type>(b)); \
  }

EMULATOR_MIN_MAX(int)
EMULATOR_MIN_MAX(unsigned)
EMULATOR_MIN_MAX(long)
EMULATOR_MIN_MAX(unsigned long)
EMULATOR_MIN_MAX(long long)
EMULATOR_MIN_MAX(unsigned long long)
EMULATOR_MIN_MAX_MIXED(int, unsigned, unsigned)
EMULATOR_MIN_MAX_MIXED(unsigned, int, unsigned)
EMULATOR_MIN_MAX_MIXED(long, unsigned long, unsigned long)
EMULATOR_MIN_MAX_MIXED(unsigned long, long, unsigned long)
EMULATOR_MIN_MAX_MIXED(long long, unsigned long long, unsigned long long)
EMULATOR_MIN_MAX_MIXED(unsigned long long, long long, unsigned long long)
static inline float min(float a, float b) { return fminf(a, b); }
static inline float max(float a, float b) { return fmaxf(a, b); }
static inline double min(double a, double b) { return fmin(a, b); }
static inline double max(double a, double b) { return fmax(a, b); }
EMULATOR_MIN_MAX_MIXED(float, double, double)
EMULATOR_MIN_MAX_MIXED(double, float, double)

#define EMULATOR_BITS(name, from, to)       \
  static inline to name(from value) {       \
    to result;                              \
    memcpy(&result, &value, sizeof result); \
    return result;                          \
  }
EMULATOR_BITS(__int_as_float, int, float)
EMULATOR_BITS(__uint_as_float, unsigned, float)
EMULATOR_BITS(__float_as_int, float, int)
EMULATOR_BITS(__float_as_uint, float, unsigned)
EMULATOR_BITS(__longlong_as_double, long long, double)
EMULATOR_BITS(__double_as_longlong, double, long long)

// Other products and sums may be fused, as NVRTC does; these are never.
#if defined(__x86_64__)
#define EMULATOR_KEEP(value) asm("" : "+x"(value))
#else
#define EMULATOR_KEEP(value) asm("" : "+w"(value))
#endif
#define EMULATOR_ARITHMETIC(name, type, expression) \
  static inline type name(type a, type b) {         \
    type result = expression;                       \
    EMULATOR_KEEP(result);                          \
    return result;                                  \
  }
EMULATOR_ARITHMETIC(__fadd_rn, float, a + b)
EMULATOR_ARITHMETIC(__fsub_rn, float, a - b)
EMULATOR_ARITHMETIC(__fmul_rn, float, a* b)
EMULATOR_ARITHMETIC(__fdiv_rn, float, a / b)
EMULATOR_ARITHMETIC(__fdividef, float, a / b)
EMULATOR_ARITHMETIC(__dadd_rn, double, a + b)
EMULATOR_ARITHMETIC(__dsub_rn, double, a - b)
EMULATOR_ARITHMETIC(__dmul_rn, double, a* b)
EMULATOR_ARITHMETIC(__ddiv_rn, double, a / b)
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }
static inline float __fsqrt_rn(float a) { return sqrtf(a); }
static inline double __dsqrt_rn(double a) { return sqrt(a); }
static inline float __frcp_rn(float a) { return 1.0f / a; }
static inline double __drcp_rn(double a) { return 1.0 / a; }
static inline float rsqrtf(float a) { return 1.0f / sqrtf(a); }
static inline float rsqrt(float a) { return 1.0f / sqrtf(a); }
static inline double rsqrt(double a) { return 1.0 / sqrt(a); }
static inline float __saturatef(float a) { return a > 0.0f ? (a < 1.0f ? a : 1.0f) : 0.0f; }

namespace emulator {
// Conversions to integers hold at the ends of their range, and NaN becomes 0 (a 64-bit one: its
// least value), as on the GPU.
template <class To, class From>
static To to_integer(From value) {
  constexpr bool is_signed = To(-1) < To(0);
  constexpr unsigned bits = 8 * sizeof(To) - is_signed;
  constexpr To most = To(~0ull >> (64 - bits));
  constexpr To least = is_signed ? To(-most - 1) : To(0);
  if (value != value) return sizeof(To) == 8 ? To(1ull << 63) : To(0);
  if (value >= From(ldexp(1.0, bits))) return most;
  if (value <= From(least)) return least;
  return To(value);
}
}  // namespace emulator

#define EMULATOR_CONVERSIONS(from, to, type, value_type)                                          \
  static inline type __##from##2##to##_rn(value_type a) {                                         \
    return emulator::to_integer<type>(nearbyint(a));                                              \
  }                                                                                               \
  static inline type __##from##2##to##_rz(value_type a) { return emulator::to_integer<type>(a); } \
  static inline type __##from##2##to##_rd(value_type a) {                                         \
    return emulator::to_integer<type>(floor(a));                                                  \
  }                                                                                               \
  static inline type __##from##2##to##_ru(value_type a) {                                         \
    return emulator::to_integer<type>(ceil(a));                                                   \
  }
EMULATOR_CONVERSIONS(float, int, int, float)
EMULATOR_CONVERSIONS(float, uint, unsigned, float)
EMULATOR_CONVERSIONS(float, ll, long long, float)
EMULATOR_CONVERSIONS(float, ull, unsigned long long, float)
EMULATOR_CONVERSIONS(double, int, int, double)
EMULATOR_CONVERSIONS(double, uint, unsigned, double)
EMULATOR_CONVERSIONS(double, ll, long long, double)
EMULATOR_CONVERSIONS(double, ull, unsigned long long, double)
static inline float __double2float_rn(double a) { return float(a); }
static inline float __int2float_rn(int a) { return float(a); }
static inline double __int2double_rn(int a) { return a; }
static inline float __ll2float_rn(long long a) { return float(a); }
static inline double __ll2double_rn(long long a) { return double(a); }
static inline float __ull2float_rn(unsigned long long a) { return float(a); }
static inline double __ull2double_rn(unsigned long long a) { return double(a); }

static inline int __popc(unsigned a) { return __builtin_popcount(a); }
static inline int __popcll(unsigned long long a) { return __builtin_popcountll(a); }
static inline int __clz(int a) { return a ? __builtin_clz(a) : 32; }
static inline int __clzll(long long a) { return a ? __builtin_clzll(a) : 64; }
static inline int __ffs(int a) { return __builtin_ffs(a); }
static inline int __ffsll(long long a) { return __builtin_ffsll(a); }
static inline int __mulhi(int a, int b) { return int((static_cast<long long>(a) * b) >> 32); }
static inline unsigned __umulhi(unsigned a, unsigned b) {
  return unsigned((static_cast<unsigned long long>(a) * b) >> 32);
}
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return static_cast<unsigned long long>((static_cast<unsigned __int128>(a) * b) >> 64);
}

// The host's library declares these names for itself.
#define __expf expf
#define __logf logf
#define __log2f log2f
#define __powf powf
#define __sinf sinf
#define __cosf cosf

// Memory ------------------------------------------------------------------------------------------

template <class T>
static inline T __ldg(const T* p) {
  return *p;
}
template <class T>
static inline T __ldca(const T* p) {
  return *p;
}
template <class T>
static inline T __ldcg(const T* p) {
  return *p;
}
template <class T>
static inline T __ldcs(const T* p) {
  return *p;
}
template <class T>
static inline void __stcs(T* p, T value) {
  *p = value;
}
template <class T>
static inline void __stcg(T* p, T value) {
  *p = value;
}

#define EMULATOR_ATOMIC(name, type, expression)  \
  static inline type name(type* p, type value) { \
    type old = *p;                               \
    *p = expression;                             \
    return old;                                  \
  }
#define EMULATOR_ATOMICS(type)                                       \
  EMULATOR_ATOMIC(atomicAdd, type, old + value)                      \
  EMULATOR_ATOMIC(atomicExch, type, value)                           \
  EMULATOR_ATOMIC(atomicMax, type, max(old, value))                  \
  EMULATOR_ATOMIC(atomicMin, type, min(old, value))                  \
  EMULATOR_ATOMIC(atomicAnd, type, old& value)                       \
  EMULATOR_ATOMIC(atomicOr, type, old | value)                       \
  EMULATOR_ATOMIC(atomicXor, type, old ^ value)                      \
  static inline type atomicCAS(type* p, type compared, type value) { \
    type old = *p;                                                   \
    if (old == compared) *p = value;                                 \
    return old;                                                      \
  }
EMULATOR_ATOMICS(int)
EMULATOR_ATOMICS(unsigned)
EMULATOR_ATOMICS(unsigned long long)
EMULATOR_ATOMIC(atomicAdd, float, old + value)
EMULATOR_ATOMIC(atomicAdd, double, old + value)
EMULATOR_ATOMIC(atomicExch, float, value)
EMULATOR_ATOMIC(atomicSub, int, old - value)
EMULATOR_ATOMIC(atomicSub, unsigned, old - value)
EMULATOR_ATOMIC(atomicMax, long long, max(old, value))
EMULATOR_ATOMIC(atomicMin, long long, min(old, value))
