// A tile lies in groups of as many columns as a vector has lanes: group[z][row][lane], a plane of
// real and a plane of imaginary parts. Two real tiles travel as re + i·im. Transforms along rows'
// index take a group as it lies; those along z go by way of a buffer; for those along the columns,
// `lanes` rows at a time are transposed into the buffer, transformed, multiplied by the kernel's
// spectrum, transformed back and transposed to where they came from. So the tile is read and
// written once a pass, and every butterfly works on whole vectors.
//
// The kernel stands in its tile at -k modulo the points: a tile's first outputs are its valid ones,
// and start at a group's first lane.
#include "tilefft.hpp"

#include <stdint.h>
#include <string.h>

#include <atomic>

#include "dispatch.hpp"
#include "scratch.hpp"
#include "sizes.hpp"
#include "stages.hpp"
#include "threads.hpp"

namespace fastconv {
namespace {

constexpr ptrdiff_t alignment = 64;

// Rows ahead of the one that is copied: the processor does not see that a row's end is followed by
// the next row's start.
constexpr ptrdiff_t prefetched_rows = 4;

template <int Write>
void prefetch(const char* p, ptrdiff_t bytes) {
  for (ptrdiff_t i = 0; i < bytes; i += alignment) __builtin_prefetch(p + i, Write);
}

// Where everything lies in a tile, and in the scratch of one thread.
struct Shape {
  Shape(const TileFft& fft, const LaneSet& set) {
    depth = fft.axes == 3 ? fft.points[0] : 1;
    rows = fft.points[fft.axes - 2];
    columns = fft.points[fft.axes - 1];
    vector = set.lanes * set.scalar_bytes;
    groups = columns / set.lanes;
    // A line of cache between planes: a power of two would put all groups into few sets of L1.
    plane = depth * rows * vector + alignment;
    const ptrdiff_t longest = columns > depth ? columns : depth;
    buffer_plane = longest * vector + alignment;
    buffer = groups * 2 * plane;
    line = buffer + 2 * buffer_plane;
    const ptrdiff_t line_bytes = round_up(columns * set.scalar_bytes, alignment);
    fill = line + line_bytes;
    sources = fill + line_bytes;
    bytes = round_up(sources + columns * ptrdiff_t(sizeof(ptrdiff_t)), alignment);
  }

  ptrdiff_t depth, rows, columns;  // points
  ptrdiff_t groups, vector;
  ptrdiff_t plane, buffer_plane;  // bytes from a plane to the next
  // The tile stands first; then, in bytes: the buffer, a line of data, a line of the fill, and for
  // each column where its data lies.
  ptrdiff_t buffer, line, fill, sources, bytes;
};

// A pass over a tile: the transforms, and what is common to data and kernel.
class Transform {
 public:
  Transform(const TileFft& fft, const LaneSet& set)
      : set_(set),
        shape_(fft, set),
        rows_(stages_for(shape_.rows, set.scalar_bytes)),
        columns_(stages_for(shape_.columns, set.scalar_bytes)),
        depth_(shape_.depth > 1 ? stages_for(shape_.depth, set.scalar_bytes) : nullptr) {}

  bool ready() const { return rows_ && columns_ && (depth_ || shape_.depth == 1); }
  const Shape& shape() const { return shape_; }
  const LaneSet& set() const { return set_; }

  char* re(char* scratch, ptrdiff_t group) const { return scratch + 2 * group * shape_.plane; }
  char* im(char* scratch, ptrdiff_t group) const { return re(scratch, group) + shape_.plane; }

