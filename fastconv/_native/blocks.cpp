// Cuts the output into blocks. A block's window of the extended input is staged in the thread's
// scratch, in the type of the computation; passes go from buffer to buffer there; what the last one
// gives is converted into the output. So data is read and written once, whatever the number of
// passes, and no more than a block is ever padded or converted.
//
// Where data and computation are of one type, blocks inside x are read in place by the first pass,
// and the last one writes into the output itself; blocks at the edges are cut narrow for that.
//
// A pass along an axis narrows the block from its window to its outputs along that axis. Along the
// columns (the contiguous axis) it works line by line; along another axis rows of a block are
// register rows. Rows of buffers are padded to whole tiles: kernels have no tails, and what they
// compute beyond a row's end is not used.
#include "blocks.hpp"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <new>
#include <vector>

#include "dispatch.hpp"
#include "region.hpp"
#include "sizes.hpp"
#include "taps.hpp"

namespace fastconv {
namespace {

// Bytes of a window in the cache: half of a common L2, less the other buffers. Box sums hold
// more beside it.
constexpr ptrdiff_t window_bytes = 256 << 10;
constexpr ptrdiff_t box_window_bytes = 192 << 10;
constexpr ptrdiff_t box_columns_bytes = 8 << 10;
// Windows smaller than this are made of more lines that are not convolved.
constexpr ptrdiff_t window_least_bytes = 16 << 10;
// Windows that are larger than their blocks by no more than this are good enough, and blocks that
// are larger by less than the second number grow, cache or not.
constexpr double good_share = 1.25;
constexpr double halo_share = 2;
// Columns of a block to begin with, in bytes.
constexpr ptrdiff_t first_columns_bytes = 16 << 10;
// Rows that a first pass may read in place: many rows far apart are read faster from scratch.
constexpr ptrdiff_t in_place_rows = 24;
constexpr ptrdiff_t l1_sets = 64, l1_ways = 8;
constexpr ptrdiff_t first_rows = 8;
constexpr ptrdiff_t ordered_vectors = 8;
// How much larger a running sum may have been than it is.
constexpr double running_loss = 4;
constexpr ptrdiff_t scratch_limit = 16 << 20;
constexpr ptrdiff_t unit_limit = 16;  // elements of a pixel's channels that move with it
constexpr ptrdiff_t blocks_per_thread = 4;

bool unconvolved(const CorrelationAxis& a) {
  return a.taps == 1 && a.offset == 0 && a.x_extent == a.out_extent;
}

// Where the elements of a block lie in scratch; the last axis is the columns.
struct Strides {
  ptrdiff_t of[MAX_AXES];
  ptrdiff_t bytes;  // of the whole block
};

// A pass that is ready to run.
struct Stage {
  PassKind kind;
  int axis;    // whose rows are register rows; the last one: lines
  bool dense;  // over all axes
  ptrdiff_t taps;
  Strides in, out;
  int planes_in, planes_out;
  std::vector<Group> groups[MAX_TERMS];  // of each plane that it makes
  std::vector<OrderedTap> ordered;
  Fold fold;
};

class BlockJob {
 public:
  Status plan(const BlockFilter& f, int threads) {
    filter_ = &f;
    const Level& level = *levels().used;
    set_ = &level.tiles[f.type];
    passes_ = f.type == FLOAT32 ? &level.passes_f32 : &level.passes_f64;
    load_ = conversions_of(f.type)[f.x_type];
    store_ = conversions_of(f.type)[f.out_type];
    element_ = set_->scalar_bytes;
    x_bytes_ = bytes_of(f.x_type);
    out_bytes_ = bytes_of(f.out_type);
    assign_axes();
    in_place_ = may_read_in_place();
    out_direct_ = may_write_directly();
    cut(threads);
    if (scratch_bytes() > scratch_limit) return Status::workspace;
    make_stages();
    return Status::ok;
  }

  ptrdiff_t items() const {
    ptrdiff_t items = 1;
    for (int a = 0; a < n_; a++) items *= blocks_along(a);
    return items;
  }
  ptrdiff_t scratch_bytes() const { return 2 * area_bytes_ + ends_bytes(); }

  // What sums of rows hold apart: the ends of a chunk.
  ptrdiff_t ends_bytes() const {
    ptrdiff_t taps = 0;
    for (int a = 0; a < n_ - 1; a++) taps = max(taps, axes_[a].taps);
    const bool box = filter_->passes[0].kind == PassKind::box;
    return box ? taps * SUM_ROWS_VECTORS * set_->vector_bytes : 0;
  }

  void run(ptrdiff_t first, ptrdiff_t last, char* scratch) const {
    for (ptrdiff_t item = first; item < last; item++) run_item(item, scratch);
  }

 private:
  // --- planning ---------------------------------------------------------------------------------

