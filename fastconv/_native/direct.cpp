// Gives every axis a role, packs the taps into groups, and walks the output in tiles.
//
// Roles. `columns` is the contiguous axis: vectors lie along it. `rows` is the axis whose rows are
// reused in registers; where there is none, or where the line itself has more taps to share, the
// tiles lie along the line. All other axes are `outer`: their taps only add groups. An axis that is
// not convolved is an axis with one tap. A small contiguous axis behind the columns (the channels
// of a colour image) moves with them as one `unit`.
//
// Edges. A tile whose windows lie inside x reads x itself. Any other tile (at an edge, or where x
// has no unit stride or is not aligned) reads a block of the extended input that is gathered into
// the thread's scratch: the whole input is never padded nor copied.
#include "direct.hpp"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dispatch.hpp"
#include "region.hpp"
#include "sizes.hpp"
#include "taps.hpp"

namespace fastconv {
namespace {

// Bytes of input that a band of rows may touch before it is cut into blocks of columns: half of a
// common L2, so that the rows a band shares with the next are still there.
constexpr ptrdiff_t band_bytes = 512 << 10;
// Bytes of output in one block of a long line: input and output together stay in L1.
constexpr ptrdiff_t line_block_bytes = 16 << 10;
// Blocks that a thread should get at the least, so that a slow core can be evened out.
constexpr ptrdiff_t blocks_per_thread = 4;
// Bytes of output for which edges are gathered at once.
constexpr ptrdiff_t edge_piece_bytes = 4 << 10;
// Scratch of one thread beyond which the job is refused.
constexpr ptrdiff_t scratch_limit = 16 << 20;
// An axis of channels up to this many bytes moves with its pixel.
constexpr ptrdiff_t inner_bytes_limit = 128;

bool unconvolved(const CorrelationAxis& a) {
  return a.taps == 1 && a.offset == 0 && a.x_extent == a.out_extent;
}

constexpr CorrelationAxis single = {1, 0, 1, 0, 1, 0, 0};

class DirectJob {
 public:
  ~DirectJob() {
    free(groups_);
    free(weights_);
  }

  Status plan(const Correlation& c, int threads) {
    set_ = tile_set_of(c.type);
    if (!set_) return Status::unsupported_type;
    x_ = c.x;
    out_ = c.out;
    boundary_ = c.boundary;
    element_ = set_->scalar_bytes * set_->parts;
    assign_roles(c, false);
    cut(threads);
    if (scratch_bytes() > scratch_limit) {
      // Slower, as nothing is read in place, but the longest axis costs least as columns.
      assign_roles(c, true);
      cut(threads);
    }
    if (scratch_bytes() > scratch_limit) return Status::workspace;
    return pack(c);
  }

  ptrdiff_t items() const { return outer_items_ * bands_ * blocks_; }
  ptrdiff_t scratch_bytes() const { return edge_bytes_ + tile_bytes_; }

  void run(ptrdiff_t first, ptrdiff_t last, char* scratch) const {
    for (ptrdiff_t item = first; item < last; item++) run_item(item, scratch);
  }

 private:
  // --- planning ---------------------------------------------------------------------------------

