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

}  // namespace fastconv
