// Layers, by their sums of products over channels and taps.
//
// Of each group: its `outputs` are output channels, its `points` are the outputs' places (batch and
// space), its `depth` is what a sum runs over (channels and taps). Points and depth are numbers of
// four digits each, the last one fastest, in whatever order is best for the memory; each digit
// moves the position in the data along three axes, and the elements of all arrays. So layouts,
// gradients, strides and dilation are nothing but steps. What lies beyond the data meets no tap.
//
// Compiled for the types of elements: X of the data, W of the taps, SUM of sums and bias, OUT of
// the result; for the type of positions, which are within a quarter of its range; and for one of
// the sections below, by the name of its macro.
#include "common.cuh"

typedef POSITION Position;

template <class T>
struct Unsigned;
template <>
struct Unsigned<int> {
  typedef unsigned Type;
};
template <>
struct Unsigned<long long> {
  typedef unsigned long long Type;
};

// A position along three axes, or a step, and the element of the data there.
struct __align__(16) Place {
  Position at[3];
  Position element;
};

// Blocks of a multiprocessor, which limit the registers of a thread; wide positions take more.
constexpr int AT_ONCE = sizeof(Position) == 4 ? 2 : 1;

// Outside of all data, whatever is added.
constexpr Position FAR = -(Position(1) << (8 * sizeof(Position) - 2));

INLINE bool stays_idle(const Layer& p) { return p.only_if && !*(const int*)p.only_if; }

INLINE bool inside(Position at, long long extent) {
  typedef typename Unsigned<Position>::Type Number;
  return Number(at) < Number(extent);
}

INLINE bool meets(const Layer& p, const Place& a, const Place& b) {
  return inside(a.at[0] + b.at[0], p.extent[0]) && inside(a.at[1] + b.at[1], p.extent[1]) &&
         inside(a.at[2] + b.at[2], p.extent[2]);
}

INLINE void digits_of(Position number, const long long* extent, Position* digits) {
#pragma unroll
  for (int i = DIGITS - 1; i > 0; i--) {
    const Position n = Position(extent[i]);
    digits[i] = number % n;
    number /= n;
  }
  digits[0] = number;
}

INLINE Place place_of(const Position* digits, const long long (*step)[3],
                      const long long* element) {
  Place place = {{0, 0, 0}, 0};
#pragma unroll
  for (int i = 0; i < DIGITS; i++) {
#pragma unroll
    for (int a = 0; a < 3; a++) place.at[a] += digits[i] * Position(step[i][a]);
    place.element += digits[i] * Position(element[i]);
  }
  return place;
}

INLINE Position sum_of(const Position* digits, const long long* step) {
  Position sum = 0;
#pragma unroll
  for (int i = 0; i < DIGITS; i++) sum += digits[i] * Position(step[i]);
  return sum;
}

// Where the windows of a point begin; `out` becomes the element of its result.
INLINE Place point_place(const Layer& p, Position point, Position& out) {
  Position digits[DIGITS];
  digits_of(point, p.point_extent, digits);
  Place place = place_of(digits, p.point_step, p.point_x);
#pragma unroll
  for (int a = 0; a < 3; a++) place.at[a] += Position(p.start[a]);
  place.element += Position(p.x_start);
  out = sum_of(digits, p.point_out);
  return place;
}

INLINE Place nowhere() { return {{FAR, FAR, FAR}, 0}; }

// Data and taps as they are multiplied: integers lose what stands for zero.
template <class Element>
INLINE SUM number_of(Element v, int zero) {
  if constexpr (Same<SUM, int>::value && sizeof(Element) == 1)
    return convert<SUM>(int(v) - zero);
  else
    return convert<SUM>(v);
}

// What lies beyond the data, as an element that becomes a zero.
template <class Element>
INLINE Element beyond(int zero) {
  if constexpr (sizeof(Element) == 1)
    return Element(zero);
  else
    return convert<Element>(0.0f);
}

INLINE int tap_zero(const Layer& p, int group, int output) {
  return p.w_zero ? ((const int*)p.w_zero)[Index(group) * p.outputs + output] : 0;
}

INLINE SUM nothing() { return convert<SUM>(0); }

// --- bias, activation and the way to the result --------------------------------------------------

INLINE void add(int& a, int b) { a = int(unsigned(a) + unsigned(b)); }
template <class Real>
INLINE void add(Real& a, Real b) {
  a += b;
}
template <class Real>
INLINE void add(Complex<Real>& a, Complex<Real> b) {
  a.re += b.re;
  a.im += b.im;
}

enum Activation { NONE, RELU, RELU6, LEAKY_RELU, SIGMOID, TANH, SILU, GELU };  // as in _problem.py

INLINE float exponential(float v) { return expf(v); }
INLINE double exponential(double v) { return exp(v); }
INLINE float hyperbolic_tangent(float v) { return tanhf(v); }
INLINE double hyperbolic_tangent(double v) { return tanh(v); }
INLINE float complementary_error(float v) { return erfcf(v); }
INLINE double complementary_error(double v) { return erfc(v); }

