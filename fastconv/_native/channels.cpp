// Sums over channels and taps with outputs along a line in the lanes of vectors.
//
// A block of outputs of one image is one item: it stages the window of a few channels at a time
// (window.hpp), and adds their products with the weights of all output channels of the item to sums
// that stay in the cache. Weights are read in place, a scalar at a time, from wherever the table of
// steps says; so nothing is packed for one call. Windows are read in place, too, where rows fill
// their vectors; where rows are short, the data of each tap are packed for all outputs end to end.
#include <string.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "dispatch.hpp"
#include "finish.hpp"
#include "layer_forms.hpp"
#include "region.hpp"
#include "window.hpp"

namespace fastconv {
namespace {

// These were tried on 2026-11-24 with the layers of benchmarks/suites/bench_layers.py on two cores
// of an AMD EPYC (Zen 3, AVX2; L1 32 KB, L2 512 KB), one thread.
//
// Steps of the channels that are staged at once.
constexpr ptrdiff_t steps_of_block = 256;
// Products that are summed in registers before they join the sums in the cache: fewer would load
// and store those too often, more would round more. (256 products of bytes are exact in float.)
constexpr ptrdiff_t steps_in_registers = 128;
// Sums of few products are cut in so many pieces.
constexpr ptrdiff_t few_steps = 48, pieces_of_few = 3;
// Bytes of an item's sums, staged window and packed panels: together they stay in a common L2,
// beside the weights.
constexpr ptrdiff_t sums_bytes = 128 << 10;
constexpr ptrdiff_t window_bytes = 160 << 10;
constexpr ptrdiff_t panel_bytes = 128 << 10;
// Output channels of an item: enough of them to repay staging and packing.
constexpr ptrdiff_t most_outputs = 256, few_outputs = 48, cut_outputs_from = 192;
// Vectors of an item's rows that may stand empty before rows are packed end to end.
constexpr double waste_allowed = 1.06;
constexpr ptrdiff_t long_row_vectors = 8;  // rows that are never packed
// Items that even out slow cores, and the fewest, for which outputs are cut.
constexpr ptrdiff_t items_per_thread = 8, least_items_per_thread = 2;
// Weights that lie so much further apart than end to end are gathered for an item of enough
// outputs.
constexpr double sparse_weights = 2.0;
constexpr ptrdiff_t cached_weight_bytes = 32 << 10;
constexpr ptrdiff_t gathering_pays = 96;

class ChannelsJob {
 public:
  ChannelsJob(const Layer& layer, int threads)
      : layer_(joined_rows(layer)),
        set_(product_set_of(layer.type)),
        finish_(layer_, true),
        lanes_(set_.vector_bytes / set_.scalar_bytes) {
    taps_ = 1;
    for (const LayerAxis& a : layer_.axes) taps_ *= a.taps;
    cut_outputs();
    cut_channels();
    share_out(threads);
    lay_out();
    add_steps();
  }

  ptrdiff_t items() const { return blocks_.count(layer_); }

  ptrdiff_t scratch_bytes() const {
    return staged_bytes_ + packed_bytes_ + weight_bytes_ +
           blocks_.outputs * sums_pitch_ * (finish_.integers() ? 2 : 1) + 2 * set_.vector_bytes;
  }

  void run(ptrdiff_t first, ptrdiff_t last, char* scratch) const {
    for (ptrdiff_t item = first; item < last; item++) run_item(item, scratch);
  }

 private:
  // --- the plan ---------------------------------------------------------------------------------

