// Passes over lines of a block that are no register tiles: sums in a fixed order, and box sums.
#pragma once
#include "job.hpp"
#include "vector.hpp"

namespace fastconv {
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
  for (ptrdiff_t k = 0; k < count; k++) {
    const Vec weight = Lanes::broadcast(Scalar(taps[k].weight));
#pragma GCC unroll 8
    for (int v = 0; v < V; v++) {
      Vec data = Lanes::load(x + taps[k].first + v * bytes);
      // The first tap of a folded kernel is its middle one, which stands alone.
      if (FOLD != Fold::none && k > 0) {
        const Vec mirrored = Lanes::load(x + taps[k].second + v * bytes);
        data = FOLD == Fold::sum ? data + mirrored : data - mirrored;
      }
      Vec product = data * weight;
      Lanes::keep_in_register(product);  // or the compiler would fuse it with the sum
      sum[v] = k == 0 ? product : sum[v] + product;
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

// out[i] = a[i] · a_scale + b[i] · b_scale for i < count, ascending; `out` may be `a`, and `b` may
// lie ahead of it in the same array. Reads and writes whole vectors.
template <class Scalar>
void add_scaled(const char* a, double a_scale, const char* b, double b_scale, char* out,
                ptrdiff_t count) {
  typedef Vector<Scalar> Lanes;
  typedef typename Lanes::type Vec;
  const Vec of_a = Lanes::broadcast(Scalar(a_scale)), of_b = Lanes::broadcast(Scalar(b_scale));
  const ptrdiff_t bytes = count * ptrdiff_t(sizeof(Scalar));
  for (ptrdiff_t i = 0; i < bytes; i += FASTCONV_VECTOR_BYTES)
    Lanes::store(out + i, Lanes::load(a + i) * of_a + Lanes::load(b + i) * of_b);
}

// a[i] /= divisor.
template <class Scalar>
void divide(char* a, double divisor, ptrdiff_t count) {
  typedef Vector<Scalar> Lanes;
  const typename Lanes::type by = Lanes::broadcast(Scalar(divisor));
  const ptrdiff_t bytes = count * ptrdiff_t(sizeof(Scalar));
  for (ptrdiff_t i = 0; i < bytes; i += FASTCONV_VECTOR_BYTES)
    Lanes::store(a + i, Lanes::load(a + i) / by);
}

template <class Scalar>
constexpr PassSet pass_set() {
  return {{ordered_line<Scalar, Fold::none>, ordered_line<Scalar, Fold::sum>,
           ordered_line<Scalar, Fold::difference>},
          add_scaled<Scalar>,
          divide<Scalar>};
}

}  // namespace
}  // namespace fastconv