template <int COUNT, class Sum, class Function>
INLINE void apply(Sum* sums, Function f) {
#pragma unroll
  for (int i = 0; i < COUNT; i++) sums[i] = f(sums[i]);
}

// NaN stays NaN: comparisons are false for it.
template <int COUNT, class Sum>
INLINE void activate(Sum* sums, int activation) {
  if constexpr (Same<Sum, int>::value) {
    if (activation == RELU) apply<COUNT>(sums, [](Sum v) { return v < 0 ? 0 : v; });
  } else if constexpr (!IsComplex<Sum>::value) {
    switch (activation) {
      case RELU:
        return apply<COUNT>(sums, [](Sum v) { return v < 0 ? Sum(0) : v; });
      case RELU6:
        return apply<COUNT>(sums, [](Sum v) { return v < 0 ? Sum(0) : (v > 6 ? Sum(6) : v); });
      case LEAKY_RELU:
        return apply<COUNT>(sums, [](Sum v) { return v < 0 ? v * Sum(0.01) : v; });
      case SIGMOID:
        return apply<COUNT>(sums, [](Sum v) { return 1 / (1 + exponential(-v)); });
      case TANH:
        return apply<COUNT>(sums, [](Sum v) { return hyperbolic_tangent(v); });
      case SILU:
        return apply<COUNT>(sums, [](Sum v) { return v / (1 + exponential(-v)); });
      case GELU:  // by erfc, which keeps its digits where it is small
        return apply<COUNT>(sums, [](Sum v) {
          return v * (complementary_error(v * Sum(-0.70710678118654752440)) / 2);
        });
    }
  }
}

INLINE SUM bias_of(const Layer& p, int group, int output) {
  return p.bias ? ((const SUM*)p.bias)[Index(group) * p.outputs + output] : nothing();
}

// Where an output channel of a group begins in the result.
INLINE OUT* output_of(const Layer& p, int group, int output) {
  return (OUT*)p.out + group * p.out_group + output * p.out_output;
}

INLINE void finish(const Layer& p, int group, int output, Position element, SUM sum) {
  add(sum, bias_of(p, group, output));
  activate<1>(&sum, p.activation);
  output_of(p, group, output)[element] = Stored<OUT, false>::of(sum);
}

// Store the sum of a point: as a part, where several are to be added, or as the result.
INLINE void put(const Layer& p, int split, int group, int output, Position point, Position element,
                SUM sum) {
  if (p.splits > 1)
    ((SUM*)p.sums)[((Index(split) * p.groups + group) * p.outputs + output) * p.points + point] =
        sum;
  else
    finish(p, group, output, element, sum);
}

// A few elements that are read or written at once.
template <int COUNT>
struct __align__(COUNT * sizeof(SUM)) Pack {
  SUM v[COUNT];
};

// --- tiles of outputs and points -----------------------------------------------------------------

#ifdef TILES

// A block sums OUTPUTS_TILE × POINTS_TILE, each thread OUTPUTS_THREAD × POINTS_THREAD of them in
// registers, STEP of the depth at a time. While one step's taps and data are multiplied from shared
// memory, the next one's are on their way to registers. Loads run along the depth where that is how
// taps or data lie in memory (W_ALONG_DEPTH, X_ALONG_DEPTH).
constexpr int POINT_LANES = POINTS_TILE / POINTS_THREAD;
constexpr int OUTPUT_LANES = OUTPUTS_TILE / OUTPUTS_THREAD;
static_assert(POINT_LANES * OUTPUT_LANES == THREADS, "every thread has its place");
// Lanes of a warp: as square as can be, so that few elements serve it.
constexpr int WARP_OUTPUTS = OUTPUT_LANES < 4 ? OUTPUT_LANES : 4;
constexpr int WARP_POINTS = WARP / WARP_OUTPUTS;
constexpr int WARPS_ALONG = POINT_LANES / WARP_POINTS;
// Elements that lie together, of the eight or so that a thread has.
constexpr int WIDE = 16 / sizeof(SUM);
constexpr int POINTS_PACK = WIDE < POINTS_THREAD ? WIDE : POINTS_THREAD;
constexpr int OUTPUTS_PACK = WIDE < OUTPUTS_THREAD ? WIDE : OUTPUTS_THREAD;
constexpr int POINT_STRIDE = POINT_LANES * POINTS_PACK;  // between a thread's packs
constexpr int OUTPUT_STRIDE = OUTPUT_LANES * OUTPUTS_PACK;
constexpr int X_PITCH = POINTS_TILE + WIDE, W_PITCH = OUTPUTS_TILE + WIDE;
// Places of the depth that are found at once.
constexpr int CHUNK = 128, STEPS = CHUNK / STEP;
constexpr int X_LOADS = POINTS_TILE * STEP / THREADS;
constexpr int W_LOADS = (OUTPUTS_TILE * STEP + THREADS - 1) / THREADS;
constexpr bool EACH_LOADS_TAPS = OUTPUTS_TILE * STEP >= THREADS;
static_assert(X_LOADS * THREADS == POINTS_TILE * STEP && POINTS_TILE <= THREADS, "");

