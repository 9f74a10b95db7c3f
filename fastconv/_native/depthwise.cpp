// Layers whose groups have one channel each: images filtered apart, by the tile kernels of images.
//
// An item is a block of rows of one channel of one image: its window is staged once, and every
// kernel of the group slides over it. Taps whose data lie evenly apart in the window form the
// groups of a tile, so that strides cost nothing and rows of taps share their loads.
#include <string.h>

#include <memory>
#include <numeric>
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
    blocks_.outputs = layer_.outputs;
    blocks_.column_blocks = ceil_div(a[2].out_extent, columns_of_item);
    blocks_.columns = ceil_div(a[2].out_extent, blocks_.column_blocks);
    row_slots_ = round_up(blocks_.columns, tile_columns_);
    blocks_.rows = min(max(sums_bytes / (row_slots_ * scalar_), 1), a[1].out_extent);
    while (blocks_.rows > 1 && window_of(blocks_.rows)->channel_bytes() > window_bytes)
      blocks_.rows = (blocks_.rows + 1) / 2;
    blocks_.row_blocks = ceil_div(a[1].out_extent, blocks_.rows);
    blocks_.rows = ceil_div(a[1].out_extent, blocks_.row_blocks);
    window_ = window_of(blocks_.rows);
    add_groups();
  }

  ptrdiff_t shared_bytes() const {
    const LayerAxis* a = layer_.axes;
    return layer_.groups * layer_.outputs * a[0].taps * a[1].taps * a[2].taps * scalar_;
  }

  // weights[group of channels][output][group of taps][column][row]
  void pack_weights() {
    const LayerAxis* a = layer_.axes;
    kernel_bytes_ = a[0].taps * a[1].taps * a[2].taps * scalar_;
    weights_.resize(size_t(shared_bytes()));
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

  ptrdiff_t items() const { return blocks_.count(layer_); }
  ptrdiff_t scratch_bytes() const {
    return group_bytes() + staged_bytes() + blocks_.rows * row_slots_ * scalar_;
  }

  void run(ptrdiff_t first, ptrdiff_t last, char* scratch) const {
    // The groups of this thread, whose weights change from kernel to kernel.
    Group* const groups = reinterpret_cast<Group*>(scratch);
    memcpy(groups, groups_.data(), groups_.size() * sizeof(Group));
    scratch += group_bytes();
    for (ptrdiff_t item = first; item < last; item++) run_item(item, groups, scratch);
  }

 private:
  // Taps of one group, in their order: rows × columns of them.
  struct Taps {
    ptrdiff_t depth;
    std::vector<ptrdiff_t> rows, columns;
  };

  std::unique_ptr<Window> window_of(ptrdiff_t rows) const {
    const ptrdiff_t outputs[] = {1, rows, blocks_.columns};
    const ptrdiff_t taps[] = {layer_.axes[0].taps, layer_.axes[1].taps, layer_.axes[2].taps};
    return std::make_unique<Window>(layer_, outputs, taps);
  }

  ptrdiff_t group_bytes() const {
    return round_up(ptrdiff_t(groups_.size() * sizeof(Group)), cache_line);
  }

  // Vectors of the last row read past it.
  ptrdiff_t staged_bytes() const {
    return round_up(window_->channel_bytes() + tile_columns_ * scalar_, cache_line);
  }

  void add_groups() {
    const LayerAxis* a = layer_.axes;
    // Neighbours of one phase lie so many elements apart.
    const ptrdiff_t step = a[2].dilation / std::gcd(a[2].dilation, a[2].stride);
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

  void run_item(ptrdiff_t item, Group* groups, char* scratch) const {
    const LayerAxis* a = layer_.axes;
    const LayerBlock b = blocks_.at(layer_, item);
    const ptrdiff_t origin[] = {b.depth * a[0].stride + a[0].offset,
                                b.row * a[1].stride + a[1].offset,
                                b.column * a[2].stride + a[2].offset};
    char* const staged = scratch;
    char* const sums = scratch + staged_bytes();
    window_->stage(layer_.x + b.image * layer_.x_batch + b.group * layer_.x_group, origin, staged);
    char* out = layer_.out + b.image * layer_.out_batch + b.group * layer_.out_group +
                b.depth * a[0].out_stride + b.row * a[1].out_stride + b.column * a[2].out_stride;
    const bool joined = row_slots_ == b.columns && a[1].out_stride == b.columns * a[2].out_stride;
    for (ptrdiff_t o = 0; o < layer_.outputs; o++, out += layer_.out_output) {
      const char* weights = weights_.data() + (b.group * layer_.outputs + o) * kernel_bytes_;
      for (size_t i = 0; i < groups_.size(); i++) {
        Group& g = groups[i];
        g.weights = weights;
        weights += g.rows * g.columns * scalar_;
      }
      sum(groups, staged, b.rows, b.columns, sums);
      if (finish_.integers()) Finish::to_integers(sums, b.rows * row_slots_);
      if (joined)
        finish_.store(sums, b.group, o, b.rows * b.columns, out, a[2].out_stride);
      else
        for (ptrdiff_t r = 0; r < b.rows; r++)
          finish_.store(sums + r * row_slots_ * scalar_, b.group, o, b.columns,
                        out + r * a[1].out_stride, a[2].out_stride);
    }
  }

  void sum(const Group* groups, const char* staged, ptrdiff_t rows, ptrdiff_t columns,
           char* sums) const {
    const ptrdiff_t pitch = row_slots_ * scalar_;
    ptrdiff_t row = 0;
    for (int s = 0; s < shapes_; s++) {
      const TileShape& shape = set_.image[s];
      const ptrdiff_t width = shape.vectors * set_.vector_bytes;
      for (; rows - row >= shape.rows; row += shape.rows)
        for (ptrdiff_t at = 0; at < columns * scalar_; at += width)
          shape.function(groups, ptrdiff_t(groups_.size()), IN_SCRATCH,
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
  LayerBlocks blocks_;
  ptrdiff_t row_slots_;
  ptrdiff_t step_, kernel_bytes_;
  std::unique_ptr<Window> window_;
  std::vector<Taps> taps_;
  std::vector<Group> groups_;
  std::vector<char> weights_;
};

}  // namespace

Status sum_depthwise(const Layer& layer, int threads, ptrdiff_t* scratch) {
  DepthwiseJob job(layer);
  if (scratch) return tell_scratch(job, threads, scratch, job.shared_bytes());
  job.pack_weights();
  return run_items(job, threads);
}

}  // namespace fastconv
