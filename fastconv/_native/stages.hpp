// Stages of the transforms in lanes, with their twiddles.
#pragma once
#include "job.hpp"

namespace fastconv {

enum { MAX_STAGES = 24 };

struct Stages {
  LaneStage stages[MAX_STAGES];
  int count = 0;
};

// Made once for each length, a power of two from 16 to 2^40, and kept: twiddles take longer than
// the transform they are for. Null where there is no memory.
const Stages* stages_for(ptrdiff_t points, int scalar_bytes);

struct Root {
  double re, im;
};
// exp(-2πi j/n) for j >= 0 and n a power of two from 4, within 3 units of rounding: from angles up
// to π/4, which err by little.
Root root_of_unity(ptrdiff_t j, ptrdiff_t n);

// Which frequency a forward transform leaves at a position.
ptrdiff_t frequency_at(const Stages& stages, ptrdiff_t position);

// The transforms of the level in use for a floating or complex type.
const LaneSet& lane_set_of(ElementType type);

}  // namespace fastconv