struct Buffers {
  SUM x[2][STEP][X_PITCH];
  SUM w[2][STEP][W_PITCH];
};

// Sums on their way to memory, so that neighbouring threads write neighbouring elements.
constexpr int STAGE_PITCH = POINT_STRIDE + POINTS_PACK;
constexpr int STAGE_BYTES = OUTPUT_STRIDE * STAGE_PITCH * sizeof(SUM);
constexpr int SHARED_BYTES = STAGE_BYTES > int(sizeof(Buffers)) ? STAGE_BYTES
                                                                : int(sizeof(Buffers));

template <int COUNT, int PACK, int STRIDE>
INLINE void read_packs(SUM* to, const SUM* from) {
#pragma unroll
  for (int i = 0; i < COUNT; i += PACK) {
    const Pack<PACK> pack = *(const Pack<PACK>*)(from + i / PACK * STRIDE);
#pragma unroll
    for (int j = 0; j < PACK; j++) to[i + j] = pack.v[j];
  }
}

extern "C" __global__ void __launch_bounds__(THREADS, AT_ONCE) tiles(const Layer p) {
  __shared__ __align__(16) unsigned char memory[SHARED_BYTES];
  __shared__ Place points[POINTS_TILE];
  __shared__ Position elements[POINTS_TILE];  // of the result
  __shared__ Place depths[2][CHUNK];
  __shared__ Position depths_w[2][CHUNK];
  if (stays_idle(p)) return;
  Buffers& buffers = *(Buffers*)memory;
  const int t = threadIdx.x;

  unsigned block = blockIdx.x;
  const int first_output = int(block % p.output_tiles) * OUTPUTS_TILE;
  block /= p.output_tiles;
  const Position first_point = Position(block % p.point_tiles) * POINTS_TILE;
  block /= unsigned(p.point_tiles);
  const int group = int(block % p.groups), split = int(block / p.groups);
  const Position first_depth = Position(split * p.split_depth);
  const Position rest = Position(p.depth) - first_depth;
  const Position depth = rest < p.split_depth ? rest : Position(p.split_depth);
  const int steps = int((depth + STEP - 1) / STEP);
  const X* x = (const X*)p.x + group * p.x_group;
  const W* w = (const W*)p.w + group * p.w_group;

  auto find_depths = [&](int chunk) {
    if (t >= CHUNK) return;
    const Position at = Position(chunk) * CHUNK + t;
    Place place = nowhere();
    Position element = 0;
    if (at < depth) {
      Position digits[DIGITS];
      digits_of(first_depth + at, p.depth_extent, digits);
      place = place_of(digits, p.depth_step, p.depth_x);
      element = sum_of(digits, p.depth_w);
    }
    depths[chunk & 1][t] = place;
    depths_w[chunk & 1][t] = element;
  };
  if (t < POINTS_TILE) {
    Place place = nowhere();
    Position element = 0;
    if (first_point + t < p.points) place = point_place(p, first_point + t, element);
    points[t] = place;
    elements[t] = element;
  }
  find_depths(0);
  __syncthreads();

  // What this thread loads: row `i` of its column, or column `i` of its row.
  const int x_lane = X_ALONG_DEPTH ? t / STEP : t % POINTS_TILE;
  const int x_row = X_ALONG_DEPTH ? t % STEP : t / POINTS_TILE;
  constexpr int X_HOP = X_ALONG_DEPTH ? THREADS / STEP : THREADS / POINTS_TILE;
  const int w_lane = W_ALONG_DEPTH ? t / STEP : t % OUTPUTS_TILE;
  const int w_row = W_ALONG_DEPTH ? t % STEP : t / OUTPUTS_TILE;
  constexpr int W_HOP = W_ALONG_DEPTH            ? THREADS / STEP
                        : OUTPUTS_TILE < THREADS ? THREADS / OUTPUTS_TILE
                                                 : 1;
  const bool loads_taps = EACH_LOADS_TAPS || t < OUTPUTS_TILE * STEP;
  const Place here = points[x_lane];
  X x_next[X_LOADS];
  W w_next[W_LOADS];

  auto load = [&](int step) {
    const int chunk = step / STEPS & 1, base = step % STEPS * STEP;
#pragma unroll
    for (int i = 0; i < X_LOADS; i++) {
      const Place tap = depths[chunk][base + (X_ALONG_DEPTH ? x_row : x_row + i * X_HOP)];
      const Place point = X_ALONG_DEPTH ? points[x_lane + i * X_HOP] : here;
      x_next[i] = meets(p, point, tap) ? x[point.element + tap.element] : beyond<X>(p.x_zero);
    }
    const Position left = depth - Position(step) * STEP;
#pragma unroll
    for (int i = 0; i < W_LOADS; i++) {
      const int row = W_ALONG_DEPTH ? w_row : w_row + i * W_HOP;
      const int output = first_output + (W_ALONG_DEPTH ? w_lane + i * W_HOP : w_lane);
      w_next[i] = loads_taps && row < left && output < p.outputs
                      ? w[output * Position(p.w_output) + depths_w[chunk][base + row]]
                      : convert<W>(0.0f);
    }
  };
  // Returns whether a tap is not finite.
  auto keep = [&](int buffer) {
    bool bad = false;
#pragma unroll
    for (int i = 0; i < X_LOADS; i++) {
      const int row = X_ALONG_DEPTH ? x_row : x_row + i * X_HOP;
      const int lane = X_ALONG_DEPTH ? x_lane + i * X_HOP : x_lane;
      buffers.x[buffer][row][lane] = number_of(x_next[i], p.x_zero);
    }
    if (loads_taps) {
#pragma unroll
      for (int i = 0; i < W_LOADS; i++) {
        const int row = W_ALONG_DEPTH ? w_row : w_row + i * W_HOP;
        const int lane = W_ALONG_DEPTH ? w_lane + i * W_HOP : w_lane;
        int zero = 0;
        if constexpr (Same<SUM, int>::value)
          if (first_output + lane < p.outputs) zero = tap_zero(p, group, first_output + lane);
        const SUM tap = number_of(w_next[i], zero);
        bad |= !is_finite(tap);
        buffers.w[buffer][row][lane] = tap;
      }
    }
    return bad;
  };

  const int lane = t % WARP, warp = t / WARP;
  const int point_lane = (warp % WARPS_ALONG * WARP_POINTS + lane % WARP_POINTS) * POINTS_PACK;
  const int output_lane = (warp / WARPS_ALONG * WARP_OUTPUTS + lane / WARP_POINTS) * OUTPUTS_PACK;
  SUM sums[OUTPUTS_THREAD][POINTS_THREAD];
#pragma unroll
  for (int i = 0; i < OUTPUTS_THREAD; i++)
#pragma unroll
    for (int j = 0; j < POINTS_THREAD; j++) sums[i][j] = nothing();

  load(0);
  bool guarded = __syncthreads_or(keep(0));
#pragma unroll 1
  for (int step = 0; step < steps; step++) {
    const int buffer = step & 1;
    // Nobody reads the places of the chunk before the last any more.
    if (step % STEPS == 0 && step + STEPS < steps) find_depths(step / STEPS + 1);
    if (step + 1 < steps) load(step + 1);
    if (!guarded) {
#pragma unroll
      for (int k = 0; k < STEP; k++) {
        SUM taps[OUTPUTS_THREAD], data[POINTS_THREAD];
        read_packs<OUTPUTS_THREAD, OUTPUTS_PACK, OUTPUT_STRIDE>(taps,
                                                                &buffers.w[buffer][k][output_lane]);
        read_packs<POINTS_THREAD, POINTS_PACK, POINT_STRIDE>(data,
                                                             &buffers.x[buffer][k][point_lane]);
#pragma unroll
        for (int i = 0; i < OUTPUTS_THREAD; i++)
#pragma unroll
          for (int j = 0; j < POINTS_THREAD; j++) add_product(sums[i][j], taps[i], data[j]);
      }
    } else {
      // A NaN or Inf among the taps must not meet the zeros that stand for what is beyond the data.
#pragma unroll 1
      for (int k = 0; k < STEP; k++) {
        const Place tap = depths[step / STEPS & 1][step % STEPS * STEP + k];
        SUM taps[OUTPUTS_THREAD];
        read_packs<OUTPUTS_THREAD, OUTPUTS_PACK, OUTPUT_STRIDE>(taps,
                                                                &buffers.w[buffer][k][output_lane]);
#pragma unroll
        for (int j = 0; j < POINTS_THREAD; j++) {
          const int point = point_lane + j / POINTS_PACK * POINT_STRIDE + j % POINTS_PACK;
          if (!meets(p, points[point], tap)) continue;
          const SUM datum = buffers.x[buffer][k][point];
#pragma unroll
          for (int i = 0; i < OUTPUTS_THREAD; i++) add_product(sums[i][j], taps[i], datum);
        }
      }
    }
    if (step + 1 < steps) guarded = __syncthreads_or(keep(buffer ^ 1));
  }

  // By way of shared memory, a pack of each thread at a time.
  SUM* stage = (SUM*)memory;
  constexpr int ACROSS = POINTS_THREAD / POINTS_PACK, DOWN = OUTPUTS_THREAD / OUTPUTS_PACK;
#pragma unroll 1
  for (int s = 0; s < DOWN * ACROSS; s++) {
    __syncthreads();
#pragma unroll
    for (int i = 0; i < OUTPUTS_THREAD; i++) {
#pragma unroll
      for (int j = 0; j < ACROSS; j++) {
        if (s != i / OUTPUTS_PACK * ACROSS + j) continue;
        Pack<POINTS_PACK> pack;
#pragma unroll
        for (int k = 0; k < POINTS_PACK; k++) pack.v[k] = sums[i][j * POINTS_PACK + k];
        SUM* row = stage + (output_lane + i % OUTPUTS_PACK) * STAGE_PITCH;
        *(Pack<POINTS_PACK>*)(row + point_lane) = pack;
      }
    }
    __syncthreads();
#pragma unroll 1
    for (int e = t; e < OUTPUT_STRIDE * POINT_STRIDE; e += THREADS) {
      const int row = p.along_outputs ? e % OUTPUT_STRIDE : e / POINT_STRIDE;
      const int column = p.along_outputs ? e / OUTPUT_STRIDE : e % POINT_STRIDE;
      const int output = first_output + s / ACROSS * OUTPUT_STRIDE + row;
      const int point = s % ACROSS * POINT_STRIDE + column;
      if (output >= p.outputs || first_point + point >= p.points) continue;
      put(p, split, group, output, first_point + point, elements[point],
          stage[row * STAGE_PITCH + column]);
    }
  }
}

