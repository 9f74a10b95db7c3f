// Arithmetic on sizes. Used by the drivers, which are compiled once: kernels of the levels must not
// share an inline function.
#pragma once
#include <stddef.h>

namespace fastconv {

constexpr ptrdiff_t cache_line = 64;

inline ptrdiff_t min(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
inline ptrdiff_t max(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }
inline ptrdiff_t ceil_div(ptrdiff_t a, ptrdiff_t b) { return (a + b - 1) / b; }
inline ptrdiff_t round_up(ptrdiff_t a, ptrdiff_t b) { return ceil_div(a, b) * b; }

// Of a power of two, or the next one.
inline int log2_of(ptrdiff_t n) {
  int log2 = 0;
  while ((ptrdiff_t(1) << log2) < n) log2++;
  return log2;
}

// At least so many bytes: an odd number of cache lines, so that data at this pitch do not meet in
// few sets of a cache.
inline ptrdiff_t spread_over_sets(ptrdiff_t bytes) {
  return ceil_div(bytes, cache_line) / 2 * 2 * cache_line + cache_line;
}

}  // namespace fastconv
