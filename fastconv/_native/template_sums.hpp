// Sums over windows of an image, and what they and a numerator make of a template's match.
//
// A window's sums are never a difference of longer ones: along each axis the pixels are cut into
// chunks as long as the window, which is the end of one chunk and the beginning of the next (van
// Herk's way for minima). So their errors are relative to the window itself, whatever lies beside
// it, a NaN or Inf stays in its windows, and the work does not grow with the window.
//
// Sums are in double precision. Along a row each waits for the one before it, so that as many rows
// as a vector has lanes go side by side.
#pragma once
#include "job.hpp"
#include "lanefft.hpp"
#include "vector.hpp"

namespace fastconv {
inline namespace FASTCONV_LEVEL {
namespace {

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
  typedef Scalar unaligned
      __attribute__((vector_size(SUM_LANES * sizeof(Scalar)), aligned(alignof(Scalar)), may_alias));
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
    least = (is_finite & (v < least)) ? v : least;
    most = (is_finite & (v > most)) ? v : most;
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

// out = (x - centre) · scale, zero for NaN and Inf; returns the sum of squares. The scale is a
// power of two.
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

// columns[i][r] = x_r[i] · scale - level for rows r side by side, whole vectors of columns.
template <class Scalar>
void pixel_columns(const char* const* rows, ptrdiff_t count, double scale, double level,
                   double* columns) {
  const SumVec by = SumLanes::broadcast(scale), less = SumLanes::broadcast(level);
  for (ptrdiff_t i = 0; i < count; i += SUM_LANES) {
    SumVec v[SUM_LANES];
#pragma GCC unroll 8
    for (int r = 0; r < SUM_LANES; r++) {
      const Scalar* x = reinterpret_cast<const Scalar*>(rows[r]) + i;
      if (i + SUM_LANES <= count) {
        v[r] = Pixels<Scalar>::load(x);
      } else {
        v[r] = SumLanes::zero();
        for (int l = 0; l < count - i; l++) v[r][l] = x[l];
      }
      v[r] = v[r] * by - less;
    }
    SumTransform::transpose_from<1>(v);
#pragma GCC unroll 8
    for (int l = 0; l < SUM_LANES; l++) store_sums(columns + (i + l) * SUM_LANES, v[l]);
  }
}

// Sums of δ and of δ² over `taps` columns, from each of `outputs` columns on, to sums[i][r] and
// squares[i][r]. Reads one column past the last; `ends` has room for four chunks.
void sum_columns(const double* columns, ptrdiff_t outputs, ptrdiff_t taps, double* ends,
                 double* sums, double* squares) {
  double* end = ends;  // of the chunk before: sums of its columns from each on, then of squares
  double* next = ends + 2 * taps * SUM_LANES;
  for (ptrdiff_t chunk = 0; chunk - taps < outputs; chunk += taps) {
    const double* x = columns + chunk * SUM_LANES;
    double* to = sums + (chunk - taps) * SUM_LANES;
    double* to_squares = squares + (chunk - taps) * SUM_LANES;
    const ptrdiff_t left = chunk == 0 ? 0 : outputs - (chunk - taps);
    const ptrdiff_t begun = left < taps ? left : taps;  // columns whose beginnings are wanted
    const ptrdiff_t ended = chunk < outputs ? taps : 0;
    SumVec begin = SumLanes::zero(), begin_squares = begin, sum = begin, sum_squares = begin;
    const auto add_begin = [&](ptrdiff_t k) FASTCONV_LAMBDA_INLINE {
      const ptrdiff_t at = k * SUM_LANES;
      store_sums(to + at, load_sums(end + at) + begin);
      store_sums(to_squares + at, load_sums(end + taps * SUM_LANES + at) + begin_squares);
      const SumVec d = load_sums(x + at);
      begin += d;
      begin_squares += d * d;
    };
    const auto add_end = [&](ptrdiff_t k) FASTCONV_LAMBDA_INLINE {
      const ptrdiff_t at = (taps - 1 - k) * SUM_LANES;
      const SumVec d = load_sums(x + at);
      sum += d;
      sum_squares += d * d;
      store_sums(next + at, sum);
      store_sums(next + taps * SUM_LANES + at, sum_squares);
    };
    const ptrdiff_t both = begun < ended ? begun : ended;
    for (ptrdiff_t k = 0; k < both; k++) {
      add_begin(k);
      add_end(k);
    }
    for (ptrdiff_t k = both; k < begun; k++) add_begin(k);
    for (ptrdiff_t k = both; k < ended; k++) add_end(k);
    double* last = end;
    end = next;
    next = last;
  }
}

// Rows [first, last) of columns[i][r] more: each joins the beginning of its chunk of rows, is kept
// in slots[r] until the chunk is whole, and with ends[r], the end of the chunk before, makes
// sums[r]. Whole vectors of columns.
void slide_rows(const double* columns, int first, int last, double* begin, double* const* slots,
                const double* const* ends, double* const* sums, ptrdiff_t count) {
  for (ptrdiff_t i = 0; i < count; i += SUM_LANES) {
    SumVec v[SUM_LANES];
#pragma GCC unroll 8
    for (int l = 0; l < SUM_LANES; l++) v[l] = load_sums(columns + (i + l) * SUM_LANES);
    SumTransform::transpose_from<1>(v);
    SumVec begun = load_sums(begin + i);
#pragma GCC unroll 8
    for (int r = 0; r < SUM_LANES; r++) {
      if (r < first || r >= last) continue;
      begun += v[r];
      store_sums(slots[r] + i, v[r]);
      store_sums(sums[r] + i, begun + load_sums(ends[r] + i));
    }
    store_sums(begin + i, begun);
  }
}

// The same for one line of sums that lies as it is.
void slide_line(const double* line, double* begin, double* slot, const double* end, double* sums,
                ptrdiff_t count) {
  for (ptrdiff_t i = 0; i < count; i += SUM_LANES) {
    const SumVec v = load_sums(line + i), begun = load_sums(begin + i) + v;
    store_sums(begin + i, begun);
    store_sums(slot + i, v);
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

FASTCONV_INLINE float square_root(float v) { return __builtin_sqrtf(v); }
FASTCONV_INLINE double square_root(double v) { return __builtin_sqrt(v); }

// y over the root of an energy, in the range [least, most]; `empty` where the energy is zero.
template <class Scalar>
FASTCONV_INLINE void divide_by_roots(Scalar* y, const Scalar* energy, ptrdiff_t count, double least,
                                     double most, double empty) {
  typedef Vector<Scalar> Lanes;
  typedef typename Lanes::type Vec;
  const Vec low = Lanes::broadcast(Scalar(least)), high = Lanes::broadcast(Scalar(most));
  const Vec none = Lanes::broadcast(Scalar(empty)), zero = Lanes::zero();
  for (ptrdiff_t i = 0; i < count; i += Lanes::lanes) {
    const Vec e = Lanes::load(reinterpret_cast<const char*>(energy + i));
    Vec by;
#pragma GCC unroll 16
    for (int l = 0; l < int(Lanes::lanes); l++) by[l] = square_root(e[l]);
    Vec v = Lanes::load(reinterpret_cast<const char*>(y + i)) / by;
    v = v < low ? low : v;
    v = v > high ? high : v;  // NaN stays NaN
    Lanes::store(reinterpret_cast<char*>(y + i), e == zero ? none : v);
  }
}

// Turns numerators in `out` into a measure, given the sums of δ = x - level and of δ² over every
// window, and the numerator Σ (x - centre) · τ, where τ is the template less its mean, of norm one
// but for rounding. The sum of τ, its tilt, is what rounding left, and goes with the mean of the
// window. Returns how many results are unsure: their windows' sum of squares is below the floor, or
// hardly above the rounding errors of the sums.
template <class Scalar, Measure M>
ptrdiff_t finish_as(const double* sums, const double* squares, ptrdiff_t count,
                    const MatchFactors& factors, char* to) {
  constexpr bool normed =
      M == Measure::sqdiff_normed || M == Measure::ccorr_normed || M == Measure::ccoeff_normed;
  constexpr ptrdiff_t block = 64;  // whole vectors of any scalar
  const MatchFactors f = factors;  // which the stores below cannot change
  const auto all = [](double v) FASTCONV_LAMBDA_INLINE { return SumLanes::broadcast(v); };
  const SumVec zero = SumLanes::zero(), inverse = all(1 / f.pixels), pixels = all(f.pixels);
  typedef decltype(zero < zero) Mask;
  Mask unsure = Mask{};
  const auto join = [&](SumVec s, SumVec q, SumVec product, SumVec& energy) FASTCONV_LAMBDA_INLINE {
    SumVec mean = s * inverse;
    SumVec deviation = q - s * mean;
    const auto flat = deviation <= q * all(f.flat);
    deviation = flat ? zero : deviation;
    product = flat ? zero : product - all(f.tilt) * (mean + all(f.offset));
    mean += all(f.level);
    mean = ((mean <= all(f.around)) & (mean >= all(-f.around))) ? zero : mean;
    energy = M == Measure::ccoeff_normed ? deviation : deviation + pixels * mean * mean;
    SumVec y;
    if constexpr (M == Measure::ccoeff_normed) {
      y = product;
    } else if constexpr (M == Measure::ccoeff) {
      y = product * all(f.of_product);
    } else if constexpr (M == Measure::ccorr || M == Measure::ccorr_normed) {
      y = product * all(f.of_product) + mean * all(f.of_mean);
    } else {
      const SumVec apart = mean - all(f.mean), norm = all(f.norm);
      y = deviation - (norm + norm) * product + norm * norm + pixels * apart * apart;
      y = y * all(f.of_all);
      if (M == Measure::sqdiff) y = y < zero ? zero : y;
    }
    if constexpr (normed) {
      const SumVec rounding = q * all(f.unsure), floor = all(f.floor);
      unsure += (energy < (rounding > floor ? rounding : floor)) & (energy > zero);
    }
    return y + (q - q);  // NaN where the window holds NaN or Inf
  };
  Scalar* out = reinterpret_cast<Scalar*>(to);
  for (ptrdiff_t first = 0; first < count; first += block) {
    const ptrdiff_t n = count - first < block ? count - first : block;
    // Past the last window lie windows of zeros, which are never unsure.
    double some_sums[block], some_squares[block];
    Scalar some[block], energies[block];
    const double *s = sums + first, *q = squares + first;
    Scalar* y = out + first;
    if (n < block) {
      for (ptrdiff_t i = 0; i < block; i++) {
        some_sums[i] = i < n ? s[i] : 0;
        some_squares[i] = i < n ? q[i] : 0;
        some[i] = i < n ? y[i] : Scalar(0);
      }
      s = some_sums;
      q = some_squares;
      y = some;
    }
    for (ptrdiff_t i = 0; i < block; i += SUM_LANES) {
      SumVec energy;
      const SumVec joined =
          join(load_sums(s + i), load_sums(q + i), Pixels<Scalar>::load(y + i), energy);
      Pixels<Scalar>::store(y + i, joined);
      if (normed) Pixels<Scalar>::store(energies + i, energy);
    }
    if (normed)
      divide_by_roots(y, energies, block, M == Measure::sqdiff_normed ? 0 : -1, 1, f.empty);
    if (n < block)
      for (ptrdiff_t i = 0; i < n; i++) out[first + i] = some[i];
  }
  ptrdiff_t found = 0;
  for (int l = 0; l < SUM_LANES; l++) found -= unsure[l];
  return found;
}

template <class Scalar>
ptrdiff_t finish_match(const double* sums, const double* squares, ptrdiff_t count,
                       const MatchFactors& factors, char* out) {
  switch (factors.measure) {
    case Measure::sqdiff:
      return finish_as<Scalar, Measure::sqdiff>(sums, squares, count, factors, out);
    case Measure::sqdiff_normed:
      return finish_as<Scalar, Measure::sqdiff_normed>(sums, squares, count, factors, out);
    case Measure::ccorr:
      return finish_as<Scalar, Measure::ccorr>(sums, squares, count, factors, out);
    case Measure::ccorr_normed:
      return finish_as<Scalar, Measure::ccorr_normed>(sums, squares, count, factors, out);
    case Measure::ccoeff:
      return finish_as<Scalar, Measure::ccoeff>(sums, squares, count, factors, out);
    default:
      return finish_as<Scalar, Measure::ccoeff_normed>(sums, squares, count, factors, out);
  }
}

template <class Scalar>
constexpr TemplateSet template_set() {
  return {SUM_LANES,
          look_at_pixels<Scalar>,
          centre_pixels<Scalar>,
          pixel_columns<Scalar>,
          sum_columns,
          slide_rows,
          slide_line,
          add_up_slots,
          finish_match<Scalar>};
}

}  // namespace
}  // namespace FASTCONV_LEVEL
}  // namespace fastconv