#endif

// --- few outputs of a group ----------------------------------------------------------------------

#ifdef FEW

// A thread sums OUTPUTS_THREAD output channels for POINTS_THREAD points that lie along the last of
// the three axes. Neighbouring threads take neighbouring data, which they read from the cache; taps
// lie in shared memory. Where points and taps move in equal steps (SLIDES), a window of data slides
// through registers; otherwise points are hops apart that neighbouring threads fill.

// Taps along the last axis that are taken in one go: ROW_TAPS, where all lines have so many.
constexpr int AT_A_TIME = ROW_TAPS ? ROW_TAPS : SLIDES ? POINTS_THREAD : 1;
typedef Pack<OUTPUTS_THREAD> Taps;

// Data of a thread's points; where they are CLEAR of the edges nobody asks whether they are there,
// where they are GUARDED those that are not there meet no tap.
template <bool CLEAR, bool GUARDED>
struct Window {
  SUM datum[POINTS_THREAD];
  bool there[POINTS_THREAD];

  INLINE void read(const Layer& p, int j, const X* line, bool in_row, Position at) {
    const bool met = CLEAR || (in_row && inside(at, p.extent[2]));
    datum[j] = number_of(met ? line[at * Position(p.row_x)] : beyond<X>(p.x_zero), p.x_zero);
    if (GUARDED) there[j] = met;
  }
  INLINE void add_products(SUM (*sums)[POINTS_THREAD], const Taps& taps) const {
#pragma unroll
    for (int j = 0; j < POINTS_THREAD; j++) {
      if (GUARDED && !there[j]) continue;
#pragma unroll
      for (int o = 0; o < OUTPUTS_THREAD; o++) add_product(sums[o][j], taps.v[o], datum[j]);
    }
  }
  INLINE void slide() {
#pragma unroll
    for (int j = 0; j + 1 < POINTS_THREAD; j++) {
      datum[j] = datum[j + 1];
      if (GUARDED) there[j] = there[j + 1];
    }
  }
};

