// Layers of 3 × 3 kernels by Winograd's minimal filtering: see winograd.hpp.
//
// An item is a block of tiles of one image and a block of output channels. It transforms the tiles
// of some channels at a time, and for each of the 16 points of a tile adds the products with the
// weights of all its output channels to sums that stay in the cache.
#include <string.h>

#include <atomic>
#include <memory>
#include <vector>

#include "dispatch.hpp"
#include "finish.hpp"
#include "layer_forms.hpp"
#include "region.hpp"
#include "window.hpp"

namespace fastconv {
namespace {

enum { POINTS = 16, SIDE = 4 };

// Tiles, channels and output channels of an item: transformed data and sums stay in a common L2.
// Tried as the constants of channels.cpp.
constexpr ptrdiff_t most_tiles = 56, most_channels = 64, most_outputs = 64;

// Products that are summed in registers before they join the sums in the cache: more would round
// more.
constexpr ptrdiff_t steps_in_registers = 32;

const WinogradSet& winograd_set_of(ElementType type) {
  const Level& level = *levels().used;
  return type == FLOAT32 ? level.winograd_f32 : level.winograd_f64;
}

// The layer whose outputs are the tiles: it reads 4 × 4 data for each, two apart.
Layer tiled(const Layer& layer) {
  Layer tiles = layer;
  for (int a = 1; a < LAYER_AXES; a++) {
    tiles.axes[a].out_extent = ceil_div(layer.axes[a].out_extent, 2);
    tiles.axes[a].stride = 2;
  }
  return tiles;
}

class WinogradJob {
 public:
  explicit WinogradJob(const Layer& layer)
      : layer_(layer),
        tiles_(tiled(layer)),
        set_(winograd_set_of(layer.type)),
        products_(product_set_of(layer.type)),
        finish_(layer_),
        scalar_(products_.scalar_bytes),
        lanes_(products_.vector_bytes / scalar_) {
    const ptrdiff_t rows = tiles_.axes[1].out_extent, columns = tiles_.axes[2].out_extent;
    blocks_.column_blocks = ceil_div(columns, most_tiles);
    blocks_.columns = ceil_div(columns, blocks_.column_blocks);
    blocks_.row_blocks = ceil_div(rows, max(most_tiles / blocks_.columns, 1));
    blocks_.rows = ceil_div(rows, blocks_.row_blocks);
    blocks_.row_blocks = ceil_div(rows, blocks_.rows);
    channels_ = ceil_div(layer_.channels, ceil_div(layer_.channels, most_channels));
    blocks_.outputs = ceil_div(layer_.outputs, ceil_div(layer_.outputs, most_outputs));
    blocks_.output_blocks = ceil_div(layer_.outputs, blocks_.outputs);
    const ptrdiff_t outputs[] = {1, blocks_.rows, blocks_.columns}, taps[] = {1, SIDE, SIDE};
    window_.reset(new Window(tiles_, outputs, taps));
    for (ptrdiff_t k = 0; k < POINTS; k++) places_[k] = window_->place(0, k / SIDE, k % SIDE);
    // A vector may be written past the last tile.
    line_pitch_ =
        spread_over_sets((round_up(blocks_.rows * blocks_.columns, lanes_) + lanes_) * scalar_);
    data_pitch_ = spread_over_sets(channels_ * line_pitch_);
    sums_pitch_ = spread_over_sets(blocks_.outputs * line_pitch_);
    for (ptrdiff_t c = 0; c < channels_; c++)
      steps_.push_back({c * layer_.w_channel, c * line_pitch_});
    row_bytes_ = round_up(2 * (blocks_.columns + 2 * lanes_) * scalar_, cache_line);
  }

  ptrdiff_t items() const { return blocks_.count(tiles_); }
  ptrdiff_t scratch_bytes() const {
    return staged_bytes() + POINTS * (data_pitch_ + sums_pitch_) + 2 * row_bytes_;
  }

