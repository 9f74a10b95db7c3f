// Two real tiles travel as re + i·im: the kernel is real and keeps them apart. It stands in its
// tile at -k modulo the points, so that a tile's first outputs are its valid ones, and start at a
// group's first lane.
#include "tilefft.hpp"

#include <string.h>

#include <atomic>
#include <initializer_list>

#include "dispatch.hpp"
#include "lineio.hpp"
#include "occupancy.hpp"
#include "region.hpp"
#include "tiletransform.hpp"

namespace fastconv {
namespace {

// Rows ahead of the one that is copied: the processor does not see that a row's end is followed by
// the next row's start.
constexpr ptrdiff_t prefetched_rows = 4;

template <int Write>
void prefetch(const char* p, ptrdiff_t bytes) {
  for (ptrdiff_t i = 0; i < bytes; i += cache_line) __builtin_prefetch(p + i, Write);
}

TileTransform transform_of(const TileFft& fft) {
  return TileTransform(fft.axes == 3 ? fft.points[0] : 1, fft.points[fft.axes - 2],
                       fft.points[fft.axes - 1], lane_set_of(fft.type));
}

// What a pair of tiles takes: its planes, and Σ x² of each group. Then, for each thread: a buffer,
// a line of data, a line of the fill, and for each column where its data lies. Lines hold doubles.
struct Places {
  explicit Places(const TileLayout& layout) {
    const ptrdiff_t line_bytes = round_up(layout.columns * ptrdiff_t(sizeof(double)), cache_line);
    squares = layout.buffer;
    block = squares + round_up(layout.groups * ptrdiff_t(sizeof(double)), cache_line);
    line = layout.bytes - layout.buffer;
    fill = line + line_bytes;
    sources = fill + line_bytes;
    thread = sources + round_up(layout.columns * ptrdiff_t(sizeof(ptrdiff_t)), cache_line);
  }
  ptrdiff_t squares, block;               // from the beginning
  ptrdiff_t line, fill, sources, thread;  // from the beginning of a thread's
};

class TileFftJob {
 public:
  TileFftJob(const TileFft& fft, const Correlation& c, const void* spectrum,
             const TileTransform& transform, const BlockRun& run)
      : c_(c),
        run_(run),
        set_(transform.set()),
        spectrum_(spectrum),
        transform_(transform),
        layout_(transform.layout()),
        places_(layout_),
        element_(set_.scalar_bytes),
        batch_axes_(c.axis_count - fft.axes),
        reader_(c.axes[c.axis_count - 1], fft.type, run.x_type, c.boundary, c.fill),
        writer_(c.axes[c.axis_count - 1], fft.type, run.out_type),
        judge_(fft.type == FLOAT32, transform.points(), run.need),
        scalars_(set_),
        tiles_(tile_fft_count(fft, c)) {
    // Without a z there is one of one element.
    tiled_[0] = {1, 0, 1, 0, 1, 0, 0};
    step_[0] = 1;
    for (int a = 0; a < fft.axes; a++) {
      tiled_[MAX_TILE_AXES - fft.axes + a] = c.axes[batch_axes_ + a];
      step_[MAX_TILE_AXES - fft.axes + a] = fft.step[a];
    }
  }

  // Pairs of tiles.
  ptrdiff_t items() const { return ceil_div(run_.chosen ? run_.chosen_count : tiles_, 2); }
  ptrdiff_t block_bytes() const { return places_.block; }
  ptrdiff_t thread_bytes() const { return places_.thread; }
  ptrdiff_t scratch_bytes() const { return block_bytes() + thread_bytes(); }

  void run(ptrdiff_t first, ptrdiff_t last, char* scratch) const {
    put_fill(scratch, 1);
    for (ptrdiff_t pair = first; pair < last; pair++) run_pair(pair, scratch, Here());
  }
  void run_together(char* scratch, int threads) const {
    put_fill(scratch, threads);
    for (ptrdiff_t pair = 0; pair < items(); pair++) run_pair(pair, scratch, OnThreads{threads});
  }

