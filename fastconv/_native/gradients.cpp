// Sums over channels and taps with output channels in the lanes of vectors: for few outputs of many
// taps, as the gradients of a layer's weights are. (There the batch is the channels of the layer,
// its channels are the batch, and the taps are the gradients of its outputs.)
//
// An item is a block of output channels by a block of the batch, for all outputs along the axes. It
// stages the windows of some rows of taps, transposes those taps so that output channels lie side
// by side, and adds their products to sums that stay in the cache. Where there are few items, each
// is cut into parts along the taps, whose sums are added two by two in an order that depends on
// the problem alone.
#include <string.h>

#include <memory>
#include <vector>

#include "dispatch.hpp"
#include "finish.hpp"
#include "layer_forms.hpp"
#include "region.hpp"
#include "stages.hpp"
#include "window.hpp"

namespace fastconv {
namespace {

// As those of channels.cpp, tried likewise; windows and packed taps share a common L2 with the
// sums.
constexpr ptrdiff_t steps_of_block = 256, steps_in_registers = 128;
constexpr ptrdiff_t sums_bytes = 96 << 10;
constexpr ptrdiff_t window_bytes = 128 << 10;
constexpr ptrdiff_t most_outputs = 64;
// Rows of a tile below which it waits for its sums.
constexpr ptrdiff_t low_tile = 4;

class GradientsJob {
 public:
  explicit GradientsJob(const Layer& layer)
      : layer_(layer),
        set_(product_set_of(layer.type)),
        lane_set_(lane_set_of(layer.type)),
        convert_(
            conversions_of(layer.type)[layer.type == FLOAT32 ? STORED_FLOAT32 : STORED_FLOAT64]),
        finish_(layer_),
        scalar_(set_.scalar_bytes),
        lanes_(set_.vector_bytes / scalar_) {
    const LayerAxis* a = layer_.axes;
    points_ = a[0].out_extent * a[1].out_extent * a[2].out_extent;
    tap_columns_ = min(a[2].taps, steps_of_block);
    tap_rows_ = min(a[1].taps, max(steps_of_block / tap_columns_, 1));
    const ptrdiff_t outputs[] = {a[0].out_extent, a[1].out_extent, a[2].out_extent};
    const ptrdiff_t taps[] = {1, tap_rows_, tap_columns_};
    window_.reset(new Window(layer_, outputs, taps));
    const ptrdiff_t vectors = ceil_div(min(layer_.outputs, most_outputs), lanes_);
    output_blocks_ = ceil_div(layer_.outputs, vectors * lanes_);
    outputs_ = round_up(ceil_div(layer_.outputs, output_blocks_), lanes_);
    output_blocks_ = ceil_div(layer_.outputs, outputs_);
    batch_ = min(layer_.batch, window_bytes / window_->channel_bytes());
    batch_ = max(min(batch_, sums_bytes / (points_ * outputs_ * scalar_)), 1);
    batch_blocks_ = ceil_div(layer_.batch, batch_);
    batch_ = ceil_div(layer_.batch, batch_blocks_);
    rows_are_columns_ = batch_ < low_tile && a[2].out_extent > batch_;
    staged_bytes_ = round_up(batch_ * window_->channel_bytes(), cache_line);
    // One vector more, so that neighbours do not meet in one set of the cache.
    vector_pitch_ = (tap_rows_ * tap_columns_ + lanes_ + 1) * set_.vector_bytes;
    packed_bytes_ = outputs_ / lanes_ * vector_pitch_;
    line_pitch_ = round_up(tap_columns_, lanes_) * scalar_;
    batch_pitch_ = points_ * outputs_ * scalar_;
    point_pitch_ = round_up(points_, lanes_) * scalar_;
    add_steps(steps_, tap_columns_);
    add_steps(last_steps_, a[2].taps - (ceil_div(a[2].taps, tap_columns_) - 1) * tap_columns_);
    blocks_ = layer_.channels * a[0].taps * ceil_div(a[1].taps, tap_rows_) *
              ceil_div(a[2].taps, tap_columns_);
    parts_ = parts_along_taps(pieces(), blocks_, piece_bytes());
  }