  void cut_outputs() {
    const LayerAxis& rows = layer_.axes[1];
    const LayerAxis& columns = layer_.axes[2];
    blocks_.output_blocks = ceil_div(layer_.outputs, most_outputs);
    blocks_.outputs = ceil_div(layer_.outputs, blocks_.output_blocks);
    const ptrdiff_t in_vectors = round_up(columns.out_extent, lanes_);
    packed_ = columns.out_extent < long_row_vectors * lanes_ && blocks_.outputs >= few_outputs &&
              double(in_vectors) > waste_allowed * double(columns.out_extent);
    ptrdiff_t pixels = sums_bytes / set_.scalar_bytes / blocks_.outputs;
    if (packed_) pixels = min(pixels, panel_bytes / set_.scalar_bytes / steps_of_block);
    pixels = max(pixels, 2 * lanes_);
    blocks_.columns = columns.out_extent;
    blocks_.column_blocks = ceil_div(columns.out_extent, pixels);
    if (blocks_.column_blocks > 1) {
      blocks_.columns = round_up(ceil_div(columns.out_extent, blocks_.column_blocks), 2 * lanes_);
      blocks_.column_blocks = ceil_div(columns.out_extent, blocks_.columns);
    }
    blocks_.row_blocks = ceil_div(rows.out_extent, max(pixels / blocks_.columns, 1));
    blocks_.rows = ceil_div(rows.out_extent, blocks_.row_blocks);
  }

  // The channels that are staged at once: as they decide on the order of the sums, they follow from
  // the layer alone, before its outputs are shared out to threads.
  void cut_channels() {
    const ptrdiff_t bytes = window().channel_bytes();
    channels_ = max(min(steps_of_block / taps_, window_bytes / bytes), 1);
    channels_ = ceil_div(layer_.channels, ceil_div(layer_.channels, channels_));
    const ptrdiff_t steps = channels_ * taps_;
    const ptrdiff_t pieces =
        layer_.channels * taps_ <= few_steps ? pieces_of_few : ceil_div(steps, steps_in_registers);
    chunk_ = ceil_div(steps, pieces);
  }

  // Smaller blocks where there are too few for the threads.
  void share_out(int threads) {
    while (items() < least_items_per_thread * threads && blocks_.outputs >= cut_outputs_from) {
      blocks_.output_blocks *= 2;
      blocks_.outputs = ceil_div(layer_.outputs, blocks_.output_blocks);
    }
    blocks_.output_blocks = ceil_div(layer_.outputs, blocks_.outputs);
    // A few more blocks of rows where that gives every thread as many.
    const ptrdiff_t rows = layer_.axes[1].out_extent, enough = blocks_.row_blocks;
    if (items() < items_per_thread * threads) {
      while (items() % threads != 0 && blocks_.row_blocks < min(rows, enough + threads))
        blocks_.row_blocks++;
      if (items() % threads != 0) blocks_.row_blocks = enough;
    }
    blocks_.rows = ceil_div(rows, blocks_.row_blocks);
    blocks_.row_blocks = ceil_div(rows, blocks_.rows);
  }

  Window window() const {
    const ptrdiff_t outputs[] = {1, blocks_.rows, blocks_.columns};
    const ptrdiff_t taps[] = {layer_.axes[0].taps, layer_.axes[1].taps, layer_.axes[2].taps};
    return Window(layer_, outputs, taps);
  }

  void lay_out() {
    window_.reset(new Window(window()));
    // The last vector of a row reads past it.
    staged_bytes_ = round_up(channels_ * window_->channel_bytes() + set_.vector_bytes, cache_line);
    row_slots_ = packed_ ? blocks_.columns : round_up(blocks_.columns, lanes_);
    sums_pitch_ = spread_over_sets(round_up(blocks_.rows * row_slots_, lanes_) * set_.scalar_bytes);
    panel_pitch_ = (2 * chunk_ + 1) * set_.vector_bytes;
    const ptrdiff_t panels = ceil_div(blocks_.rows * blocks_.columns, 2 * lanes_);
    packed_bytes_ = packed_ ? round_up(panels * panel_pitch_, cache_line) : 0;
  }