// Adds the products of the taps along the last axis, `pitch` apart; `line` is the datum at position
// 0 there, `at` is where the first point's window begins.
template <bool CLEAR, bool GUARDED>
INLINE void add_line(const Layer& p, const X* line, bool in_row, Position at, const Taps* taps,
                     int pitch, SUM (*sums)[POINTS_THREAD]) {
  const int count = ROW_TAPS ? ROW_TAPS : int(p.depth_extent[3]);
  Window<CLEAR, GUARDED> window;
  if (SLIDES) {
#pragma unroll
    for (int j = 1; j < POINTS_THREAD; j++) window.read(p, j, line, in_row, at++);
#pragma unroll AT_A_TIME
    for (int k = 0; k < count; k++, taps += pitch) {
      window.slide();
      window.read(p, POINTS_THREAD - 1, line, in_row, at++);
      window.add_products(sums, *taps);
    }
  } else {
#pragma unroll AT_A_TIME
    for (int k = 0; k < count; k++, taps += pitch, at += Position(p.depth_step[3][2])) {
#pragma unroll
      for (int j = 0; j < POINTS_THREAD; j++)
        window.read(p, j, line, in_row, at + j * Position(p.hop_step));
      window.add_products(sums, *taps);
    }
  }
}

// Adds the products of some channels. `x` is the datum at position 0 along the last axis, of the
// first tap along the others; `taps` is the thread's own of the first channel.
INLINE void add_channels(const Layer& p, int channels, bool guarded, const Place& start, const X* x,
                         const Taps* taps, int pitch, SUM (*sums)[POINTS_THREAD]) {
  const int rows = int(p.depth_extent[3]);
  const Position last = start.at[2] + (rows - 1) * Position(p.depth_step[3][2]) +
                        (POINTS_THREAD - 1) * Position(p.hop_step);
  const bool clear = start.at[2] >= 0 && last < p.extent[2];
  for (int c = 0; c < channels; c++, x += p.depth_x[0]) {
    for (int i = 0; i < p.depth_extent[1]; i++) {
      const bool in_plane = inside(start.at[0] + i * Position(p.depth_step[1][0]), p.extent[0]);
      for (int j = 0; j < p.depth_extent[2]; j++, taps += rows * pitch) {
        const Position row = start.at[1] + j * Position(p.depth_step[2][1]);
        const bool in_row = in_plane && inside(row, p.extent[1]);
        const X* line = x + (i * Position(p.depth_x[1]) + j * Position(p.depth_x[2]));
        if (clear && in_row)
          add_line<true, false>(p, line, true, start.at[2], taps, pitch, sums);
        else if (guarded)
          add_line<false, true>(p, line, in_row, start.at[2], taps, pitch, sums);
        else
          add_line<false, false>(p, line, in_row, start.at[2], taps, pitch, sums);
      }
    }
  }
}

