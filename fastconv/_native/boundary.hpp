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

// What a gather moves together: an element, or several that are contiguous.
struct Unit {
  ptrdiff_t x_bytes, out_bytes;
  // Turns `elements` elements of x into those of out; null where both are the same bytes.
  const Conversion* convert;
  ptrdiff_t elements;
};

// Copies a block of the extended input: out[i] = x̃[start + i] along each axis.
// The innermost axis must be contiguous in `out`. `fill` points to one unit of out, or is null for
// zero bytes. x and out may not overlap; x may have any strides.
void gather(const char* x, char* out, const GatherAxis* axes, int axis_count, const Unit& unit,
            Boundary boundary, const char* fill);

// The same for units of bytes that are copied as they are.
void gather(const char* x, char* out, const GatherAxis* axes, int axis_count, ptrdiff_t unit_bytes,
            Boundary boundary, const char* fill);

}  // namespace fastconv
