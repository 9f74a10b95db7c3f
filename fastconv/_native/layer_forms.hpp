// The ways of summing a layer, one file each, and what they share.
#pragma once
#include "layers.hpp"
#include "sizes.hpp"

namespace fastconv {

// Each solves a layer or, where `scratch` is given, only tells how many bytes of it would be taken.
// They throw std::bad_alloc where there is no memory for their plans.
using FormFunction = Status (*)(const Layer& layer, int threads, ptrdiff_t* scratch);
Status sum_channels(const Layer& layer, int threads, ptrdiff_t* scratch);
Status sum_gradients(const Layer& layer, int threads, ptrdiff_t* scratch);
Status sum_depthwise(const Layer& layer, int threads, ptrdiff_t* scratch);
Status sum_dots(const Layer& layer, int threads, ptrdiff_t* scratch);
Status sum_winograd(const Layer& layer, int threads, ptrdiff_t* scratch);

inline ptrdiff_t scalar_bytes_of(const Layer& layer) { return layer.type == FLOAT32 ? 4 : 8; }
// Bytes from a group's first number to that of a channel: parts of complex numbers are neighbours.
inline ptrdiff_t channel_offset(const Layer& layer, ptrdiff_t channel) {
  return channel / layer.parts * layer.x_channel + channel % layer.parts * scalar_bytes_of(layer);
}
inline ptrdiff_t output_offset(const Layer& layer, ptrdiff_t output) {
  return output / layer.parts * layer.out_output + output % layer.parts * scalar_bytes_of(layer);
}

// Parts that every piece of a layer is cut into along its taps, where there are few pieces: their
// sums, `bytes` for each piece, are added two by two in an order that depends on the layer alone.
ptrdiff_t parts_along_taps(ptrdiff_t pieces, ptrdiff_t blocks_of_taps, ptrdiff_t bytes);

// The outputs of one item: which are the first ones, and how many there are.
struct LayerBlock {
  ptrdiff_t image, group, output, depth, row, column;
  ptrdiff_t outputs, rows, columns;
};

// How a layer's outputs are cut into items: sizes of a block, and how many of them there are.
struct LayerBlocks {
  ptrdiff_t outputs = 1, rows = 1, columns = 1;
  ptrdiff_t output_blocks = 1, row_blocks = 1, column_blocks = 1;

  ptrdiff_t count(const Layer& layer) const {
    return layer.batch * layer.groups * output_blocks * layer.axes[0].out_extent * row_blocks *
           column_blocks;
  }

  LayerBlock at(const Layer& layer, ptrdiff_t item) const {
    const auto take = [&](ptrdiff_t many) {
      const ptrdiff_t index = item % many;
      item /= many;
      return index;
    };
    LayerBlock b;
    b.column = take(column_blocks) * columns;
    b.row = take(row_blocks) * rows;
    b.depth = take(layer.axes[0].out_extent);
    b.output = take(output_blocks) * outputs;
    b.group = take(layer.groups);
    b.image = item;
    b.columns = min(columns, layer.axes[2].out_extent - b.column);
    b.rows = min(rows, layer.axes[1].out_extent - b.row);
    b.outputs = min(outputs, layer.outputs - b.output);
    return b;
  }
};

// The same layer with rows laid end to end where they are independent and lie so in memory: those
// of a layer of one tap a row.
Layer joined_rows(const Layer& layer);

}  // namespace fastconv