  // One group along z and rows; only the first `used` of z hold data, or are wanted.
  void forward_group(char* scratch, ptrdiff_t group, ptrdiff_t used) const {
    const ptrdiff_t slab = shape_.rows * shape_.vector;
    char* re = this->re(scratch, group);
    char* im = this->im(scratch, group);
    for (ptrdiff_t z = 0; z < used; z++)
      set_.forward(rows_->stages, rows_->count, re + z * slab, im + z * slab);
    if (depth_) along_depth(set_.forward, scratch, re, im, used, shape_.depth);
  }
  void inverse_group(char* scratch, ptrdiff_t group, ptrdiff_t used) const {
    const ptrdiff_t slab = shape_.rows * shape_.vector;
    char* re = this->re(scratch, group);
    char* im = this->im(scratch, group);
    if (depth_) along_depth(set_.inverse, scratch, re, im, shape_.depth, used);
    for (ptrdiff_t z = 0; z < used; z++)
      set_.inverse(rows_->stages, rows_->count, re + z * slab, im + z * slab);
  }

  // `lanes` rows of the tile, from the first `groups` of the groups into the buffer, transformed.
  void forward_rows(char* scratch, ptrdiff_t row, ptrdiff_t groups) const {
    char* re = scratch + shape_.buffer;
    char* im = re + shape_.buffer_plane;
    const ptrdiff_t block = set_.lanes * shape_.vector;
    const ptrdiff_t at = row * shape_.vector;
    set_.transpose_blocks(scratch + at, 2 * shape_.plane, re, block, groups);
    set_.transpose_blocks(scratch + shape_.plane + at, 2 * shape_.plane, im, block, groups);
    memset(re + groups * block, 0, size_t((shape_.groups - groups) * block));
    memset(im + groups * block, 0, size_t((shape_.groups - groups) * block));
    set_.forward(columns_->stages, columns_->count, re, im);
  }
  void multiply_rows(char* scratch, const void* spectrum, ptrdiff_t row) const {
    char* re = scratch + shape_.buffer;
    set_.multiply_points(
        static_cast<const char*>(spectrum) + 2 * row * shape_.columns * set_.scalar_bytes,
        shape_.columns, re, re + shape_.buffer_plane);
  }
  void inverse_rows(char* scratch, ptrdiff_t row, ptrdiff_t groups) const {
    char* re = scratch + shape_.buffer;
    char* im = re + shape_.buffer_plane;
    const ptrdiff_t block = set_.lanes * shape_.vector;
    const ptrdiff_t at = row * shape_.vector;
    set_.inverse(columns_->stages, columns_->count, re, im);
    set_.transpose_blocks(re, block, scratch + at, 2 * shape_.plane, groups);
    set_.transpose_blocks(im, block, scratch + shape_.plane + at, 2 * shape_.plane, groups);
  }

 private:
  template <class Function>
  void along_depth(Function transform, char* scratch, char* re, char* im, ptrdiff_t from,
                   ptrdiff_t to) const {
    char* buffer_re = scratch + shape_.buffer;
    char* buffer_im = buffer_re + shape_.buffer_plane;
    const ptrdiff_t vector = shape_.vector, slab = shape_.rows * vector;
    for (ptrdiff_t y = 0; y < shape_.rows; y++, re += vector, im += vector) {
      set_.copy_vectors(re, slab, buffer_re, vector, from);
      set_.copy_vectors(im, slab, buffer_im, vector, from);
      memset(buffer_re + from * vector, 0, size_t((shape_.depth - from) * vector));
      memset(buffer_im + from * vector, 0, size_t((shape_.depth - from) * vector));
      transform(depth_->stages, depth_->count, buffer_re, buffer_im);
      set_.copy_vectors(buffer_re, vector, re, slab, to);
      set_.copy_vectors(buffer_im, vector, im, slab, to);
    }
  }

