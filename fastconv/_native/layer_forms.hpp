// The ways of summing a layer, one file each, and what they share.
#pragma once
#include "layers.hpp"

namespace fastconv {

// Each solves a layer or, where `scratch` is given, only tells how many bytes of it would be taken.
// They throw std::bad_alloc where there is no memory for their plans.
using FormFunction = Status (*)(const Layer& layer, int threads, ptrdiff_t* scratch);
Status sum_channels(const Layer& layer, int threads, ptrdiff_t* scratch);
Status sum_gradients(const Layer& layer, int threads, ptrdiff_t* scratch);
Status sum_depthwise(const Layer& layer, int threads, ptrdiff_t* scratch);
Status sum_dots(const Layer& layer, int threads, ptrdiff_t* scratch);
Status sum_winograd(const Layer& layer, int threads, ptrdiff_t* scratch);

// Bytes from a group's first number to that of a channel: parts of complex numbers are neighbours.
inline ptrdiff_t scalar_bytes_of(const Layer& layer) { return layer.type == FLOAT32 ? 4 : 8; }
inline ptrdiff_t channel_offset(const Layer& layer, ptrdiff_t channel) {
  return channel / layer.parts * layer.x_channel + channel % layer.parts * scalar_bytes_of(layer);
}
inline ptrdiff_t output_offset(const Layer& layer, ptrdiff_t output) {
  return output / layer.parts * layer.out_output + output % layer.parts * scalar_bytes_of(layer);
}

// The same layer with rows laid end to end where they are independent and lie so in memory: those
// of a layer of one tap a row.
Layer joined_rows(const Layer& layer);

}  // namespace fastconv