 private:
  struct Tile {
    ptrdiff_t number;                // none where it is negative
    const char* x;                   // of its batch
    char* out;                       // its first output
    ptrdiff_t start[MAX_TILE_AXES];  // of its data, in the extended input
    ptrdiff_t count[MAX_TILE_AXES];  // of outputs; 0 where there is no tile
    ptrdiff_t reach[MAX_TILE_AXES];  // of data that they read
  };

  // Rows of the outputs of a pair, so many of each slice.
  struct Rows {
    ptrdiff_t first, last, of_slice;
  };

  Tile tile(ptrdiff_t index) const {
    Tile t = {-1, c_.x, c_.out, {}, {}, {}};
    if (index >= (run_.chosen ? run_.chosen_count : tiles_)) return t;
    ptrdiff_t rest = t.number = run_.chosen ? run_.chosen[index] : index;
    for (int a = MAX_TILE_AXES - 1; a >= 0; a--) {
      const CorrelationAxis& axis = tiled_[a];
      const ptrdiff_t tiles = ceil_div(axis.out_extent, step_[a]);
      const ptrdiff_t first = rest % tiles * step_[a];
      rest /= tiles;
      t.start[a] = first + axis.offset;
      t.count[a] = min(axis.out_extent - first, step_[a]);
      t.reach[a] = t.count[a] + axis.taps - 1;
      t.out += first * axis.out_stride;
    }
    for (int a = batch_axes_ - 1; a >= 0; a--) {
      const CorrelationAxis& axis = c_.axes[a];
      t.x += rest % axis.out_extent * axis.x_stride;
      t.out += rest % axis.out_extent * axis.out_stride;
      rest /= axis.out_extent;
    }
    return t;
  }

  void mark(const Tile& t, unsigned char mark) const {
    if (t.number >= 0) run_.marks[t.number] |= mark;
  }

  char* own(char* scratch, int thread) const {
    return scratch + places_.block + thread * places_.thread;
  }

  void put_fill(char* scratch, int threads) const {
    for (int t = 0; t < threads; t++) {
      char* fill = own(scratch, t) + places_.fill;
      memset(fill, 0, size_t(layout_.columns * element_));
      if (!c_.fill) continue;
      for (ptrdiff_t i = 0; i < layout_.columns; i++)
        memcpy(fill + i * element_, c_.fill, size_t(element_));
    }
  }

