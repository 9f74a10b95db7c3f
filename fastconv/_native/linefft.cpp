#include "linefft.hpp"

#include <string.h>

#include "dispatch.hpp"
#include "lineio.hpp"
#include "occupancy.hpp"
#include "region.hpp"
#include "stages.hpp"

namespace fastconv {
namespace {

enum { MAX_LINES = 32 };

class LineFftJob {
 public:
  LineFftJob(const LineFft& fft, const Correlation& c, const void* spectrum, const Stages& stages,
             const BlockRun& run)
      : fft_(fft),
        set_(lane_set_of(fft.type)),
        spectrum_(spectrum),
        stages_(stages),
        line_(c.axes[c.axis_count - 1]),
        reader_(line_, fft.type, run.x_type, c.boundary, c.fill),
        writer_(line_, fft.type, run.out_type),
        judge_(is_single(fft.type), fft.points, run.need),
        scalars_(set_),
        blocks_(c, fft.points - fft.skip, run) {
    complex_ = is_complex(fft.type);
    element_ = set_.scalar_bytes * (complex_ ? 2 : 1);
    lines_ = complex_ ? set_.lanes : 2 * set_.lanes;
    valid_ = fft.points - fft.skip;
    plane_bytes_ = fft.points * set_.lanes * set_.scalar_bytes;
    line_bytes_ = fft.points * element_;
  }

  // Batches of blocks.
  ptrdiff_t items() const { return ceil_div(blocks_.wanted(), lines_); }
  // Two planes, a line of scratch for each block, and one line of zeros for blocks that are none.
  ptrdiff_t scratch_bytes() const { return 2 * plane_bytes_ + (lines_ + 1) * line_bytes_; }

  void run(ptrdiff_t first, ptrdiff_t last, char* scratch) const {
    memset(scratch + 2 * plane_bytes_ + lines_ * line_bytes_, 0, size_t(line_bytes_));
    for (ptrdiff_t batch = first; batch < last; batch++) run_batch(batch, scratch);
  }

 private:
  using Block = LineBlocks::Block;

  void run_batch(ptrdiff_t batch, char* scratch) const {
    char* re = scratch;
    char* im = re + plane_bytes_;
    char* lines = im + plane_bytes_;
    const char* zeros = lines + lines_ * line_bytes_;
    Block blocks[MAX_LINES];
    const char* in[MAX_LINES];
    for (int l = 0; l < lines_; l++) {
      blocks[l] = blocks_.at(batch * lines_ + l);
      in[l] = blocks[l].count ? data(blocks[l], lines + l * line_bytes_) : zeros;
    }
    if (complex_) {
      set_.load_complex(in, fft_.points, re, im);
    } else {
      set_.load_real(in, fft_.points, re);
      set_.load_real(in + set_.lanes, fft_.points, im);
    }
    double needed[MAX_LINES] = {};  // by lane
    if (judge_.judges()) find_needed(re, im, blocks, needed);
    set_.forward(stages_.stages, stages_.count, re, im);
    set_.multiply(spectrum_, fft_.points, re, im);
    set_.inverse(stages_.stages, stages_.count, re, im);

    // Whole blocks go to the output itself, others by way of their scratch line.
    char* out[MAX_LINES];
    for (int l = 0; l < lines_; l++) {
      const bool whole = blocks[l].count == valid_ && writer_.takes(blocks[l].out);
      out[l] = whole ? blocks[l].out : lines + l * line_bytes_;
    }
    if (complex_) {
      set_.store_complex(re, im, fft_.skip, valid_, out);
    } else {
      set_.store_real(re, fft_.skip, valid_, out);
      set_.store_real(im, fft_.skip, valid_, out + set_.lanes);
    }
    for (int l = 0; l < lines_; l++) {
      const Block& b = blocks[l];
      if (!b.count) continue;
      if (judge_.judges()) judge(b, out[l], needed[l % set_.lanes]);
      if (out[l] != b.out) writer_.write(out[l], b.out, b.count);
    }
  }

  // A lane that is out of range may hold zeros: they are exact.
  void judge(const Block& b, char* line, double needed) const {
    const ptrdiff_t parts = complex_ ? 2 : 1;
    unsigned char mark = Judge::mark(set_.least_peak(line, b.count * parts), needed);
    if (mark & UNSURE) mark = look_again(b, line, needed, parts);
    blocks_.mark(b, mark);
  }

  // Results that fall short are zero where their windows hold nothing.
  unsigned char look_again(const Block& b, char* line, double needed, ptrdiff_t parts) const {
    const ptrdiff_t reach = b.count + line_.taps - 1;
    Occupancy occupied(1, ceil_div(reach * parts, Occupancy::CELL), 1);
    char* data = take_scratch(reach * element_);
    unsigned char found = UNSURE;
    if (data && occupied.ready()) {
      reader_.read(b.x, reader_.span(b.first + line_.offset, reach), data);
      occupied.set_line(0, scalars_, data, reach * parts);
      occupied.link();
      found = judge_runs(set_, line, b.count * parts, needed, [&](ptrdiff_t first, ptrdiff_t last) {
        return occupied.empty_line(first, last + (line_.taps - 1) * parts);
      });
    }
    give_scratch_back(data);
    return found;
  }

