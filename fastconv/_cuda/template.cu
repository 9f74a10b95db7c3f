// What is done before and after the correlation of an image and a template: see template.hpp, whose
// numbers these are.
//
// Compiled for X, the elements of the image, and SCALAR, float or double, those of numerators and
// results. Images have three axes: planes, rows and columns.
//
// A window's sums are never a difference of longer ones, so that their errors are relative to the
// window itself, and a NaN or Inf stays in its windows. Along planes, and then along rows, lines
// are cut into chunks no longer than the window. A thread sums one chunk from its first element on
// and to its last; a window is the end of one chunk, the totals of whole ones, and the beginning of
// another. Along columns, which the threads of a block share, sums double: that over 2k columns is
// that over k columns, here and k columns on.
#include "common.cuh"

// Sums that a thread forms along columns.
constexpr int EACH = POSITIONS / FINISH_THREADS;

// Sums of δ = x · scale - level, and of δ².
struct __align__(16) Pair {
  double sum, squares;
  INLINE void operator+=(Pair other) {
    sum += other.sum;
    squares += other.squares;
  }
  INLINE void operator+=(double d) {
    sum += d;
    squares += d * d;
  }
};

// What the numbers of all threads make together: for thread 0.
template <class Join>
INLINE double joined(double* shared, double v, Join join) {
  shared[threadIdx.x] = v;
  for (int half = THREADS / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half)
      shared[threadIdx.x] = join(shared[threadIdx.x], shared[threadIdx.x + half]);
  }
  __syncthreads();
  return threadIdx.x == 0 ? shared[0] : 0;
}

// --- pixels --------------------------------------------------------------------------------------

// Calls visit(number, pixel) for this block's share of the image. Pixels are numbered row by row,
// however they lie, so that sums of them are in one order.
template <class Visit>
INLINE void each_pixel(const Match& p, Visit visit) {
  constexpr Index share = THREADS * BATCH;
  const Index columns = p.extent[2], rows = p.extent[1], count = p.extent[0] * rows * columns;
  const auto pixel = [&](Index number) {
    Index at = number * p.stride[2];
    if (number >= columns) {
      const Index row = number / columns;
      at -= row * columns * p.stride[2];
      at += row / rows * p.stride[0] + row % rows * p.stride[1];
    }
    return convert<double>(((const X*)p.x)[at]);
  };
  for (Index first = blockIdx.x * share; first < count; first += gridDim.x * share) {
    double v[BATCH];
#pragma unroll
    for (int b = 0; b < BATCH; b++) {
      const Index number = first + b * THREADS + threadIdx.x;
      v[b] = number < count ? pixel(number) : 0;
    }
#pragma unroll
    for (int b = 0; b < BATCH; b++) {
      const Index number = first + b * THREADS + threadIdx.x;
      if (number < count) visit(number, v[b]);
    }
  }
}

// Of this block's finite pixels: sum, least, most and number.
extern "C" __global__ void __launch_bounds__(THREADS) look(const Match p) {
  __shared__ double shared[THREADS];
  constexpr double huge = 1.7976931348623157e308;
  double sum = 0, least = huge, most = -huge, count = 0;
  each_pixel(p, [&](Index, double v) {
    if (!is_finite(v)) return;
    sum += v;
    least = fmin(least, v);
    most = fmax(most, v);
    count++;
  });
  const auto add = [](double a, double b) { return a + b; };
  sum = joined(shared, sum, add);
  least = joined(shared, least, [](double a, double b) { return fmin(a, b); });
  most = joined(shared, most, [](double a, double b) { return fmax(a, b); });
  count = joined(shared, count, add);
  if (threadIdx.x != 0) return;
  double* to = (double*)p.to + 4 * blockIdx.x;
  to[0] = sum;
  to[1] = least;
  to[2] = most;
  to[3] = count;
}

// to = (x - centre) · scale, contiguous; NaN and Inf become zero. One sum of squares a block.
extern "C" __global__ void __launch_bounds__(THREADS) centre(const Match p) {
  __shared__ double shared[THREADS];
  SCALAR* to = (SCALAR*)p.to;
  const double less = p.centre * p.scale;
  double squares = 0;
  each_pixel(p, [&](Index number, double v) {
    const double u = is_finite(v) ? v * p.scale - less : 0;
    squares += u * u;
    to[number] = SCALAR(u);
  });
  squares = joined(shared, squares, [](double a, double b) { return a + b; });
  if (threadIdx.x == 0) ((double*)p.squares)[blockIdx.x] = squares;
}