extern "C" __global__ void __launch_bounds__(THREADS, AT_ONCE) few(const Layer p) {
  DYNAMIC_SHARED(memory);
  if (stays_idle(p)) return;
  Taps* shared_taps = (Taps*)memory;
  const int t = threadIdx.x;
  const int group_lane = t / p.group_apart % p.group_lanes;
  const int lane = p.group_apart == 1 ? t / p.group_lanes : t % p.group_apart;

  unsigned block = blockIdx.x;
  const int first_output = int(block % p.output_tiles) * OUTPUTS_THREAD;
  block /= p.output_tiles;
  const Position cell = Position(block % p.point_tiles) * (THREADS / p.group_lanes) + lane;
  const int first_group = int(block / unsigned(p.point_tiles)) * p.group_lanes;
  const int group = first_group + group_lane;
  const bool live = group < p.groups && cell < p.points;

  Position digits[DIGITS];
  digits_of(live ? cell : 0, p.point_extent, digits);
  const Position row = sum_of(digits, p.point_row);
  Place start = place_of(digits, p.point_step, p.point_x);
#pragma unroll
  for (int a = 0; a < 3; a++) start.at[a] += Position(p.start[a]);
  if (!live) start.at[0] = FAR;
  // The datum at position 0 along the last axis.
  const Position origin = start.element + Position(p.x_start) - start.at[2] * Position(p.row_x);
  const X* x = (const X*)p.x + (live ? group * p.x_group : 0) + origin;

  SUM sums[OUTPUTS_THREAD][POINTS_THREAD];
#pragma unroll
  for (int o = 0; o < OUTPUTS_THREAD; o++)
#pragma unroll
    for (int j = 0; j < POINTS_THREAD; j++) sums[o][j] = nothing();

  const int each = int(p.depth_extent[1] * p.depth_extent[2] * p.depth_extent[3]);
  const int channels = int(p.depth_extent[0]);
  for (int c = 0; c < channels; c += p.chunk) {
    const int some = channels - c < p.chunk ? channels - c : p.chunk;
    if (c) __syncthreads();
    bool bad = false;
    for (int i = t; i < some * each * p.group_lanes * OUTPUTS_THREAD; i += THREADS) {
      const int output = first_output + i % OUTPUTS_THREAD;
      const int g = first_group + i / OUTPUTS_THREAD % p.group_lanes;
      SUM tap = nothing();
      if (output < p.outputs && g < p.groups) {
        Position k[DIGITS];
        digits_of(i / OUTPUTS_THREAD / p.group_lanes, p.depth_extent, k);
        k[0] += c;
        const Index at = g * p.w_group + output * p.w_output + sum_of(k, p.depth_w);
        int zero = 0;
        if constexpr (Same<SUM, int>::value) zero = tap_zero(p, g, output);
        tap = number_of(((const W*)p.w)[at], zero);
      }
      bad |= !is_finite(tap);
      shared_taps[i / OUTPUTS_THREAD].v[i % OUTPUTS_THREAD] = tap;
    }
    const bool guarded = __syncthreads_or(bad);
    const X* from = x + c * p.depth_x[0];
    add_channels(p, some, guarded, start, from, shared_taps + group_lane, p.group_lanes, sums);
  }
  if (!live) return;

  const Position element = sum_of(digits, p.point_out);
#pragma unroll
  for (int o = 0; o < OUTPUTS_THREAD; o++) {
    if (first_output + o >= p.outputs) break;
    const SUM bias = bias_of(p, group, first_output + o);
    OUT* out = output_of(p, group, first_output + o) + element;
#pragma unroll
    for (int j = 0; j < POINTS_THREAD; j++) add(sums[o][j], bias);
    activate<POINTS_THREAD>(sums[o], p.activation);
#pragma unroll
    for (int j = 0; j < POINTS_THREAD; j++)
      if (row + j * Position(p.hop) < p.rows)
        out[j * Position(p.hop_out)] = Stored<OUT, false>::of(sums[o][j]);
  }
}

