// Layers whose groups have one channel each: images filtered apart, by the tile kernels of images.
//
// An item is a block of rows of one channel of one image: its window is staged once, and every
// kernel of the group slides over it. Taps whose data lie evenly apart in the window form the
// groups of a tile, so that strides cost nothing and rows of taps share their loads.
#include <string.h>

#include <memory>
#include <vector>

#include "dispatch.hpp"
#include "finish.hpp"
#include "layer_forms.hpp"
#include "region.hpp"
#include "window.hpp"

namespace fastconv {
namespace {

// Bytes of an item's sums and of its window: both stay in L1, or nearly.
constexpr ptrdiff_t sums_bytes = 16 << 10;
constexpr ptrdiff_t window_bytes = 64 << 10;
constexpr ptrdiff_t columns_of_item = 1024;

class DepthwiseJob {
 public:
  explicit DepthwiseJob(const Layer& layer)
      : layer_(layer),
        set_(*tile_set_of(layer.type)),
        finish_(layer_),
        scalar_(set_.scalar_bytes),
        lanes_(set_.vector_bytes / scalar_) {
    const LayerAxis* a = layer_.axes;
    while (shapes_ < MAX_SHAPES && set_.image[shapes_].function) shapes_++;
    tile_columns_ = set_.image[0].vectors * lanes_;
    column_blocks_ = ceil_div(a[2].out_extent, columns_of_item);
    columns_ = ceil_div(a[2].out_extent, column_blocks_);
    row_slots_ = round_up(columns_, tile_columns_);
    rows_ = min(max(sums_bytes / (row_slots_ * scalar_), 1), a[1].out_extent);
    while (rows_ > 1 && window_of(rows_)->channel_bytes() > window_bytes) rows_ = (rows_ + 1) / 2;
    row_blocks_ = ceil_div(a[1].out_extent, rows_);
    rows_ = ceil_div(a[1].out_extent, row_blocks_);
    window_ = window_of(rows_);
    add_groups();
  }

  // weights[group of channels][output][group of taps][column][row]
  void pack_weights() {
    const LayerAxis* a = layer_.axes;
    kernel_bytes_ = a[0].taps * a[1].taps * a[2].taps * scalar_;
    weights_.resize(size_t(layer_.groups * layer_.outputs * kernel_bytes_));
    char* to = weights_.data();
    for (ptrdiff_t g = 0; g < layer_.groups; g++)
      for (ptrdiff_t o = 0; o < layer_.outputs; o++)
        for (const Taps& t : taps_) {
          const char* w =
              layer_.w + g * layer_.w_group + o * layer_.w_output + t.depth * a[0].w_stride;
          for (const ptrdiff_t c : t.columns)
            for (const ptrdiff_t r : t.rows) {
              memcpy(to, w + r * a[1].w_stride + c * a[2].w_stride, size_t(scalar_));
              to += scalar_;
            }
        }
  }

  ptrdiff_t items() const {
    return layer_.batch * layer_.groups * layer_.axes[0].out_extent * row_blocks_ * column_blocks_;
  }
  ptrdiff_t scratch_bytes() const { return staged_bytes() + rows_ * row_slots_ * scalar_; }

  void run(ptrdiff_t first, ptrdiff_t last, char* scratch) const {
    std::vector<Group> groups(groups_);
    for (ptrdiff_t item = first; item < last; item++) run_item(item, groups, scratch);
  }

 private:
  // Taps of one group, in their order: rows × columns of them.
  struct Taps {
    ptrdiff_t depth;
    std::vector<ptrdiff_t> rows, columns;
  };

  std::unique_ptr<Window> window_of(ptrdiff_t rows) const {
    const ptrdiff_t outputs[] = {1, rows, columns_};
    const ptrdiff_t taps[] = {layer_.axes[0].taps, layer_.axes[1].taps, layer_.axes[2].taps};
    return std::make_unique<Window>(layer_, outputs, taps);
  }

  // Vectors of the last row read past it.
  ptrdiff_t staged_bytes() const {
    return round_up(window_->channel_bytes() + tile_columns_ * scalar_, cache_line);
  }