  // What the peaks of each lane's blocks must be. NaN and Inf become zero.
  void find_needed(char* re, char* im, const Block* blocks, double* needed) const {
    double squares[MAX_LINES] = {};
    if (!add_squares(re, im, squares)) {
      zero_nonfinite(re, blocks);
      zero_nonfinite(im, complex_ ? blocks : blocks + set_.lanes);
      memset(squares, 0, sizeof squares);
      add_squares(re, im, squares);
    }
    for (int l = 0; l < set_.lanes; l++) {
      needed[l] = judge_.needed(squares[l]);
      // The transforms of zeros are exact.
      if (needed[l] >= 0 || largest(re, l) + largest(im, l) == 0) continue;
      blocks_.mark(blocks[l], OUT_OF_RANGE);
      if (!complex_) blocks_.mark(blocks[set_.lanes + l], OUT_OF_RANGE);
    }
  }

  // Of every lane; returns whether all are finite.
  bool add_squares(const char* re, const char* im, double* squares) const {
    scalars_.add_squares(re, fft_.points, squares);
    scalars_.add_squares(im, fft_.points, squares);
    bool finite = true;
    for (int l = 0; l < set_.lanes; l++) finite = finite && squares[l] < HUGE_VAL;
    return finite;
  }

  void zero_nonfinite(char* plane, const Block* blocks) const {
    for (int l = 0; l < set_.lanes; l++)
      if (!(largest(plane, l) < HUGE_VAL)) blocks_.mark(blocks[l], MET_NONFINITE);
    scalars_.zero_nonfinite(plane, fft_.points);
  }

  // The largest |x| of a lane; NaN or Inf where any is.
  double largest(const char* plane, int lane) const {
    double found = 0, faults = 0;
    for (ptrdiff_t i = 0; i < fft_.points; i++) {
      const double x = fabs(scalars_.at(plane, i * set_.lanes + lane));
      faults += x - x;
      if (x > found) found = x;
    }
    return found + faults;
  }

  // The block's data: where it lies, or read.
  const char* data(const Block& b, char* scratch) const {
    const ptrdiff_t start = b.first + line_.offset - (fft_.skip - (line_.taps - 1));
    if (const char* at = reader_.in_place(b.x, start, fft_.points)) return at;
    reader_.read(b.x, reader_.span(start, fft_.points), scratch);
    return scratch;
  }

  const LineFft& fft_;
  const LaneSet& set_;
  const void* spectrum_;
  const Stages& stages_;
  const CorrelationAxis line_;
  const LineReader reader_;
  const LineWriter writer_;
  const Judge judge_;
  const Scalars scalars_;
  const LineBlocks blocks_;
  bool complex_;
  int lines_;
  ptrdiff_t element_, valid_, plane_bytes_, line_bytes_;
};

}  // namespace

int line_fft_lanes(ElementType type) {
  if (type != FLOAT32 && type != FLOAT64 && !is_complex(type)) return 0;
  return lane_set_of(type).lanes;
}

Status line_fft_spectrum(const LineFft& fft, const char* w, ptrdiff_t taps, void* spectrum) {
  const LaneSet& set = lane_set_of(fft.type);
  const Stages* stages = stages_for(fft.points, set.scalar_bytes);
  const ptrdiff_t plane_bytes = fft.points * set.lanes * set.scalar_bytes;
  char* re = take_scratch(2 * plane_bytes);
  if (!re || !stages) {
    give_scratch_back(re);
    return Status::no_memory;
  }
  char* im = re + plane_bytes;
  memset(re, 0, size_t(2 * plane_bytes));
  // Correlation is convolution with the taps reversed: tap k stands at taps - 1 - k, in lane 0.
  const ptrdiff_t pitch = set.lanes * set.scalar_bytes;
  const ptrdiff_t element = set.scalar_bytes * (is_complex(fft.type) ? 2 : 1);
  for (ptrdiff_t k = 0; k < taps; k++) {
    const char* tap = w + (taps - 1 - k) * element;
    memcpy(re + k * pitch, tap, size_t(set.scalar_bytes));
    if (is_complex(fft.type))
      memcpy(im + k * pitch, tap + set.scalar_bytes, size_t(set.scalar_bytes));
  }
  set.forward(stages->stages, stages->count, re, im);
  const double scale = 1.0 / double(fft.points);
  for (ptrdiff_t i = 0; i < fft.points; i++)
    for (int part = 0; part < 2; part++) {
      const char* from = (part ? im : re) + i * pitch;
      if (set.scalar_bytes == 4)
        static_cast<float*>(spectrum)[2 * i + part] =
            float(*reinterpret_cast<const float*>(from) * scale);
      else
        static_cast<double*>(spectrum)[2 * i + part] =
            *reinterpret_cast<const double*>(from) * scale;
    }
  give_scratch_back(re);
  return Status::ok;
}

ptrdiff_t line_fft_count(const LineFft& fft, const Correlation& correlation) {
  return LineBlocks(correlation, fft.points - fft.skip, BlockRun()).count();
}

Status line_fft_correlate(const LineFft& fft, const Correlation& correlation, const void* spectrum,
                          const BlockRun& run, int threads) {
  const Stages* stages = stages_for(fft.points, lane_set_of(fft.type).scalar_bytes);
  if (!stages) return Status::no_memory;
  return run_items(LineFftJob(fft, correlation, spectrum, *stages, run), threads);
}

}  // namespace fastconv
