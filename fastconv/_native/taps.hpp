// How the taps of a kernel become groups for the tile kernels. Used by the drivers, which are
// compiled once.
#pragma once
#include <stddef.h>
#include <string.h>

#include "job.hpp"

namespace fastconv {

// Whether a tap of FLOAT32 or FLOAT64 is zero, and so none at all where zeros are skipped.
inline bool is_zero_tap(ElementType type, const char* w) {
  if (type == FLOAT32) {
    float value;
    memcpy(&value, w, sizeof value);
    return value == 0;
  }
  double value;
  memcpy(&value, w, sizeof value);
  return value == 0;
}

// Taps of `columns` steps along a line times `rows` rows, split into groups of rows in the order in
// which they are summed: emit(first_row, first_column, rows, columns).
template <class Emit>
void split_taps(ptrdiff_t rows, ptrdiff_t first_column, ptrdiff_t last_column, int group_rows,
                Emit emit) {
  if (rows == 0 || first_column >= last_column) return;
  // Balanced: never a group of one row for long.
  const ptrdiff_t groups = (rows + group_rows - 1) / group_rows;
  ptrdiff_t row = 0;
  for (ptrdiff_t g = 0; g < groups; g++) {
    const ptrdiff_t count = (rows - row + groups - g - 1) / (groups - g);
    emit(row, first_column, count, last_column - first_column);
    row += count;
  }
}

// Taps of one line: tap (row, column) is tap row * taps_per_vector + column, so that the rows of a
// group share their loads; taps_per_vector is 0 where no two taps can.
template <class Emit>
void split_line(ptrdiff_t taps, ptrdiff_t taps_per_vector, int group_rows, Emit emit) {
  if (taps_per_vector == 0 || taps <= taps_per_vector) {
    emit(ptrdiff_t(0), ptrdiff_t(0), ptrdiff_t(1), taps);
    return;
  }
  const ptrdiff_t full = taps / taps_per_vector, rest = taps % taps_per_vector;
  split_taps(full + 1, 0, rest, group_rows, emit);
  split_taps(full, rest, taps_per_vector, group_rows, emit);
}

// The parts of a group that hold its taps other than zero, in their order: the runs of rows of each
// column, joined over neighbouring columns that are alike. A kernel without zeros stays whole.
template <class IsZero, class Emit>
void split_nonzero(ptrdiff_t row, ptrdiff_t column, ptrdiff_t rows, ptrdiff_t columns,
                   IsZero is_zero, Emit emit) {
  const auto alike = [&](ptrdiff_t a, ptrdiff_t b) {
    for (ptrdiff_t r = row; r < row + rows; r++)
      if (is_zero(r, a) != is_zero(r, b)) return false;
    return true;
  };
  for (ptrdiff_t first = column, last; first < column + columns; first = last) {
    for (last = first + 1; last < column + columns && alike(first, last);) last++;
    for (ptrdiff_t start = row, end; start < row + rows; start = end) {
      const bool zero = is_zero(start, first);
      for (end = start + 1; end < row + rows && is_zero(end, first) == zero;) end++;
      if (!zero) emit(start, first, end - start, last - first);
    }
  }
}

}  // namespace fastconv
