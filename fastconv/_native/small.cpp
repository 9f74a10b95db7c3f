#include "small.hpp"

#include <math.h>
#include <string.h>

#include "dispatch.hpp"
#include "scratch.hpp"
#include "sizes.hpp"
#include "taps.hpp"

namespace fastconv {
namespace {

constexpr ptrdiff_t line_window_bytes = 8 << 10;
constexpr ptrdiff_t image_window_bytes = 96 << 10;
constexpr ptrdiff_t weight_bytes = 4 << 10;
constexpr int group_limit = 256;
// The widest tile of any level: rows times bytes of vectors.
constexpr ptrdiff_t tile_bytes = 16 * 4 * cache_line;

template <class Scalar>
bool finite(const char* p, int parts) {
  for (int part = 0; part < parts; part++) {
    Scalar value;
    memcpy(&value, p + part * ptrdiff_t(sizeof value), sizeof value);
    if (!isfinite(value)) return false;
  }
  return true;
}

// Whether every tap is, from axis on.
bool finite_taps(const Correlation& c, int parts, const char* w, int axis) {
  if (axis == c.axis_count) {
    const bool single = c.type == FLOAT32 || c.type == COMPLEX64;
    return single ? finite<float>(w, parts) : finite<double>(w, parts);
  }
  for (ptrdiff_t k = 0; k < c.axes[axis].taps; k++)
    if (!finite_taps(c, parts, w + k * c.axes[axis].w_stride, axis + 1)) return false;
  return true;
}

bool is_floating(ElementType type) {
  return type == FLOAT32 || type == FLOAT64 || type == COMPLEX64 || type == COMPLEX128;
}

// Groups and their packed weights, on the stack.
struct Packed {
  alignas(cache_line) char weights[weight_bytes];
  Group groups[group_limit];
  int count = 0;
  char* end = weights;