  void assign_roles(const Correlation& c, bool longest_as_columns) {
    CorrelationAxis axes[MAX_AXES];
    int n = 0;
    for (int i = 0; i < c.axis_count; i++) {
      const CorrelationAxis& a = c.axes[i];
      if (unconvolved(a) && a.x_extent == 1) continue;
      // Neighbours that are not convolved and are contiguous in both arrays are one axis.
      if (n && unconvolved(a) && unconvolved(axes[n - 1]) &&
          axes[n - 1].x_stride == a.x_stride * a.x_extent &&
          axes[n - 1].out_stride == a.out_stride * a.out_extent) {
        const ptrdiff_t extent = axes[n - 1].x_extent * a.x_extent;
        axes[n - 1] = a;
        axes[n - 1].x_extent = axes[n - 1].out_extent = extent;
      } else {
        axes[n++] = a;
      }
    }
    if (n == 0) {
      axes[n] = single;
      axes[n].x_stride = axes[n].out_stride = element_;
      n++;
    }
    if (longest_as_columns)
      move_longest_last(axes, n);
    else
      move_contiguous_last(axes, n);

    unit_ = element_;
    const CorrelationAxis& last = axes[n - 1];
    if (n > 1 && unconvolved(last) && last.x_stride == element_ && last.out_stride == element_ &&
        last.x_extent * element_ <= inner_bytes_limit && !unconvolved(axes[n - 2]) &&
        axes[n - 2].x_stride == last.x_extent * element_ &&
        axes[n - 2].out_stride == last.x_extent * element_) {
      unit_ = last.x_extent * element_;
      n--;
    }
    columns_ = axes[--n];

    int best = -1;
    for (int i = 0; i < n; i++)
      if (axes[i].taps > 1 && axes[i].out_extent > 1 &&
          (best < 0 || axes[i].taps >= axes[best].taps))
        best = i;
    taps_per_vector_ = set_->vector_bytes % unit_ == 0 ? set_->vector_bytes / unit_ : 0;
    const ptrdiff_t line_rows = taps_per_vector_ ? ceil_div(columns_.taps, taps_per_vector_) : 1;
    image_ = best >= 0 && axes[best].taps >= line_rows;
    rows_ = image_ ? axes[best] : single;
    outer_count_ = 0;
    for (int i = 0; i < n; i++)
      if (!image_ || i != best) outer_[outer_count_++] = axes[i];

    const ptrdiff_t scalar = set_->scalar_bytes;
    const auto multiple = [&](ptrdiff_t stride) { return stride % scalar == 0; };
    x_direct_ = columns_.x_stride == unit_ && multiple(rows_.x_stride) &&
                reinterpret_cast<uintptr_t>(x_) % size_t(scalar) == 0;
    out_direct_ = columns_.out_stride == unit_ && multiple(rows_.out_stride) &&
                  reinterpret_cast<uintptr_t>(out_) % size_t(scalar) == 0;
    for (int i = 0; i < outer_count_; i++) {
      x_direct_ = x_direct_ && multiple(outer_[i].x_stride);
      out_direct_ = out_direct_ && multiple(outer_[i].out_stride);
    }
  }

  // Vectors want an axis that has unit stride in both arrays, or at least in the output.
  void move_contiguous_last(CorrelationAxis* axes, int n) const {
    int chosen = -1;
    for (int i = 0; i < n; i++) {
      if (axes[i].out_stride != element_) continue;
      if (chosen < 0 || axes[i].x_stride == element_) chosen = i;
    }
    if (chosen >= 0) move_last(axes, n, chosen);
  }

  static void move_longest_last(CorrelationAxis* axes, int n) {
    int longest = 0;
    for (int i = 1; i < n; i++)
      if (axes[i].taps > axes[longest].taps) longest = i;
    move_last(axes, n, longest);
  }

  static void move_last(CorrelationAxis* axes, int n, int chosen) {
    const CorrelationAxis moved = axes[chosen];
    for (int i = chosen; i + 1 < n; i++) axes[i] = axes[i + 1];
    axes[n - 1] = moved;
  }

  void cut(int threads) {
    shapes_ = image_ ? set_->image : set_->line;
    const ptrdiff_t widest = tile_width(shapes_[0]);
    line_bytes_ = columns_.out_extent * unit_;
    outer_items_ = 1;
    outer_taps_ = 1;
    for (int i = 0; i < outer_count_; i++) {
      outer_items_ *= outer_[i].out_extent;
      outer_taps_ *= outer_[i].taps;
    }
    band_rows_ = image_ ? shapes_[0].rows : 1;
    bands_ = ceil_div(rows_.out_extent, band_rows_);
    const ptrdiff_t band_input_rows = band_rows_ + rows_.taps - 1;
    if (image_) {
      block_bytes_ = max(round_up(band_bytes / band_input_rows, widest), 4 * widest);
    } else {
      // Only outer items: cut the line as long as there are too few of them.
      const ptrdiff_t wanted = ceil_div(blocks_per_thread * threads, outer_items_);
      block_bytes_ = min(line_block_bytes, ceil_div(line_bytes_, wanted));
      block_bytes_ = max(round_up(block_bytes_, widest), widest);
    }
    blocks_ = ceil_div(line_bytes_, block_bytes_);

    piece_bytes_ = round_up(min(edge_piece_bytes, round_up(line_bytes_, widest)), widest);
    const ptrdiff_t halo = (columns_.taps - 1) * unit_;
    edge_pitch_ = round_up(piece_bytes_ + 2 * unit_ + halo, cache_line) + cache_line;
    ptrdiff_t stride = edge_pitch_ * band_input_rows;
    for (int i = outer_count_ - 1; i >= 0; i--) {
      edge_strides_[i] = stride;
      stride *= outer_[i].taps;
    }
    edge_bytes_ = stride;
    tile_bytes_ = 0;
    for (int i = 0; i < MAX_SHAPES && shapes_[i].function; i++)
      tile_bytes_ = max(tile_bytes_, shapes_[i].rows * ptrdiff_t(shapes_[i].vectors));
    tile_bytes_ *= set_->vector_bytes;
  }

