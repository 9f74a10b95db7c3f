// What the drivers of overlap-save share: which blocks they do, and how they judge their errors.
//
// The transforms of a block of N points may be expected to err by up to 3·log2(N)·u·‖x_block‖·‖w‖
// at every output, however small the data in its own window is. So each block is judged by what
// came out of it.
#pragma once
#include <math.h>

#include "direct.hpp"
#include "dispatch.hpp"
#include "job.hpp"
#include "sizes.hpp"

namespace fastconv {

enum BlockMark : unsigned char {
  MET_NONFINITE = 1,  // NaN or Inf in the data, which counted as zero
  UNSURE = 2,         // an output's bound is more than `need` allows
  OUT_OF_RANGE = 4    // sums overflow, or are so small that products are lost
};

struct BlockRun {
  StorageType x_type, out_type;  // of scalars
  // The largest of PEAK_BLOCK neighbouring outputs must be at least need·‖x_block‖; 0 if the bound
  // is known to do.
  double need;
  const ptrdiff_t* chosen;  // numbers of the blocks to be done, or null for all
  ptrdiff_t chosen_count;
  unsigned char* marks;  // of every block, by its number
};

// The blocks of a line's transforms, numbered along the lines; axes but the last are batches.
class LineBlocks {
 public:
  LineBlocks(const Correlation& c, ptrdiff_t step, const BlockRun& run)
      : c_(c), line_(c.axes[c.axis_count - 1]), step_(step), run_(run) {
    of_line_ = ceil_div(line_.out_extent, step);
    count_ = of_line_;
    for (int a = 0; a + 1 < c.axis_count; a++) count_ *= c.axes[a].out_extent;
  }

  ptrdiff_t count() const { return count_; }
  ptrdiff_t wanted() const { return run_.chosen ? run_.chosen_count : count_; }

  struct Block {
    ptrdiff_t number;        // none where it is negative
    const char* x;           // the line of data it lies on
    char* out;               // its first output
    ptrdiff_t first, count;  // of its outputs; none where there is no block
  };
  Block at(ptrdiff_t index) const {
    Block b = {-1, c_.x, c_.out, 0, 0};
    if (index >= wanted()) return b;
    b.number = run_.chosen ? run_.chosen[index] : index;
    b.first = b.number % of_line_ * step_;
    ptrdiff_t rest = b.number / of_line_;
    for (int a = c_.axis_count - 2; a >= 0; a--) {
      const CorrelationAxis& axis = c_.axes[a];
      b.x += rest % axis.out_extent * axis.x_stride;
      b.out += rest % axis.out_extent * axis.out_stride;
      rest /= axis.out_extent;
    }
    b.out += b.first * line_.out_stride;
    b.count = min(line_.out_extent - b.first, step_);
    return b;
  }

  void mark(const Block& b, unsigned char mark) const {
    if (b.number >= 0) run_.marks[b.number] |= mark;
  }

 private:
  const Correlation& c_;
  const CorrelationAxis line_;
  const ptrdiff_t step_;
  const BlockRun& run_;
  ptrdiff_t of_line_, count_;
};

// The scalars of planes, and of lines of whole vectors.
class Scalars {
 public:
  explicit Scalars(const LaneSet& set) : set_(set), single_(set.scalar_bytes == 4) {}

  double at(const char* plane, ptrdiff_t i) const {
    return single_ ? reinterpret_cast<const float*>(plane)[i]
                   : reinterpret_cast<const double*>(plane)[i];
  }
  // Σ x² of each lane is added to `squares`.
  void add_squares(const char* plane, ptrdiff_t points, double* squares) const {
    alignas(cache_line) char sums[cache_line] = {};  // a vector
    set_.add_squares(plane, points, sums);
    for (int l = 0; l < set_.lanes; l++) squares[l] += at(sums, l);
  }
  double squares(const char* plane, ptrdiff_t points) const {
    double of_lanes[MAX_LANES] = {}, sum = 0;
    add_squares(plane, points, of_lanes);
    for (int l = 0; l < set_.lanes; l++) sum += of_lanes[l];
    return sum;
  }
  // NaN and Inf become zero; returns how many there were.
  ptrdiff_t zero_nonfinite(char* plane, ptrdiff_t points) const {
    const SpectrumSet& passes = levels().used->spectrum;
    const ptrdiff_t count = points * set_.lanes;
    if (single_) return passes.zero_nonfinite_f32(reinterpret_cast<float*>(plane), count);
    return passes.zero_nonfinite_f64(reinterpret_cast<double*>(plane), count);
  }
  bool all_zero(const char* plane, ptrdiff_t points) const {
    for (ptrdiff_t i = 0; i < points * set_.lanes; i++)
      if (at(plane, i) != 0) return false;
    return true;
  }

  // Whether any of the scalars [first, last) is a number other than zero.
  bool any(const char* line, ptrdiff_t first, ptrdiff_t last) const {
    bool found = false;
    for (ptrdiff_t i = first; i < last; i++) {
      const double x = at(line, i);
      found |= x != 0 && x - x == 0;
    }
    return found;
  }

  enum { MAX_LANES = 16 };

 private:
  const LaneSet& set_;
  const bool single_;
};

// Judges blocks of a type.
class Judge {
 public:
  Judge(bool single, ptrdiff_t points, double need)
      : need_(need),
        // Squares of what matters are normal numbers above this; the products' losses below the
        // normal numbers are less than the bound.
        least_squares_(single ? ldexp(1, -100) : ldexp(1, -900)),
        least_need_(double(points) * (single ? ldexp(1, -126) : ldexp(1, -1022))) {}

  bool judges() const { return need_ > 0; }

  // What the peaks must be for data of these squares; negative where the type cannot tell.
  double needed(double squares) const {
    const double peak = need_ * sqrt(squares);
    return squares >= least_squares_ && peak >= least_need_ && peak < HUGE_VAL ? peak : -1;
  }

  // A NaN is a sum that overflowed.
  static unsigned char mark(double peak, double needed) {
    return peak >= needed ? 0 : peak < needed ? UNSURE : OUT_OF_RANGE;
  }

 private:
  double need_, least_squares_, least_need_;
};

}  // namespace fastconv
