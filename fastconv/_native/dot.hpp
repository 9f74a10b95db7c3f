// Dot products of the rows of one array with those of another, at several shifts at once:
// sums[s] += Σ_rows Σ_i a[i] · b[i + s]. The gradients of kernels that see one channel.
#pragma once
#include "job.hpp"
#include "vector.hpp"

namespace fastconv {
inline namespace FASTCONV_LEVEL {
namespace {

// Rows of `count` elements of `a` and `b` lie these pitches of bytes apart. Each load of `a` serves
// S products. sums[s] is a vector whose lanes are yet to be added. Reads up to a vector past the
// last element of a row, and makes nothing of it: NaN times zero would be NaN.
template <class Scalar, int S>
void dot_rows(const char* a, ptrdiff_t a_pitch, const char* b, ptrdiff_t b_pitch, ptrdiff_t rows,
              ptrdiff_t count, char* sums) {
  typedef Vector<Scalar> Lanes;
  typedef typename Lanes::type Vec;
  typedef decltype(Vec{} < Vec{}) Mask;
  const ptrdiff_t whole = count / Lanes::lanes * FASTCONV_VECTOR_BYTES;
  const ptrdiff_t bytes = count * ptrdiff_t(sizeof(Scalar));
  Mask rest;
#pragma GCC unroll 16
  for (int l = 0; l < int(Lanes::lanes); l++) rest[l] = l < count % Lanes::lanes ? -1 : 0;
  const auto kept = [&](Vec v) FASTCONV_LAMBDA_INLINE { return (Vec)((Mask)v & rest); };
  Vec sum[S];
#pragma GCC unroll 8
  for (int s = 0; s < S; s++) sum[s] = Lanes::load(sums + s * FASTCONV_VECTOR_BYTES);
  for (ptrdiff_t r = 0; r < rows; r++, a += a_pitch, b += b_pitch) {
    for (ptrdiff_t i = 0; i < whole; i += FASTCONV_VECTOR_BYTES) {
      const Vec factor = Lanes::load(a + i);
#pragma GCC unroll 8
      for (int s = 0; s < S; s++)
        sum[s] += factor * Lanes::load(b + i + s * ptrdiff_t(sizeof(Scalar)));
    }
    if (whole == bytes) continue;
    const Vec factor = kept(Lanes::load(a + whole));
#pragma GCC unroll 8
    for (int s = 0; s < S; s++)
      sum[s] += factor * kept(Lanes::load(b + whole + s * ptrdiff_t(sizeof(Scalar))));
  }
#pragma GCC unroll 8
  for (int s = 0; s < S; s++) Lanes::store(sums + s * FASTCONV_VECTOR_BYTES, sum[s]);
}

template <class Scalar>
constexpr DotSet dot_set() {
  return {{dot_rows<Scalar, 1>, dot_rows<Scalar, 2>, dot_rows<Scalar, 3>, dot_rows<Scalar, 4>,
           dot_rows<Scalar, 5>, dot_rows<Scalar, 6>, dot_rows<Scalar, 7>, dot_rows<Scalar, 8>}};
}

}  // namespace
}  // namespace FASTCONV_LEVEL
}  // namespace fastconv