  ptrdiff_t items() const { return pieces() * parts_; }
  ptrdiff_t scratch_bytes() const {
    return staged_bytes_ + packed_bytes_ + lanes_ * max(line_pitch_, point_pitch_) + piece_bytes();
  }

  // Of the sums of parts, for all items.
  ptrdiff_t shared_bytes() const { return parts_ > 1 ? items() * piece_bytes() : 0; }
  void take_shared() { partial_sums_.resize(size_t(shared_bytes())); }

  void run(ptrdiff_t first, ptrdiff_t last, char* scratch) const {
    for (ptrdiff_t item = first; item < last; item++) run_item(item, scratch);
  }

  // After all items: adds the sums of the parts, and stores those of every piece.
  void join_parts() {
    std::vector<char> lines(size_t(lanes_ * point_pitch_));
    for (ptrdiff_t piece = 0; parts_ > 1 && piece < pieces(); piece++) {
      char* sums = partial_sums_.data() + piece * parts_ * piece_bytes();
      for (ptrdiff_t step = 1; step < parts_; step *= 2)
        for (ptrdiff_t p = 0; p + step < parts_; p += 2 * step) {
          char* to = sums + p * piece_bytes();
          (scalar_ == 4 ? levels().used->passes_f32 : levels().used->passes_f64)
              .add_scaled(to, 1, to + step * piece_bytes(), 1, to, piece_bytes());
        }
      store(place(piece), sums, lines.data());
    }
  }

 private:
  // --- the plan ---------------------------------------------------------------------------------

  ptrdiff_t pieces() const { return layer_.groups * batch_blocks_ * output_blocks_; }
  // The sums of one piece, and vectors past them that are read but not used.
  ptrdiff_t piece_bytes() const { return batch_ * batch_pitch_ + lanes_ * set_.vector_bytes; }

  void add_steps(std::vector<ProductStep>& steps, ptrdiff_t columns) const {
    for (ptrdiff_t y = 0; y < tap_rows_; y++)
      for (ptrdiff_t x = 0; x < columns; x++)
        steps.push_back({window_->place(0, y, x), (y * columns + x) * set_.vector_bytes});
  }

  // --- items ------------------------------------------------------------------------------------

  struct Place {
    ptrdiff_t group, batch, output;  // the first ones
    ptrdiff_t batches, outputs;      // how many
  };

  Place place(ptrdiff_t piece) const {
    Place p;
    p.output = piece % output_blocks_ * outputs_;
    p.batch = piece / output_blocks_ % batch_blocks_ * batch_;
    p.group = piece / output_blocks_ / batch_blocks_;
    p.outputs = min(outputs_, layer_.outputs - p.output);
    p.batches = min(batch_, layer_.batch - p.batch);
    return p;
  }

  // Taps that are summed together: of one channel, at one depth.
  struct Taps {
    ptrdiff_t channel, depth, row, column, rows, columns;
  };

  Taps taps(ptrdiff_t block) const {
    const LayerAxis* a = layer_.axes;
    const ptrdiff_t row_blocks = ceil_div(a[1].taps, tap_rows_);
    const ptrdiff_t column_blocks = ceil_div(a[2].taps, tap_columns_);
    Taps t;
    t.column = block % column_blocks * tap_columns_;
    t.row = block / column_blocks % row_blocks * tap_rows_;
    t.depth = block / column_blocks / row_blocks % a[0].taps;
    t.channel = block / column_blocks / row_blocks / a[0].taps;
    t.rows = min(tap_rows_, a[1].taps - t.row);
    t.columns = min(tap_columns_, a[2].taps - t.column);
    return t;
  }

  void run_item(ptrdiff_t item, char* scratch) const {
    const Place p = place(item / parts_);
    const ptrdiff_t part = item % parts_;
    char* const staged = scratch;
    char* const packed = staged + staged_bytes_;
    char* const lines = packed + packed_bytes_;
    char* const sums = parts_ > 1 ? const_cast<char*>(partial_sums_.data()) + item * piece_bytes()
                                  : lines + lanes_ * max(line_pitch_, point_pitch_);
    const ptrdiff_t first = blocks_ * part / parts_, last = blocks_ * (part + 1) / parts_;
    for (ptrdiff_t block = first; block < last; block++) {
      const Taps t = taps(block);
      stage(p, t, staged);
      pack(p, t, lines, packed);
      sum(p, t, staged, packed, sums, block > first);
    }
    if (parts_ == 1) store(p, sums, lines);
  }

