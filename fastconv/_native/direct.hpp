// Direct correlation of N-D arrays with any strides and boundary: the driver of the tile kernels.
#pragma once
#include "boundary.hpp"
#include "job.hpp"

namespace fastconv {

// One axis of  y[p] = Σ_k w[k] · x̃[p + offset + k];  strides in bytes.
struct CorrelationAxis {
  ptrdiff_t x_extent;
  ptrdiff_t x_stride;
  ptrdiff_t taps;
  ptrdiff_t w_stride;
  ptrdiff_t out_extent;
  ptrdiff_t out_stride;
  ptrdiff_t offset;
};

struct Correlation {
  ElementType type;
  int axis_count;
  CorrelationAxis axes[MAX_AXES];
  const char* x;
  const char* w;
  char* out;
  Boundary boundary;
  const char* fill;  // one element, or null for zero
  // A tap that is zero is no tap: it does not make a NaN of the NaN or Inf that it meets. For
  // FLOAT32 and FLOAT64.
  bool skip_zeros = false;
};

enum class Status { ok, no_memory, unsupported_type, workspace, not_finite };

// Every extent and tap count is positive; `out` overlaps neither x nor w.
Status correlate(const Correlation& correlation, int threads);

}  // namespace fastconv
