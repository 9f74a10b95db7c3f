// How well a template matches each window of an image: what is done before and after the
// correlation of the two.
#pragma once
#include "direct.hpp"
#include "job.hpp"

namespace fastconv {

enum { MATCH_AXES = 3 };

// An image (its first axis has one element) or a volume; strides in bytes.
struct MatchImage {
  ElementType type;    // of the computation: FLOAT32 or FLOAT64
  StorageType stored;  // of the pixels
  ptrdiff_t extents[MATCH_AXES], strides[MATCH_AXES];
  const char* x;
};

// Sums of the finite pixels.
Status look_at_image(const MatchImage& image, int threads, PixelSums* sums);

// out = (x - centre) · scale, contiguous and of the computation's type; NaN and Inf become zero.
// `squares` is the sum of their squares.
Status centre_image(const MatchImage& image, double centre, double scale, char* out, int threads,
                    double* squares);

// The windows of a match: window p reads x̃[p + offset + k] for k < taps.
struct Match {
  MatchImage image;
  ptrdiff_t taps[MATCH_AXES], out[MATCH_AXES], offset[MATCH_AXES];
  Boundary boundary;
  const char* fill;  // one scalar of the computation's type, or null for zero
  double scale;      // of the pixels, a power of two
  double centre;     // of the numerators
  double level;      // from which pixels are counted in their sums
  MatchFactors factors;
};

// Outputs that are computed together, along each axis; they depend on extents alone.
void match_tile(const Match& match, ptrdiff_t* tile);

// Turns the numerators in `out`, contiguous, into the measure. For every tile, in order, `unsure`
// receives the number of results that its sums, or the numerators, may have spoiled.
Status finish_match(const Match& match, char* out, int threads, ptrdiff_t* unsure);

}  // namespace fastconv
