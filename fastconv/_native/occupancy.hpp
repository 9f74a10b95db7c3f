// Which windows of a block hold nothing but zeros: their sums are zero, whatever the transforms
// left.
#pragma once
#include <stddef.h>

#include "overlap.hpp"
#include "scratch.hpp"
#include "sizes.hpp"

namespace fastconv {

// Cells of data in rows and slices, and whether each holds anything but zeros (NaN and Inf, which
// the transforms took for zeros, are none). A long line is a column of cells.
class Occupancy {
 public:
  enum { CELL = PEAK_BLOCK };

  Occupancy(ptrdiff_t depth, ptrdiff_t rows, ptrdiff_t cells)
      : depth_(depth), rows_(rows), cells_(cells) {
    next_ = reinterpret_cast<int*>(take_scratch(depth * rows * cells * ptrdiff_t(sizeof(int))));
  }
  ~Occupancy() { give_scratch_back(reinterpret_cast<char*>(next_)); }
  Occupancy(const Occupancy&) = delete;
  Occupancy& operator=(const Occupancy&) = delete;

  // Without memory nothing is known to be zero.
  bool ready() const { return next_; }

  // Cells [0, count) of a row from its scalars, and empty ones after them.
  void set_row(ptrdiff_t z, ptrdiff_t row, const Scalars& scalars, const char* line,
               ptrdiff_t count) {
    for (ptrdiff_t j = 0; j < cells_; j++)
      set(z, row, j, scalars.any(line, min(j * CELL, count), min((j + 1) * CELL, count)));
  }
  // Cells of a long line's scalars [start, start + count); the start is one of a cell.
  void set_line(ptrdiff_t start, const Scalars& scalars, const char* line, ptrdiff_t count) {
    for (ptrdiff_t j = 0; j < count; j += CELL)
      set(0, (start + j) / CELL, 0, scalars.any(line, j, min(j + CELL, count)));
  }
  // From here on each cell knows the next occupied one of its column.
  void link() {
    for (ptrdiff_t z = 0; z < depth_; z++)
      for (ptrdiff_t row = rows_ - 2; row >= 0; row--)
        for (ptrdiff_t j = 0; j < cells_; j++)
          if (at(z, row, j) == rows_) at(z, row, j) = at(z, row + 1, j);
  }

  // Whether slices [z, z_end), rows [row, row_end), columns [first, last) are empty.
  bool empty(ptrdiff_t z, ptrdiff_t z_end, ptrdiff_t row, ptrdiff_t row_end, ptrdiff_t first,
             ptrdiff_t last) const {
    for (; z < z_end; z++)
      for (ptrdiff_t j = first / CELL; j * CELL < last; j++)
        if (at(z, row, j) < row_end) return false;
    return true;
  }
  // The same of a long line.
  bool empty_line(ptrdiff_t first, ptrdiff_t last) const {
    return empty(0, 1, first / CELL, ceil_div(last, CELL), 0, 1);
  }

 private:
  void set(ptrdiff_t z, ptrdiff_t row, ptrdiff_t cell, bool occupied) {
    at(z, row, cell) = int(occupied ? row : rows_);
  }
  int& at(ptrdiff_t z, ptrdiff_t row, ptrdiff_t cell) const {
    return next_[(z * rows_ + row) * cells_ + cell];
  }

  const ptrdiff_t depth_, rows_, cells_;
  int* next_;
};

// Zeroes the runs of a line of results for which is_zero(first, last) holds, and judges the others.
template <class IsZero>
unsigned char judge_runs(const LaneSet& set, char* line, ptrdiff_t count, double needed,
                         const IsZero& is_zero) {
  unsigned char found = 0;
  for (ptrdiff_t first = 0; first < count;) {
    // What is left belongs to the last whole run.
    const ptrdiff_t last = count - first < 2 * PEAK_BLOCK ? count : first + PEAK_BLOCK;
    char* run = line + first * set.scalar_bytes;
    if (is_zero(first, last))
      for (char* p = run; p < line + last * set.scalar_bytes; p++) *p = 0;
    else
      found |= Judge::mark(set.least_peak(run, last - first), needed);
    first = last;
  }
  return found;
}

}  // namespace fastconv
