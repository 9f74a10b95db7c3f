// Filters in passes over blocks that stay in the cache: separable kernels, box sums, data of one
// type filtered in another, and sums that are cut to integers.
#pragma once
#include "direct.hpp"
#include "job.hpp"

namespace fastconv {

enum class PassKind : int {
  tile,     // register tiles, as `correlate`
  ordered,  // sums in the order of the taps, not fused: bits that do not depend on the machine
  box,      // sums of 1, 2, 4 … neighbours, made from each other; the mean of them
  running   // the mean of neighbours by a sum that runs along whole lines, in double: SciPy's bits
};

enum { MAX_TERMS = 4, ALL_AXES = -1 };

// One pass: along one axis, or by a kernel over all of them.
//
// Several terms are products of lines that are added: the first pass makes as many results as there
// are terms, the last one sums them.
struct BlockPass {
  PassKind kind;
  int axis;
  const char* taps[MAX_TERMS];  // contiguous, of the computation's type
};

// As a Correlation, but x and out have types of their own, and the kernel comes in passes.
struct BlockFilter {
  ElementType type;  // of the computation: FLOAT32 or FLOAT64
  StorageType x_type, out_type;
  bool cut;         // every pass gives numbers of out's type: cut toward zero, wrapped around
  bool skip_zeros;  // as a Correlation's
  bool refill;      // every pass meets the fill beyond its edge, not what earlier ones made of it
  int axis_count;
  CorrelationAxis axes[MAX_AXES];  // `taps` counts each axis' taps; w_stride is not used
  const char* x;
  char* out;
  Boundary boundary;
  const char* fill;  // one element of the computation's type, or null for zero
  int terms;
  int pass_count;
  BlockPass passes[MAX_AXES];
};

// Every extent and tap count is positive; `out` does not overlap x. An axis with more than one tap
// has a pass, unless the only pass is over all axes.
Status filter_blocks(const BlockFilter& filter, int threads);

}  // namespace fastconv
