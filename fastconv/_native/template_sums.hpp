// Sums over windows of an image, and what they and a numerator make of a template's match.
//
// A window's sums are never a difference of longer ones: along each axis the pixels are cut into
// chunks as long as the window, which is the end of one chunk and the beginning of the next (van
// Herk's way for minima). So their errors are relative to the window itself, whatever lies beside
// it, a NaN or Inf stays in its windows, and the work does not grow with the window.
//
// Sums of pixels and of their squares lie in pairs, in double precision.
#pragma once
#include "job.hpp"
#include "lanefft.hpp"
#include "vector.hpp"

namespace fastconv {
namespace {

typedef double SumPair __attribute__((vector_size(16), may_alias));
typedef Vector<double> SumLanes;
typedef typename SumLanes::type SumVec;
typedef LaneTransform<double> SumTransform;
enum { SUM_LANES = SumLanes::lanes };

FASTCONV_INLINE SumVec load_sums(const double* p) {
  return SumLanes::load(reinterpret_cast<const char*>(p));
}
FASTCONV_INLINE void store_sums(double* p, SumVec v) {
  SumLanes::store(reinterpret_cast<char*>(p), v);
}

// As many scalars as a vector has doubles.
template <class Scalar>
struct Pixels {
  typedef Scalar type __attribute__((vector_size(SUM_LANES * sizeof(Scalar)), may_alias));
  typedef Scalar unaligned __attribute__((vector_size(SUM_LANES * sizeof(Scalar)),
                                          aligned(alignof(Scalar)), may_alias));
  static FASTCONV_INLINE SumVec load(const Scalar* p) {
    const type v = *reinterpret_cast<const unaligned*>(p);
    return __builtin_convertvector(v, SumVec);
  }
  static FASTCONV_INLINE void store(Scalar* p, SumVec v) {
    *reinterpret_cast<unaligned*>(p) = __builtin_convertvector(v, type);
  }
};

// Adds the finite pixels of a row.
template <class Scalar>
void look_at_pixels(const char* row, ptrdiff_t count, PixelSums* sums) {
  const Scalar* x = reinterpret_cast<const Scalar*>(row);
  SumVec sum = SumLanes::zero(), finite = sum;
  SumVec least = SumLanes::broadcast(sums->least), most = SumLanes::broadcast(sums->most);
  const SumVec zero = SumLanes::zero(), one = SumLanes::broadcast(1);
  ptrdiff_t i = 0;
  for (; i + SUM_LANES <= count; i += SUM_LANES) {
    const SumVec v = Pixels<Scalar>::load(x + i);
    const auto is_finite = v - v == zero;
    sum += is_finite ? v : zero;
    finite += is_finite ? one : zero;
    least = is_finite & (v < least) ? v : least;
    most = is_finite & (v > most) ? v : most;
  }
  for (int l = 0; l < SUM_LANES; l++) {
    sums->sum += sum[l];
    sums->count += ptrdiff_t(finite[l]);
    if (least[l] < sums->least) sums->least = least[l];
    if (most[l] > sums->most) sums->most = most[l];
  }
  for (; i < count; i++) {
    const double v = x[i];
    if (v - v != 0) continue;
    sums->sum += v;
    sums->count++;
    if (v < sums->least) sums->least = v;
    if (v > sums->most) sums->most = v;
  }
}

// out = (x - centre) · scale, zero for NaN and Inf; returns the sum of squares. The scale is a power
// of two.
template <class Scalar>
double centre_pixels(const char* row, ptrdiff_t count, double centre, double scale, char* to) {
  const Scalar* x = reinterpret_cast<const Scalar*>(row);
  Scalar* out = reinterpret_cast<Scalar*>(to);
  const SumVec by = SumLanes::broadcast(scale), less = SumLanes::broadcast(centre * scale);
  const SumVec zero = SumLanes::zero();
  SumVec squares = zero;
  ptrdiff_t i = 0;
  for (; i + SUM_LANES <= count; i += SUM_LANES) {
    const SumVec v = Pixels<Scalar>::load(x + i);
    const SumVec u = v - v == zero ? v * by - less : zero;
    squares += u * u;
    Pixels<Scalar>::store(out + i, u);
  }
  double sum = 0;
  for (int l = 0; l < SUM_LANES; l++) sum += squares[l];
  for (; i < count; i++) {
    const double v = x[i], u = v - v == 0 ? v * scale - centre * scale : 0;
    sum += u * u;
    out[i] = Scalar(u);
  }
  return sum;
}

// pairs[i] = (δ, δ²) of δ = x[i] · scale - level, whole vectors of them.
template <class Scalar>
void pixel_powers(const char* row, ptrdiff_t count, double scale, double level, double* pairs) {
  const Scalar* x = reinterpret_cast<const Scalar*>(row);
  const SumVec by = SumLanes::broadcast(scale), less = SumLanes::broadcast(level);
  const auto put = [&](ptrdiff_t i, SumVec v) FASTCONV_LAMBDA_INLINE {
    const SumVec d = v * by - less, square = d * d;
    const typename SumTransform::AllLanes all;
    store_sums(pairs + 2 * i, SumTransform::template interleave<0>(d, square, all));
    store_sums(pairs + 2 * i + SUM_LANES,
               SumTransform::template interleave<SUM_LANES / 2>(d, square, all));
  };
  ptrdiff_t i = 0;
  for (; i + SUM_LANES <= count; i += SUM_LANES) put(i, Pixels<Scalar>::load(x + i));
  if (i < count) {
    SumVec last = SumLanes::zero();
    for (int l = 0; l < count - i; l++) last[l] = x[i + l];
    put(i, last);
  }
}

// For every chunk of `taps` pairs: begins[i], up to i = count, is the sum of its pairs before i, and
// ends[i] that of those from i on (of whole chunks alone). A window of `taps` pairs from i on is
// ends[i] + begins[i + taps]. Rows go side by side: each sum waits for the one before it.
template <int Rows>
FASTCONV_INLINE void chunks_of(const double* const* pairs, ptrdiff_t count, ptrdiff_t taps,
                               double* const* begins, double* const* ends) {
  const SumPair* x[Rows];
  SumPair *begin[Rows], *end[Rows];
#pragma GCC unroll 2
  for (int r = 0; r < Rows; r++) {
    x[r] = reinterpret_cast<const SumPair*>(pairs[r]);
    begin[r] = reinterpret_cast<SumPair*>(begins[r]);
    end[r] = reinterpret_cast<SumPair*>(ends[r]);
  }
  ptrdiff_t first = 0;
  for (; first + taps <= count; first += taps) {
    SumPair before[Rows] = {}, after[Rows] = {};
    for (ptrdiff_t k = 0; k < taps; k++) {
      const ptrdiff_t i = first + k, j = first + taps - 1 - k;
#pragma GCC unroll 2
      for (int r = 0; r < Rows; r++) {
        begin[r][i] = before[r];
        before[r] += x[r][i];
        after[r] += x[r][j];
        end[r][j] = after[r];
      }
    }
  }
  for (int r = 0; r < Rows; r++) {
    SumPair before = {};
    for (ptrdiff_t i = first; i < count; i++) {
      begin[r][i] = before;
      before += x[r][i];
    }
    begin[r][count] = before;
  }
}

void sum_chunks(const double* const* pairs, int rows, ptrdiff_t count, ptrdiff_t taps,
                double* const* begins, double* const* ends) {
  if (rows == 2)
    chunks_of<2>(pairs, count, taps, begins, ends);
  else
    chunks_of<1>(pairs, count, taps, begins, ends);
}

// One line of sums a + b (b may be null) more: it joins the beginning of its chunk, is kept in
// `slot` until the chunk is whole, and with the end of the chunk before makes the sums of a window.
// `count` doubles, whole vectors.
void slide_sums(const double* a, const double* b, double* begin, double* slot, const double* end,
                double* sums, ptrdiff_t count) {
  for (ptrdiff_t i = 0; i < count; i += SUM_LANES) {
    const SumVec line = b ? load_sums(a + i) + load_sums(b + i) : load_sums(a + i);
    const SumVec begun = load_sums(begin + i) + line;
    store_sums(begin + i, begun);
    store_sums(slot + i, line);
    store_sums(sums + i, begun + load_sums(end + i));
  }
}

// The lines of a whole chunk become the sums from each of them on, but the first, which no window
// shares with the next chunk.
void add_up_slots(double* slots, ptrdiff_t pitch, ptrdiff_t taps, ptrdiff_t count) {
  constexpr int wide = 4;
  ptrdiff_t i = 0;
  for (; i + wide * SUM_LANES <= count; i += wide * SUM_LANES) {
    SumVec sum[wide] = {};
    for (ptrdiff_t k = taps - 1; k > 0; k--)
#pragma GCC unroll 4
      for (int v = 0; v < wide; v++) {
        double* at = slots + k * pitch + i + v * SUM_LANES;
        sum[v] += load_sums(at);
        store_sums(at, sum[v]);
      }
  }
  for (; i < count; i += SUM_LANES) {
    SumVec sum = SumLanes::zero();
    for (ptrdiff_t k = taps - 1; k > 0; k--) {
      sum += load_sums(slots + k * pitch + i);
      store_sums(slots + k * pitch + i, sum);
    }
  }
}

FASTCONV_INLINE SumVec root(SumVec v) {
  SumVec r;
#pragma GCC unroll 8
  for (int l = 0; l < SUM_LANES; l++) r[l] = __builtin_sqrt(v[l]);
  return r;
}

FASTCONV_INLINE SumVec clip(SumVec v, double least, double most) {
  const SumVec low = SumLanes::broadcast(least), high = SumLanes::broadcast(most);
  v = v < low ? low : v;
  return v > high ? high : v;  // NaN stays NaN
}

// Turns numerators in `out` into a measure, given S = (Σδ, Σδ²) of every window, δ = x - level, and
// the numerator Σ (x - centre) · τ, where τ is the template less its mean, of norm one but for
// rounding. The sum of τ, its tilt, is what rounding left, and goes with the mean of the window.
// Returns how many results are unsure: their windows' sum of squares is below the floor, or hardly
// above the rounding errors of the sums.
template <class Scalar, Measure M>
ptrdiff_t finish_as(const double* sums, ptrdiff_t count, const MatchFactors& factors, char* to) {
  constexpr bool normed =
      M == Measure::sqdiff_normed || M == Measure::ccorr_normed || M == Measure::ccoeff_normed;
  const MatchFactors f = factors;  // which the stores below cannot change
  const auto all = [](double v) FASTCONV_LAMBDA_INLINE { return SumLanes::broadcast(v); };
  const SumVec zero = SumLanes::zero(), inverse = all(1 / f.pixels), pixels = all(f.pixels);
  typedef decltype(zero < zero) Mask;
  Mask unsure = Mask{};
  const auto one = [&](SumVec s, SumVec squares, SumVec product) FASTCONV_LAMBDA_INLINE {
    SumVec mean = s * inverse;
    SumVec deviation = squares - s * mean;
    const auto flat = deviation <= squares * all(f.flat);
    deviation = flat ? zero : deviation;
    product = flat ? zero : product - all(f.tilt) * (mean + all(f.offset));
    mean += all(f.level);
    mean = (mean <= all(f.around)) & (mean >= all(-f.around)) ? zero : mean;
    const SumVec energy = M == Measure::ccoeff_normed ? deviation : deviation + pixels * mean * mean;
    SumVec y;
    if constexpr (M == Measure::ccoeff || M == Measure::ccoeff_normed) {
      y = product * all(f.of_product);
    } else if constexpr (M == Measure::ccorr || M == Measure::ccorr_normed) {
      y = product * all(f.of_product) + mean * all(f.of_mean);
    } else {
      const SumVec apart = mean - all(f.mean), norm = all(f.norm);
      y = deviation - (norm + norm) * product + norm * norm + pixels * apart * apart;
      y = y * all(f.of_all);
    }
    if constexpr (normed) {
      const auto vanishes = energy == zero;
      const SumVec by = root(vanishes ? all(1) : energy);
      if constexpr (M == Measure::sqdiff_normed) {
        const SumVec empty = all(f.energy == 0 ? 0 : 1), full = all(f.energy == 0 ? 1 : 0);
        y = f.energy == 0 ? full : y / (by * all(f.energy));
        y = vanishes ? empty : clip(y, 0, 1);
      } else {
        y = vanishes ? zero : clip(y / by, -1, 1);
      }
      const SumVec rounding = squares * all(f.unsure), floor = all(f.floor);
      unsure += (energy < (rounding > floor ? rounding : floor)) & (energy > zero);
    } else if constexpr (M == Measure::sqdiff) {
      y = y < zero ? zero : y;
    }
    return y + (squares - squares);  // NaN where the window holds NaN or Inf
  };
  const auto two = [&](const double* at, const Scalar* out) FASTCONV_LAMBDA_INLINE {
    const SumVec a = load_sums(at), b = load_sums(at + SUM_LANES);
    const typename SumTransform::AllLanes lanes;
    return one(SumTransform::template every_second<0>(a, b, lanes),
               SumTransform::template every_second<1>(a, b, lanes), Pixels<Scalar>::load(out));
  };
  Scalar* out = reinterpret_cast<Scalar*>(to);
  ptrdiff_t i = 0;
  for (; i + SUM_LANES <= count; i += SUM_LANES)
    Pixels<Scalar>::store(out + i, two(sums + 2 * i, out + i));
  if (i < count) {
    // Windows of zeros are never unsure.
    double last[2 * SUM_LANES] = {};
    Scalar products[SUM_LANES] = {};
    for (ptrdiff_t l = 0; l < count - i; l++) {
      last[2 * l] = sums[2 * (i + l)];
      last[2 * l + 1] = sums[2 * (i + l) + 1];
      products[l] = out[i + l];
    }
    Pixels<Scalar>::store(products, two(last, products));
    for (ptrdiff_t l = 0; l < count - i; l++) out[i + l] = products[l];
  }
  ptrdiff_t found = 0;
  for (int l = 0; l < SUM_LANES; l++) found -= unsure[l];
  return found;
}

template <class Scalar>
ptrdiff_t finish_match(const double* sums, ptrdiff_t count, const MatchFactors& factors,
                       char* out) {
  switch (factors.measure) {
    case Measure::sqdiff:
      return finish_as<Scalar, Measure::sqdiff>(sums, count, factors, out);
    case Measure::sqdiff_normed:
      return finish_as<Scalar, Measure::sqdiff_normed>(sums, count, factors, out);
    case Measure::ccorr:
      return finish_as<Scalar, Measure::ccorr>(sums, count, factors, out);
    case Measure::ccorr_normed:
      return finish_as<Scalar, Measure::ccorr_normed>(sums, count, factors, out);
    case Measure::ccoeff:
      return finish_as<Scalar, Measure::ccoeff>(sums, count, factors, out);
    default:
      return finish_as<Scalar, Measure::ccoeff_normed>(sums, count, factors, out);
  }
}

template <class Scalar>
constexpr TemplateSet template_set() {
  return {look_at_pixels<Scalar>, centre_pixels<Scalar>, pixel_powers<Scalar>, sum_chunks,
          slide_sums,             add_up_slots,          finish_match<Scalar>};
}

}  // namespace
}  // namespace fastconv