  template <class Parallel>
  void run_pair(ptrdiff_t pair, char* scratch, const Parallel& parallel) const {
    const Tile a = tile(2 * pair), b = tile(2 * pair + 1);
    const ptrdiff_t in_depth = max(a.reach[0], b.reach[0]);
    const ptrdiff_t in_groups = ceil_div(max(a.reach[2], b.reach[2]), set_.lanes);
    const ptrdiff_t out_depth = max(a.count[0], b.count[0]);
    const ptrdiff_t out_rows = max(a.count[1], b.count[1]);
    const ptrdiff_t out_groups = ceil_div(max(a.count[2], b.count[2]), set_.lanes);
    double* squares = reinterpret_cast<double*>(scratch + places_.squares);

    parallel(in_depth * layout_.rows, [&](ptrdiff_t first, ptrdiff_t last, int thread) {
      load(a, own(scratch, thread), transform_.re(scratch, 0), first, last, in_groups);
      load(b, own(scratch, thread), transform_.im(scratch, 0), first, last, in_groups);
    });
    std::atomic<bool> a_finite(true), b_finite(true);
    parallel(in_groups, [&](ptrdiff_t first, ptrdiff_t last, int thread) {
      for (ptrdiff_t g = first; g < last; g++) {
        if (judge_.judges()) squares[g] = squares_of(scratch, g, in_depth, a_finite, b_finite);
        transform_.forward_group(scratch, own(scratch, thread), g, in_depth);
      }
    });
    double needed = 0;
    if (judge_.judges()) {
      double sum = 0;
      for (ptrdiff_t g = 0; g < in_groups; g++) sum += squares[g];
      needed = judge_.needed(sum);
      if (!a_finite) mark(a, MET_NONFINITE);
      if (!b_finite) mark(b, MET_NONFINITE);
      // Transforms leave zeros as they are.
      if (needed < 0 && !all_zero(scratch, in_depth, in_groups)) {
        mark(a, OUT_OF_RANGE);
        mark(b, OUT_OF_RANGE);
        return;
      }
    }
    parallel(layout_.depth * layout_.rows / set_.lanes,
             [&](ptrdiff_t first, ptrdiff_t last, int thread) {
               for (ptrdiff_t r = first; r < last; r++)
                 transform_.convolve_rows(scratch, own(scratch, thread), spectrum_, r * set_.lanes,
                                          in_groups, out_groups);
             });
    parallel(out_groups, [&](ptrdiff_t first, ptrdiff_t last, int thread) {
      for (ptrdiff_t g = first; g < last; g++)
        transform_.inverse_group(scratch, own(scratch, thread), g, out_depth);
    });
    std::atomic<unsigned char> a_found(0), b_found(0);
    parallel(out_depth * out_rows, [&](ptrdiff_t first, ptrdiff_t last, int thread) {
      char* line = own(scratch, thread) + places_.line;
      const Rows rows = {first, last, out_rows};
      a_found |= store(a, line, transform_.re(scratch, 0), rows, needed, nullptr);
      b_found |= store(b, line, transform_.im(scratch, 0), rows, needed, nullptr);
    });
    const Rows all = {0, out_depth * out_rows, out_rows};
    mark(a, a_found & UNSURE ? look_again(a, scratch, transform_.re(scratch, 0), all, needed)
                             : a_found.load());
    mark(b, b_found & UNSURE ? look_again(b, scratch, transform_.im(scratch, 0), all, needed)
                             : b_found.load());
  }

  // Stores a tile whose results fall short once more: where windows hold nothing, they are zero.
  unsigned char look_again(const Tile& t, char* scratch, const char* plane, const Rows& rows,
                           double needed) const {
    char* thread = own(scratch, 0);
    char* line = thread + places_.line;
    Occupancy occupied(t.reach[0], t.reach[1], ceil_div(t.reach[2], Occupancy::CELL));
    if (!occupied.ready()) return UNSURE;
    const LineReader::Span span = reader_.span(
        t.start[2], t.reach[2], reinterpret_cast<ptrdiff_t*>(thread + places_.sources));
    for (ptrdiff_t z = 0; z < t.reach[0]; z++)
      for (ptrdiff_t r = 0; r < t.reach[1]; r++) {
        const char* data = thread + places_.fill;
        if (const char* row = row_of(t, z, r)) {
          data = reader_.in_place(row, t.start[2], t.reach[2]);
          if (!data) {
            reader_.read(row, span, line);
            data = line;
          }
        }
        occupied.set_row(z, r, scalars_, data, t.reach[2]);
      }
    occupied.link();
    return store(t, line, plane, rows, needed, &occupied);
  }

  // Where a row of a tile's data lies; null where it is the fill.
  const char* row_of(const Tile& t, ptrdiff_t z, ptrdiff_t r) const {
    const CorrelationAxis &z_axis = tiled_[0], &row_axis = tiled_[1];
    z = map_index(t.start[0] + z, z_axis.x_extent, c_.boundary);
    r = map_index(t.start[1] + r, row_axis.x_extent, c_.boundary);
    return z < 0 || r < 0 ? nullptr : t.x + z * z_axis.x_stride + r * row_axis.x_stride;
  }