  void add_steps() {
    const LayerAxis* a = layer_.axes;
    steps_.reserve(size_t(channels_ * taps_));
    for (ptrdiff_t c = 0; c < channels_; c++)
      for (ptrdiff_t z = 0; z < a[0].taps; z++)
        for (ptrdiff_t y = 0; y < a[1].taps; y++)
          for (ptrdiff_t x = 0; x < a[2].taps; x++)
            steps_.push_back(
                {c * layer_.w_channel + z * a[0].w_stride + y * a[1].w_stride + x * a[2].w_stride,
                 c * window_->channel_bytes() + window_->place(z, y, x)});
    find_weights();
    weight_pitch_ = gathered_ ? spread_over_sets(chunk_ * set_.scalar_bytes) : layer_.w_output;
    weight_bytes_ = gathered_ ? blocks_.outputs * weight_pitch_ : 0;
    tile_steps_ = steps_;
    for (size_t k = 0; k < steps_.size(); k++) {
      const ptrdiff_t in_chunk = ptrdiff_t(k) % chunk_;
      if (gathered_) tile_steps_[k].a = in_chunk * set_.scalar_bytes;
      if (packed_) tile_steps_[k].b = in_chunk * 2 * set_.vector_bytes;
    }
  }

  // Which cache lines a tile's weights lie in, and whether they are so many that it pays to gather
  // the weights; where all weights stay in the cache there is nothing to gain.
  void find_weights() {
    if (layer_.outputs * layer_.channels * taps_ * set_.scalar_bytes <= cached_weight_bytes) return;
    for (ptrdiff_t r = 0; r < set_.rows; r++)
      for (ptrdiff_t k = 0; k < chunk_; k++)
        weight_lines_.push_back((r * layer_.w_output + steps_[size_t(k)].a) & -cache_line);
    std::sort(weight_lines_.begin(), weight_lines_.end());
    weight_lines_.erase(std::unique(weight_lines_.begin(), weight_lines_.end()),
                        weight_lines_.end());
    const double dense = double(set_.rows * chunk_ * set_.scalar_bytes) / double(cache_line);
    gathered_ = double(weight_lines_.size()) > sparse_weights * dense &&
                blocks_.rows * blocks_.columns >= gathering_pays;
  }

  // --- items ------------------------------------------------------------------------------------

  void run_item(ptrdiff_t item, char* scratch) const {
    const LayerBlock b = blocks_.at(layer_, item);
    char* const staged = scratch;
    char* const packed = staged + staged_bytes_;
    char* const weights = packed + packed_bytes_;
    char* const scratch_sums = weights + weight_bytes_;
    int* const totals = reinterpret_cast<int*>(scratch_sums + blocks_.outputs * sums_pitch_);
    // Outputs that fill their vectors are summed where they belong.
    const bool in_place = fills_vectors(b);
    char* const sums = in_place ? output(b, 0) : scratch_sums;
    const ptrdiff_t pitch = in_place ? layer_.out_output : sums_pitch_;
    if (finish_.integers()) memset(totals, 0, size_t(b.outputs * sums_pitch_));
    const LayerAxis* a = layer_.axes;
    const ptrdiff_t origin[] = {b.depth * a[0].stride + a[0].offset,
                                b.row * a[1].stride + a[1].offset,
                                b.column * a[2].stride + a[2].offset};
    const char* x = layer_.x + b.image * layer_.x_batch + b.group * layer_.x_group;
    const char* w = layer_.w + b.group * layer_.w_group + b.output * layer_.w_output;
    for (ptrdiff_t c = 0; c < layer_.channels; c += channels_) {
      const ptrdiff_t count = min(channels_, layer_.channels - c);
      for (ptrdiff_t i = 0; i < count; i++)
        window_->stage(x + channel_offset(layer_, c + i), origin,
                       staged + i * window_->channel_bytes());
      for (ptrdiff_t first = 0; first < count * taps_; first += chunk_) {
        const ptrdiff_t steps = min(chunk_, count * taps_ - first);
        const bool add = !finish_.integers() && (c > 0 || first > 0);
        if (packed_) pack(b, staged, first, steps, packed);
        const char* tile_weights = w + c * layer_.w_channel;
        if (gathered_) {
          gather(b, tile_weights, first, steps, weights);
          tile_weights = weights;
        }
        sum_chunk(b, tile_weights, staged, packed, first, steps, sums, pitch, add);
        if (finish_.integers())
          Finish::add(reinterpret_cast<const float*>(sums), totals,
                      b.outputs * sums_pitch_ / set_.scalar_bytes);
      }
    }
    store(b, finish_.integers() ? reinterpret_cast<char*>(totals) : sums, pitch);
  }

