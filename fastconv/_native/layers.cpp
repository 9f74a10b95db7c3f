#include "layers.hpp"

#include <new>

#include "layer_forms.hpp"

namespace fastconv {
namespace {

// Items, parts counted, that even out slow cores; the blocks of taps that repay a part's sums; and
// the most that all sums of parts may take.
constexpr ptrdiff_t items_wanted = 16, blocks_of_part = 2;
constexpr ptrdiff_t most_part_bytes = 8 << 20;

// Whether outputs along an axis are those of x at the same places.
bool is_pointwise(const LayerAxis& a) {
  return a.taps == 1 && a.stride == 1 && a.offset == 0 && a.out_extent == a.x_extent;
}

}  // namespace

ptrdiff_t parts_along_taps(ptrdiff_t pieces, ptrdiff_t blocks_of_taps, ptrdiff_t bytes) {
  const ptrdiff_t wanted = max(min(items_wanted / pieces, blocks_of_taps / blocks_of_part), 1);
  return max(min(wanted, most_part_bytes / (pieces * bytes)), 1);
}

Layer joined_rows(const Layer& layer) {
  Layer joined = layer;
  LayerAxis* a = joined.axes;
  for (int outer = LAYER_AXES - 2; outer >= 0; outer--) {
    const bool fits =
        is_pointwise(a[outer]) && is_pointwise(a[2]) &&
        (a[outer].x_extent == 1 || (a[outer].x_stride == a[2].x_extent * a[2].x_stride &&
                                    a[outer].out_stride == a[2].out_extent * a[2].out_stride));
    if (!fits) break;
    a[2].x_extent *= a[outer].x_extent;
    a[2].out_extent *= a[outer].out_extent;
    a[outer].x_extent = a[outer].out_extent = 1;
  }
  return joined;
}

namespace {

constexpr FormFunction forms[] = {sum_channels, sum_gradients, sum_depthwise, sum_dots,
                                  sum_winograd};

}  // namespace

Status solve_layer(const Layer& layer, LayerForm form, int threads) {
  try {
    return forms[int(form)](layer, threads, nullptr);
  } catch (const std::bad_alloc&) {
    return Status::no_memory;
  }
}

ptrdiff_t layer_scratch(const Layer& layer, LayerForm form, int threads) {
  try {
    ptrdiff_t scratch = 0;
    forms[int(form)](layer, threads, &scratch);
    return scratch;
  } catch (const std::bad_alloc&) {
    return -1;
  }
}

}  // namespace fastconv