  void run(ptrdiff_t first, ptrdiff_t last, char* scratch) const {
    for (ptrdiff_t item = first; item < last; item++) run_item(item, scratch);
  }

  bool finite() const { return finite_.load(); }

 private:
  // Vectors of the last row of tiles read past it.
  ptrdiff_t staged_bytes() const {
    return round_up(window_->channel_bytes() + products_.vector_bytes, cache_line);
  }

  void run_item(ptrdiff_t item, char* scratch) const {
    const LayerBlock b = blocks_.at(tiles_, item);  // in tiles
    char* const staged = scratch;
    char* const data = staged + staged_bytes();
    char* const sums = data + POINTS * data_pitch_;
    char* const rows = sums + POINTS * sums_pitch_;
    for (ptrdiff_t c = 0; c < layer_.channels; c += channels_) {
      const ptrdiff_t count = min(channels_, layer_.channels - c);
      for (ptrdiff_t i = 0; i < count; i++) transform(b, c + i, staged, data + i * line_pitch_);
      for (ptrdiff_t k = 0; k < POINTS; k++)
        sum(b, c, count, k, data + k * data_pitch_, sums + k * sums_pitch_);
    }
    store(b, sums, rows);
  }

  // data[point][channel][tile], tiles end to end.
  void transform(const LayerBlock& b, ptrdiff_t channel, char* staged, char* data) const {
    const LayerAxis* a = layer_.axes;
    const ptrdiff_t origin[] = {b.depth * a[0].stride + a[0].offset, 2 * b.row + a[1].offset,
                                2 * b.column + a[2].offset};
    window_->stage(layer_.x + b.image * layer_.x_batch + b.group * layer_.x_group +
                       channel_offset(layer_, channel),
                   origin, staged);
    for (ptrdiff_t row = 0; row < b.rows; row++)
      set_.data(staged + row * window_->row_pitch(), places_, b.columns,
                data + row * b.columns * scalar_, data_pitch_);
  }

  // sums[output channel][tile] of one point.
  void sum(const LayerBlock& b, ptrdiff_t channel, ptrdiff_t count, ptrdiff_t point,
           const char* data, char* sums) const {
    const char* w = layer_.w + b.group * layer_.w_group + b.output * layer_.w_output +
                    channel * layer_.w_channel + point / SIDE * layer_.axes[1].w_stride +
                    point % SIDE * layer_.axes[2].w_stride;
    const ptrdiff_t slots = ceil_div(b.rows * b.columns, lanes_);
    // An odd number of vectors goes in threes and pairs: single ones would wait for their sums.
    ptrdiff_t height = products_.rows;
    while (slots % 2 && slots > 1 && products_.vectors[height] < 3) height--;
    const ptrdiff_t tiles = ceil_div(b.outputs, height);
    const ptrdiff_t widest = products_.vectors[ceil_div(b.outputs, tiles)];
    for (ptrdiff_t slot = 0, vectors; slot < slots; slot += vectors) {
      vectors = ceil_div(slots - slot, ceil_div(slots - slot, widest));
      ptrdiff_t output = 0;
      for (ptrdiff_t t = 0; t < tiles; t++) {
        const ptrdiff_t rows = (b.outputs - output + tiles - t - 1) / (tiles - t);
        for (ptrdiff_t first = 0; first < count; first += steps_in_registers)
          products_.function[rows - 1][vectors - 1](
              steps_.data() + first, min(count - first, steps_in_registers),
              w + output * layer_.w_output, layer_.w_output, data + slot * products_.vector_bytes,
              products_.vector_bytes, sums + output * line_pitch_ + slot * products_.vector_bytes,
              line_pitch_, products_.vector_bytes, nullptr, channel + first > 0);
        output += rows;
      }
    }
  }