  const LaneSet& set_;
  const Shape shape_;
  const Stages *rows_, *columns_, *depth_;
};

class TileFftJob {
 public:
  TileFftJob(const TileFft& fft, const Correlation& c, const void* spectrum,
             const Transform& transform)
      : c_(c),
        set_(transform.set()),
        spectrum_(spectrum),
        transform_(transform),
        shape_(transform.shape()),
        element_(set_.scalar_bytes),
        batch_axes_(c.axis_count - fft.axes) {
    // Without a z there is one of one element.
    tiled_[0] = {1, 0, 1, 0, 1, 0, 0};
    for (int a = 0; a < fft.axes; a++)
      tiled_[MAX_TILE_AXES - fft.axes + a] = c.axes[batch_axes_ + a];
    const ptrdiff_t points[] = {shape_.depth, shape_.rows, shape_.columns};
    tiles_ = 1;
    for (int a = 0; a < MAX_TILE_AXES; a++) {
      const ptrdiff_t valid = points[a] - tiled_[a].taps + 1;
      // Tiles of one size, so that what they transform is as small as it can be; whole vectors.
      step_[a] = ceil_div(tiled_[a].out_extent, ceil_div(tiled_[a].out_extent, valid));
      if (a == MAX_TILE_AXES - 1 && round_up(step_[a], set_.lanes) <= valid)
        step_[a] = round_up(step_[a], set_.lanes);
      counts_[a] = ceil_div(tiled_[a].out_extent, step_[a]);
      tiles_ *= counts_[a];
    }
    for (int a = 0; a < batch_axes_; a++) tiles_ *= c.axes[a].out_extent;
  }

  ptrdiff_t pairs() const { return ceil_div(tiles_, 2); }

  // What was not finite, before the transforms and after them.
  struct Found {
    ptrdiff_t before = 0, after = 0;
  };

  Found run(ptrdiff_t first, ptrdiff_t last, char* scratch) const {
    char* fill = scratch + shape_.fill;
    memset(fill, 0, size_t(shape_.columns * element_));
    if (c_.fill)
      for (ptrdiff_t i = 0; i < shape_.columns; i++)
        memcpy(fill + i * element_, c_.fill, size_t(element_));
    Found found;
    for (ptrdiff_t pair = first; pair < last; pair++) run_pair(pair, scratch, found);
    return found;
  }

 private:
  struct Tile {
    const char* x;                   // of its batch
    char* out;                       // its first output
    ptrdiff_t start[MAX_TILE_AXES];  // of its data, in the extended input
    ptrdiff_t count[MAX_TILE_AXES];  // of outputs; 0 where there is no tile
    ptrdiff_t reach[MAX_TILE_AXES];  // of data that they read
  };

  Tile tile(ptrdiff_t number) const {
    Tile t = {c_.x, c_.out, {}, {}, {}};
    if (number >= tiles_) return t;
    for (int a = MAX_TILE_AXES - 1; a >= 0; a--) {
      const CorrelationAxis& axis = tiled_[a];
      const ptrdiff_t first = number % counts_[a] * step_[a];
      number /= counts_[a];
      t.start[a] = first + axis.offset;
      t.count[a] = axis.out_extent - first < step_[a] ? axis.out_extent - first : step_[a];
      t.reach[a] = t.count[a] + axis.taps - 1;
      t.out += first * axis.out_stride;
    }
    for (int a = batch_axes_ - 1; a >= 0; a--) {
      const CorrelationAxis& axis = c_.axes[a];
      t.x += number % axis.out_extent * axis.x_stride;
      t.out += number % axis.out_extent * axis.out_stride;
      number /= axis.out_extent;
    }
    return t;
  }

  static ptrdiff_t larger(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }

