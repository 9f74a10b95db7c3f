// Overlap-save along one axis by blocks too long for one lane each: the four-step transform.
//
// A real block of 2M points is taken as M complex ones, z_n = x_n + i·x_{n+M}, and convolved modulo
// t^M - i: that is, with the sign of what wraps around turned, the real convolution modulo
// t^{2M} + 1. Turned by ω^n, ω = exp(iπ/2M), it is a cyclic one [1]. The M points lie in rows of C:
// transforms along the columns, a multiplication by the twiddles, transforms along the rows [2], of
// which neither needs any order.
//
// [1] H. J. Nussbaumer, "Fast Fourier Transform and Convolution Algorithms", section 4.
// [2] D. H. Bailey, "FFTs in external or hierarchical memory", J. Supercomputing 4 (1990).
#pragma once
#include "boundary.hpp"
#include "direct.hpp"
#include "job.hpp"
#include "overlap.hpp"

namespace fastconv {

enum { MIN_LOG2_FOUR_STEP = 10, MAX_LOG2_FOUR_STEP = 20 };

// Blocks of `points` real points, a power of two from 2^10 to 2^20, of which `step` are outputs.
struct FourStep {
  ElementType type;  // FLOAT32 or FLOAT64
  ptrdiff_t points, step;
};

// Bytes that a block takes, and each further thread that works on the same block.
void four_step_scratch(const FourStep& fft, ptrdiff_t* block, ptrdiff_t* thread);

// The kernel's spectrum in the block's own order: a scalar for each point. w holds `taps`
// contiguous elements.
Status four_step_spectrum(const FourStep& fft, const char* w, ptrdiff_t taps, void* spectrum);

// Blocks that a correlation is cut into, numbered along the lines.
ptrdiff_t four_step_count(const FourStep& fft, const Correlation& correlation);

// out[p] = Σ_k w[k] · x̃[p + offset + k] along axes[axis_count - 1]; the other axes are batches
// (one tap, no offset). step + taps - 1 is at most the points; w's strides are not used. Threads
// work on blocks of their own where `apart`, else on each block together.
Status four_step_correlate(const FourStep& fft, const Correlation& correlation,
                           const void* spectrum, const BlockRun& run, bool apart, int threads);

}  // namespace fastconv