  // Leaves out axes of one element, joins neighbours that are not convolved, and puts an axis that
  // is contiguous (in the output, or at least in x) last.
  void assign_axes() {
    const BlockFilter& f = *filter_;
    n_ = 0;
    bool batch_before = false;
    for (int i = 0; i < f.axis_count; i++) {
      const CorrelationAxis& a = f.axes[i];
      const bool batch = unconvolved(a) && !has_pass(i);
      position_[i] = -1;
      if (batch && a.x_extent == 1) continue;
      CorrelationAxis* before = n_ ? &axes_[n_ - 1] : nullptr;
      const bool joins = batch && batch_before;
      batch_before = batch;
      if (joins && before->x_stride == a.x_stride * a.x_extent &&
          before->out_stride == a.out_stride * a.out_extent) {
        const ptrdiff_t extent = before->x_extent * a.x_extent;
        *before = a;
        before->x_extent = before->out_extent = extent;
      } else {
        axes_[n_] = a;
        position_[i] = n_++;
      }
    }
    if (n_ == 0) axes_[n_++] = {1, x_bytes_, 1, 0, 1, out_bytes_, 0};

    int columns = -1;
    for (int i = 0; i < n_; i++) {
      const bool contiguous = axes_[i].out_stride == out_bytes_;
      if (contiguous && (columns < 0 || axes_[i].x_stride == x_bytes_)) columns = i;
    }
    if (columns < 0) columns = n_ - 1;
    const CorrelationAxis moved = axes_[columns];
    for (int i = columns; i + 1 < n_; i++) axes_[i] = axes_[i + 1];
    axes_[n_ - 1] = moved;
    for (int i = 0; i < f.axis_count; i++) {
      if (position_[i] == columns)
        position_[i] = n_ - 1;
      else if (position_[i] > columns)
        position_[i]--;
    }

    elements_ = 1;
    const CorrelationAxis& last = axes_[n_ - 1];
    bool last_has_pass = false;
    for (int i = 0; i < f.axis_count; i++)
      last_has_pass = last_has_pass || (position_[i] == n_ - 1 && has_pass(i));
    if (n_ > 1 && unconvolved(last) && !last_has_pass && last.x_extent <= unit_limit &&
        !unconvolved(axes_[n_ - 2]) && last.x_stride == x_bytes_ && last.out_stride == out_bytes_ &&
        axes_[n_ - 2].x_stride == last.x_extent * x_bytes_ &&
        axes_[n_ - 2].out_stride == last.x_extent * out_bytes_) {
      elements_ = last.x_extent;
      n_--;
    }
    unit_ = elements_ * element_;
    for (int a = 0; a < n_; a++) {
      x_strides_[a] = axes_[a].x_stride;
      out_strides_[a] = axes_[a].out_stride;
    }
    taps_per_vector_ = set_->vector_bytes % unit_ == 0 ? set_->vector_bytes / unit_ : 0;
  }

  static bool aligned(const char* p, ptrdiff_t bytes) {
    return reinterpret_cast<uintptr_t>(p) % size_t(bytes) == 0;
  }

  bool may_read_in_place() const {
    const BlockPass& first = filter_->passes[0];
    const bool same = filter_->x_type == (element_ == 4 ? STORED_FLOAT32 : STORED_FLOAT64);
    bool fits = same && first.kind == PassKind::tile && axes_[n_ - 1].x_stride == unit_ &&
                aligned(filter_->x, element_);
    for (int a = 0; a < n_; a++) fits = fits && axes_[a].x_stride % element_ == 0;
    for (int a = 0; a < n_ - 1; a++) {
      const bool read = first.axis == ALL_AXES || position_[first.axis] == a;
      const ptrdiff_t rows = first_rows + axes_[a].taps - 1;
      if (read && axes_[a].taps > 1)
        fits = fits && rows <= rows_in_l1(axes_[a].x_stride) && rows <= in_place_rows;
    }
    return fits;
  }

  // How many rows of this pitch L1 can hold a line of: a pitch of a power of two uses few sets.
  static ptrdiff_t rows_in_l1(ptrdiff_t pitch) {
    if (pitch % cache_line != 0) return l1_sets * l1_ways;
    ptrdiff_t sets = l1_sets;
    for (ptrdiff_t lines = pitch / cache_line; sets > 1 && lines % 2 == 0; lines /= 2) sets /= 2;
    return sets * l1_ways;
  }

  bool may_write_directly() const {
    const bool same = filter_->out_type == (element_ == 4 ? STORED_FLOAT32 : STORED_FLOAT64);
    const BlockPass& last = filter_->passes[filter_->pass_count - 1];
    const bool sums_line =
        last.kind == PassKind::box && position_[last.axis] == n_ - 1 && !filter_->cut;
    bool fits = same && (last.kind == PassKind::tile || sums_line) &&
                axes_[n_ - 1].out_stride == unit_ && aligned(filter_->out, element_);
    for (int a = 0; a < n_; a++) fits = fits && axes_[a].out_stride % element_ == 0;
    return fits;
  }

  // Outputs along an axis whose windows reach beyond x on either side; whole vectors of columns.
  ptrdiff_t edge(int axis, bool after) const {
    const CorrelationAxis& a = axes_[axis];
    const ptrdiff_t reach = after ? a.out_extent + a.offset + a.taps - 1 - a.x_extent : -a.offset;
    const ptrdiff_t step = axis == n_ - 1 ? max(set_->vector_bytes / unit_, 1) : 1;
    return reach > 0 ? round_up(reach, step) : 0;
  }

  // Whether blocks at the edges are cut apart from those inside.
  bool has_edges(int axis) const {
    return in_place_ && edge(axis, false) + edge(axis, true) < axes_[axis].out_extent;
  }

  ptrdiff_t blocks_along(int axis) const {
    const ptrdiff_t extent = axes_[axis].out_extent;
    if (!has_edges(axis)) return ceil_div(extent, block_[axis]);
    const ptrdiff_t before = edge(axis, false), after = edge(axis, true);
    return ceil_div(extent - before - after, block_[axis]) + ceil_div(before, block_[axis]) +
           ceil_div(after, block_[axis]);
  }

  // The first output of a block along an axis, and how many it has.
  void span(int axis, ptrdiff_t number, ptrdiff_t& first, ptrdiff_t& count) const {
    const ptrdiff_t extent = axes_[axis].out_extent, step = block_[axis];
    ptrdiff_t limits[4] = {0, extent, extent, extent};
    if (has_edges(axis)) {
      limits[1] = edge(axis, false);
      limits[2] = extent - edge(axis, true);
    }
    int part = 0;
    for (; number >= ceil_div(limits[part + 1] - limits[part], step); part++)
      number -= ceil_div(limits[part + 1] - limits[part], step);
    first = limits[part] + number * step;
    count = min(step, limits[part + 1] - first);
  }

