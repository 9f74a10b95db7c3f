// Passes over lines of a block that are no register tiles: sums in a fixed order, and box sums.
#pragma once
#include "job.hpp"
#include "vector.hpp"

namespace fastconv {
inline namespace FASTCONV_LEVEL {
namespace {

// Sums taps one after the other, each product and each sum rounded by itself, so that a result that
// is cut to an integer is SciPy's to the last bit. A folded tap adds (or subtracts) its two data
// before it multiplies. The line is `vectors` vectors long, and may be read and written whole.
template <int V, class Scalar, Fold FOLD>
FASTCONV_INLINE void ordered_vectors(const OrderedTap* taps, ptrdiff_t count, const char* x,
                                     char* out) {
  typedef Vector<Scalar> Lanes;
  typedef typename Lanes::type Vec;
  constexpr ptrdiff_t bytes = FASTCONV_VECTOR_BYTES;
  Vec sum[V];
  // The first tap of a folded kernel is its middle one, which stands alone.
  const Vec first = Lanes::broadcast(Scalar(taps->weight));
#pragma GCC unroll 8
  for (int v = 0; v < V; v++) sum[v] = Lanes::load(x + taps->first + v * bytes) * first;
  for (const OrderedTap* tap = taps + 1; tap < taps + count; tap++) {
    const Vec weight = Lanes::broadcast(Scalar(tap->weight));
    const char* a = x + tap->first;
    const char* b = x + tap->second;
#pragma GCC unroll 8
    for (int v = 0; v < V; v++) {
      Vec data = Lanes::load(a + v * bytes);
      if (FOLD == Fold::sum) data = data + Lanes::load(b + v * bytes);
      if (FOLD == Fold::difference) data = data - Lanes::load(b + v * bytes);
      Vec product = data * weight;
      Lanes::keep_in_register(product);  // or the compiler would fuse it with the sum
      sum[v] = sum[v] + product;
    }
  }
#pragma GCC unroll 8
  for (int v = 0; v < V; v++) Lanes::store(out + v * bytes, sum[v]);
}

template <class Scalar, Fold FOLD>
void ordered_line(const OrderedTap* taps, ptrdiff_t count, const char* x, char* out,
                  ptrdiff_t vectors) {
  constexpr ptrdiff_t bytes = FASTCONV_VECTOR_BYTES;
  ptrdiff_t i = 0;
  for (; i + 8 <= vectors; i += 8)
    ordered_vectors<8, Scalar, FOLD>(taps, count, x + i * bytes, out + i * bytes);
  for (; i < vectors; i++)
    ordered_vectors<1, Scalar, FOLD>(taps, count, x + i * bytes, out + i * bytes);
}

// out[i] = a[i] · a_scale + b[i] · b_scale, as far as `bytes`, ascending; `out` may be `a`, and `b`
// may lie ahead of it in the same array. Reads and writes whole vectors.
template <class Scalar>
void add_scaled(const char* a, double a_scale, const char* b, double b_scale, char* out,
                ptrdiff_t bytes) {
  typedef Vector<Scalar> Lanes;
  typedef typename Lanes::type Vec;
  const Vec of_a = Lanes::broadcast(Scalar(a_scale)), of_b = Lanes::broadcast(Scalar(b_scale));
  for (ptrdiff_t i = 0; i < bytes; i += FASTCONV_VECTOR_BYTES)
    Lanes::store(out + i, Lanes::load(a + i) * of_a + Lanes::load(b + i) * of_b);
}

// Sums of `taps` rows for each of `rows` outputs, V vectors wide. Rows are cut into chunks of
// `taps` rows; a window is the end of one chunk and the beginning of the next, so that each sum is
// the sum of the two, whatever the number of taps, and no output meets a row outside its window.
// `boundary` is the first row that begins a chunk, below `taps`; `ends` has room for `taps` rows.
template <int V, class Scalar>
FASTCONV_INLINE void sum_rows_of(const SumRows& job, const char* x, char* out) {
  typedef Vector<Scalar> Lanes;
  typedef typename Lanes::type Vec;
  constexpr ptrdiff_t bytes = FASTCONV_VECTOR_BYTES;
  const SumRows s = job;  // which the stores below cannot change
  const Vec scale = Lanes::broadcast(Scalar(s.scale));
  const auto add = [&](Vec* sum, ptrdiff_t row) FASTCONV_LAMBDA_INLINE {
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) sum[v] += Lanes::load(x + row * s.x_pitch + v * bytes) * scale;
  };
  for (ptrdiff_t chunk = s.boundary; chunk - s.taps < s.rows - 1; chunk += s.taps) {
    const ptrdiff_t first = chunk - s.taps + 1 > 0 ? chunk - s.taps + 1 : 0;
    const ptrdiff_t last = chunk < s.rows - 1 ? chunk : s.rows - 1;
    Vec end[V], begin[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) end[v] = begin[v] = Lanes::zero();
    char* ends = s.ends;
    for (ptrdiff_t row = chunk - 1; row >= first; row--, ends += V * bytes) {
      add(end, row);
#pragma GCC unroll 4
      for (int v = 0; v < V; v++) Lanes::store(ends + v * bytes, end[v]);
    }
    for (ptrdiff_t row = chunk; row < first + s.taps - 1; row++) add(begin, row);
    for (ptrdiff_t i = first; i <= last; i++) {
      add(begin, i + s.taps - 1);
      ends -= V * bytes;
#pragma GCC unroll 4
      for (int v = 0; v < V; v++) {
        // The output that begins with the chunk has no end of another.
        const Vec sum = i < chunk ? Lanes::load(ends + v * bytes) + begin[v] : begin[v];
        Lanes::store(out + i * s.out_pitch + v * bytes, sum);
      }
    }
  }
}

template <class Scalar>
void sum_rows(const SumRows& s, const char* x, char* out, ptrdiff_t vectors) {
  if (vectors == SUM_ROWS_VECTORS)
    sum_rows_of<SUM_ROWS_VECTORS, Scalar>(s, x, out);
  else
    for (ptrdiff_t v = 0; v < vectors; v++)
      sum_rows_of<1, Scalar>(s, x + v * FASTCONV_VECTOR_BYTES, out + v * FASTCONV_VECTOR_BYTES);
}

// a[i] /= divisor, as far as `bytes`; whole vectors.
template <class Scalar>
void divide(char* a, double divisor, ptrdiff_t bytes) {
  typedef Vector<Scalar> Lanes;
  const typename Lanes::type by = Lanes::broadcast(Scalar(divisor));
  for (ptrdiff_t i = 0; i < bytes; i += FASTCONV_VECTOR_BYTES)
    Lanes::store(a + i, Lanes::load(a + i) / by);
}

template <class Scalar>
constexpr PassSet pass_set() {
  return {{ordered_line<Scalar, Fold::none>, ordered_line<Scalar, Fold::sum>,
           ordered_line<Scalar, Fold::difference>},
          sum_rows<Scalar>,
          add_scaled<Scalar>,
          divide<Scalar>};
}

}  // namespace
}  // namespace FASTCONV_LEVEL
}  // namespace fastconv
