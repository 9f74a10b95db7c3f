// Which tiles take the least time.
#pragma once
#include "tilefft.hpp"

namespace fastconv {

// A correlation along two or three axes: outputs and taps along each, and how many of it there are.
struct TileTask {
  int axes;
  ptrdiff_t out[MAX_TILE_AXES];
  ptrdiff_t taps[MAX_TILE_AXES];
  ptrdiff_t others;
  ptrdiff_t lanes;         // steps along the last axis are whole vectors where they can be
  ptrdiff_t scalar_bytes;  // of the transforms
  ptrdiff_t most_points;   // of a tile
};

// A pair of tiles of no more bytes than this keeps this share of the rate.
struct TileLevel {
  ptrdiff_t bytes;
  double share;
};

enum { MAX_TILE_LEVELS = 8 };

// Seconds of a flop, of a line that is copied and of the forks of one pair, and what cores give.
struct TileCosts {
  double flop, line, forks;
  int cores;
  double speedup;  // of all cores on one pair
  int level_count;
  TileLevel levels[MAX_TILE_LEVELS];
};

// How the axes are cut, and the work of one pair of tiles; flops count the rate that is lost.
struct TileCut {
  ptrdiff_t points[MAX_TILE_AXES];
  ptrdiff_t step[MAX_TILE_AXES];
  ptrdiff_t pairs;
  double flops, lines;
};

// False where no tile fits. Costs under a microsecond for images.
bool cheapest_tiles(const TileTask& task, const TileCosts& costs, TileCut* best);

}  // namespace fastconv
