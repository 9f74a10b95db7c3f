#include "linefft.hpp"

#include <stdint.h>
#include <string.h>

#include <atomic>

#include "dispatch.hpp"
#include "scratch.hpp"
#include "stages.hpp"
#include "threads.hpp"

namespace fastconv {
namespace {

constexpr size_t alignment = 64;
enum { MAX_LINES = 32 };

bool is_complex(ElementType type) { return type == COMPLEX64 || type == COMPLEX128; }

class LineFftJob {
 public:
  LineFftJob(const LineFft& fft, const Correlation& c, const void* spectrum, const Stages& stages)
      : fft_(fft), c_(c), set_(lane_set_of(fft.type)), spectrum_(spectrum), stages_(stages) {
    const CorrelationAxis& line = c.axes[c.axis_count - 1];
    line_ = line;
    element_ = set_.scalar_bytes * (is_complex(fft.type) ? 2 : 1);
    lines_ = is_complex(fft.type) ? set_.lanes : 2 * set_.lanes;
    valid_ = fft.points - fft.skip;
    blocks_ = (line.out_extent + valid_ - 1) / valid_;
    outer_ = 1;
    for (int a = 0; a + 1 < c.axis_count; a++) outer_ *= c.axes[a].out_extent;
    plane_bytes_ = fft.points * set_.lanes * set_.scalar_bytes;
    line_bytes_ = fft.points * element_;
  }

  ptrdiff_t batches() const { return (outer_ * blocks_ + lines_ - 1) / lines_; }
  // Two planes, a line of scratch for each block, and one line of zeros for blocks that are none.
  ptrdiff_t scratch_bytes() const { return 2 * plane_bytes_ + (lines_ + 1) * line_bytes_; }

  void clear_zeros(char* scratch) const {
    memset(scratch + 2 * plane_bytes_ + lines_ * line_bytes_, 0, size_t(line_bytes_));
  }

  // What was not finite, before the transforms and after them.
  struct Found {
    ptrdiff_t before = 0, after = 0;
  };

  Found run(ptrdiff_t first, ptrdiff_t last, char* scratch) const {
    Found found;
    for (ptrdiff_t batch = first; batch < last; batch++) run_batch(batch, scratch, found);
    return found;
  }

 private:
  struct Block {
    const char* x;  // the line of data it lies on
    char* out;      // its first output
    ptrdiff_t first;
    ptrdiff_t count;  // outputs it gives; 0 where the batch is not full
  };

  Block block(ptrdiff_t number) const {
    Block b = {c_.x, c_.out, number % blocks_ * valid_, 0};
    ptrdiff_t rest = number / blocks_;
    if (rest >= outer_) return b;
    for (int a = c_.axis_count - 2; a >= 0; a--) {
      const CorrelationAxis& axis = c_.axes[a];
      b.x += rest % axis.out_extent * axis.x_stride;
      b.out += rest % axis.out_extent * axis.out_stride;
      rest /= axis.out_extent;
    }
    b.out += b.first * line_.out_stride;
    b.count = line_.out_extent - b.first < valid_ ? line_.out_extent - b.first : valid_;
    return b;
  }

  void run_batch(ptrdiff_t batch, char* scratch, Found& found) const {
    char* re = scratch;
    char* im = re + plane_bytes_;
    char* lines = im + plane_bytes_;
    const char* zeros = lines + lines_ * line_bytes_;
    Block blocks[MAX_LINES];
    const char* in[MAX_LINES];
    for (int l = 0; l < lines_; l++) {
      blocks[l] = block(batch * lines_ + l);
      in[l] = blocks[l].count ? data(blocks[l], lines + l * line_bytes_) : zeros;
    }
    if (is_complex(fft_.type)) {
      set_.load_complex(in, fft_.points, re, im);
    } else {
      set_.load_real(in, fft_.points, re);
      set_.load_real(in + set_.lanes, fft_.points, im);
    }
    found.before += zero_nonfinite(re, 2 * fft_.points * set_.lanes);
    set_.forward(stages_.stages, stages_.count, re, im);
    set_.multiply(spectrum_, fft_.points, re, im);
    set_.inverse(stages_.stages, stages_.count, re, im);
    found.after += zero_nonfinite(re, 2 * fft_.points * set_.lanes);

    // Whole blocks go to the output itself, others by way of their scratch line.
    char* out[MAX_LINES];
    for (int l = 0; l < lines_; l++)
      out[l] = whole(blocks[l]) ? blocks[l].out : lines + l * line_bytes_;
    if (is_complex(fft_.type)) {
      set_.store_complex(re, im, fft_.skip, valid_, out);
    } else {
      set_.store_real(re, fft_.skip, valid_, out);
      set_.store_real(im, fft_.skip, valid_, out + set_.lanes);
    }
    for (int l = 0; l < lines_; l++)
      if (blocks[l].count && !whole(blocks[l])) copy_out(blocks[l], out[l]);
  }