#endif

// --- long sums of few outputs and points ---------------------------------------------------------

#ifdef DOTS

// A block sums OUTPUTS_THREAD × POINTS_THREAD of each of its groups: its threads share the depth,
// each adds all products of its part, then they add their sums.
constexpr int SUMS = OUTPUTS_THREAD * POINTS_THREAD;
// Sums that are added at once.
constexpr int MOST_ADDED = 16384 / (THREADS * int(sizeof(SUM)));
constexpr int ADDED = SUMS < MOST_ADDED ? SUMS : MOST_ADDED;

extern "C" __global__ void __launch_bounds__(THREADS, AT_ONCE) dots(const Layer p) {
  __shared__ Place points[POINTS_THREAD];
  __shared__ Position elements[POINTS_THREAD];
  __shared__ SUM parts[ADDED][THREADS];
  if (stays_idle(p)) return;
  const int t = threadIdx.x;
  const int lanes = THREADS / p.group_lanes;  // that share the depth

  unsigned block = blockIdx.x;
  const int first_output = int(block % p.output_tiles) * OUTPUTS_THREAD;
  block /= p.output_tiles;
  const Position first_point = Position(block % p.point_tiles) * POINTS_THREAD;
  block /= unsigned(p.point_tiles);
  const unsigned group_tiles = (p.groups + p.group_lanes - 1) / p.group_lanes;
  const int group = int(block % group_tiles) * p.group_lanes + t % p.group_lanes;
  const int split = int(block / group_tiles);
  const Position first = Position(split * p.split_depth);
  const Position rest = Position(p.depth) - first;
  const Position end = first + (rest < p.split_depth ? rest : Position(p.split_depth));

  if (t < POINTS_THREAD) {
    Place place = nowhere();
    Position element = 0;
    if (first_point + t < p.points) place = point_place(p, first_point + t, element);
    points[t] = place;
    elements[t] = element;
  }
  __syncthreads();

  SUM sums[OUTPUTS_THREAD][POINTS_THREAD];
#pragma unroll
  for (int o = 0; o < OUTPUTS_THREAD; o++)
#pragma unroll
    for (int j = 0; j < POINTS_THREAD; j++) sums[o][j] = nothing();
  Position at = first + t / p.group_lanes;
  if (group < p.groups && at < end) {
    const X* x = (const X*)p.x + group * p.x_group;
    const W* w = (const W*)p.w + group * p.w_group + first_output * p.w_output;
    int zeros[OUTPUTS_THREAD];
#pragma unroll
    for (int o = 0; o < OUTPUTS_THREAD; o++) {
      zeros[o] = 0;
      if constexpr (Same<SUM, int>::value)
        if (first_output + o < p.outputs) zeros[o] = tap_zero(p, group, first_output + o);
    }
    Position digits[DIGITS];
    digits_of(at, p.depth_extent, digits);
    for (;;) {
      const Place tap = place_of(digits, p.depth_step, p.depth_x);
      const W* taps = w + sum_of(digits, p.depth_w);
      SUM values[OUTPUTS_THREAD];
#pragma unroll
      for (int o = 0; o < OUTPUTS_THREAD; o++)
        values[o] = first_output + o < p.outputs
                        ? number_of(taps[o * Position(p.w_output)], zeros[o])
                        : nothing();
#pragma unroll
      for (int j = 0; j < POINTS_THREAD; j++) {
        if (first_point + j >= p.points) break;
        const Place point = points[j];
        if (!meets(p, point, tap)) continue;
        const SUM datum = number_of(x[point.element + tap.element], p.x_zero);
#pragma unroll
        for (int o = 0; o < OUTPUTS_THREAD; o++) add_product(sums[o][j], values[o], datum);
      }
      at += lanes;
      if (at >= end) break;
      // The digits of the next one, with what is carried.
      bool carry = false;
#pragma unroll
      for (int i = DIGITS - 1; i >= 0; i--) {
        digits[i] += Position(p.depth_hop[i]) + carry;
        carry = i > 0 && digits[i] >= p.depth_extent[i];
        if (carry) digits[i] -= Position(p.depth_extent[i]);
      }
    }
  }

#pragma unroll
  for (int done = 0; done < SUMS; done += ADDED) {
    if (done) __syncthreads();
#pragma unroll
    for (int i = 0; i < ADDED; i++)
      if (done + i < SUMS)
        parts[i][t] = sums[(done + i) / POINTS_THREAD][(done + i) % POINTS_THREAD];
    for (int half = lanes / 2; half > 0; half /= 2) {
      __syncthreads();
      if (t < half * p.group_lanes) {
#pragma unroll
        for (int i = 0; i < ADDED; i++)
          if (done + i < SUMS) add(parts[i][t], parts[i][t + half * p.group_lanes]);
      }
    }
    __syncthreads();
    // A thread for each sum of each group.
#pragma unroll 1
    for (int e = t; e < ADDED * p.group_lanes; e += THREADS) {
      const int i = done + e / p.group_lanes, lane = e % p.group_lanes;
      const int g = group - t % p.group_lanes + lane;
      const int output = first_output + i / POINTS_THREAD, j = i % POINTS_THREAD;
      if (i >= SUMS || g >= p.groups || output >= p.outputs || first_point + j >= p.points)
        continue;
      put(p, split, g, output, first_point + j, elements[j], parts[i - done][lane]);
    }
  }
}