  void store(const LayerBlock& b, const char* sums, char* rows) const {
    const LayerAxis* a = layer_.axes;
    const ptrdiff_t columns = min(2 * b.columns, a[2].out_extent - 2 * b.column);
    bool finite = true;
    for (ptrdiff_t o = 0; o < b.outputs; o++) {
      char* out = layer_.out + b.image * layer_.out_batch + b.group * layer_.out_group +
                  output_offset(layer_, b.output + o) + b.depth * a[0].out_stride +
                  2 * b.column * a[2].out_stride;
      for (ptrdiff_t t = 0; t < b.rows; t++) {
        finite &= set_.outputs(sums + o * line_pitch_ + t * b.columns * scalar_, sums_pitch_,
                               b.columns, rows, rows + row_bytes_);
        for (ptrdiff_t r = 0; r < min(2, a[1].out_extent - 2 * (b.row + t)); r++)
          finish_.store(rows + r * row_bytes_, b.group, b.output + o, columns,
                        out + (2 * (b.row + t) + r) * a[1].out_stride, a[2].out_stride);
      }
    }
    if (!finite) finite_.store(false);
  }

  const Layer& layer_;
  const Layer tiles_;
  const WinogradSet& set_;
  const ProductSet& products_;
  const Finish finish_;
  const ptrdiff_t scalar_, lanes_;
  LayerBlocks blocks_;  // in tiles
  ptrdiff_t channels_;
  ptrdiff_t line_pitch_, data_pitch_, sums_pitch_, row_bytes_, places_[POINTS];
  std::unique_ptr<Window> window_;
  std::vector<ProductStep> steps_;
  mutable std::atomic<bool> finite_{true};
};

// Transforms kernels side by side along one of their axes of channels.
class WeightsJob {
 public:
  explicit WeightsJob(const WinogradWeights& w)
      : w_(w),
        set_(winograd_set_of(w.type)),
        convert_(conversions_of(w.type)[w.type == FLOAT32 ? STORED_FLOAT32 : STORED_FLOAT64]),
        scalar_(w.type == FLOAT32 ? 4 : 8),
        line_pitch_(round_up(w.count * scalar_, cache_line) + cache_line) {}

  ptrdiff_t items() const { return w_.lines; }
  ptrdiff_t scratch_bytes() const { return (9 + POINTS) * line_pitch_; }

  void run(ptrdiff_t first, ptrdiff_t last, char* scratch) const {
    const char* taps[9];
    char* points[POINTS];
    for (ptrdiff_t k = 0; k < 9; k++) taps[k] = scratch + k * line_pitch_;
    for (ptrdiff_t k = 0; k < POINTS; k++) points[k] = scratch + (9 + k) * line_pitch_;
    for (ptrdiff_t line = first; line < last; line++) {
      for (ptrdiff_t k = 0; k < 9; k++)
        convert_.load(
            w_.taps + line * w_.line_stride + k / 3 * w_.row_stride + k % 3 * w_.column_stride,
            w_.kernel_stride, scratch + k * line_pitch_, w_.count);
      set_.weights(taps, w_.count, points);
      for (ptrdiff_t k = 0; k < POINTS; k++)
        memcpy(w_.transformed + k * w_.point_stride + line * w_.count * scalar_, points[k],
               size_t(w_.count * scalar_));
    }
  }

 private:
  const WinogradWeights& w_;
  const WinogradSet& set_;
  const Conversion& convert_;
  const ptrdiff_t scalar_, line_pitch_;
};

}  // namespace

Status winograd_weights(const WinogradWeights& weights, int threads) {
  return run_items(WeightsJob(weights), threads);
}

Status sum_winograd(const Layer& layer, int threads, ptrdiff_t* scratch) {
  const WinogradJob job(layer);
  if (scratch) return tell_scratch(job, threads, scratch);
  const Status status = run_items(job, threads);
  return status == Status::ok && !job.finite() ? Status::not_finite : status;
}

}  // namespace fastconv