  Status pack(const Correlation& c) {
    // Count first, then allocate once.
    each_group(
        c, [&](const OuterTap&, ptrdiff_t, ptrdiff_t, ptrdiff_t, ptrdiff_t) { group_count_++; });
    const ptrdiff_t tap_count = outer_taps_ * rows_.taps * columns_.taps;
    groups_ = static_cast<Group*>(malloc(size_t(group_count_ + 1) * sizeof(Group)));
    weights_ = static_cast<char*>(malloc(size_t(tap_count * element_)));
    if (!groups_ || !weights_) return Status::no_memory;

    char* packed = weights_;
    Group* group = groups_;
    each_group(c, [&](const OuterTap& outer, ptrdiff_t row, ptrdiff_t column, ptrdiff_t rows,
                      ptrdiff_t columns) {
      const ptrdiff_t along = (row * row_pitch_taps() + column) * unit_;
      group->weights = packed;
      group->offset[IN_X] = outer.offset_x + along + (image_ ? row * rows_.x_stride : 0);
      group->offset[IN_SCRATCH] = outer.offset_edge + along + (image_ ? row * edge_pitch_ : 0);
      group->columns = columns;
      group->rows = int(rows);
      group++;
      for (ptrdiff_t k = column; k < column + columns; k++)
        for (ptrdiff_t r = row; r < row + rows; r++, packed += element_)
          memcpy(packed, tap(outer, r, k), size_t(element_));
    });

    if (c.fill) {
      for (ptrdiff_t b = 0; b < unit_; b += element_) memcpy(fill_ + b, c.fill, size_t(element_));
      has_fill_ = true;
    }
    return Status::ok;
  }

  // One combination of taps of the outer axes: where its taps lie, and the data that they read.
  struct OuterTap {
    const char* w;
    ptrdiff_t offset_x, offset_edge;
  };

  ptrdiff_t row_pitch_taps() const { return image_ ? 0 : taps_per_vector_; }

  const char* tap(const OuterTap& outer, ptrdiff_t row, ptrdiff_t column) const {
    return outer.w + row * rows_.w_stride + (row * row_pitch_taps() + column) * columns_.w_stride;
  }

  // Every group, as emit(outer tap, first row, first column, rows, columns).
  template <class Emit>
  void each_group(const Correlation& c, Emit emit) const {
    for (ptrdiff_t t = 0; t < outer_taps_; t++) {
      OuterTap outer = {c.w, 0, 0};
      ptrdiff_t rest = t;
      for (int i = outer_count_ - 1; i >= 0; i--) {
        const ptrdiff_t k = rest % outer_[i].taps;
        rest /= outer_[i].taps;
        outer.w += k * outer_[i].w_stride;
        outer.offset_x += k * outer_[i].x_stride;
        outer.offset_edge += k * edge_strides_[i];
      }
      const auto part = [&](ptrdiff_t row, ptrdiff_t column, ptrdiff_t rows, ptrdiff_t columns) {
        emit(outer, row, column, rows, columns);
      };
      const auto group = [&](ptrdiff_t row, ptrdiff_t column, ptrdiff_t rows, ptrdiff_t columns) {
        if (!c.skip_zeros) return part(row, column, rows, columns);
        const auto zero = [&](ptrdiff_t r, ptrdiff_t k) {
          return is_zero_tap(c.type, tap(outer, r, k));
        };
        split_nonzero(row, column, rows, columns, zero, part);
      };
      if (image_)
        split_taps(rows_.taps, 0, columns_.taps, set_->group_rows, group);
      else
        split_line(columns_.taps, taps_per_vector_, set_->group_rows, group);
    }
  }

  // --- running ----------------------------------------------------------------------------------

  // Bytes of one line of output that a tile covers.
  ptrdiff_t tile_width(const TileShape& shape) const {
    return shape.vectors * (image_ ? 1 : shape.rows) * ptrdiff_t(set_->vector_bytes);
  }

