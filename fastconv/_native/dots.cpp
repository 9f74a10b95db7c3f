// Sums over channels and taps with taps along a line in the lanes of vectors: for few outputs of
// many taps, of few output channels, as the gradients of depthwise layers have.
//
// An item is one output channel for one element of the batch, or a part of it along the taps. It
// stages some rows of taps and the data that they meet, and adds the dot products for every output
// to one vector each. Taps and outputs have changed roles: for one output, the data of neighbouring
// taps are neighbours in the window.
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

constexpr ptrdiff_t most_columns = 1024;
constexpr ptrdiff_t tap_bytes = 8 << 10;

// The layer whose taps are this one's outputs: the window sees it so.
Layer swapped(const Layer& layer) {
  Layer other = layer;
  for (LayerAxis& a : other.axes) {
    const ptrdiff_t stride = a.stride;
    a.stride = a.dilation;
    a.dilation = stride;
  }
  return other;
}

class DotsJob {
 public:
  explicit DotsJob(const Layer& layer)
      : layer_(layer),
        swapped_(swapped(layer)),
        set_(layer.type == FLOAT32 ? levels().used->dots_f32 : levels().used->dots_f64),
        vector_bytes_(levels().used->products_f32.vector_bytes),
        convert_(
            conversions_of(layer.type)[layer.type == FLOAT32 ? STORED_FLOAT32 : STORED_FLOAT64]),
        scalar_(scalar_bytes_of(layer)),
        lanes_(vector_bytes_ / scalar_) {
    const LayerAxis* a = layer_.axes;
    points_ = a[0].out_extent * a[1].out_extent * a[2].out_extent;
    tap_columns_ = min(a[2].taps, most_columns);
    tap_pitch_ = round_up(tap_columns_, lanes_) * scalar_;
    tap_rows_ = min(a[1].taps, max(tap_bytes / tap_pitch_, 1));
    const ptrdiff_t taps[] = {1, tap_rows_, tap_columns_};
    const ptrdiff_t outputs[] = {a[0].out_extent, a[1].out_extent, a[2].out_extent};
    window_.reset(new Window(swapped_, taps, outputs));
    columns_ = window_->axis(2).groups(1, MAX_DOT_OUTPUTS);
    blocks_ = layer_.channels * a[0].taps * ceil_div(a[1].taps, tap_rows_) *
              ceil_div(a[2].taps, tap_columns_);
    parts_ = parts_along_taps(pieces(), blocks_, points_ * scalar_);
  }

  // Of the sums of all items.
  ptrdiff_t shared_bytes() const { return items() * points_ * scalar_; }
  void take_shared() { sums_.resize(size_t(shared_bytes())); }

  ptrdiff_t items() const { return pieces() * parts_; }
  ptrdiff_t scratch_bytes() const {
    return round_up(tap_rows_ * tap_pitch_, cache_line) + points_ * vector_bytes_ +
           window_->channel_bytes() + vector_bytes_;
  }

  void run(ptrdiff_t first, ptrdiff_t last, char* scratch) const {
    for (ptrdiff_t item = first; item < last; item++) run_item(item, scratch);
  }

  // After all items: adds the sums of the parts, and stores them.
  void join_parts() {
    if (scalar_ == 4)
      store<float>();
    else
      store<double>();
  }

 private:
  ptrdiff_t pieces() const { return layer_.batch * layer_.groups * layer_.outputs; }

  void run_item(ptrdiff_t item, char* scratch) const {
    const ptrdiff_t piece = item / parts_, part = item % parts_;
    char* const taps = scratch;
    char* const vectors = taps + round_up(tap_rows_ * tap_pitch_, cache_line);
    char* const staged = vectors + points_ * vector_bytes_;
    const ptrdiff_t output = piece % layer_.outputs;
    const ptrdiff_t group = piece / layer_.outputs % layer_.groups;
    const ptrdiff_t image = piece / layer_.outputs / layer_.groups;
    const char* x = layer_.x + image * layer_.x_batch + group * layer_.x_group;
    const char* w = layer_.w + group * layer_.w_group + output * layer_.w_output;
    memset(vectors, 0, size_t(points_ * vector_bytes_));
    const ptrdiff_t last = blocks_ * (part + 1) / parts_;
    for (ptrdiff_t block = blocks_ * part / parts_; block < last; block++)
      add_block(block, x, w, taps, staged, vectors);
    char* const sums = const_cast<char*>(sums_.data()) + item * points_ * scalar_;
    if (scalar_ == 4)
      add_lanes<float>(vectors, sums);
    else
      add_lanes<double>(vectors, sums);
  }