  bool aligned(const char* p) const {
    return reinterpret_cast<uintptr_t>(p) % size_t(set_.scalar_bytes) == 0;
  }
  bool whole(const Block& b) const {
    return b.count == valid_ && line_.out_stride == element_ && aligned(b.out);
  }

  // The block's data: where it lies, or gathered.
  const char* data(const Block& b, char* scratch) const {
    const ptrdiff_t start = b.first + line_.offset - (fft_.skip - (line_.taps - 1));
    const char* at = b.x + start * line_.x_stride;
    if (start >= 0 && start + fft_.points <= line_.x_extent && line_.x_stride == element_ &&
        aligned(at))
      return at;
    const GatherAxis axis = {line_.x_extent, line_.x_stride, start, fft_.points, element_};
    gather(b.x, scratch, &axis, 1, element_, c_.boundary, c_.fill);
    return scratch;
  }

  void copy_out(const Block& b, const char* from) const {
    if (line_.out_stride == element_) {
      memcpy(b.out, from, size_t(b.count * element_));
      return;
    }
    for (ptrdiff_t i = 0; i < b.count; i++)
      memcpy(b.out + i * line_.out_stride, from + i * element_, size_t(element_));
  }

  ptrdiff_t zero_nonfinite(char* plane, ptrdiff_t scalars) const {
    const SpectrumSet& passes = levels().used->spectrum;
    if (set_.scalar_bytes == 4)
      return passes.zero_nonfinite_f32(reinterpret_cast<float*>(plane), scalars);
    return passes.zero_nonfinite_f64(reinterpret_cast<double*>(plane), scalars);
  }

  const LineFft& fft_;
  const Correlation& c_;
  const LaneSet& set_;
  const void* spectrum_;
  const Stages& stages_;
  CorrelationAxis line_;
  int lines_;
  ptrdiff_t element_, valid_, blocks_, outer_, plane_bytes_, line_bytes_;
};

struct Region {
  const LineFftJob* job;
  char* scratch;
  ptrdiff_t scratch_stride;
  std::atomic<ptrdiff_t> nonfinite, overflowed;
};

void run_region(void* context, ptrdiff_t first, ptrdiff_t last, int thread) {
  Region* region = static_cast<Region*>(context);
  const LineFftJob::Found found =
      region->job->run(first, last, region->scratch + thread * region->scratch_stride);
  region->nonfinite += found.before;
  region->overflowed += found.after;
}

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

Status line_fft_correlate(const LineFft& fft, const Correlation& correlation, const void* spectrum,
                          int threads, ptrdiff_t* nonfinite, ptrdiff_t* overflowed) {
  const Stages* stages = stages_for(fft.points, lane_set_of(fft.type).scalar_bytes);
  if (!stages) return Status::no_memory;
  LineFftJob job(fft, correlation, spectrum, *stages);
  if (threads > job.batches()) threads = int(job.batches());
  Region region;
  region.job = &job;
  region.scratch_stride = (job.scratch_bytes() + ptrdiff_t(alignment) - 1) / ptrdiff_t(alignment) *
                          ptrdiff_t(alignment);
  region.nonfinite = region.overflowed = 0;
  region.scratch = take_scratch(threads * region.scratch_stride);
  if (!region.scratch) return Status::no_memory;
  for (int t = 0; t < threads; t++) job.clear_zeros(region.scratch + t * region.scratch_stride);
  parallel_for(job.batches(), threads, run_region, &region);
  give_scratch_back(region.scratch);
  *nonfinite = region.nonfinite;
  *overflowed = region.overflowed;
  return Status::ok;
}

}  // namespace fastconv