  // Where a tile lies: the output index along the outer axes, and its first row.
  struct Place {
    ptrdiff_t outer[MAX_AXES];
    ptrdiff_t row;
    const char* x;  // window of output column 0; meaningful where the windows lie inside x
    char* out;      // output column 0
    bool inside;    // along the rows and the outer axes
  };

  void run_item(ptrdiff_t item, char* scratch) const {
    Place place;
    const ptrdiff_t block = item % blocks_;
    const ptrdiff_t band = item / blocks_ % bands_;
    ptrdiff_t rest = item / blocks_ / bands_;
    for (int i = outer_count_ - 1; i >= 0; i--) {
      place.outer[i] = rest % outer_[i].out_extent;
      rest /= outer_[i].out_extent;
    }
    const ptrdiff_t first = block * block_bytes_;
    const ptrdiff_t last = min(first + block_bytes_, line_bytes_);
    if (!image_) {
      place.row = 0;
      locate(place, 1);
      run_line(place, shapes_, MAX_SHAPES, first, last, scratch);
      return;
    }
    ptrdiff_t row = band * band_rows_;
    const ptrdiff_t end = min(row + band_rows_, rows_.out_extent);
    for (int s = 0; row < end; s++)
      for (; end - row >= shapes_[s].rows; row += shapes_[s].rows) {
        place.row = row;
        locate(place, shapes_[s].rows);
        run_line(place, shapes_ + s, 1, first, last, scratch);
      }
  }

  void locate(Place& place, ptrdiff_t rows) const {
    const auto inside = [](const CorrelationAxis& a, ptrdiff_t first, ptrdiff_t count) {
      return first + a.offset >= 0 && first + count - 1 + a.offset + a.taps <= a.x_extent;
    };
    place.inside = inside(rows_, place.row, rows);
    place.x = x_ + (place.row + rows_.offset) * rows_.x_stride + columns_.offset * unit_;
    place.out = out_ + place.row * rows_.out_stride;
    for (int i = 0; i < outer_count_; i++) {
      place.inside = place.inside && inside(outer_[i], place.outer[i], 1);
      place.x += (place.outer[i] + outer_[i].offset) * outer_[i].x_stride;
      place.out += place.outer[i] * outer_[i].out_stride;
    }
  }

  // Bytes [first, last) of each output line of the place, by the given shapes (widest first).
  void run_line(const Place& place, const TileShape* shapes, int shape_count, ptrdiff_t first,
                ptrdiff_t last, char* scratch) const {
    int count = 0;
    while (count < shape_count && shapes[count].function) count++;
    const TileShape& narrowest = shapes[count - 1];
    const ptrdiff_t narrow = tile_width(narrowest);
    // Outputs whose windows lie inside x along the columns.
    const ptrdiff_t inside_first = max(first, -columns_.offset * unit_);
    const ptrdiff_t inside_last =
        min(last, (columns_.x_extent - columns_.offset - columns_.taps + 1) * unit_);
    // The left edge takes whole tiles, so that it stores no partial one.
    ptrdiff_t at = first;
    if (inside_first > first) at = first + round_up(inside_first - first, narrow);
    if (!x_direct_ || !out_direct_ || !place.inside || at + narrow > inside_last) {
      run_edge(place, shapes, count, first, last, scratch);
      return;
    }
    if (at > first) run_edge(place, shapes, count, first, at, scratch);
    const ptrdiff_t start = at;
    for (int s = 0; s < count; s++)
      for (const ptrdiff_t width = tile_width(shapes[s]); inside_last - at >= width; at += width)
        call(shapes[s], IN_X, place.x + at, place.out + at, rows_.out_stride);
    if (at == last) return;
    if (inside_last == last && last - narrow >= start) {
      // Computed again, to the same bits: cheaper than a partial tile.
      at = last - narrow;
      call(narrowest, IN_X, place.x + at, place.out + at, rows_.out_stride);
    } else {
      run_edge(place, shapes, count, at, last, scratch);
    }
  }

