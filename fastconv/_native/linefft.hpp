// Overlap-save along one axis, many blocks side by side in the lanes.
#pragma once
#include "boundary.hpp"
#include "direct.hpp"
#include "job.hpp"
#include "overlap.hpp"

namespace fastconv {

// Blocks of `points` points (a power of two from 64 to 2^40), of which `skip` outputs at the start
// are wrapped; skip is a multiple of the lanes and at least taps - 1.
struct LineFft {
  ElementType type;  // FLOAT32, FLOAT64, COMPLEX64 or COMPLEX128
  ptrdiff_t points;
  ptrdiff_t skip;
};

// Points that a plane of this type holds side by side; 0 where there is no kernel.
int line_fft_lanes(ElementType type);

// The kernel's spectrum in the transforms' own order, with the factor 1/points: 2 * points scalars.
// w holds `taps` contiguous elements of the type.
Status line_fft_spectrum(const LineFft& fft, const char* w, ptrdiff_t taps, void* spectrum);

// Blocks that a correlation is cut into, numbered along the lines.
ptrdiff_t line_fft_count(const LineFft& fft, const Correlation& correlation);

// out[p] = Σ_k w[k] · x̃[p + offset + k] along axes[axis_count - 1]; the other axes are batches
// (one tap, no offset). Taps and w's strides in the axes are used for their count alone.
Status line_fft_correlate(const LineFft& fft, const Correlation& correlation, const void* spectrum,
                          const BlockRun& run, int threads);

}  // namespace fastconv