  // Data of steps [first, first + count) for all outputs end to end: a panel holds two vectors of
  // outputs, and both of every step in turn.
  void pack(const LayerBlock& b, const char* staged, ptrdiff_t first, ptrdiff_t count,
            char* packed) const {
    for (ptrdiff_t k = 0; k < count; k++)
      set_.pack(staged + steps_[size_t(first + k)].b, window_->row_pitch(), b.rows,
                b.columns * set_.scalar_bytes, packed + k * 2 * set_.vector_bytes, panel_pitch_);
  }

  // Weights of steps [first, first + count), end to end for each output channel.
  void gather(const LayerBlock& b, const char* w, ptrdiff_t first, ptrdiff_t count,
              char* weights) const {
    if (set_.scalar_bytes == 4)
      gather_scalars<float>(b, w, first, count, weights);
    else
      gather_scalars<double>(b, w, first, count, weights);
  }

  template <class Scalar>
  void gather_scalars(const LayerBlock& b, const char* w, ptrdiff_t first, ptrdiff_t count,
                      char* weights) const {
    const ProductStep* steps = steps_.data() + first;
    // Output channels that may share a cache line are read together.
    constexpr ptrdiff_t together = cache_line / sizeof(float);
    for (ptrdiff_t o = 0; o < b.outputs; o += together) {
      const ptrdiff_t rows = min(together, b.outputs - o);
      for (ptrdiff_t k = 0; k < count; k++) {
        const char* from = w + o * layer_.w_output + steps[k].a;
        char* to = weights + o * weight_pitch_ + k * ptrdiff_t(sizeof(Scalar));
        for (ptrdiff_t r = 0; r < rows; r++)
          memcpy(to + r * weight_pitch_, from + r * layer_.w_output, sizeof(Scalar));
      }
    }
  }

  void sum_chunk(const LayerBlock& b, const char* w, const char* staged, const char* packed,
                 ptrdiff_t first, ptrdiff_t count, char* sums, ptrdiff_t sums_pitch,
                 bool add) const {
    const ptrdiff_t at = (b.group * layer_.outputs + b.output) * set_.scalar_bytes;
    const char* bias = layer_.bias && !finish_.integers() && !add ? layer_.bias + at : nullptr;
    const ptrdiff_t slots = ceil_div((b.rows - 1) * row_slots_ + b.columns, lanes_);
    const ptrdiff_t row_vectors = packed_ ? slots : row_slots_ / lanes_;
    const ptrdiff_t tiles = ceil_div(b.outputs, set_.rows);
    const ptrdiff_t widest = set_.vectors[ceil_div(b.outputs, tiles)];
    const ProductStep* steps = tile_steps_.data() + first;
    const char* row = packed_ ? packed : staged;
    // The first vector of a tile, in its row.
    for (ptrdiff_t slot = 0, vector = 0; slot < slots;) {
      const char* data = row + (packed_ ? slot / 2 * panel_pitch_ : vector * set_.vector_bytes);
      const ptrdiff_t left = row_vectors - vector;
      const ptrdiff_t vectors = vectors_from(left, slots - slot, widest);
      // A pair may be the last vector of a row and the first of the next.
      const ptrdiff_t pitch =
          vectors > left ? window_->row_pitch() - vector * set_.vector_bytes : set_.vector_bytes;
      ptrdiff_t output = 0;
      for (ptrdiff_t t = 0; t < tiles; t++) {
        // Balanced: never a tile of one row for long.
        const ptrdiff_t rows = (b.outputs - output + tiles - t - 1) / (tiles - t);
        if (slot == 0 && t + 1 < tiles && !gathered_)
          prefetch(w + steps_[size_t(first)].a + (output + rows) * layer_.w_output);
        const char* start = bias ? bias + output * set_.scalar_bytes : nullptr;
        set_.function[rows - 1][vectors - 1](steps, count, w + output * weight_pitch_,
                                             weight_pitch_, data, pitch,
                                             sums + output * sums_pitch + slot * set_.vector_bytes,
                                             sums_pitch, set_.vector_bytes, start, add);
        output += rows;
      }
      slot += vectors;
      for (vector += vectors; vector >= row_vectors; vector -= row_vectors)
        row += window_->row_pitch();
    }
  }