// total[0] = Σ squares, by one block.
extern "C" __global__ void __launch_bounds__(THREADS) add_up(const Match p) {
  __shared__ double shared[THREADS];
  double sum = 0;
  for (Index i = threadIdx.x; i < p.size[0]; i += THREADS) sum += ((const double*)p.squares)[i];
  sum = joined(shared, sum, [](double a, double b) { return a + b; });
  if (threadIdx.x == 0) *(double*)p.to = sum;
}

// A line of the extended image.
struct PixelLine {
  const X* x;
  bool exists;
  Index first, extent, stride;
  int boundary;
  double fill;

  INLINE double operator()(Index k) const {
    const Index at = source_of(first + k, extent, boundary);
    return exists && at >= 0 ? convert<double>(x[at * stride]) : fill;
  }
};

// The line along an axis on which x̃[first + place] lies.
INLINE PixelLine pixel_line(const Match& p, int axis, const Index (&place)[3]) {
  PixelLine line = {(const X*)p.x, true, 0, 0, 0, p.boundary, p.fill};
#pragma unroll
  for (int a = 0; a < 3; a++) {
    if (a == axis) {
      line.first = p.first[a];
      line.extent = p.extent[a];
      line.stride = p.stride[a];
      continue;
    }
    const Index at = source_of(p.first[a] + place[a], p.extent[a], p.boundary);
    line.x += at * p.stride[a];
    line.exists = line.exists && at >= 0;
  }
  return line;
}

// to = x̃ from `first` on, `size` of it, contiguous.
extern "C" __global__ void __launch_bounds__(THREADS) gather(const Match p) {
  const Index number = Index(blockIdx.x) * THREADS + threadIdx.x;
  if (number >= p.size[0] * p.size[1] * p.size[2]) return;
  const Index row = number / p.size[2], column = number % p.size[2];
  const Index place[3] = {row / p.size[1], row % p.size[1], 0};
  ((double*)p.to)[number] = pixel_line(p, 2, place)(column);
}

// --- sums along planes and rows ------------------------------------------------------------------

// Lines along one axis, of which there are `outer` times `inner`. Of chunks' ends those are kept
// that windows begin with, and of their beginnings those that windows end with: one of each a
// window.
struct Chunks {
  Index extent, outputs, taps, length, inner;

  INLINE explicit Chunks(const Match& p, int axis)
      : extent(p.size[axis] + p.taps[axis] - 1),
        outputs(p.size[axis]),
        taps(p.taps[axis]),
        length(p.chunk[axis]),
        inner(p.inner[axis]) {}

  INLINE Index count() const { return (extent + length - 1) / length; }
};

// One thread sums one chunk of one line; line(k) is its element k, a Pair or a δ.
template <class LineOf>
INLINE void sum_chunks(const Match& p, int axis, LineOf line_of) {
  const Chunks chunks(p, axis);
  const Index number = Index(blockIdx.x) * THREADS + threadIdx.x;
  const Index inner = number % chunks.inner, rest = number / chunks.inner;
  const Index chunk = rest % chunks.count(), outer = rest / chunks.count();
  if (outer >= p.outer[axis]) return;
  const Index first = chunk * chunks.length, step = chunks.inner;
  const Index left = chunks.extent - first, count = left < chunks.length ? left : chunks.length;
  const auto line = line_of(outer, inner);
  typedef decltype(line(0)) Element;
  // From the first element on, where windows end here, and then from the last one back, which the
  // total is of.
#pragma unroll 1
  for (int back = first + count >= chunks.taps ? 0 : 1; back < 2; back++) {
    Pair* to =
        (Pair*)(back ? p.ends[axis] : p.begins[axis]) + outer * chunks.outputs * step + inner;
    const Index window = back ? first : first - (chunks.taps - 1);
    Pair sum = {0, 0};
    for (Index k = 0; k < count; k += BATCH) {
      Element v[BATCH];
#pragma unroll
      for (int b = 0; b < BATCH; b++) {
        const Index at = k + b < count ? k + b : k;
        v[b] = line(first + (back ? count - 1 - at : at));
      }
#pragma unroll
      for (int b = 0; b < BATCH; b++) {
        if (k + b >= count) continue;
        sum += v[b];
        const Index at = window + (back ? count - 1 - k - b : k + b);
        if (at >= 0 && at < chunks.outputs) to[at * step] = sum;
      }
    }
    if (back) ((Pair*)p.totals[axis])[(outer * chunks.count() + chunk) * step + inner] = sum;
  }
}