  void stage(const Place& p, const Taps& t, char* staged) const {
    const LayerAxis* a = layer_.axes;
    const ptrdiff_t origin[] = {a[0].offset + t.depth * a[0].dilation,
                                a[1].offset + t.row * a[1].dilation,
                                a[2].offset + t.column * a[2].dilation};
    const char* x = layer_.x + p.group * layer_.x_group + channel_offset(layer_, t.channel);
    for (ptrdiff_t n = 0; n < p.batches; n++)
      window_->stage(x + (p.batch + n) * layer_.x_batch, origin,
                     staged + n * window_->channel_bytes());
  }

  // packed[vector of output channels][tap][lane]; channels beyond the last are zero.
  void pack(const Place& p, const Taps& t, char* lines, char* packed) const {
    const LayerAxis* a = layer_.axes;
    const char* w = layer_.w + p.group * layer_.w_group + t.channel * layer_.w_channel +
                    t.depth * a[0].w_stride + t.row * a[1].w_stride + t.column * a[2].w_stride;
    // Taps that lie side by side are read in place, as long as no vector reads past them.
    const bool in_place = a[2].w_stride == scalar_ && t.columns % lanes_ == 0;
    const char* line[cache_line];
    for (ptrdiff_t l = 0; l < lanes_; l++) line[l] = lines + l * line_pitch_;
    for (ptrdiff_t o = 0; o < p.outputs; o += lanes_, packed += vector_pitch_) {
      const ptrdiff_t count = min(lanes_, p.outputs - o);
      for (ptrdiff_t l = count; l < lanes_; l++) {
        line[l] = lines + l * line_pitch_;
        memset(lines + l * line_pitch_, 0, size_t(line_pitch_));
      }
      for (ptrdiff_t y = 0; y < t.rows; y++) {
        for (ptrdiff_t l = 0; l < count; l++) {
          const char* from = w + (p.output + o + l) * layer_.w_output + y * a[1].w_stride;
          if (in_place)
            line[l] = from;
          else
            convert_.load(from, a[2].w_stride, lines + l * line_pitch_, t.columns);
        }
        // A few taps more than there are: what follows overwrites them.
        lane_set_.load_real(line, round_up(t.columns, lanes_),
                            packed + y * t.columns * set_.vector_bytes);
      }
    }
  }

  void sum(const Place& p, const Taps& t, const char* staged, const char* packed, char* sums,
           bool add) const {
    const LayerAxis* a = layer_.axes;
    const std::vector<ProductStep>& steps = t.columns == tap_columns_ ? steps_ : last_steps_;
    const ptrdiff_t count = t.rows * t.columns;
    const ptrdiff_t chunk = ceil_div(count, ceil_div(count, steps_in_registers));
    const ptrdiff_t vectors = ceil_div(p.outputs, lanes_);
    const ptrdiff_t rows = rows_are_columns_ ? a[2].out_extent : p.batches;
    const ptrdiff_t tiles = ceil_div(rows, set_.rows);
    const ptrdiff_t row_pitch = rows_are_columns_ ? scalar_ : window_->channel_bytes();
    const ptrdiff_t sum_pitch = rows_are_columns_ ? set_.vector_bytes : batch_pitch_;
    for (ptrdiff_t v = 0, wide; v < vectors; v += wide) {
      const ptrdiff_t widest = set_.vectors[ceil_div(rows, tiles)];
      wide = ceil_div(vectors - v, ceil_div(vectors - v, widest));
      const auto sum_rows = [&](const char* x, char* to) {
        for (ptrdiff_t r = 0, i = 0; i < tiles; i++) {
          const ptrdiff_t height = (rows - r + tiles - i - 1) / (tiles - i);
          for (ptrdiff_t first = 0; first < count; first += chunk)
            set_.function[height - 1][wide - 1](
                steps.data() + first, min(chunk, count - first), x + r * row_pitch, row_pitch,
                packed + v * vector_pitch_, vector_pitch_, to + r * sum_pitch, sum_pitch,
                points_ * set_.vector_bytes, nullptr, add || first > 0);
          r += height;
        }
      };
      char* to = sums + v * points_ * set_.vector_bytes;
      for (ptrdiff_t z = 0; z < a[0].out_extent; z++)
        for (ptrdiff_t y = 0; y < a[1].out_extent; y++) {
          const char* x = staged + z * window_->plane_pitch() + y * window_->row_pitch();
          if (rows_are_columns_) {
            for (ptrdiff_t n = 0; n < p.batches; n++)
              sum_rows(x + n * window_->channel_bytes(), to + n * batch_pitch_);
            to += a[2].out_extent * set_.vector_bytes;
          } else {
            for (ptrdiff_t i = 0; i < a[2].out_extent; i++, to += set_.vector_bytes)
              sum_rows(x + i * scalar_, to);
          }
        }
    }
  }