  bool has_pass(int filter_axis) const {
    for (int p = 0; p < filter_->pass_count; p++)
      if (filter_->passes[p].axis == filter_axis) return true;
    return false;
  }

  ptrdiff_t halo(int axis) const { return axes_[axis].taps - 1; }

  ptrdiff_t window(int axis) const { return block_[axis] + halo(axis); }

  // Bytes of a window in scratch, its rows padded.
  ptrdiff_t window_size() const {
    ptrdiff_t extents[MAX_AXES];
    for (int a = 0; a < n_; a++) extents[a] = window(a);
    return strides(extents).bytes;
  }

  // The extents of a block: grown where the halo is the largest share of the window, as long as
  // that fits the cache.
  void cut(int threads) {
    const bool box = filter_->passes[0].kind == PassKind::box;
    const ptrdiff_t target = box ? box_window_bytes : window_bytes;
    for (int a = 0; a < n_; a++) block_[a] = axes_[a].out_extent;
    // A sum runs along a whole line: one block.
    if (filter_->passes[0].kind == PassKind::running) {
      area_bytes_ = round_up(largest_area(), cache_line);
      return;
    }
    for (int a = 0; a < n_; a++) {
      const ptrdiff_t wanted = a == n_ - 1
                                   ? max((box ? box_columns_bytes : first_columns_bytes) / unit_, 1)
                               : axes_[a].taps > 1 ? first_rows
                                                   : 1;
      block_[a] = min(axes_[a].out_extent, wanted);
    }
    while (window_size() > scratch_limit / 4) {
      int largest = 0;
      for (int a = 1; a < n_; a++)
        if (block_[a] > block_[largest]) largest = a;
      if (block_[largest] == 1) break;
      block_[largest] = ceil_div(block_[largest], 2);
    }
    for (;;) {
      int widest = -1;
      double most = 1;
      for (int a = 0; a < n_; a++) {
        const double share = double(window(a)) / double(block_[a]);
        if (block_[a] < axes_[a].out_extent && share > most) {
          widest = a;
          most = share;
        }
      }
      const ptrdiff_t bytes = window_size();
      if (widest < 0 && bytes < window_least_bytes)  // lines so short that more of them fit
        for (int a = n_ - 1; a >= 0 && widest < 0; a--)
          if (block_[a] < axes_[a].out_extent) widest = a;
      if (widest < 0 || (most <= good_share && bytes >= window_least_bytes)) break;
      const double growth = double(block_[widest] * 2 + halo(widest)) / double(window(widest));
      const bool fits = double(bytes) * growth <= double(target);
      if (!fits && (most <= halo_share || double(bytes) * growth > double(scratch_limit) / 4))
        break;
      if (fits && items() <= blocks_per_thread * threads && bytes > window_least_bytes) break;
      block_[widest] = min(2 * block_[widest], axes_[widest].out_extent);
    }
    // Blocks of like size.
    for (int a = 0; a < n_; a++) {
      const ptrdiff_t count = ceil_div(axes_[a].out_extent, block_[a]);
      ptrdiff_t even = ceil_div(axes_[a].out_extent, count);
      if (a < n_ - 1 && axes_[a].taps > 1) even = min(round_up(even, first_rows), block_[a]);
      block_[a] = even;
    }
    area_bytes_ = round_up(largest_area(), cache_line);
  }

  // Room for a buffer's planes in any stage, with what kernels touch beyond the end.
  ptrdiff_t largest_area() const {
    ptrdiff_t extents[MAX_AXES];
    for (int a = 0; a < n_; a++) extents[a] = window(a);
    ptrdiff_t most = strides(extents).bytes;
    const BlockFilter& f = *filter_;
    for (int p = 0; p + 1 < f.pass_count; p++) {
      extents[position_[f.passes[p].axis]] = block_[position_[f.passes[p].axis]];
      most = max(most, f.terms * strides(extents).bytes);
    }
    for (int a = 0; a < n_; a++) extents[a] = block_[a];
    return max(most, strides(extents).bytes) + slack();
  }

  ptrdiff_t slack() const { return 4 * widest_tile() + halo(n_ - 1) * unit_; }

  ptrdiff_t widest_tile() const {
    return max(set_->image[0].vectors, set_->line[0].rows * set_->line[0].vectors) *
           ptrdiff_t(set_->vector_bytes);
  }

  Strides strides(const ptrdiff_t* extents) const {
    Strides s;
    s.of[n_ - 1] = unit_;
    const ptrdiff_t tile = set_->image[0].vectors * ptrdiff_t(set_->vector_bytes);
    ptrdiff_t stride = round_up(extents[n_ - 1] * unit_, max(tile, cache_line));
    if (n_ > 1 && stride % 1024 == 0) stride += cache_line;  // rows in other sets of L1
    for (int a = n_ - 2; a >= 0; a--) {
      s.of[a] = stride;
      stride *= extents[a];
    }
    s.bytes = stride;
    return s;
  }

