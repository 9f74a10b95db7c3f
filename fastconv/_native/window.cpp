#include "window.hpp"

#include <string.h>

#include <algorithm>
#include <utility>

#include "dispatch.hpp"
#include "sizes.hpp"

namespace fastconv {

AxisWindow::AxisWindow(const LayerAxis& axis, ptrdiff_t outputs, ptrdiff_t taps)
    : places_(size_t(taps)) {
  const auto phase = [&](ptrdiff_t k) { return k * axis.dilation % axis.stride; };
  std::vector<ptrdiff_t> order(static_cast<size_t>(taps));
  for (ptrdiff_t k = 0; k < taps; k++) order[size_t(k)] = k;
  if (axis.stride > 1)  // else they are all of one phase
    std::stable_sort(order.begin(), order.end(),
                     [&](ptrdiff_t a, ptrdiff_t b) { return phase(a) < phase(b); });
  for (const ptrdiff_t k : order) {
    const ptrdiff_t first = k * axis.dilation;
    const bool joins = !runs_.empty() && runs_.back().first % axis.stride == phase(k) &&
                       first <= runs_.back().first + runs_.back().count * axis.stride;
    if (!joins) {
      if (!runs_.empty()) extent_ += runs_.back().count;
      runs_.push_back({first, 0});
    }
    Run& run = runs_.back();
    const ptrdiff_t shift = (first - run.first) / axis.stride;
    run.count = max(run.count, shift + outputs);
    places_[size_t(k)] = extent_ + shift;
  }
  extent_ += runs_.back().count;
}

std::vector<std::vector<ptrdiff_t>> AxisWindow::groups(ptrdiff_t step, ptrdiff_t most) const {
  // Taps by their places, which are all different.
  std::vector<std::pair<ptrdiff_t, ptrdiff_t>> taps;
  for (size_t k = 0; k < places_.size(); k++) taps.push_back({places_[k], ptrdiff_t(k)});
  std::sort(taps.begin(), taps.end());
  std::vector<std::vector<ptrdiff_t>> found;
  std::vector<bool> taken(places_.size(), false);
  for (size_t first = 0; first < places_.size(); first++) {
    if (taken[first]) continue;
    found.push_back({ptrdiff_t(first)});
    std::vector<ptrdiff_t>& group = found.back();
    while (ptrdiff_t(group.size()) < most) {
      const ptrdiff_t wanted = place(group.back()) + step;
      const auto next = std::lower_bound(taps.begin(), taps.end(), std::pair(wanted, ptrdiff_t(0)));
      if (next == taps.end() || next->first != wanted || next->second < group.back()) break;
      group.push_back(next->second);
      taken[size_t(next->second)] = true;
    }
  }
  return found;
}

Window::Window(const Layer& layer, const ptrdiff_t* outputs, const ptrdiff_t* taps)
    : layer_(layer),
      convert_(conversions_of(layer.type)[layer.x_type]),
      axes_{{layer.axes[0], outputs[0], taps[0]},
            {layer.axes[1], outputs[1], taps[1]},
            {layer.axes[2], outputs[2], taps[2]}},
      scalar_(layer.type == FLOAT32 ? 4 : 8),
      row_pitch_(axes_[2].extent() * scalar_),
      channel_bytes_(spread_over_sets(plane_pitch() * axes_[0].extent())) {}

void Window::stage(const char* x, const ptrdiff_t* origin, char* staged) const {
  for (const AxisWindow::Run& run : axes_[2].runs()) {
    stage_run(run, x, origin, staged);
    staged += run.count * scalar_;
  }
}

void Window::stage_run(const AxisWindow::Run& run, const char* x, const ptrdiff_t* origin,
                       char* staged) const {
  const LayerAxis& depth = layer_.axes[0];
  const LayerAxis& rows = layer_.axes[1];
  const LayerAxis& columns = layer_.axes[2];
  const ptrdiff_t first = origin[2] + run.first;
  // Elements [inside, beyond) of the run lie in the data's rows.
  const ptrdiff_t inside = first < 0 ? min(ceil_div(-first, columns.stride), run.count) : 0;
  ptrdiff_t beyond = inside;
  if (first < columns.x_extent)
    beyond = max(min(ceil_div(columns.x_extent - first, columns.stride), run.count), inside);
  x += (first + inside * columns.stride) * columns.x_stride;
  const ptrdiff_t step = columns.stride * columns.x_stride;
  const ptrdiff_t run_bytes = run.count * scalar_;
  const ptrdiff_t before = inside * scalar_, after = run_bytes - beyond * scalar_;
  for (const AxisWindow::Run& planes : axes_[0].runs())
    for (ptrdiff_t i = 0; i < planes.count; i++) {
      const ptrdiff_t z = origin[0] + planes.first + i * depth.stride;
      const bool in_depth = z >= 0 && z < depth.x_extent;
      for (const AxisWindow::Run& lines : axes_[1].runs())
        for (ptrdiff_t j = 0; j < lines.count; j++, staged += row_pitch_) {
          const ptrdiff_t y = origin[1] + lines.first + j * rows.stride;
          if (!in_depth || y < 0 || y >= rows.x_extent) {
            clear(staged, run_bytes);
            continue;
          }
          clear(staged, before);
          convert_.load(x + z * depth.x_stride + y * rows.x_stride, step, staged + before,
                        beyond - inside);
          if (layer_.x_zero != 0) shift(staged + before, beyond - inside);
          clear(staged + beyond * scalar_, after);
        }
    }
}

// Few bytes mostly, for which a call of memset takes too long.
void Window::clear(char* to, ptrdiff_t bytes) const {
  if (bytes > cache_line)
    memset(to, 0, size_t(bytes));
  else
    for (ptrdiff_t i = 0; i < bytes; i += 4) memset(to + i, 0, 4);
}

void Window::shift(char* line, ptrdiff_t count) const {
  float* values = reinterpret_cast<float*>(line);
  for (ptrdiff_t i = 0; i < count; i++) values[i] -= float(layer_.x_zero);
}

}  // namespace fastconv