  // sums[batch][vector of output channels][point][lane]
  void store(const Place& p, const char* sums, char* lines) const {
    const LayerAxis* a = layer_.axes;
    // Rows that lie end to end in the output are one.
    const bool joined = a[0].out_stride == a[1].out_extent * a[1].out_stride &&
                        a[1].out_stride == a[2].out_extent * a[2].out_stride;
    const ptrdiff_t rows = joined ? 1 : a[0].out_extent * a[1].out_extent;
    const ptrdiff_t count = points_ / rows;
    const bool as_it_is = joined && a[2].out_stride == scalar_ && !layer_.bias &&
                          layer_.activation == Activation::none;
    char* line[cache_line];
    char* out[cache_line];
    for (ptrdiff_t l = 0; l < lanes_; l++) line[l] = lines + l * point_pitch_;
    for (ptrdiff_t o = 0; o < p.outputs; o += lanes_) {
      const ptrdiff_t filled = min(lanes_, p.outputs - o);
      for (ptrdiff_t l = 0; l < filled; l++)
        out[l] = layer_.out + p.batch * layer_.out_batch + p.group * layer_.out_group +
                 output_offset(layer_, p.output + o + l);
      for (ptrdiff_t n = 0; n < p.batches; n++) {
        // A few points more than there are; nobody reads them.
        lane_set_.store_real(sums + n * batch_pitch_ + o * points_ * scalar_, 0,
                             round_up(points_, lanes_), line);
        for (ptrdiff_t l = 0; l < filled; l++) {
          char* to = out[l] + n * layer_.out_batch;
          if (as_it_is) {
            memcpy(to, line[l], size_t(points_ * scalar_));
            continue;
          }
          for (ptrdiff_t r = 0; r < rows; r++)
            finish_.store(
                line[l] + r * count * scalar_, p.group, p.output + o + l, count,
                to + r / a[1].out_extent * a[0].out_stride + r % a[1].out_extent * a[1].out_stride,
                a[2].out_stride);
        }
      }
    }
  }

  const Layer& layer_;
  const ProductSet& set_;
  const LaneSet& lane_set_;
  const Conversion& convert_;
  const Finish finish_;
  const ptrdiff_t scalar_, lanes_;
  ptrdiff_t points_;                   // outputs along the axes
  ptrdiff_t tap_rows_, tap_columns_;   // summed together
  ptrdiff_t outputs_, output_blocks_;  // of an item; a multiple of the lanes
  ptrdiff_t batch_, batch_blocks_;
  ptrdiff_t blocks_, parts_;  // blocks of taps, and parts that they are cut into
  // Whether a tile's rows are neighbouring outputs, and not those of the batch.
  bool rows_are_columns_;
  ptrdiff_t staged_bytes_, packed_bytes_, vector_pitch_, line_pitch_, batch_pitch_, point_pitch_;
  std::unique_ptr<Window> window_;
  std::vector<ProductStep> steps_, last_steps_;
  std::vector<char> partial_sums_;
};

}  // namespace

Status sum_gradients(const Layer& layer, int threads, ptrdiff_t* scratch) {
  GradientsJob job(layer);
  return scratch ? tell_scratch(job, threads, scratch, job.shared_bytes())
                 : run_parts(job, threads);
}

}  // namespace fastconv