  // Σ x² of a group. NaN and Inf become zero.
  double squares_of(char* scratch, ptrdiff_t group, ptrdiff_t depth, std::atomic<bool>& a_finite,
                    std::atomic<bool>& b_finite) const {
    const double sum = add_squares(scratch, group, depth);
    if (sum < HUGE_VAL) return sum;
    const ptrdiff_t points = depth * layout_.rows;
    if (scalars_.zero_nonfinite(transform_.re(scratch, group), points)) a_finite = false;
    if (scalars_.zero_nonfinite(transform_.im(scratch, group), points)) b_finite = false;
    return add_squares(scratch, group, depth);
  }

  double add_squares(char* scratch, ptrdiff_t group, ptrdiff_t depth) const {
    const ptrdiff_t points = depth * layout_.rows;
    return scalars_.squares(transform_.re(scratch, group), points) +
           scalars_.squares(transform_.im(scratch, group), points);
  }

  bool all_zero(char* scratch, ptrdiff_t depth, ptrdiff_t groups) const {
    for (ptrdiff_t g = 0; g < groups; g++)
      for (const char* plane : {transform_.re(scratch, g), transform_.im(scratch, g)})
        if (!scalars_.all_zero(plane, depth * layout_.rows)) return false;
    return true;
  }

  // Rows [first, last) of all slices of one tile, into one plane of each group; zeros where it
  // reaches less far.
  void load(const Tile& t, char* own, char* plane, ptrdiff_t first, ptrdiff_t last,
            ptrdiff_t groups) const {
    const ptrdiff_t group = 2 * layout_.plane, wanted = groups * set_.lanes;
    char* assembled = own + places_.line;
    const LineReader::Span span =
        reader_.span(t.start[2], t.reach[2], reinterpret_cast<ptrdiff_t*>(own + places_.sources));
    memset(assembled, 0, size_t(wanted * element_));
    for (ptrdiff_t at = first; at < last;) {
      // What is left of a slice.
      const ptrdiff_t z = at / layout_.rows, stop = min(last, (z + 1) * layout_.rows);
      const bool empty = z >= t.reach[0];
      char* to = plane + at * layout_.vector;
      ptrdiff_t r = at - z * layout_.rows;
      for (; !empty && r < t.reach[1] && at < stop; r++, at++, to += layout_.vector) {
        const char* row = row_of(t, z, r);
        if (!row) {
          set_.copy_vectors(own + places_.fill, layout_.vector, to, group, groups);
          continue;
        }
        const char* data = reader_.in_place(row, t.start[2], wanted);
        if (data) {
          prefetch<0>(data + prefetched_rows * tiled_[1].x_stride, groups * layout_.vector);
        } else {
          reader_.read(row, span, assembled);
          data = assembled;
        }
        set_.copy_vectors(data, layout_.vector, to, group, groups);
      }
      for (ptrdiff_t g = 0; at < stop && g < groups; g++)
        memset(to + g * group, 0, size_t((stop - at) * layout_.vector));
      at = stop;
    }
  }

  // Stores rows of a tile, and returns what marks they earn. Where the occupied windows are known,
  // results of the others become zero.
  unsigned char store(const Tile& t, char* assembled, const char* plane, const Rows& rows,
                      double needed, const Occupancy* occupied) const {
    const ptrdiff_t group = 2 * layout_.plane;
    const ptrdiff_t whole = t.count[2] / set_.lanes, groups = ceil_div(t.count[2], set_.lanes);
    unsigned char found = 0;
    for (ptrdiff_t at = rows.first; at < rows.last; at++) {
      const ptrdiff_t z = at / rows.of_slice, r = at % rows.of_slice;
      if (z >= t.count[0] || r >= t.count[1]) continue;
      const char* from = plane + (z * layout_.rows + r) * layout_.vector;
      char* to = t.out + z * tiled_[0].out_stride + r * tiled_[1].out_stride;
      char* line = writer_.takes(to) ? to : assembled;
      set_.copy_vectors(from, group, line, layout_.vector, line == to ? whole : groups);
      if (line == to) {
        memcpy(line + whole * layout_.vector, from + whole * group,
               size_t((t.count[2] - whole * set_.lanes) * element_));
        prefetch<1>(to + prefetched_rows * tiled_[1].out_stride, whole * layout_.vector);
      }
      if (occupied)
        found |= judge_runs(set_, line, t.count[2], needed, [&](ptrdiff_t first, ptrdiff_t last) {
          return occupied->empty(z, z + tiled_[0].taps, r, r + tiled_[1].taps, first,
                                 last + tiled_[2].taps - 1);
        });
      else if (judge_.judges())
        found |= Judge::mark(set_.least_peak(line, t.count[2]), needed);
      if (line != to) writer_.write(line, to, t.count[2]);
    }
    return found;
  }