  void run_pair(ptrdiff_t pair, char* scratch, Found& found) const {
    const Tile a = tile(2 * pair), b = tile(2 * pair + 1);
    const ptrdiff_t in_depth = larger(a.reach[0], b.reach[0]);
    const ptrdiff_t in_groups = ceil_div(larger(a.reach[2], b.reach[2]), set_.lanes);
    const ptrdiff_t out_depth = larger(a.count[0], b.count[0]);
    const ptrdiff_t out_groups = ceil_div(larger(a.count[2], b.count[2]), set_.lanes);
    const ptrdiff_t out_rows = larger(a.count[1], b.count[1]);
    const ptrdiff_t slab = shape_.rows * set_.lanes;

    load(a, scratch, transform_.re(scratch, 0), in_depth, in_groups);
    load(b, scratch, transform_.im(scratch, 0), in_depth, in_groups);
    for (ptrdiff_t g = 0; g < in_groups; g++) {
      found.before += zero_nonfinite(transform_.re(scratch, g), in_depth * slab);
      found.before += zero_nonfinite(transform_.im(scratch, g), in_depth * slab);
      transform_.forward_group(scratch, g, in_depth);
    }
    for (ptrdiff_t row = 0; row < shape_.depth * shape_.rows; row += set_.lanes) {
      transform_.forward_rows(scratch, row, in_groups);
      transform_.multiply_rows(scratch, spectrum_, row);
      transform_.inverse_rows(scratch, row, out_groups);
    }
    for (ptrdiff_t g = 0; g < out_groups; g++) {
      transform_.inverse_group(scratch, g, out_depth);
      for (ptrdiff_t z = 0; z < out_depth; z++) {
        const ptrdiff_t at = z * slab * element_;
        found.after += zero_nonfinite(transform_.re(scratch, g) + at, out_rows * set_.lanes);
        found.after += zero_nonfinite(transform_.im(scratch, g) + at, out_rows * set_.lanes);
      }
    }
    store(a, transform_.re(scratch, 0));
    store(b, transform_.im(scratch, 0));
  }

  bool aligned(const char* p) const {
    return reinterpret_cast<uintptr_t>(p) % size_t(element_) == 0;
  }

  // One tile's data into one plane of each group; zeros where it reaches less far.
  void load(const Tile& t, char* scratch, char* plane, ptrdiff_t depth, ptrdiff_t groups) const {
    const CorrelationAxis& z_axis = tiled_[0];
    const CorrelationAxis& row_axis = tiled_[1];
    const CorrelationAxis& line = tiled_[2];
    const ptrdiff_t group = 2 * shape_.plane;
    const bool inside = t.start[2] >= 0 && t.start[2] + groups * set_.lanes <= line.x_extent &&
                        line.x_stride == element_;
    ptrdiff_t* sources = reinterpret_cast<ptrdiff_t*>(scratch + shape_.sources);
    char* assembled = scratch + shape_.line;
    char* fill = scratch + shape_.fill;
    ptrdiff_t first = 0, last = 0;
    if (!inside) {
      first = find_sources(t, sources, last);
      memset(assembled, 0, size_t(shape_.columns * element_));
    }
    for (ptrdiff_t z = 0; z < depth; z++) {
      const bool empty = z >= t.reach[0];
      const ptrdiff_t from_z = empty ? -1 : map_index(t.start[0] + z, z_axis.x_extent, c_.boundary);
      char* to = plane + z * shape_.rows * shape_.vector;
      const ptrdiff_t rows = empty ? 0 : t.reach[1];
      for (ptrdiff_t r = 0; r < rows; r++, to += shape_.vector) {
        const ptrdiff_t from = map_index(t.start[1] + r, row_axis.x_extent, c_.boundary);
        const char* row = t.x + from_z * z_axis.x_stride + from * row_axis.x_stride;
        const char* data = row + t.start[2] * line.x_stride;
        if (from < 0 || from_z < 0) {
          data = fill;
        } else if (!inside || !aligned(data)) {
          if (inside)
            memcpy(assembled, data, size_t(groups * set_.lanes * element_));
          else if (element_ == 4)
            assemble<float>(row, t, sources, first, last, assembled);
          else
            assemble<double>(row, t, sources, first, last, assembled);
          data = assembled;
        }
        set_.copy_vectors(data, shape_.vector, to, group, groups);
        prefetch<0>(data + prefetched_rows * row_axis.x_stride, groups * shape_.vector);
      }
      for (ptrdiff_t g = 0; rows < shape_.rows && g < groups; g++)
        memset(to + g * group, 0, size_t((shape_.rows - rows) * shape_.vector));
    }
  }