  // Brings the weights of the next tile into the cache: in short rows the processor finds no
  // pattern.
  void prefetch(const char* w) const {
    for (const ptrdiff_t line : weight_lines_) __builtin_prefetch(w + line);
  }

  // How many vectors the next tile takes, of those left in the row and in all: they must lie evenly
  // apart.
  ptrdiff_t vectors_from(ptrdiff_t in_row, ptrdiff_t left, ptrdiff_t widest) const {
    if (packed_ || widest == 2) return min(2, left);
    in_row = min(in_row, left);
    const ptrdiff_t balanced = ceil_div(in_row, ceil_div(in_row, widest));
    return balanced == 1 ? min(2, left) : balanced;
  }

  // A block's first output of its output channel o.
  char* output(const LayerBlock& b, ptrdiff_t o) const {
    const LayerAxis* a = layer_.axes;
    return layer_.out + b.image * layer_.out_batch + b.group * layer_.out_group +
           output_offset(layer_, b.output + o) + b.depth * a[0].out_stride +
           b.row * a[1].out_stride + b.column * a[2].out_stride;
  }

  // Whether a block's rows lie end to end in the sums and in the output.
  bool joins_rows(const LayerBlock& b) const {
    const LayerAxis* a = layer_.axes;
    return row_slots_ == b.columns &&
           (b.rows == 1 || a[1].out_stride == b.columns * a[2].out_stride);
  }

  // Whether its outputs are whole vectors, of numbers as they are summed.
  bool fills_vectors(const LayerBlock& b) const {
    return joins_rows(b) && b.rows * b.columns % lanes_ == 0 && layer_.parts == 1 &&
           !finish_.integers() && layer_.axes[2].out_stride == set_.scalar_bytes;
  }

  void store(const LayerBlock& b, char* sums, ptrdiff_t pitch) const {
    const LayerAxis* a = layer_.axes;
    const bool joined = joins_rows(b);
    const ptrdiff_t rows = joined ? 1 : b.rows;
    const ptrdiff_t count = joined ? b.rows * b.columns : b.columns;
    for (ptrdiff_t o = 0; o < b.outputs; o++) {
      char* out = output(b, o);
      for (ptrdiff_t row = 0; row < rows; row++)
        finish_.store(sums + o * pitch + row * row_slots_ * set_.scalar_bytes, b.group,
                      b.output + o, count, out + row * a[1].out_stride, a[2].out_stride);
    }
  }

  const Layer layer_;
  const ProductSet& set_;
  const Finish finish_;
  const ptrdiff_t lanes_;
  ptrdiff_t taps_;
  bool packed_ = false, gathered_ = false;  // whether data, and weights, are laid out anew
  LayerBlocks blocks_;
  ptrdiff_t channels_ = 1, chunk_ = 1;  // channels staged at once; steps summed in registers
  ptrdiff_t row_slots_ = 0, sums_pitch_ = 0;
  ptrdiff_t staged_bytes_ = 0, packed_bytes_ = 0, panel_pitch_ = 0;
  ptrdiff_t weight_pitch_ = 0, weight_bytes_ = 0;
  std::unique_ptr<Window> window_;
  // Where each step reads weights and the window, and where a tile finds what was made of them.
  std::vector<ProductStep> steps_, tile_steps_;
  std::vector<ptrdiff_t> weight_lines_;  // cache lines of a tile's weights, from its first one
};

}  // namespace

Status sum_channels(const Layer& layer, int threads, ptrdiff_t* scratch) {
  const ChannelsJob job(layer, threads);
  return scratch ? tell_scratch(job, threads, scratch) : run_items(job, threads);
}

}  // namespace fastconv