  void make_stages() {
    const BlockFilter& f = *filter_;
    ptrdiff_t extents[MAX_AXES];
    for (int a = 0; a < n_; a++) extents[a] = window(a);
    stages_.resize(size_t(f.pass_count));
    Strides strides_now = strides(extents);
    size_t taps = 0;
    for (int p = 0; p < f.pass_count; p++) {
      const ptrdiff_t each =
          f.passes[p].axis == ALL_AXES ? all_taps() : f.axes[f.passes[p].axis].taps;
      taps += size_t(each * f.terms);
    }
    weights_.reserve(taps * size_t(element_));  // so that groups may point into it
    for (int p = 0; p < f.pass_count; p++) {
      const BlockPass& pass = f.passes[p];
      Stage& s = stages_[size_t(p)];
      s.kind = pass.kind;
      s.dense = pass.axis == ALL_AXES;
      s.planes_in = p == 0 ? 1 : f.terms;
      s.planes_out = p + 1 < f.pass_count ? f.terms : 1;
      s.in = strides_now;
      if (s.dense) {
        s.axis = rows_of_dense();
        for (int a = 0; a < n_; a++) extents[a] = block_[a];
      } else {
        s.axis = position_[pass.axis];
        s.taps = axes_[s.axis].taps;
        extents[s.axis] = block_[s.axis];
      }
      s.out = s.kind == PassKind::box && s.axis == n_ - 1 ? s.in : strides(extents);
      strides_now = s.out;
      if (s.kind == PassKind::tile)
        make_groups(s, pass);
      else if (s.kind == PassKind::ordered)
        make_ordered(s, pass);
    }
  }

  ptrdiff_t all_taps() const {
    ptrdiff_t taps = 1;
    for (int a = 0; a < n_; a++) taps *= axes_[a].taps;
    return taps;
  }

  // The axis with the most taps to share, or the columns where the line has more.
  int rows_of_dense() const {
    int best = n_ - 1;
    ptrdiff_t most = taps_per_vector_ ? ceil_div(axes_[n_ - 1].taps, taps_per_vector_) : 1;
    for (int a = n_ - 2; a >= 0; a--)
      if (axes_[a].taps > most) {
        best = a;
        most = axes_[a].taps;
      }
    return best;
  }

  void make_groups(Stage& s, const BlockPass& pass) {
    const bool lines = s.axis == n_ - 1;
    for (int term = 0; term < filter_->terms; term++) {
      // Taps that are added go into one list: those of a later term read a later plane.
      const bool joined = s.planes_out == 1;
      std::vector<Group>& groups = s.groups[joined ? 0 : term];
      const ptrdiff_t plane = s.planes_in > 1 && joined ? term * s.in.bytes : 0;
      if (s.dense) {
        make_dense_groups(s, pass.taps[term], groups);
        continue;
      }
      const auto emit = [&](ptrdiff_t row, ptrdiff_t column, ptrdiff_t rows, ptrdiff_t columns) {
        const ptrdiff_t first = lines ? row * taps_per_vector_ + column : row;
        groups.push_back({end_of_weights(),
                          {first * x_strides_[s.axis], plane + first * s.in.of[s.axis]},
                          columns,
                          int(rows)});
        for (ptrdiff_t k = column; k < column + columns; k++)
          for (ptrdiff_t r = row; r < row + rows; r++)
            push_weight(pass.taps[term] + (lines ? r * taps_per_vector_ + k : r) * element_);
      };
      if (lines)
        split_line(s.taps, taps_per_vector_, set_->group_rows, emit);
      else
        split_taps(s.taps, 0, 1, set_->group_rows, emit);
    }
  }

  void make_dense_groups(const Stage& s, const char* taps, std::vector<Group>& groups) {
    const int last = n_ - 1;
    const bool lines = s.axis == last;
    ptrdiff_t tap_stride[MAX_AXES], outer_taps = 1;
    dense_tap_strides(tap_stride);
    for (int a = 0; a < last; a++)
      if (a != s.axis) outer_taps *= axes_[a].taps;
    for (ptrdiff_t t = 0; t < outer_taps; t++) {
      ptrdiff_t in_x = 0, in_scratch = 0, rest = t;
      const char* w = taps;
      for (int a = last - 1; a >= 0; a--) {
        if (a == s.axis) continue;
        const ptrdiff_t k = rest % axes_[a].taps;
        rest /= axes_[a].taps;
        in_x += k * x_strides_[a];
        in_scratch += k * s.in.of[a];
        w += k * tap_stride[a];
      }
      const auto tap = [&](ptrdiff_t row, ptrdiff_t column) {
        return lines ? w + (row * taps_per_vector_ + column) * tap_stride[last]
                     : w + row * tap_stride[s.axis] + column * tap_stride[last];
      };
      const auto emit = [&](ptrdiff_t row, ptrdiff_t column, ptrdiff_t rows, ptrdiff_t columns) {
        const ptrdiff_t along = (lines ? row * taps_per_vector_ + column : column) * unit_;
        const ptrdiff_t row_x = lines ? 0 : row * x_strides_[s.axis];
        const ptrdiff_t row_scratch = lines ? 0 : row * s.in.of[s.axis];
        groups.push_back({end_of_weights(),
                          {in_x + row_x + along, in_scratch + row_scratch + along},
                          columns,
                          int(rows)});
        for (ptrdiff_t k = column; k < column + columns; k++)
          for (ptrdiff_t r = row; r < row + rows; r++) push_weight(tap(r, k));
      };
      const auto group = [&](ptrdiff_t row, ptrdiff_t column, ptrdiff_t rows, ptrdiff_t columns) {
        if (!filter_->skip_zeros) return emit(row, column, rows, columns);
        const auto zero = [&](ptrdiff_t r, ptrdiff_t k) { return value(tap(r, k)) == 0; };
        split_nonzero(row, column, rows, columns, zero, emit);
      };
      if (lines)
        split_line(axes_[last].taps, taps_per_vector_, set_->group_rows, group);
      else
        split_taps(axes_[s.axis].taps, 0, axes_[last].taps, set_->group_rows, group);
    }
  }

  // Bytes from tap to tap along each of our axes; the taps are contiguous in the caller's order.
  void dense_tap_strides(ptrdiff_t* tap_stride) const {
    ptrdiff_t stride = element_;
    for (int i = filter_->axis_count - 1; i >= 0; i--) {
      if (position_[i] >= 0) tap_stride[position_[i]] = stride;
      stride *= filter_->axes[i].taps;
    }
  }