  // Where the data of each column lies, in bytes from the row, or -1 for the fill; those in
  // [first, last) lie one after the other in x.
  ptrdiff_t find_sources(const Tile& t, ptrdiff_t* sources, ptrdiff_t& last) const {
    const CorrelationAxis& line = tiled_[2];
    const ptrdiff_t reach = t.reach[2];
    const auto within = [&](ptrdiff_t i) { return i < 0 ? 0 : i > reach ? reach : i; };
    const ptrdiff_t first = within(-t.start[2]);
    last = larger(within(line.x_extent - t.start[2]), first);
    for (ptrdiff_t i = 0; i < reach; i++) {
      if (i == first) i = last;
      if (i == reach) break;
      sources[i] = map_index(t.start[2] + i, line.x_extent, c_.boundary);
    }
    return first;
  }

  template <class Scalar>
  void assemble(const char* row, const Tile& t, const ptrdiff_t* sources, ptrdiff_t first,
                ptrdiff_t last, char* to) const {
    const ptrdiff_t stride = tiled_[2].x_stride;
    const auto outside = [&](ptrdiff_t from, ptrdiff_t stop) {
      for (ptrdiff_t i = from; i < stop; i++) {
        const char* at = row + sources[i] * stride;
        if (sources[i] < 0) at = c_.fill;
        if (at)
          memcpy(to + i * sizeof(Scalar), at, sizeof(Scalar));
        else
          memset(to + i * sizeof(Scalar), 0, sizeof(Scalar));
      }
    };
    outside(0, first);
    const char* data = row + (t.start[2] + first) * stride;
    if (stride == ptrdiff_t(sizeof(Scalar)))
      memcpy(to + first * sizeof(Scalar), data, size_t(last - first) * sizeof(Scalar));
    else
      for (ptrdiff_t i = first; i < last; i++, data += stride)
        memcpy(to + i * sizeof(Scalar), data, sizeof(Scalar));
    outside(last, t.reach[2]);
  }

  void store(const Tile& t, const char* plane) const {
    const ptrdiff_t group = 2 * shape_.plane;
    const ptrdiff_t stride = tiled_[2].out_stride;
    for (ptrdiff_t z = 0; z < t.count[0]; z++)
      for (ptrdiff_t r = 0; r < t.count[1]; r++) {
        const char* from = plane + (z * shape_.rows + r) * shape_.vector;
        char* to = t.out + z * tiled_[0].out_stride + r * tiled_[1].out_stride;
        ptrdiff_t whole = 0;
        if (stride == element_ && aligned(to)) {
          whole = t.count[2] / set_.lanes;
          set_.copy_vectors(from, group, to, shape_.vector, whole);
          prefetch<1>(to + prefetched_rows * tiled_[1].out_stride, whole * shape_.vector);
        }
        for (ptrdiff_t i = whole * set_.lanes; i < t.count[2]; i++)
          memcpy(to + i * stride, from + i / set_.lanes * group + i % set_.lanes * element_,
                 size_t(element_));
      }
  }

  ptrdiff_t zero_nonfinite(char* plane, ptrdiff_t scalars) const {
    const SpectrumSet& passes = levels().used->spectrum;
    if (element_ == 4) return passes.zero_nonfinite_f32(reinterpret_cast<float*>(plane), scalars);
    return passes.zero_nonfinite_f64(reinterpret_cast<double*>(plane), scalars);
  }

