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
  // The nearest integers of numbers below 2^51.
  void (*round_f64)(const double* a, ptrdiff_t count, long long* integers);
};

// How an array holds its elements, where that differs from the type of the computation.
enum StorageType : int {
  STORED_BOOL,
  STORED_INT8,
  STORED_UINT8,
  STORED_INT16,
  STORED_UINT16,
  STORED_INT32,
  STORED_UINT32,
  STORED_INT64,
  STORED_UINT64,
  STORED_FLOAT32,
  STORED_FLOAT64,
  STORAGE_TYPES
};

// Lines of one stored type to and from float or double: see convert.hpp.
struct Conversion {
  void (*load)(const char* x, ptrdiff_t stride, char* line, ptrdiff_t count);
  void (*store)(const char* line, char* out, ptrdiff_t stride, ptrdiff_t count);
  void (*cut)(char* line, ptrdiff_t count);  // as a store and a load would
};

// Symmetric taps share a product: w · (x[-k] + x[k]), or w · (x[-k] - x[k]).
enum class Fold : int { none, sum, difference };
enum { FOLDS = 3 };

struct OrderedTap {
  ptrdiff_t first, second;  // bytes from the output's first datum; `second` where it is folded
  double weight;
};

// Sums of neighbouring rows: see passes.hpp. Pitches are in bytes.
struct SumRows {
  ptrdiff_t taps, rows, boundary;
  double scale;  // of every datum
  ptrdiff_t x_pitch, out_pitch;
  char* ends;
};
enum { SUM_ROWS_VECTORS = 4 };

// Passes over whole lines of a block: see passes.hpp.
struct PassSet {
  void (*ordered[FOLDS])(const OrderedTap* taps, ptrdiff_t count, const char* x, char* out,
                         ptrdiff_t vectors);
  void (*sum_rows)(const SumRows& s, const char* x, char* out, ptrdiff_t vectors);
  void (*add_scaled)(const char* a, double a_scale, const char* b, double b_scale, char* out,
                     ptrdiff_t bytes);
  void (*divide)(char* a, double divisor, ptrdiff_t bytes);
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
  // For tiles of several axes; steps in bytes.
  void (*copy_vectors)(const char* from, ptrdiff_t from_step, char* to, ptrdiff_t to_step,
                       ptrdiff_t count);
  void (*transpose_blocks)(const char* from, ptrdiff_t from_step, char* to, ptrdiff_t to_step,
                           ptrdiff_t count);
  void (*multiply_points)(const void* spectrum, ptrdiff_t points, void* re, void* im);
  void (*multiply_conjugates)(const void* spectrum, ptrdiff_t points, void* re, void* im);
  // For one line as re + i·im of its two halves: vectors times one complex number.
  void (*load_turned)(const char* first, const char* second, double turn_re, double turn_im,
                      char* re, char* im, ptrdiff_t step, ptrdiff_t count);
  void (*store_turned)(const char* re, const char* im, ptrdiff_t step, double turn_re,
                       double turn_im, char* first, char* second, ptrdiff_t count);
  // What bounds and judges rounding errors: sums[lane] += Σ x²; and the least, over blocks of
  // PEAK_BLOCK neighbours, of the largest |x| of a block, or NaN where any is not finite.
  void (*add_squares)(const void* plane, ptrdiff_t points, void* sums);
  double (*least_peak)(const void* line, ptrdiff_t count);
};
enum { PEAK_BLOCK = 32 };

// Where one step of a sum of products reads its factors: bytes from the tile's first ones.
struct ProductStep {
  ptrdiff_t a, b;
};

enum { MAX_PRODUCT_ROWS = 12, MAX_PRODUCT_VECTORS = 4 };

// Tiles of sums of products: see products.hpp.
using ProductFunction = void (*)(const ProductStep* steps, ptrdiff_t count, const char* a,
                                 ptrdiff_t a_pitch, const char* b, ptrdiff_t b_pitch, char* c,
                                 ptrdiff_t c_pitch, ptrdiff_t c_vector, const char* start,
                                 bool add);

enum { MAX_DOT_OUTPUTS = 8 };