  void make_ordered(Stage& s, const BlockPass& pass) {
    if (s.dense) {
      make_dense_ordered(s, pass.taps[0]);
      return;
    }
    const ptrdiff_t step = s.in.of[s.axis], last = s.taps - 1, middle = s.taps / 2;
    const auto w = [&](ptrdiff_t k) { return value(pass.taps[0] + k * element_); };
    s.fold = fold_of(s.taps, w);
    // SciPy's order: the middle tap, or the last one where nothing folds, then from the first on.
    if (s.fold == Fold::none) {
      s.ordered.push_back({last * step, 0, w(last)});
      for (ptrdiff_t k = 0; k < last; k++) s.ordered.push_back({k * step, 0, w(k)});
    } else {
      s.ordered.push_back({middle * step, 0, w(middle)});
      for (ptrdiff_t k = 0; k < middle; k++)
        s.ordered.push_back({k * step, (last - k) * step, w(k)});
    }
  }

  template <class Weight>
  static Fold fold_of(ptrdiff_t taps, Weight w) {
    if (taps % 2 == 0) return Fold::none;
    constexpr double epsilon = 2.220446049250313e-16;  // as SciPy tells symmetry
    bool symmetric = true, antisymmetric = true;
    for (ptrdiff_t k = 0; k < taps / 2; k++) {
      symmetric = symmetric && fabs(w(k) - w(taps - 1 - k)) <= epsilon;
      antisymmetric = antisymmetric && fabs(w(k) + w(taps - 1 - k)) <= epsilon;
    }
    return symmetric ? Fold::sum : antisymmetric ? Fold::difference : Fold::none;
  }

  // All taps in the caller's order, as SciPy sums them.
  void make_dense_ordered(Stage& s, const char* taps) {
    s.fold = Fold::none;
    const ptrdiff_t count = all_taps();
    for (ptrdiff_t t = 0; t < count; t++) {
      ptrdiff_t rest = t, offset = 0;
      for (int i = filter_->axis_count - 1; i >= 0; i--) {
        const ptrdiff_t k = rest % filter_->axes[i].taps;
        rest /= filter_->axes[i].taps;
        if (position_[i] >= 0) offset += k * s.in.of[position_[i]];
      }
      const double w = value(taps + t * element_);
      if (w != 0 || !filter_->skip_zeros) s.ordered.push_back({offset, 0, w});
    }
  }

  double value(const char* tap) const {
    if (element_ == 4) {
      float v;
      memcpy(&v, tap, sizeof v);
      return v;
    }
    double v;
    memcpy(&v, tap, sizeof v);
    return v;
  }

  const char* end_of_weights() const { return weights_.data() + weights_.size(); }
  void push_weight(const char* w) { weights_.insert(weights_.end(), w, w + element_); }

  // --- running ----------------------------------------------------------------------------------

  // One block: its first output along each axis, and how many it has.
  struct Block {
    ptrdiff_t first[MAX_AXES], count[MAX_AXES];
  };

  Block block(ptrdiff_t item) const {
    Block b;
    for (int a = n_ - 1; a >= 0; a--) {
      const ptrdiff_t blocks = blocks_along(a);
      span(a, item % blocks, b.first[a], b.count[a]);
      item /= blocks;
    }
    return b;
  }

  // Whether the first pass may read x itself, though it reads whole tiles of columns.
  bool is_inside(const Block& b) const {
    if (!in_place_) return false;
    const auto last = [&](int a) { return b.first[a] + axes_[a].offset + b.count[a] + halo(a); };
    for (int a = 0; a < n_; a++)
      if (b.first[a] + axes_[a].offset < 0 || last(a) > axes_[a].x_extent) return false;
    const ptrdiff_t tile = set_->image[0].vectors * ptrdiff_t(set_->vector_bytes);
    if ((axes_[n_ - 1].x_extent - last(n_ - 1)) * unit_ >= tile) return true;
    // Beyond the row's end lies the next row.
    return n_ > 1 && last(n_ - 2) < axes_[n_ - 2].x_extent && axes_[n_ - 2].x_stride >= tile;
  }

  void run_item(ptrdiff_t item, char* scratch) const {
    const Block b = block(item);
    ptrdiff_t extents[MAX_AXES];
    for (int a = 0; a < n_; a++) extents[a] = b.count[a] + halo(a);
    char* from = scratch;
    char* to = scratch + area_bytes_;
    const bool inside = is_inside(b);
    if (!inside) load(b, from);
    for (size_t p = 0; p < stages_.size(); p++) {
      const Stage& s = stages_[p];
      if (p > 0) fill_outside(b, s, extents, from);
      if (s.dense)
        for (int a = 0; a < n_; a++) extents[a] = b.count[a];
      else
        extents[s.axis] = b.count[s.axis];
      Source source = {from, s.in.of, IN_SCRATCH};
      if (p == 0 && inside) source = {corner_of_x(b), x_strides_, IN_X};
      Target target = {to, s.out.of, nullptr};
      const bool direct = out_direct_ && p + 1 == stages_.size();
      if (direct) target = {corner_of_out(b), out_strides_, to};
      if (s.kind == PassKind::box && s.axis == n_ - 1) {
        run_box_lines(s, extents, from, to, direct ? &target : nullptr);
        continue_cut(p, extents, from);
        continue;
      }
      if (s.kind == PassKind::box)
        run_box_rows(s, b, extents, source, to, scratch + 2 * area_bytes_);
      else
        for (int plane = 0; plane < s.planes_out; plane++) {
          run_stage(s, plane, extents, source, target);
          target.data += s.out.bytes;
        }
      char* swapped = from;
      from = to;
      to = swapped;
      continue_cut(p, extents, from);
    }
    if (!out_direct_) store(b, stages_.back().out, from);
  }