// Sums over the windows that begin at one element of all lines of one `outer`.
struct WindowSums {
  const Pair *ends, *totals, *begins;
  Index whole, step;

  INLINE WindowSums(const Match& p, int axis, Index outer, Index first) {
    const Chunks chunks(p, axis);
    const Index last = first + chunks.taps, next = first / chunks.length + 1;
    step = chunks.inner;
    const Index place = (outer * chunks.outputs + first) * step;
    ends = (const Pair*)p.ends[axis] + place;
    totals = (const Pair*)p.totals[axis] + (outer * chunks.count() + next) * step;
    whole = last / chunks.length - next;
    begins = last % chunks.length == 0 ? nullptr : (const Pair*)p.begins[axis] + place;
  }

  INLINE Pair operator()(Index inner) const {
    Pair sum = ends[inner];
#pragma unroll 2
    for (Index i = 0; i < whole; i++) sum += totals[i * step + inner];
    if (begins) sum += begins[inner];
    return sum;
  }
};

// Pixels along planes, where windows have several of them, or else along rows.
extern "C" __global__ void __launch_bounds__(THREADS) sum_pixels(const Match p) {
  const int axis = p.axis;
  const Index columns = p.inner[1];
  sum_chunks(p, axis, [&](Index outer, Index inner) {
    const Index place[3] = {outer, inner / columns, inner % columns};
    const PixelLine line = axis == 0 ? pixel_line(p, 0, place) : pixel_line(p, 1, place);
    return [line, &p](Index k) { return line(k) * p.scale - p.level; };
  });
}

// Sums over planes along rows.
extern "C" __global__ void __launch_bounds__(THREADS) sum_planes(const Match p) {
  const Index columns = p.inner[1];
  sum_chunks(p, 1, [&](Index outer, Index inner) {
    const WindowSums planes(p, 0, 0, outer);
    return [planes, inner, columns](Index k) { return planes(k * columns + inner); };
  });
}

// --- sums along columns, and the measures --------------------------------------------------------

enum Measure { SQDIFF, SQDIFF_NORMED, CCORR, CCORR_NORMED, CCOEFF, CCOEFF_NORMED };

INLINE float root_of(float v) { return sqrtf(v); }
INLINE double root_of(double v) { return sqrt(v); }

// The measure of one window from its numerator: see finish_as in template_sums.hpp.
INLINE SCALAR finished(const Match& p, double floor, Pair sums, double product, bool* unsure) {
  const double s = sums.sum, q = sums.squares;
  double mean = s * p.inverse, deviation = q - s * mean;
  const bool flat = deviation <= q * p.flat;
  deviation = flat ? 0 : deviation;
  product = flat ? 0 : product - p.tilt * (mean + p.offset);
  mean += p.level;
  mean = mean <= p.around && mean >= -p.around ? 0 : mean;
  const double energy = p.measure == CCOEFF_NORMED ? deviation : deviation + p.pixels * mean * mean;
  double y;
  switch (p.measure) {
    case CCOEFF_NORMED:
      y = product;
      break;
    case CCOEFF:
      y = product * p.of_product;
      break;
    case CCORR:
    case CCORR_NORMED:
      y = product * p.of_product + mean * p.of_mean;
      break;
    default: {
      const double apart = mean - p.mean;
      y = deviation - 2 * p.norm * product + p.norm * p.norm + p.pixels * apart * apart;
      y *= p.of_all;
      if (p.measure == SQDIFF) y = y < 0 ? 0 : y;
    }
  }
  y += q - q;  // NaN where the window holds NaN or Inf
  if (!p.normed) return SCALAR(y);
  const double rounding = q * p.unsure;
  *unsure = energy < (rounding > floor ? rounding : floor) && energy > 0;
  const SCALAR low = p.measure == SQDIFF_NORMED ? 0 : -1, high = 1, square = SCALAR(energy);
  if (square == 0) return SCALAR(p.empty);
  SCALAR v = SCALAR(y) / root_of(square);
  v = v < low ? low : v;
  return v > high ? high : v;  // NaN stays NaN
}