  const Correlation& c_;
  const BlockRun& run_;
  const LaneSet& set_;
  const void* spectrum_;
  const TileTransform& transform_;
  const TileLayout& layout_;
  const Places places_;
  const ptrdiff_t element_;
  const int batch_axes_;
  const LineReader reader_;
  const LineWriter writer_;
  const Judge judge_;
  const Scalars scalars_;
  const ptrdiff_t tiles_;
  CorrelationAxis tiled_[MAX_TILE_AXES];
  ptrdiff_t step_[MAX_TILE_AXES];
};

}  // namespace

void tile_fft_scratch(const TileFft& fft, ptrdiff_t* block, ptrdiff_t* thread) {
  const Places places(transform_of(fft).layout());
  *block = places.block;
  *thread = places.thread;
}

Status tile_fft_spectrum(const TileFft& fft, const char* w, const ptrdiff_t* taps, void* spectrum) {
  const TileTransform transform = transform_of(fft);
  const TileLayout& layout = transform.layout();
  const LaneSet& set = transform.set();
  char* scratch = take_scratch(layout.bytes);
  if (!scratch || !transform.ready()) {
    give_scratch_back(scratch);
    return Status::no_memory;
  }
  memset(scratch, 0, size_t(layout.buffer));
  // Tap k stands at -k modulo the points.
  const ptrdiff_t depth_taps = fft.axes == 3 ? taps[0] : 1;
  const ptrdiff_t row_taps = taps[fft.axes - 2], column_taps = taps[fft.axes - 1];
  for (ptrdiff_t z = 0; z < depth_taps; z++)
    for (ptrdiff_t r = 0; r < row_taps; r++)
      for (ptrdiff_t k = 0; k < column_taps; k++, w += set.scalar_bytes) {
        const ptrdiff_t column = k ? layout.columns - k : 0;
        const ptrdiff_t row = (z ? layout.depth - z : 0) * layout.rows + (r ? layout.rows - r : 0);
        memcpy(transform.re(scratch, column / set.lanes) + row * layout.vector +
                   column % set.lanes * set.scalar_bytes,
               w, size_t(set.scalar_bytes));
      }
  transform.take_spectrum(scratch, 1.0 / double(transform.points()), spectrum);
  give_scratch_back(scratch);
  return Status::ok;
}

ptrdiff_t tile_fft_count(const TileFft& fft, const Correlation& correlation) {
  ptrdiff_t count = 1;
  for (int a = 0; a < correlation.axis_count; a++) {
    const int tiled = a - (correlation.axis_count - fft.axes);
    count *= ceil_div(correlation.axes[a].out_extent, tiled < 0 ? 1 : fft.step[tiled]);
  }
  return count;
}

Status tile_fft_correlate(const TileFft& fft, const Correlation& correlation, const void* spectrum,
                          const BlockRun& run, bool apart, int threads) {
  const TileTransform transform = transform_of(fft);
  if (!transform.ready()) return Status::no_memory;
  const TileFftJob job(fft, correlation, spectrum, transform, run);
  return apart ? run_items(job, threads) : run_together(job, threads);
}

}  // namespace fastconv