  void add_groups() {
    const LayerAxis* a = layer_.axes;
    // Neighbours of one phase lie so many elements apart.
    ptrdiff_t step = a[2].dilation, rest = a[2].stride;
    while (rest) {
      const ptrdiff_t remainder = step % rest;
      step = rest;
      rest = remainder;
    }
    step = a[2].dilation / step;
    step_ = step * scalar_;
    const auto rows = window_->axis(1).groups(1, set_.group_rows);
    const auto columns = window_->axis(2).groups(step, a[2].taps);
    for (ptrdiff_t z = 0; z < a[0].taps; z++)
      for (const auto& r : rows)
        for (const auto& c : columns) {
          const ptrdiff_t at = window_->place(z, r[0], c[0]);
          groups_.push_back({nullptr, {at, at}, ptrdiff_t(c.size()), int(r.size())});
          taps_.push_back({z, r, c});
        }
  }

  void run_item(ptrdiff_t item, std::vector<Group>& groups, char* scratch) const {
    const LayerAxis* a = layer_.axes;
    const auto take = [&](ptrdiff_t count) {
      const ptrdiff_t index = item % count;
      item /= count;
      return index;
    };
    const ptrdiff_t column = take(column_blocks_) * columns_, row = take(row_blocks_) * rows_;
    const ptrdiff_t depth = take(a[0].out_extent), group = take(layer_.groups), image = item;
    const ptrdiff_t rows = min(rows_, a[1].out_extent - row);
    const ptrdiff_t columns = min(columns_, a[2].out_extent - column);
    const ptrdiff_t origin[] = {depth * a[0].stride + a[0].offset, row * a[1].stride + a[1].offset,
                                column * a[2].stride + a[2].offset};
    char* const staged = scratch;
    char* const sums = scratch + staged_bytes();
    window_->stage(layer_.x + image * layer_.x_batch + group * layer_.x_group, origin, staged);
    char* out = layer_.out + image * layer_.out_batch + group * layer_.out_group +
                depth * a[0].out_stride + row * a[1].out_stride + column * a[2].out_stride;
    const bool joined = row_slots_ == columns && a[1].out_stride == columns * a[2].out_stride;
    for (ptrdiff_t o = 0; o < layer_.outputs; o++, out += layer_.out_output) {
      const char* weights = weights_.data() + (group * layer_.outputs + o) * kernel_bytes_;
      for (Group& g : groups) {
        g.weights = weights;
        weights += g.rows * g.columns * scalar_;
      }
      sum(groups, staged, rows, columns, sums);
      if (finish_.integers()) Finish::to_integers(sums, rows * row_slots_);
      if (joined)
        finish_.store(sums, group, o, rows * columns, out, a[2].out_stride);
      else
        for (ptrdiff_t r = 0; r < rows; r++)
          finish_.store(sums + r * row_slots_ * scalar_, group, o, columns,
                        out + r * a[1].out_stride, a[2].out_stride);
    }
  }

  void sum(const std::vector<Group>& groups, const char* staged, ptrdiff_t rows, ptrdiff_t columns,
           char* sums) const {
    const ptrdiff_t pitch = row_slots_ * scalar_;
    ptrdiff_t row = 0;
    for (int s = 0; s < shapes_; s++) {
      const TileShape& shape = set_.image[s];
      const ptrdiff_t width = shape.vectors * set_.vector_bytes;
      for (; rows - row >= shape.rows; row += shape.rows)
        for (ptrdiff_t at = 0; at < columns * scalar_; at += width)
          shape.function(groups.data(), ptrdiff_t(groups.size()), IN_SCRATCH,
                         staged + row * window_->row_pitch() + at, window_->row_pitch(), step_,
                         sums + row * pitch + at, pitch);
    }
  }

  const Layer& layer_;
  const TileSet& set_;
  const Finish finish_;
  const ptrdiff_t scalar_, lanes_;
  int shapes_ = 0;
  ptrdiff_t tile_columns_;
  ptrdiff_t rows_, columns_, row_blocks_, column_blocks_, row_slots_;
  ptrdiff_t step_, kernel_bytes_;
  std::unique_ptr<Window> window_;
  std::vector<Taps> taps_;
  std::vector<Group> groups_;
  std::vector<char> weights_;
};

}  // namespace

Status sum_depthwise(const Layer& layer, int threads, ptrdiff_t* scratch) {
  DepthwiseJob job(layer);
  if (scratch) return tell_scratch(job, threads, scratch);
  job.pack_weights();
  return run_items(job, threads);
}

}  // namespace fastconv