// Turns the numerators of a row's segment into the measure, and marks the tiles of unsure results.
extern "C" __global__ void __launch_bounds__(FINISH_THREADS) finish(const Match p) {
  __shared__ double shared_sums[POSITIONS], shared_squares[POSITIONS];
  const unsigned segments = unsigned((p.size[2] + p.columns - 1) / p.columns);
  const unsigned line = blockIdx.x / segments, rows_of_plane = unsigned(p.size[1]);
  const Index plane = line / rows_of_plane, row = line % rows_of_plane;
  const Index first = Index(blockIdx.x % segments) * p.columns;
  const int columns = int(p.size[2] - first < p.columns ? p.size[2] - first : p.columns);
  const WindowSums rows(p, 1, plane, row);

  double sums[EACH] = {}, squares[EACH] = {};
  for (Index taken = 0; taken < p.taps[2]; taken += p.piece) {
    const int taps = int(p.taps[2] - taken < p.piece ? p.taps[2] - taken : p.piece);
    const int positions = columns + taps - 1;
    for (int i = threadIdx.x; i < positions; i += FINISH_THREADS) {
      const Pair sum = rows(first + taken + i);
      shared_sums[i] = sum.sum;
      shared_squares[i] = sum.squares;
    }
    __syncthreads();
    int added = 0;
    for (int k = 1; k <= taps; k *= 2) {
      // The sums are over k columns.
      if (taps & k) {
#pragma unroll
        for (int e = 0; e < EACH; e++) {
          const int i = threadIdx.x + e * FINISH_THREADS;
          if (i >= columns) continue;
          sums[e] += shared_sums[i + added];
          squares[e] += shared_squares[i + added];
        }
        added += k;
      }
      if (2 * k > taps) break;
      double s[EACH], q[EACH];
#pragma unroll
      for (int e = 0; e < EACH; e++) {
        const int i = threadIdx.x + e * FINISH_THREADS;
        if (i + k >= positions) continue;
        s[e] = shared_sums[i] + shared_sums[i + k];
        q[e] = shared_squares[i] + shared_squares[i + k];
      }
      __syncthreads();
#pragma unroll
      for (int e = 0; e < EACH; e++) {
        const int i = threadIdx.x + e * FINISH_THREADS;
        if (i + k >= positions) continue;
        shared_sums[i] = s[e];
        shared_squares[i] = q[e];
      }
      __syncthreads();
    }
    __syncthreads();  // before the next piece takes their place
  }

  // Each thread has its own places in shared memory from here on.
#pragma unroll
  for (int e = 0; e < EACH; e++) {
    shared_sums[threadIdx.x + e * FINISH_THREADS] = sums[e];
    shared_squares[threadIdx.x + e * FINISH_THREADS] = squares[e];
  }
  // The error of numerators follows the pixels' greatest magnitude or, where it is less, their
  // norm.
  double floor = p.floor;
  if (p.squares) floor = fmin(floor, p.of_squares * *(const double*)p.squares);
  SCALAR* out = (SCALAR*)p.out + plane * p.out_stride[0] + row * p.out_stride[1] + first;
  const Index column = p.start[2] + first, tile = column / p.tile[2];
  const int skipped = int(column - tile * p.tile[2]);
  unsigned char* marks =
      (unsigned char*)p.marks + tile +
      ((p.start[0] + plane) / p.tile[0] * p.tiles[1] + (p.start[1] + row) / p.tile[1]) * p.tiles[2];
#pragma unroll 1
  for (int i = threadIdx.x; i < columns; i += FINISH_THREADS) {
    bool unsure = false;
    const Pair window = {shared_sums[i], shared_squares[i]};
    out[i] = finished(p, floor, window, double(out[i]), &unsure);
    if (unsure) marks[unsigned(skipped + i) / unsigned(p.tile[2])] = 1;
  }
}
