// The part of a layer's input that a block of outputs reads, laid out so that the data of one tap
// for neighbouring outputs are neighbours, whatever the stride and dilation.
#pragma once
#include <vector>

#include "layers.hpp"

namespace fastconv {

// One axis of it: the taps' data as runs. Taps whose data lie a multiple of the stride apart share
// a run where they overlap: a stride of 2 makes one run of the even and one of the odd elements.
class AxisWindow {
 public:
  struct Run {
    ptrdiff_t first;  // element that its first datum is, from the first output's origin
    ptrdiff_t count;
  };

  // For `outputs` neighbouring outputs and the first `taps` taps.
  AxisWindow(const LayerAxis& axis, ptrdiff_t outputs, ptrdiff_t taps);

  ptrdiff_t extent() const { return extent_; }
  // Where the first output's datum of a tap lies; the next output's is its neighbour.
  ptrdiff_t place(ptrdiff_t tap) const { return places_[size_t(tap)]; }
  const std::vector<Run>& runs() const { return runs_; }
  // The taps, grouped: data of one group lie `step` elements apart; at most `most` in a group.
  std::vector<std::vector<ptrdiff_t>> groups(ptrdiff_t step, ptrdiff_t most) const;

 private:
  ptrdiff_t extent_ = 0;
  std::vector<Run> runs_;
  std::vector<ptrdiff_t> places_;
};

// All axes of one channel: rows lie row_pitch() bytes apart, planes row_pitch() · rows.
class Window {
 public:
  Window(const Layer& layer, const ptrdiff_t* outputs, const ptrdiff_t* taps);

  ptrdiff_t row_pitch() const { return row_pitch_; }
  ptrdiff_t plane_pitch() const { return row_pitch_ * axes_[1].extent(); }
  ptrdiff_t channel_bytes() const { return channel_bytes_; }
  const AxisWindow& axis(int a) const { return axes_[a]; }
  // Bytes from the channel's beginning to the first output's datum of a tap.
  ptrdiff_t place(ptrdiff_t depth_tap, ptrdiff_t row_tap, ptrdiff_t column_tap) const {
    return axes_[0].place(depth_tap) * plane_pitch() + axes_[1].place(row_tap) * row_pitch_ +
           axes_[2].place(column_tap) * scalar_;
  }

  // Fills one channel: x is its first element, origin the element that the first output's first
  // tap reads, along each axis.
  void stage(const char* x, const ptrdiff_t* origin, char* staged) const;

 private:
  void stage_run(const AxisWindow::Run& run, const char* x, const ptrdiff_t* origin,
                 char* staged) const;
  void clear(char* to, ptrdiff_t bytes) const;
  void shift(char* line, ptrdiff_t count) const;

  const Layer& layer_;
  const Conversion& convert_;
  AxisWindow axes_[LAYER_AXES];
  ptrdiff_t scalar_, row_pitch_, channel_bytes_;
};

}  // namespace fastconv