// Dot products of rows: see dot.hpp.
using DotFunction = void (*)(const char* a, ptrdiff_t a_pitch, const char* b, ptrdiff_t b_pitch,
                             ptrdiff_t rows, ptrdiff_t count, char* sums);
struct DotSet {
  DotFunction function[MAX_DOT_OUTPUTS];  // for outputs less one
};
struct ProductSet {
  int scalar_bytes;
  int vector_bytes;
  int rows;                           // of the largest tile
  int vectors[MAX_PRODUCT_ROWS + 1];  // of the widest tile of so many rows
  void (*pack)(const char* x, ptrdiff_t row_pitch, ptrdiff_t rows, ptrdiff_t row_bytes, char* panel,
               ptrdiff_t panel_pitch);
  // For rows and vectors less one; null beyond what registers hold.
  ProductFunction function[MAX_PRODUCT_ROWS][MAX_PRODUCT_VECTORS];
};

// Tiles of 3 × 3 kernels: see winograd.hpp.
struct WinogradSet {
  void (*weights)(const char* const* taps, ptrdiff_t count, char* const* transformed);
  void (*data)(const char* x, const ptrdiff_t* places, ptrdiff_t tiles, char* transformed,
               ptrdiff_t pitch);
  bool (*outputs)(const char* products, ptrdiff_t pitch, ptrdiff_t tiles, char* first,
                  char* second);
};

// How well a template matches; the numbers are those of fastconv.template.
enum class Measure : int { sqdiff, sqdiff_normed, ccorr, ccorr_normed, ccoeff, ccoeff_normed };

// What sums over windows and the template are joined by: see template_sums.hpp.
struct MatchFactors {
  Measure measure;
  double pixels;         // of a window
  double tilt, offset;   // the sum of the normalised template; its pixels' level in the numerator
  double level, around;  // what was subtracted from every pixel, and how near to it zero is seen
  double of_product, of_mean, of_all;
  double mean, norm;           // of the template, scaled as the pixels
  double empty;                // the result where a denominator is zero
  double flat, unsure, floor;  // shares of a sum of squares, and a sum of squares
};

// Of finite pixels.
struct PixelSums {
  double sum, least, most;
  ptrdiff_t count;
};

// Passes over rows of an image and over sums of their pixels: see template_sums.hpp.
struct TemplateSet {
  int lanes;  // rows that go side by side
  void (*look)(const char* row, ptrdiff_t count, PixelSums* sums);
  double (*centre)(const char* row, ptrdiff_t count, double centre, double scale, char* out);
  void (*columns)(const char* const* rows, ptrdiff_t count, double scale, double level,
                  double* columns);
  void (*sum_columns)(const double* columns, ptrdiff_t outputs, ptrdiff_t taps, double* ends,
                      double* sums, double* squares);
  void (*slide_rows)(const double* columns, int first, int last, double* begin,
                     double* const* slots, const double* const* ends, double* const* sums,
                     ptrdiff_t count);
  void (*slide_line)(const double* line, double* begin, double* slot, const double* end,
                     double* sums, ptrdiff_t count);
  void (*add_up)(double* slots, ptrdiff_t pitch, ptrdiff_t taps, ptrdiff_t count);
  ptrdiff_t (*finish)(const double* sums, const double* squares, ptrdiff_t count,
                      const MatchFactors& factors, char* out);
};
enum { MAX_SUM_LANES = 8 };

struct Level {
  const char* name;
  TileSet tiles[ELEMENT_TYPES];
  SpectrumSet spectrum;
  LaneSet lanes_f32;
  LaneSet lanes_f64;
  PassSet passes_f32;
  PassSet passes_f64;
  ProductSet products_f32;
  ProductSet products_f64;
  DotSet dots_f32;
  DotSet dots_f64;
  WinogradSet winograd_f32;
  WinogradSet winograd_f64;
  Conversion convert_f32[STORAGE_TYPES];
  Conversion convert_f64[STORAGE_TYPES];
  TemplateSet templates_f32;
  TemplateSet templates_f64;
};

}  // namespace fastconv