  void run_edge(const Place& place, const TileShape* shapes, int shape_count, ptrdiff_t first,
                ptrdiff_t last, char* scratch) const {
    char* edge = scratch;
    char* tile = scratch + edge_bytes_;
    const ptrdiff_t rows = image_ ? shapes[0].rows : 1;
    for (ptrdiff_t piece = first; piece < last; piece += piece_bytes_) {
      const ptrdiff_t piece_last = min(piece + piece_bytes_, last);
      const ptrdiff_t column = piece / unit_;
      gather_edge(place, rows, column, ceil_div(piece_last, unit_) - column, edge);
      const char* x = edge + (piece - column * unit_);
      for (ptrdiff_t at = piece; at < piece_last;) {
        int s = 0;  // the widest shape that fits, else the narrowest
        while (s + 1 < shape_count && tile_width(shapes[s]) > piece_last - at) s++;
        const ptrdiff_t width = min(tile_width(shapes[s]), piece_last - at);
        if (out_direct_ && width == tile_width(shapes[s])) {
          call(shapes[s], IN_SCRATCH, x + (at - piece), place.out + at, rows_.out_stride);
        } else {
          call(shapes[s], IN_SCRATCH, x + (at - piece), tile, tile_width(shapes[s]));
          store_partial(place, rows, tile, tile_width(shapes[s]), at, width);
        }
        at += width;
      }
    }
  }

  void gather_edge(const Place& place, ptrdiff_t rows, ptrdiff_t column, ptrdiff_t column_count,
                   char* edge) const {
    GatherAxis axes[MAX_AXES + 2];
    int n = 0;
    for (int i = 0; i < outer_count_; i++)
      axes[n++] = {outer_[i].x_extent, outer_[i].x_stride, place.outer[i] + outer_[i].offset,
                   outer_[i].taps, edge_strides_[i]};
    axes[n++] = {rows_.x_extent, rows_.x_stride, place.row + rows_.offset, rows + rows_.taps - 1,
                 edge_pitch_};
    axes[n++] = {columns_.x_extent, columns_.x_stride, column + columns_.offset,
                 column_count + columns_.taps - 1, unit_};
    gather(x_, edge, axes, n, unit_, boundary_, has_fill_ ? fill_ : nullptr);
  }

  void store_partial(const Place& place, ptrdiff_t rows, const char* tile, ptrdiff_t tile_pitch,
                     ptrdiff_t at, ptrdiff_t width) const {
    for (ptrdiff_t r = 0; r < rows; r++) {
      const char* from = tile + r * tile_pitch;
      char* to = place.out + r * rows_.out_stride;
      if (columns_.out_stride == unit_) {
        memcpy(to + at, from, size_t(width));
        continue;
      }
      for (ptrdiff_t b = 0; b < width; b += element_)
        memcpy(to + (at + b) / element_ * columns_.out_stride, from + b, size_t(element_));
    }
  }

  void call(const TileShape& shape, Layout layout, const char* x, char* out,
            ptrdiff_t out_pitch) const {
    const ptrdiff_t line_pitch = set_->vector_bytes;
    const ptrdiff_t x_pitch = layout == IN_X ? rows_.x_stride : edge_pitch_;
    shape.function(groups_, group_count_, layout, x, image_ ? x_pitch : line_pitch, unit_, out,
                   image_ ? out_pitch : line_pitch);
  }

  const TileSet* set_ = nullptr;
  const TileShape* shapes_ = nullptr;
  const char* x_ = nullptr;
  char* out_ = nullptr;
  Boundary boundary_ = Boundary::zero;
  char fill_[inner_bytes_limit];
  bool has_fill_ = false;

  ptrdiff_t element_ = 0;          // bytes of an element
  ptrdiff_t unit_ = 0;             // bytes of a column: an element, or all channels of a pixel
  ptrdiff_t taps_per_vector_ = 0;  // taps of a line that lie one vector apart; 0: never
  bool image_ = false;
  bool x_direct_ = false, out_direct_ = false;
  CorrelationAxis columns_ = single, rows_ = single, outer_[MAX_AXES];
  int outer_count_ = 0;

  ptrdiff_t outer_items_ = 1, outer_taps_ = 1;
  ptrdiff_t band_rows_ = 1, bands_ = 1, blocks_ = 1;
  ptrdiff_t line_bytes_ = 0, block_bytes_ = 0, piece_bytes_ = 0;
  ptrdiff_t edge_pitch_ = 0, edge_bytes_ = 0, edge_strides_[MAX_AXES], tile_bytes_ = 0;

  Group* groups_ = nullptr;
  ptrdiff_t group_count_ = 0;
  char* weights_ = nullptr;
};

}  // namespace

Status correlate(const Correlation& correlation, int threads) {
  DirectJob job;
  const Status status = job.plan(correlation, threads);
  if (status != Status::ok) return status;
  return run_items(job, threads);
}

}  // namespace fastconv