  void add_block(ptrdiff_t block, const char* x, const char* w, char* taps, char* staged,
                 char* vectors) const {
    const LayerAxis* a = layer_.axes;
    const auto take = [&](ptrdiff_t count) {
      const ptrdiff_t index = block % count;
      block /= count;
      return index;
    };
    const ptrdiff_t column = take(ceil_div(a[2].taps, tap_columns_)) * tap_columns_;
    const ptrdiff_t row = take(ceil_div(a[1].taps, tap_rows_)) * tap_rows_;
    const ptrdiff_t depth = take(a[0].taps), channel = block;
    const ptrdiff_t rows = min(tap_rows_, a[1].taps - row);
    const ptrdiff_t columns = min(tap_columns_, a[2].taps - column);
    w += channel * layer_.w_channel + depth * a[0].w_stride + row * a[1].w_stride +
         column * a[2].w_stride;
    // Rows of whole vectors are read in place: beyond the last one there may be nothing to read.
    const bool in_place = a[2].w_stride == scalar_ && columns % lanes_ == 0;
    for (ptrdiff_t y = 0; !in_place && y < rows; y++)
      convert_.load(w + y * a[1].w_stride, a[2].w_stride, taps + y * tap_pitch_, columns);
    const ptrdiff_t origin[] = {a[0].offset + depth * a[0].dilation,
                                a[1].offset + row * a[1].dilation,
                                a[2].offset + column * a[2].dilation};
    window_->stage(x + channel_offset(layer_, channel), origin, staged);
    for (ptrdiff_t z = 0; z < a[0].out_extent; z++)
      for (ptrdiff_t y = 0; y < a[1].out_extent; y++, vectors += a[2].out_extent * vector_bytes_)
        for (const std::vector<ptrdiff_t>& neighbours : columns_)
          add_products(neighbours, in_place ? w : taps, in_place ? a[1].w_stride : tap_pitch_,
                       staged + window_->place(z, y, neighbours[0]), rows, columns, vectors);
  }

  // One tile of dot products; its vectors are gathered, since its outputs may lie apart.
  void add_products(const std::vector<ptrdiff_t>& outputs, const char* taps, ptrdiff_t tap_pitch,
                    const char* data, ptrdiff_t rows, ptrdiff_t columns, char* sums) const {
    alignas(cache_line) char tile[MAX_DOT_OUTPUTS * cache_line];
    for (size_t s = 0; s < outputs.size(); s++)
      memcpy(tile + ptrdiff_t(s) * vector_bytes_, sums + outputs[s] * vector_bytes_,
             size_t(vector_bytes_));
    set_.function[outputs.size() - 1](taps, tap_pitch, data, window_->row_pitch(), rows, columns,
                                      tile);
    for (size_t s = 0; s < outputs.size(); s++)
      memcpy(sums + outputs[s] * vector_bytes_, tile + ptrdiff_t(s) * vector_bytes_,
             size_t(vector_bytes_));
  }

  template <class Scalar>
  void add_lanes(const char* vectors, char* sums) const {
    for (ptrdiff_t p = 0; p < points_; p++) {
      Scalar lanes[cache_line / sizeof(Scalar)];
      memcpy(lanes, vectors + p * vector_bytes_, size_t(vector_bytes_));
      for (ptrdiff_t half = lanes_ / 2; half > 0; half /= 2)
        for (ptrdiff_t l = 0; l < half; l++) lanes[l] += lanes[l + half];
      memcpy(sums + p * scalar_, lanes, sizeof(Scalar));
    }
  }

  template <class Scalar>
  void store() {
    const LayerAxis* a = layer_.axes;
    const Finish finish(layer_);
    for (ptrdiff_t piece = 0; piece < pieces(); piece++) {
      Scalar* sums = reinterpret_cast<Scalar*>(sums_.data()) + piece * parts_ * points_;
      for (ptrdiff_t step = 1; step < parts_; step *= 2)
        for (ptrdiff_t p = 0; p + step < parts_; p += 2 * step)
          for (ptrdiff_t i = 0; i < points_; i++)
            sums[p * points_ + i] += sums[(p + step) * points_ + i];
      const ptrdiff_t output = piece % layer_.outputs;
      const ptrdiff_t group = piece / layer_.outputs % layer_.groups;
      char* out = layer_.out + piece / layer_.outputs / layer_.groups * layer_.out_batch +
                  group * layer_.out_group + output_offset(layer_, output);
      for (ptrdiff_t z = 0; z < a[0].out_extent; z++)
        for (ptrdiff_t y = 0; y < a[1].out_extent; y++, sums += a[2].out_extent)
          finish.store(reinterpret_cast<char*>(sums), group, output, a[2].out_extent,
                       out + z * a[0].out_stride + y * a[1].out_stride, a[2].out_stride);
    }
  }

  const Layer& layer_;
  const Layer swapped_;
  const DotSet& set_;
  const ptrdiff_t vector_bytes_;
  const Conversion& convert_;
  const ptrdiff_t scalar_, lanes_;
  ptrdiff_t points_;  // outputs along the axes
  ptrdiff_t tap_rows_, tap_columns_, tap_pitch_;
  ptrdiff_t blocks_, parts_;  // blocks of taps, and parts that they are cut into
  std::unique_ptr<Window> window_;
  std::vector<std::vector<ptrdiff_t>> columns_;  // outputs along a row whose data are neighbours
  std::vector<char> sums_;                       // [piece][part][output]
};

}  // namespace

Status sum_dots(const Layer& layer, int threads, ptrdiff_t* scratch) {
  DotsJob job(layer);
  return scratch ? tell_scratch(job, threads, scratch, job.shared_bytes())
                 : run_parts(job, threads);
}

}  // namespace fastconv
