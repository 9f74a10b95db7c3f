// What the drivers of overlap-save share: which blocks they do, and how they judge their errors.
//
// The transforms of a block of N points err by at most 3·log2(N)·u·‖x_block‖·‖w‖ at every output,
// however small the data in its own window is. So each block is judged by what came out of it.
#pragma once
#include <math.h>

#include "job.hpp"

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
