// Overlap-save along two or three axes, by tiles whose transforms go across the lanes.
#pragma once
#include "boundary.hpp"
#include "direct.hpp"
#include "job.hpp"
#include "overlap.hpp"

namespace fastconv {

enum { MAX_TILE_AXES = 3 };

// Tiles of points[0] × … points: powers of two from 16 to 4096, the last at least the lanes; steps
// outputs of each, the last tiles give what is left.
struct TileFft {
  ElementType type;  // FLOAT32 or FLOAT64
  int axes;          // 2 or 3
  ptrdiff_t points[MAX_TILE_AXES];
  ptrdiff_t step[MAX_TILE_AXES];
};

// Bytes that a pair of tiles takes, and each further thread that works on the same pair.
void tile_fft_scratch(const TileFft& fft, ptrdiff_t* block, ptrdiff_t* thread);

// The kernel's spectrum in the tile's own order, with the factor 1/points: 2 scalars for each
// point. w is contiguous, with `taps` along each axis.
Status tile_fft_spectrum(const TileFft& fft, const char* w, const ptrdiff_t* taps, void* spectrum);

// Tiles that a correlation is cut into, numbered with the last axis first.
ptrdiff_t tile_fft_count(const TileFft& fft, const Correlation& correlation);

// out[p] = Σ_k w[k] · x̃[p + offset + k] along the last `fft.axes` axes; the others are batches (one
// tap, no offset). A step and its taps fit the points; w's strides are not used. Threads work on
// pairs of their own where `apart`, else on each pair together.
Status tile_fft_correlate(const TileFft& fft, const Correlation& correlation, const void* spectrum,
                          const BlockRun& run, bool apart, int threads);

}  // namespace fastconv