  // What a stage reads: scratch, or x; and what it writes: scratch, or the output, where rests of
  // rows go by way of a spare tile.
  struct Source {
    const char* data;
    const ptrdiff_t* strides;
    Layout layout;
  };
  struct Target {
    char* data;
    const ptrdiff_t* strides;
    char* spare;
  };

  const char* corner_of_x(const Block& b) const {
    const char* corner = filter_->x;
    for (int a = 0; a < n_; a++) corner += (b.first[a] + axes_[a].offset) * axes_[a].x_stride;
    return corner;
  }

  char* corner_of_out(const Block& b) const {
    char* corner = filter_->out;
    for (int a = 0; a < n_; a++) corner += b.first[a] * axes_[a].out_stride;
    return corner;
  }

  // Between passes, numbers become those of the output's type.
  void continue_cut(size_t pass, const ptrdiff_t* extents, char* data) const {
    if (!filter_->cut || pass + 1 == stages_.size()) return;
    each_line(extents, stages_[pass].out.of, data,
              [&](char* line, const ptrdiff_t*) { store_.cut(line, extents[n_ - 1] * elements_); });
  }

  // Calls visit(line, index) for each line of columns of a block.
  template <class Visit>
  void each_line(const ptrdiff_t* extents, const ptrdiff_t* strides, char* data,
                 Visit visit) const {
    ptrdiff_t index[MAX_AXES] = {};
    for (;;) {
      char* line = data;
      for (int a = 0; a < n_ - 1; a++) line += index[a] * strides[a];
      visit(line, index);
      int a = n_ - 2;
      while (a >= 0 && ++index[a] == extents[a]) index[a--] = 0;
      if (a < 0) return;
    }
  }

  void load(const Block& b, char* to) const {
    const Strides& strides = stages_[0].in;
    GatherAxis gathered[MAX_AXES];
    ptrdiff_t extents[MAX_AXES];
    for (int a = 0; a < n_; a++) {
      extents[a] = b.count[a] + halo(a);
      gathered[a] = {axes_[a].x_extent, axes_[a].x_stride, b.first[a] + axes_[a].offset, extents[a],
                     strides.of[a]};
    }
    char fill[unit_limit * sizeof(double)];
    if (filter_->fill)
      for (ptrdiff_t i = 0; i < elements_; i++)
        memcpy(fill + i * element_, filter_->fill, size_t(element_));
    gather(filter_->x, to, gathered, n_, Unit{elements_ * x_bytes_, unit_, &load_, elements_},
           filter_->boundary, filter_->fill ? fill : nullptr);
    // What kernels read beyond a line's end is used for nothing, but it should be ordinary numbers.
    const ptrdiff_t used = extents[n_ - 1] * unit_;
    const ptrdiff_t pitch = n_ > 1 ? strides.of[n_ - 2] : strides.bytes;
    each_line(extents, strides.of, to, [&](char* line, const ptrdiff_t*) {
      memset(line + used, 0, size_t(min(pitch - used, 2 * widest_tile())));
    });
  }

  // Beyond the edge of its axis a pass reads the fill itself, not what earlier passes made of it.
  void fill_outside(const Block& b, const Stage& s, const ptrdiff_t* extents, char* data) const {
    if (!filter_->refill || !filter_->fill || filter_->boundary != Boundary::constant) return;
    const CorrelationAxis& axis = axes_[s.axis];
    const ptrdiff_t first = b.first[s.axis] + axis.offset;  // of the window, along the axis
    const ptrdiff_t before = max(0, min(-first, extents[s.axis]));
    const ptrdiff_t after = max(before, min(axis.x_extent - first, extents[s.axis]));
    const ptrdiff_t columns = extents[n_ - 1];
    const auto put = [&](char* line, ptrdiff_t from, ptrdiff_t to) {
      for (ptrdiff_t i = from * elements_; i < to * elements_; i++)
        memcpy(line + i * element_, filter_->fill, size_t(element_));
    };
    for (int plane = 0; plane < s.planes_in; plane++)
      each_line(extents, s.in.of, data + plane * s.in.bytes,
                [&](char* line, const ptrdiff_t* index) {
                  if (s.axis == n_ - 1) {
                    put(line, 0, before);
                    put(line, after, columns);
                  } else if (index[s.axis] < before || index[s.axis] >= after) {
                    put(line, 0, columns);
                  }
                });
  }

  // Every line, or every run of rows along the stage's axis.
  void run_stage(const Stage& s, int plane, const ptrdiff_t* extents, const Source& source,
                 const Target& target) const {
    const bool by_plane = s.planes_in > 1 && s.planes_out > 1;
    const char* x = source.data + (by_plane ? plane * s.in.bytes : 0);
    const int last = n_ - 1;
    ptrdiff_t outer[MAX_AXES];
    for (int a = 0; a < n_; a++) outer[a] = extents[a];
    if (s.axis < last) outer[s.axis] = 1;
    Run run = {&s.groups[plane],
               source.layout,
               s.axis < last ? source.strides[s.axis] : 0,
               s.axis < last ? target.strides[s.axis] : 0,
               s.axis < last ? extents[s.axis] : 1,
               extents[last] * unit_,
               target.spare};
    each_line(outer, target.strides, target.data, [&](char* out, const ptrdiff_t* index) {
      const char* in = x;
      for (int a = 0; a < last; a++) in += index[a] * source.strides[a];
      if (s.kind == PassKind::running)
        run_means(s, in, out, extents);
      else if (s.kind == PassKind::ordered)
        run_ordered(s, run, in, out);
      else if (s.axis < last)
        run_rows(run, in, out);
      else
        run_line(run, in, out);
    });
  }

