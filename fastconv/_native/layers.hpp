// Layers: sums over channels and taps, with strides, dilation and groups.
#pragma once
#include "direct.hpp"
#include "job.hpp"

namespace fastconv {

// What is done to every sum; the numbers are those of fastconv._problem.Activation.
enum class Activation : int { none, relu, relu6, leaky_relu, sigmoid, tanh, silu, gelu };

// One axis of  y[p] = Σ_k w[k] · x̃[p · stride + offset + k · dilation];  x_stride, w_stride and
// out_stride in bytes. Beyond its edges x̃ is zero.
struct LayerAxis {
  ptrdiff_t x_extent;
  ptrdiff_t x_stride;
  ptrdiff_t taps;
  ptrdiff_t w_stride;
  ptrdiff_t out_extent;
  ptrdiff_t out_stride;
  ptrdiff_t offset;
  ptrdiff_t stride;
  ptrdiff_t dilation;
};

enum { LAYER_AXES = 3 };

// y[n, g, o, p] = Σ_c Σ_k w[g, o, c, k] · (x[n, g, c, …] - x_zero)  (+ bias[g, o], then
// activation).
//
// Complex numbers are two channels each: `parts` is 2, `channels` and `outputs` count parts, and w
// holds [[re, -im], [im, re]] for every pair. Strides in bytes; those of channels in x and of
// outputs in out are from number to number, not from part to part.
struct Layer {
  ElementType type;              // of the computation: FLOAT32 or FLOAT64
  StorageType x_type, out_type;  // of parts; STORED_INT32 out of FLOAT32 stands for exact integers
  int parts;
  ptrdiff_t batch, groups, channels, outputs;  // channels and outputs of one group
  ptrdiff_t x_batch, x_group, x_channel;
  ptrdiff_t w_group, w_output, w_channel;
  ptrdiff_t out_batch, out_group, out_output;
  LayerAxis axes[LAYER_AXES];
  const char* x;
  const char* w;     // of the computation's type
  const char* bias;  // groups · outputs of them (int32 for exact integers), or null
  char* out;
  double x_zero;
  Activation activation;
};

// How it is summed: see the files of these names.
enum class LayerForm : int {
  channels,   // outputs along a line in lanes
  gradients,  // output channels in lanes: for more taps than outputs, as gradients of weights have
  depthwise,  // one channel a group, by the tile kernels of images
  dots,       // taps along a line in lanes: for more taps than outputs, of few output channels
  winograd    // 3 × 3 taps at stride 1, given as 4 × 4 by `winograd_weights`; Status::not_finite
              // where some output is not, since a tile shares its NaN and Inf among its outputs
};

// Integers are exact by `channels`, and by `depthwise` up to 256 taps; the others do not take them.
// Every extent and count is positive; `out` overlaps neither x nor w.
Status solve_layer(const Layer& layer, LayerForm form, int threads);

// Kernels of 3 × 3 taps as `winograd` takes them: `lines` lines of `count` kernels side by side.
// Strides in bytes.
struct WinogradWeights {
  ElementType type;  // FLOAT32 or FLOAT64
  ptrdiff_t lines, count;
  ptrdiff_t line_stride, kernel_stride, row_stride, column_stride;
  const char* taps;
  ptrdiff_t point_stride;  // of the 16 points of the transformed; lines of each lie end to end
  char* transformed;
};
Status winograd_weights(const WinogradWeights& weights, int threads);

// Bytes of scratch that it takes, from extents and strides alone; -1 where there is no memory to
// plan it.
ptrdiff_t layer_scratch(const Layer& layer, LayerForm form, int threads);

}  // namespace fastconv