  // False where there is no more room.
  template <class Tap>
  bool add(const Correlation& c, ptrdiff_t element, ptrdiff_t offset, ptrdiff_t row_pitch,
           ptrdiff_t row, ptrdiff_t column, ptrdiff_t rows, ptrdiff_t columns, Tap tap) {
    bool fits = true;
    const auto emit = [&](ptrdiff_t r0, ptrdiff_t k0, ptrdiff_t r_count, ptrdiff_t k_count) {
      fits = fits && count < group_limit;
      if (!fits) return;
      groups[count++] = {end, {0, offset + r0 * row_pitch + k0 * element}, k_count, int(r_count)};
      for (ptrdiff_t k = k0; k < k0 + k_count; k++)
        for (ptrdiff_t r = r0; r < r0 + r_count; r++, end += element)
          memcpy(end, tap(r, k), size_t(element));
    };
    const auto zero = [&](ptrdiff_t r, ptrdiff_t k) { return is_zero_tap(c.type, tap(r, k)); };
    if (c.skip_zeros)
      split_nonzero(row, column, rows, columns, zero, emit);
    else
      emit(row, column, rows, columns);
    return fits;
  }
};

// Packs a line of taps that reads its data from `offset` on. False where there is no more room.
bool add_line(Packed& packed, const TileSet& set, const Correlation& c, const char* w,
              ptrdiff_t offset) {
  const CorrelationAxis& line = c.axes[c.axis_count - 1];
  const ptrdiff_t element = set.scalar_bytes * set.parts, vector = set.vector_bytes;
  const ptrdiff_t per_vector = vector / element;
  bool fits = true;
  split_line(line.taps, per_vector, set.group_rows,
             [&](ptrdiff_t row, ptrdiff_t column, ptrdiff_t rows, ptrdiff_t columns) {
               fits = fits && packed.add(c, element, offset, vector, row, column, rows, columns,
                                         [&](ptrdiff_t r, ptrdiff_t k) {
                                           return w + (r * per_vector + k) * line.w_stride;
                                         });
             });
  return fits;
}

// Sums one line of the output from its window, behind which a vector may be read.
void sum_line(const Packed& packed, const TileSet& set, const char* x, char* out,
              ptrdiff_t out_bytes) {
  const ptrdiff_t element = set.scalar_bytes * set.parts, vector = set.vector_bytes;
  ptrdiff_t at = 0;
  for (int s = 0; s < MAX_SHAPES && set.line[s].function; s++) {
    const TileShape& shape = set.line[s];
    const ptrdiff_t width = shape.rows * vector;
    for (; out_bytes - at >= width; at += width)
      shape.function(packed.groups, packed.count, IN_SCRATCH, x + at, vector, element, out + at,
                     vector);
    if (width == vector && at < out_bytes) {
      alignas(cache_line) char tile[cache_line];
      shape.function(packed.groups, packed.count, IN_SCRATCH, x + at, vector, element, tile,
                     vector);
      memcpy(out + at, tile, size_t(out_bytes - at));
    }
  }
}

bool correlate_line(const TileSet& set, const Correlation& c) {
  const CorrelationAxis& line = c.axes[0];
  const ptrdiff_t element = set.scalar_bytes * set.parts;
  const ptrdiff_t window = line.out_extent + line.taps - 1;
  alignas(cache_line) char input[line_window_bytes];
  Packed packed;
  if (!add_line(packed, set, c, c.w, 0)) return false;
  const GatherAxis axis = {line.x_extent, line.x_stride, line.offset, window, element};
  gather(c.x, input, &axis, 1, element, c.boundary, c.fill);
  memset(input + window * element, 0, size_t(set.vector_bytes));
  sum_line(packed, set, input, c.out, line.out_extent * element);
  return true;
}

// Whether the tiles of images give the general driver's bits: it takes them, or its groups of a
// line are theirs. Else it sums lines.
bool takes_image_tiles(const TileSet& set, const Correlation& c) {
  const CorrelationAxis &rows = c.axes[0], &columns = c.axes[1];
  const ptrdiff_t per_vector = set.vector_bytes / (set.scalar_bytes * set.parts);
  const ptrdiff_t line_rows = ceil_div(columns.taps, per_vector);
  return rows.taps >= line_rows && (rows.taps == 1 || rows.out_extent > 1);
}

bool correlate_image(const TileSet& set, const Correlation& c) {
  const CorrelationAxis &rows = c.axes[0], &columns = c.axes[1];
  const ptrdiff_t element = set.scalar_bytes * set.parts;
  const ptrdiff_t tile = set.image[0].vectors * ptrdiff_t(set.vector_bytes);
  const ptrdiff_t width = columns.out_extent * element;
  const ptrdiff_t window_rows = rows.out_extent + rows.taps - 1;
  const ptrdiff_t window_columns = columns.out_extent + columns.taps - 1;
  const ptrdiff_t pitch = round_up(window_columns * element, cache_line) + cache_line;
  const bool image = takes_image_tiles(set, c);
  Packed packed;
  bool fits = true;
  if (image) {
    split_taps(rows.taps, 0, columns.taps, set.group_rows,
               [&](ptrdiff_t row, ptrdiff_t column, ptrdiff_t row_count, ptrdiff_t column_count) {
                 fits = fits && packed.add(c, element, 0, pitch, row, column, row_count,
                                           column_count, [&](ptrdiff_t r, ptrdiff_t k) {
                                             return c.w + r * rows.w_stride + k * columns.w_stride;
                                           });
               });
  } else {
    for (ptrdiff_t r = 0; r < rows.taps; r++)
      fits = fits && add_line(packed, set, c, c.w + r * rows.w_stride, r * pitch);
  }
  if (!fits) return false;
  char* window = take_scratch(window_rows * pitch + tile + tile_bytes);
  if (!window) return false;
  char* spare = window + window_rows * pitch + tile;
  const GatherAxis axes[2] = {
      {rows.x_extent, rows.x_stride, rows.offset, window_rows, pitch},
      {columns.x_extent, columns.x_stride, columns.offset, window_columns, element}};
  gather(c.x, window, axes, 2, element, c.boundary, c.fill);
  // Kernels read whole tiles of columns: what lies beyond a row's end should be ordinary numbers.
  for (ptrdiff_t r = 0; r < window_rows; r++)
    memset(window + r * pitch + window_columns * element, 0,
           size_t(pitch - window_columns * element));
  ptrdiff_t row = 0;
  for (; !image && row < rows.out_extent; row++)
    sum_line(packed, set, window + row * pitch, c.out + row * rows.out_stride, width);
  for (int s = 0; row < rows.out_extent; s++) {
    const TileShape& shape = set.image[s];
    for (; rows.out_extent - row >= shape.rows; row += shape.rows) {
      const char* x = window + row * pitch;
      char* out = c.out + row * rows.out_stride;
      ptrdiff_t at = 0;
      for (; width - at >= tile; at += tile)
        shape.function(packed.groups, packed.count, IN_SCRATCH, x + at, pitch, element, out + at,
                       rows.out_stride);
      if (at == width) continue;
      shape.function(packed.groups, packed.count, IN_SCRATCH, x + at, pitch, element, spare, tile);
      for (ptrdiff_t r = 0; r < shape.rows; r++)
        memcpy(out + r * rows.out_stride + at, spare + r * tile, size_t(width - at));
    }
  }
  give_scratch_back(window);
  return true;
}

}  // namespace

bool finite_beyond_edges(const Correlation& c) {
  if (c.boundary != Boundary::zero || !is_floating(c.type)) return true;
  const int parts = c.type == COMPLEX64 || c.type == COMPLEX128 ? 2 : 1;
  return finite_taps(c, parts, c.w, 0);
}

bool correlate_small(const Correlation& c) {
  const TileSet* set = tile_set_of(c.type);
  if (!set || set->scalar_bytes > 8) return false;
  const ptrdiff_t element = set->scalar_bytes * set->parts;
  const CorrelationAxis& last = c.axes[c.axis_count - 1];
  const ptrdiff_t columns = (last.out_extent + last.taps) * element + 4 * cache_line;
  const bool contiguous = last.x_stride == element && last.out_stride == element;
  if (contiguous && c.axis_count == 1 && columns <= line_window_bytes &&
      last.taps * element <= weight_bytes && correlate_line(*set, c))
    return true;
  // Columns that are not convolved may become one with their row in the general driver.
  if (contiguous && c.axis_count == 2 && (last.taps > 1 || c.axes[0].taps == 1) &&
      columns * (c.axes[0].out_extent + c.axes[0].taps) <= image_window_bytes &&
      c.axes[0].taps * last.taps * element <= weight_bytes && correlate_image(*set, c))
    return true;
  return correlate(c, 1) == Status::ok;
}

}  // namespace fastconv
