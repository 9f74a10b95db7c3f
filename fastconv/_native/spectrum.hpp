// Element-wise passes between the transforms of the FFT method: memory-bound loops that the
// compiler vectorises at each level's width.
#pragma once
#include "vector.hpp"

namespace fastconv {
inline namespace FASTCONV_LEVEL {
namespace {

template <class Scalar>
void multiply_spectrum(Scalar* __restrict__ a, const Scalar* __restrict__ b, ptrdiff_t rows,
                       ptrdiff_t count) {
  for (ptrdiff_t r = 0; r < rows; r++, a += 2 * count)
    for (ptrdiff_t i = 0; i < 2 * count; i += 2) {
      const Scalar re = a[i] * b[i] - a[i + 1] * b[i + 1];
      a[i + 1] = a[i] * b[i + 1] + a[i + 1] * b[i];
      a[i] = re;
    }
}

template <class Scalar>
bool all_finite(const Scalar* a, ptrdiff_t count) {
  int bad = 0;
  for (ptrdiff_t i = 0; i < count; i++) bad |= !(a[i] - a[i] == 0);
  return !bad;
}

template <class Scalar>
ptrdiff_t zero_nonfinite(Scalar* a, ptrdiff_t count) {
  // Nearly always there is none: look first, a block at a time, without a branch per element.
  constexpr ptrdiff_t block = 4096;
  ptrdiff_t found = 0;
  for (ptrdiff_t start = 0; start < count; start += block) {
    const ptrdiff_t stop = start + block < count ? start + block : count;
    if (all_finite(a + start, stop - start)) continue;
    for (ptrdiff_t i = start; i < stop; i++)
      if (!(a[i] - a[i] == 0)) {
        a[i] = 0;
        found++;
      }
  }
  return found;
}

// Adding 1.5 · 2^52 leaves the integer in the low bits of the sum.
inline void round_to_integers(const double* a, ptrdiff_t count, long long* integers) {
  constexpr double shift = 6755399441055744.0;
  constexpr long long shift_bits = 0x4338000000000000;
  for (ptrdiff_t i = 0; i < count; i++) {
    const double sum = a[i] + shift;
    long long bits;
    __builtin_memcpy(&bits, &sum, sizeof bits);
    integers[i] = bits - shift_bits;
  }
}

}  // namespace
}  // namespace FASTCONV_LEVEL
}  // namespace fastconv
