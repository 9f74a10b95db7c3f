// The virtually extended input: reading it where it is needed, never storing it whole.
#pragma once
#include <stddef.h>

#include "job.hpp"

namespace fastconv {

enum { MAX_AXES = 64 };

// Where index i of the extended axis lies in the stored axis of n elements; -1 where the value is
// the fill. n > 0.
ptrdiff_t map_index(ptrdiff_t i, ptrdiff_t n, Boundary boundary);

struct GatherAxis {
  ptrdiff_t x_extent;
  ptrdiff_t x_stride;    // bytes
  ptrdiff_t start;       // index into the extended axis of the first element wanted
  ptrdiff_t count;       // elements wanted
  ptrdiff_t out_stride;  // bytes
};

// Copies a block of the extended input: out[i] = x̃[start + i] along each axis.
// A unit is `unit_bytes` of contiguous bytes (an element, or several that move together); the
// innermost axis must be contiguous in `out`. `fill` points to one unit, or is null for zero bytes.
// x and out may not overlap; x may have any strides.
void gather(const char* x, char* out, const GatherAxis* axes, int axis_count, ptrdiff_t unit_bytes,
            Boundary boundary, const char* fill);

}  // namespace fastconv