  // Rows of columns, or one line, that a kernel is called for.
  struct Run {
    const std::vector<Group>* groups;
    Layout layout;
    ptrdiff_t in_pitch, out_pitch, rows;
    ptrdiff_t width;  // bytes of a row
    char* spare;      // for a rest of a row that must not be written whole; null: it may be
  };

  // A few columns at a time: their rows stay in L1 for all the outputs that read them.
  void run_ordered(const Stage& s, const Run& run, const char* in, char* out) const {
    const ptrdiff_t vectors = ceil_div(run.width, set_->vector_bytes);
    const ptrdiff_t step = run.rows > 1 ? ordered_vectors : vectors;
    for (ptrdiff_t at = 0; at < vectors; at += step)
      for (ptrdiff_t r = 0; r < run.rows; r++) {
        char* target = out + r * run.out_pitch + at * set_->vector_bytes;
        const ptrdiff_t count = min(step, vectors - at);
        if (s.ordered.empty())  // every tap was zero
          memset(target, 0, size_t(count * set_->vector_bytes));
        else
          passes_->ordered[int(s.fold)](s.ordered.data(), ptrdiff_t(s.ordered.size()),
                                        in + r * run.in_pitch + at * set_->vector_bytes, target,
                                        count);
      }
  }

  // The lines through the columns of one row, or the one along it.
  void run_means(const Stage& s, const char* in, char* out, const ptrdiff_t* extents) const {
    const bool along = s.axis == n_ - 1;
    const ptrdiff_t lines = along ? elements_ : extents[n_ - 1] * elements_;
    for (ptrdiff_t i = 0; i < lines; i++)
      running_mean(reinterpret_cast<const double*>(in) + i, s.in.of[s.axis] / element_,
                   reinterpret_cast<double*>(out) + i, s.out.of[s.axis] / element_, extents[s.axis],
                   s.taps, filter_->out_type >= STORED_FLOAT32);
  }

  // As SciPy sums, but the sum starts again where it would keep what has left the window: a NaN, an
  // Inf, and (where the result is not cut to an integer) the rounding errors of much larger sums.
  static void running_mean(const double* x, ptrdiff_t x_step, double* out, ptrdiff_t out_step,
                           ptrdiff_t count, ptrdiff_t taps, bool restarts) {
    double sum = 0, largest = 0;
    for (ptrdiff_t i = 0; i < count; i++) {
      const double* window = x + i * x_step;
      if (i > 0) sum += window[(taps - 1) * x_step] - window[-x_step];
      if (i == 0 || !isfinite(sum) || (restarts && largest > running_loss * fabs(sum))) {
        sum = largest = 0;
        for (ptrdiff_t k = 0; k < taps; k++) sum += window[k * x_step];
      }
      if (fabs(sum) > largest) largest = fabs(sum);
      out[i * out_step] = sum / double(taps);
    }
  }

  void run_rows(const Run& run, const char* in, char* out) const {
    ptrdiff_t row = 0;
    for (int i = 0; row < run.rows; i++) {
      const TileShape& shape = set_->image[i];
      const ptrdiff_t tile = shape.vectors * ptrdiff_t(set_->vector_bytes);
      for (; run.rows - row >= shape.rows; row += shape.rows) {
        const char* x = in + row * run.in_pitch;
        char* y = out + row * run.out_pitch;
        ptrdiff_t at = 0;
        for (; at < run.width && (!run.spare || run.width - at >= tile); at += tile)
          call(shape, run, x + at, run.in_pitch, y + at, run.out_pitch);
        if (at >= run.width) continue;
        call(shape, run, x + at, run.in_pitch, run.spare, tile);
        for (ptrdiff_t r = 0; r < shape.rows; r++)
          memcpy(y + r * run.out_pitch + at, run.spare + r * tile, size_t(run.width - at));
      }
    }
  }

  void run_line(const Run& run, const char* in, char* out) const {
    const ptrdiff_t vector = set_->vector_bytes;
    ptrdiff_t at = 0;
    for (int i = 0; at < run.width; i++) {
      const TileShape& shape = set_->line[i];
      const ptrdiff_t tile = shape.rows * shape.vectors * vector;
      for (; run.width - at >= tile; at += tile)
        call(shape, run, in + at, vector, out + at, vector);
      if (tile > vector || at >= run.width) continue;
      char* rest = run.spare ? run.spare : out + at;
      call(shape, run, in + at, vector, rest, vector);
      if (run.spare) memcpy(out + at, rest, size_t(run.width - at));
      return;
    }
  }

  void call(const TileShape& shape, const Run& run, const char* in, ptrdiff_t in_pitch, char* out,
            ptrdiff_t out_pitch) const {
    shape.function(run.groups->data(), ptrdiff_t(run.groups->size()), run.layout, in, in_pitch,
                   unit_, out, out_pitch);
  }

  // Box sums along the columns: each line by itself, by doubling, where it stands; or into the
  // output.
  void run_box_lines(const Stage& s, const ptrdiff_t* extents, char* data, char* spare,
                     const Target* target) const {
    char* line = data;
    const ptrdiff_t* strides = target ? target->strides : s.in.of;
    each_line(extents, strides, target ? target->data : data,
              [&](char* out, const ptrdiff_t* index) {
                line = data;
                for (int a = 0; a < n_ - 1; a++) line += index[a] * s.in.of[a];
                sum_neighbours(s, line, spare, extents[n_ - 1] * unit_, target ? out : nullptr);
              });
  }

