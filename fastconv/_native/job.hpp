// The description of one direct correlation, shared by the driver (compiled once) and the tile
// kernels (compiled once per ISA level).
//
// Plain data only: this header holds no code, so that no inline function can be shared between
// levels (the linker would keep one copy, perhaps the AVX-512 one, for every level).
#pragma once
#include <stddef.h>

namespace fastconv {

// What the input holds beyond its edge; the numbers are those of fastconv._problem.Boundary.
enum class Boundary : int { zero, constant, reflect, mirror, nearest, wrap };

// Element types by arithmetic: signed and unsigned integers of a width share a wrapping kernel.
enum ElementType : int {
  BOOLEAN,
  INT8,
  INT16,
  INT32,
  INT64,
  FLOAT32,
  FLOAT64,
  LONGDOUBLE,
  COMPLEX64,
  COMPLEX128,
  CLONGDOUBLE,
  ELEMENT_TYPES
};

// A group of taps that is held in registers together: `rows` taps that lie one pitch apart, for
// each of `columns` steps along a line. Weights are packed [column][row][part].
struct Group {
  const void* weights;
  ptrdiff_t offset[2];  // bytes from the tile's first input element: in x, and in gathered scratch
  ptrdiff_t columns;
  int rows;
};
enum Layout : int { IN_X, IN_SCRATCH };

// Computes one tile of outputs from all groups. Pitches and the tap step are in bytes.
// `x` and `out` are aligned to the scalar and do not alias; every load and store of the tile is
// inside the arrays (the driver sends edges through scratch), so kernels have no tails.
using TileFunction = void (*)(const Group* groups, ptrdiff_t group_count, Layout layout,
                              const char* x, ptrdiff_t x_pitch, ptrdiff_t step, char* out,
                              ptrdiff_t out_pitch);

// rows × vectors of accumulators.
struct TileShape {
  int rows;
  int vectors;
  TileFunction function;
};

enum { MAX_SHAPES = 4 };

// Tile kernels of one element type at one level: `image` shapes reuse rows of an image (largest
// first, one for every power of two down to a single row); `line` shapes lay their rows end to end
// along one line, so that taps a whole vector apart share loads.
struct TileSet {
  int scalar_bytes;
  int parts;         // 2 for complex: real and imaginary scalars lie interleaved
  int vector_bytes;  // 0 where the level has no kernel of its own
  int group_rows;    // the most rows a Group may have
  TileShape image[MAX_SHAPES];
  TileShape line[MAX_SHAPES];
};

// Element-wise passes that the FFT method needs between its transforms.
struct SpectrumSet {
  // a[r][i] *= b[i] for r < rows: interleaved complex arrays.
  void (*multiply_f32)(float* a, const float* b, ptrdiff_t rows, ptrdiff_t count);
  void (*multiply_f64)(double* a, const double* b, ptrdiff_t rows, ptrdiff_t count);
  // Whether no scalar is NaN or Inf.
  bool (*all_finite_f32)(const float* a, ptrdiff_t count);
  bool (*all_finite_f64)(const double* a, ptrdiff_t count);
  // Replaces NaN and Inf by zero; returns how many there were.
  ptrdiff_t (*zero_nonfinite_f32)(float* a, ptrdiff_t count);
  ptrdiff_t (*zero_nonfinite_f64)(double* a, ptrdiff_t count);
};

// One stage of a transform: sub-blocks of `points` points, split `radix` ways (4 or 8).
struct LaneStage {
  int radix;
  ptrdiff_t points;
  const void* twiddles;  // W^(j·k) as (re, im) for j < points / radix, k = 1 … radix - 1
};

// Transforms of many blocks side by side, one in each lane: see lanefft.hpp. Planes are aligned to
// the vector and hold plane[point][lane]; lines are the blocks as they lie in memory.
struct LaneSet {
  int lanes;
  int scalar_bytes;
  void (*forward)(const LaneStage* stages, int count, void* re, void* im);
  void (*inverse)(const LaneStage* stages, int count, void* re, void* im);
  void (*multiply)(const void* spectrum, ptrdiff_t points, void* re, void* im);
  void (*load_real)(const char* const* lines, ptrdiff_t points, void* plane);
  void (*store_real)(const void* plane, ptrdiff_t first, ptrdiff_t points, char* const* lines);
  void (*load_complex)(const char* const* lines, ptrdiff_t points, void* re, void* im);
  void (*store_complex)(const void* re, const void* im, ptrdiff_t first, ptrdiff_t points,
                        char* const* lines);
};

struct Level {
  const char* name;
  TileSet tiles[ELEMENT_TYPES];
  SpectrumSet spectrum;
  LaneSet lanes_f32;
  LaneSet lanes_f64;
};

}  // namespace fastconv