#endif

// --- what follows sums that lie in memory --------------------------------------------------------

#ifdef REST

// Adds the parts of sums of some points, in their order, and finishes them; the sum of no part is
// zero. Or the sums are where their results will be.
extern "C" __global__ void __launch_bounds__(THREADS) complete(const Layer p) {
  if (stays_idle(p)) return;
  const Index i = Index(blockIdx.x) * THREADS + threadIdx.x;
  const Index total = Index(p.groups) * p.outputs * p.points;
  if (i >= total) return;
  // Short divisions where they do.
  const int row = int(total >> 32 ? i / p.points : unsigned(i) / unsigned(p.points));
  const Position point = Position(i - row * p.points);
  const int group = row / p.outputs, output = row % p.outputs;
  Position element;
  point_place(p, Position(p.first_point) + point, element);
  SUM sum = nothing();
  if (p.in_place) {
    sum = convert<SUM>(output_of(p, group, output)[element]);
  } else {
    const SUM* sums = (const SUM*)p.sums + i;
#pragma unroll 4
    for (int s = 0; s < p.splits; s++) add(sum, sums[s * total]);
  }
  finish(p, group, output, element, sum);
}

// Lays out what some of the depth reads for some points as a matrix of each group: zeros where that
// is beyond the data. Neighbouring threads take neighbouring elements of its rows, which are those
// of the depth, or of the points (along_depth).
extern "C" __global__ void __launch_bounds__(THREADS) columns(const Layer p) {
  __shared__ Place rows[COLUMN_ROWS * THREADS / WARP];
  const int t = threadIdx.x;
  const int lanes = p.group_lanes, row_lanes = THREADS / lanes;
  const Index count = p.along_depth ? p.split_depth : p.points;  // elements of a row
  const Index height = p.along_depth ? p.points : p.split_depth;
  unsigned block = blockIdx.x;
  const Index first = Index(block % unsigned(p.point_tiles)) * lanes;
  block /= unsigned(p.point_tiles);
  const Index first_row = Index(block % p.output_tiles) * (COLUMN_ROWS * row_lanes);
  const int group = int(block / p.output_tiles);

  auto place_at = [&](bool depth, Index number) {
    Position digits[DIGITS], out;
    if (!depth) return point_place(p, Position(p.first_point + number), out);
    digits_of(Position(p.first_depth + number), p.depth_extent, digits);
    return place_of(digits, p.depth_step, p.depth_x);
  };
  for (int i = t; i < COLUMN_ROWS * row_lanes; i += THREADS)
    if (first_row + i < height) rows[i] = place_at(!p.along_depth, first_row + i);
  __syncthreads();
  const Index column = first + t % lanes;
  if (column >= count) return;
  const Place here = place_at(p.along_depth, column);
  const X* x = (const X*)p.x + group * p.x_group;
  SUM* panel = (SUM*)p.sums + group * height * count + column;
#pragma unroll
  for (int i = 0; i < COLUMN_ROWS; i++) {
    const int row = t / lanes + i * row_lanes;
    if (first_row + row >= height) break;
    const Place there = rows[row];
    panel[(first_row + row) * count] =
        number_of(meets(p, here, there) ? x[here.element + there.element] : beyond<X>(p.x_zero), 0);
  }
}

// Writes 1 where a tap is not finite.
extern "C" __global__ void __launch_bounds__(THREADS) look(const Layer p) {
  const Index total = Index(p.groups) * p.outputs * p.depth;
  bool bad = false;
  for (Index i = Index(blockIdx.x) * THREADS + threadIdx.x; i < total;
       i += Index(gridDim.x) * THREADS) {
    Position digits[DIGITS];
    digits_of(Position(i % p.depth), p.depth_extent, digits);
    const Index row = i / p.depth;
    const Index at =
        row / p.outputs * p.w_group + row % p.outputs * p.w_output + sum_of(digits, p.depth_w);
    bad |= !is_finite(((const W*)p.w)[at]);
  }
  if (bad) *(int*)p.out = 1;
}

#endif