  const Correlation& c_;
  const LaneSet& set_;
  const void* spectrum_;
  const Transform& transform_;
  const Shape& shape_;
  const ptrdiff_t element_;
  const int batch_axes_;
  CorrelationAxis tiled_[MAX_TILE_AXES];
  ptrdiff_t counts_[MAX_TILE_AXES], step_[MAX_TILE_AXES];
  ptrdiff_t tiles_;
};

struct Region {
  const TileFftJob* job;
  char* scratch;
  ptrdiff_t scratch_stride;
  std::atomic<ptrdiff_t> nonfinite, overflowed;
};

void run_region(void* context, ptrdiff_t first, ptrdiff_t last, int thread) {
  Region* region = static_cast<Region*>(context);
  const TileFftJob::Found found =
      region->job->run(first, last, region->scratch + thread * region->scratch_stride);
  region->nonfinite += found.before;
  region->overflowed += found.after;
}

template <class Scalar>
void put_scaled(const char* plane, int lanes, ptrdiff_t points, double scale, char* to) {
  const Scalar* from = reinterpret_cast<const Scalar*>(plane);
  Scalar* out = reinterpret_cast<Scalar*>(to);
  for (ptrdiff_t i = 0; i < points; i++, from += lanes, out += 2 * lanes)
    for (int l = 0; l < lanes; l++) out[l] = Scalar(from[l] * scale);
}

}  // namespace

ptrdiff_t tile_fft_scratch(const TileFft& fft) { return Shape(fft, lane_set_of(fft.type)).bytes; }

Status tile_fft_spectrum(const TileFft& fft, const char* w, const ptrdiff_t* taps, void* spectrum) {
  const LaneSet& set = lane_set_of(fft.type);
  const Transform transform(fft, set);
  const Shape& shape = transform.shape();
  char* scratch = take_scratch(shape.bytes);
  if (!scratch || !transform.ready()) {
    give_scratch_back(scratch);
    return Status::no_memory;
  }
  memset(scratch, 0, size_t(shape.buffer));
  // Tap k stands at -k modulo the points.
  const ptrdiff_t depth_taps = fft.axes == 3 ? taps[0] : 1;
  const ptrdiff_t row_taps = taps[fft.axes - 2], column_taps = taps[fft.axes - 1];
  for (ptrdiff_t z = 0; z < depth_taps; z++)
    for (ptrdiff_t r = 0; r < row_taps; r++)
      for (ptrdiff_t k = 0; k < column_taps; k++, w += set.scalar_bytes) {
        const ptrdiff_t column = k ? shape.columns - k : 0;
        const ptrdiff_t row = (z ? shape.depth - z : 0) * shape.rows + (r ? shape.rows - r : 0);
        memcpy(transform.re(scratch, column / set.lanes) + row * shape.vector +
                   column % set.lanes * set.scalar_bytes,
               w, size_t(set.scalar_bytes));
      }
  for (ptrdiff_t g = 0; g < shape.groups; g++) transform.forward_group(scratch, g, shape.depth);
  const double scale = 1.0 / double(shape.depth * shape.rows * shape.columns);
  const char* buffer = scratch + shape.buffer;
  for (ptrdiff_t row = 0; row < shape.depth * shape.rows; row += set.lanes) {
    transform.forward_rows(scratch, row, shape.groups);
    char* to = static_cast<char*>(spectrum) + 2 * row * shape.columns * set.scalar_bytes;
    for (int part = 0; part < 2; part++) {
      const char* plane = buffer + part * shape.buffer_plane;
      if (set.scalar_bytes == 4)
        put_scaled<float>(plane, set.lanes, shape.columns, scale, to + part * shape.vector);
      else
        put_scaled<double>(plane, set.lanes, shape.columns, scale, to + part * shape.vector);
    }
  }
  give_scratch_back(scratch);
  return Status::ok;
}

Status tile_fft_correlate(const TileFft& fft, const Correlation& correlation, const void* spectrum,
                          int threads, ptrdiff_t* nonfinite, ptrdiff_t* overflowed) {
  const Transform transform(fft, lane_set_of(fft.type));
  if (!transform.ready()) return Status::no_memory;
  const TileFftJob job(fft, correlation, spectrum, transform);
  if (threads > job.pairs()) threads = int(job.pairs());
  Region region;
  region.job = &job;
  region.scratch_stride = transform.shape().bytes;
  region.nonfinite = region.overflowed = 0;
  region.scratch = take_scratch(threads * region.scratch_stride);
  if (!region.scratch) return Status::no_memory;
  parallel_for(job.pairs(), threads, run_region, &region);
  give_scratch_back(region.scratch);
  *nonfinite = region.nonfinite;
  *overflowed = region.overflowed;
  return Status::ok;
}

}  // namespace fastconv