  // Sums of neighbours by doubling: S_2[i] = S_1[i] + S_1[i + 1], S_4[i] = S_2[i] + S_2[i + 2], …,
  // and the sums of which the size consists added. Each output has the same tree of sums, so that
  // rounding does not drift and no output meets what lies outside its window. The result stands
  // where the data stood, or in `out`.
  void sum_neighbours(const Stage& s, char* data, char* spare, ptrdiff_t bytes, char* out) const {
    const ptrdiff_t taps = s.taps;
    const double scale = filter_->cut ? 1 : 1 / double(taps);
    char* sums = data;
    char* result = nullptr;
    ptrdiff_t covered = 0;
    bool scaled = false;  // whether `result` is
    // Adds where both have their `length` neighbours; the last sum of all may go to the output.
    const auto add = [&](const char* a, double a_scale, const char* b, double b_scale, char* to,
                         ptrdiff_t length) {
      const ptrdiff_t valid = bytes + (taps - length) * unit_;
      if (length < taps || !out) {
        passes_->add_scaled(a, a_scale, b, b_scale, to, valid);
        return;
      }
      const ptrdiff_t whole = valid / set_->vector_bytes * set_->vector_bytes;
      passes_->add_scaled(a, a_scale, b, b_scale, out, whole);
      passes_->add_scaled(a + whole, a_scale, b + whole, b_scale, to, valid - whole);
      memcpy(out + whole, to, size_t(valid - whole));
    };
    for (ptrdiff_t length = 1;; length *= 2) {
      if (taps & length) {
        if (result) {
          add(result, scaled ? 1 : scale, sums + covered * unit_, 1, result, covered + length);
          scaled = true;
        } else {
          result = sums;
          scaled = length > 1;
        }
        covered += length;
      }
      if (2 * length > taps) break;
      char* doubled = sums == result ? spare : sums;
      const double of_ones = length == 1 ? scale : 1;
      add(sums, of_ones, sums + length * unit_, of_ones, doubled, 2 * length);
      sums = doubled;
    }
    if (filter_->cut) passes_->divide(result, double(taps), bytes);
    if (out && taps == 1) memcpy(out, data, size_t(bytes));
  }

  // Box sums along another axis. Chunks begin at multiples of the taps along the whole axis, so
  // that a sum is the same in any block.
  void run_box_rows(const Stage& s, const Block& b, const ptrdiff_t* extents, const Source& source,
                    char* to, char* ends) const {
    const CorrelationAxis& axis = axes_[s.axis];
    const ptrdiff_t first = (b.first[s.axis] + axis.offset) % s.taps;
    SumRows sum = {s.taps,
                   extents[s.axis],
                   first <= 0 ? -first : s.taps - first,
                   filter_->cut ? 1 : 1 / double(s.taps),
                   source.strides[s.axis],
                   s.out.of[s.axis],
                   ends};
    ptrdiff_t outer[MAX_AXES];
    for (int a = 0; a < n_; a++) outer[a] = extents[a];
    outer[s.axis] = 1;
    const ptrdiff_t vectors = ceil_div(extents[n_ - 1] * unit_, set_->vector_bytes);
    each_line(outer, s.out.of, to, [&](char* out, const ptrdiff_t* index) {
      const char* x = source.data;
      for (int a = 0; a < n_ - 1; a++) x += index[a] * source.strides[a];
      for (ptrdiff_t v = 0; v < vectors; v += SUM_ROWS_VECTORS)
        passes_->sum_rows(sum, x + v * set_->vector_bytes, out + v * set_->vector_bytes,
                          min(SUM_ROWS_VECTORS, vectors - v));
      if (!filter_->cut) return;
      for (ptrdiff_t r = 0; r < sum.rows; r++)
        passes_->divide(out + r * sum.out_pitch, double(s.taps), extents[n_ - 1] * unit_);
    });
  }

  void store(const Block& b, const Strides& strides, char* from) const {
    char* corner = corner_of_out(b);
    const ptrdiff_t stride = elements_ > 1 ? out_bytes_ : axes_[n_ - 1].out_stride;
    each_line(b.count, strides.of, from, [&](char* line, const ptrdiff_t* index) {
      char* out = corner;
      for (int a = 0; a < n_ - 1; a++) out += index[a] * axes_[a].out_stride;
      store_.store(line, out, stride, b.count[n_ - 1] * elements_);
    });
  }

  const BlockFilter* filter_ = nullptr;
  const TileSet* set_ = nullptr;
  const PassSet* passes_ = nullptr;
  Conversion load_, store_;
  ptrdiff_t element_ = 0, x_bytes_ = 0, out_bytes_ = 0;

  CorrelationAxis axes_[MAX_AXES];
  int n_ = 0;
  int position_[MAX_AXES];  // where an axis of the filter's is among ours; -1 where it is gone
  ptrdiff_t x_strides_[MAX_AXES], out_strides_[MAX_AXES];
  bool in_place_ = false;          // whether the first pass may read x
  bool out_direct_ = false;        // whether the last pass writes the output
  ptrdiff_t elements_ = 1;         // that move together: the channels of a pixel
  ptrdiff_t unit_ = 0;             // their bytes in scratch
  ptrdiff_t taps_per_vector_ = 0;  // taps of a line that lie one vector apart; 0: never
  ptrdiff_t block_[MAX_AXES];      // outputs of a block
  ptrdiff_t area_bytes_ = 0;       // of one of the two buffers
  std::vector<Stage> stages_;
  std::vector<char> weights_;
};

}  // namespace

Status filter_blocks(const BlockFilter& filter, int threads) {
  if (filter.type != FLOAT32 && filter.type != FLOAT64) return Status::unsupported_type;
  try {
    BlockJob job;
    const Status status = job.plan(filter, threads);
    if (status != Status::ok) return status;
    return run_items(job, threads);
  } catch (const std::bad_alloc&) {
    return Status::no_memory;
  }
}

}  // namespace fastconv
