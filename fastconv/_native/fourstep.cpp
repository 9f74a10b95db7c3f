#include "fourstep.hpp"

#include <string.h>

#include <atomic>
#include <initializer_list>

#include "dispatch.hpp"
#include "lineio.hpp"
#include "occupancy.hpp"
#include "region.hpp"
#include "scratch.hpp"
#include "tiletransform.hpp"

namespace fastconv {
namespace {

// Complex points, in rows of `columns`.
struct Folding {
  explicit Folding(const FourStep& fft) {
    points = fft.points / 2;
    rows = ptrdiff_t(1) << log2_of(points) / 2;
    columns = points / rows;
  }
  ptrdiff_t points, rows, columns;
};

// exp(-iπ c (4k - 1) / 2M) for frequency k along the columns: what the four-step transform
// multiplies by, and ω^c.
template <class Scalar>
void fill_twiddles(const Folding& fold, const Stages& stages, int lanes, char* to) {
  Scalar* out = reinterpret_cast<Scalar*>(to);
  const ptrdiff_t whole = 4 * fold.points;
  for (ptrdiff_t row = 0; row < fold.rows; row += lanes)
    for (ptrdiff_t c = 0; c < fold.columns; c++, out += 2 * lanes)
      for (int l = 0; l < lanes; l++) {
        const ptrdiff_t k = frequency_at(stages, row + l);
        const Root root = root_of_unity(c * (4 * k + whole - 1), whole);
        out[l] = Scalar(root.re);
        out[l + lanes] = Scalar(root.im);
      }
}

// Made once for each length and kept; null where there is no memory.
const char* twiddles_for(const FourStep& fft) {
  static std::atomic<const char*> made[2][MAX_LOG2_FOUR_STEP + 1];
  const LaneSet& set = lane_set_of(fft.type);
  std::atomic<const char*>& kept = made[set.scalar_bytes == 4 ? 0 : 1][log2_of(fft.points)];
  if (const char* found = kept.load(std::memory_order_acquire)) return found;
  const Folding fold(fft);
  const Stages* stages = stages_for(fold.rows, set.scalar_bytes);
  char* fresh = static_cast<char*>(allocate_lines(size_t(fft.points * set.scalar_bytes)));
  if (!stages || !fresh) {
    free_lines(fresh);
    return nullptr;
  }
  if (set.scalar_bytes == 4)
    fill_twiddles<float>(fold, *stages, set.lanes, fresh);
  else
    fill_twiddles<double>(fold, *stages, set.lanes, fresh);
  const char* first = nullptr;
  if (kept.compare_exchange_strong(first, fresh, std::memory_order_acq_rel)) return fresh;
  free_lines(fresh);  // another thread was faster
  return first;
}

// A row of the two halves of a block, or of the kernel, turned by ω^n less what the twiddles turn.
void put_row(const TileTransform& transform, ptrdiff_t row, const char* low, const char* high,
             char* scratch) {
  const TileLayout& layout = transform.layout();
  const Root turn = root_of_unity(row, 4 * layout.rows);
  const ptrdiff_t at = row * layout.vector;
  transform.set().load_turned(low, high, turn.re, -turn.im, transform.re(scratch, 0) + at,
                              transform.im(scratch, 0) + at, 2 * layout.plane, layout.groups);
}

class FourStepJob {
 public:
  FourStepJob(const FourStep& fft, const Correlation& c, const void* spectrum,
              const TileTransform& transform, const BlockRun& run)
      : set_(transform.set()),
        spectrum_(spectrum),
        transform_(transform),
        layout_(transform.layout()),
        folding_(fft),
        element_(set_.scalar_bytes),
        line_(c.axes[c.axis_count - 1]),
        reader_(line_, fft.type, run.x_type, c.boundary, c.fill),
        writer_(line_, fft.type, run.out_type),
        judge_(fft.type == FLOAT32, fft.points, run.need),
        scalars_(set_),
        blocks_(c, fft.step, run) {}

  ptrdiff_t items() const { return blocks_.wanted(); }

  // The planes; Σ x² of each row; then, for each thread, a buffer and two lines (of doubles).
  static ptrdiff_t block_bytes_of(const TileLayout& layout) {
    return layout.buffer + round_up(layout.rows * ptrdiff_t(sizeof(double)), cache_line);
  }
  static ptrdiff_t thread_bytes_of(const TileLayout& layout) {
    return round_up(layout.bytes - layout.buffer + 2 * line_bytes(layout), cache_line);
  }
  ptrdiff_t block_bytes() const { return block_bytes_of(layout_); }
  ptrdiff_t thread_bytes() const { return thread_bytes_of(layout_); }
  ptrdiff_t scratch_bytes() const { return block_bytes() + thread_bytes(); }

  void run(ptrdiff_t first, ptrdiff_t last, char* scratch) const {
    for (ptrdiff_t i = first; i < last; i++) run_block(i, scratch, Here());
  }
  void run_together(char* scratch, int threads) const {
    for (ptrdiff_t i = 0; i < items(); i++) run_block(i, scratch, OnThreads{threads});
  }

 private:
  using Block = LineBlocks::Block;

  static ptrdiff_t line_bytes(const TileLayout& layout) {
    return layout.columns * ptrdiff_t(sizeof(double));
  }
  char* buffer(char* scratch, int thread) const {
    return scratch + block_bytes() + thread * thread_bytes();
  }
  char* line(char* scratch, int thread, int half) const {
    return buffer(scratch, thread) + layout_.bytes - layout_.buffer + half * line_bytes(layout_);
  }

  template <class Parallel>
  void run_block(ptrdiff_t index, char* scratch, const Parallel& parallel) const {
    const Block b = blocks_.at(index);
    double* squares = reinterpret_cast<double*>(scratch + layout_.buffer);
    std::atomic<bool> nonfinite(false);
    parallel(layout_.rows, [&](ptrdiff_t first, ptrdiff_t last, int thread) {
      for (ptrdiff_t row = first; row < last; row++)
        squares[row] = load(b, row, scratch, thread, nonfinite);
    });
    double needed = 0;
    if (judge_.judges()) {
      double sum = 0;
      for (ptrdiff_t row = 0; row < layout_.rows; row++) sum += squares[row];
      needed = judge_.needed(sum);
      if (nonfinite) blocks_.mark(b, MET_NONFINITE);
      // Transforms leave zeros as they are.
      if (needed < 0 && !all_zero(scratch)) {
        blocks_.mark(b, OUT_OF_RANGE);
        return;
      }
    }
    parallel(layout_.groups, [&](ptrdiff_t first, ptrdiff_t last, int thread) {
      for (ptrdiff_t g = first; g < last; g++)
        transform_.forward_group(scratch, buffer(scratch, thread), g, 1);
    });
    parallel(layout_.rows / set_.lanes, [&](ptrdiff_t first, ptrdiff_t last, int thread) {
      for (ptrdiff_t r = first; r < last; r++)
        transform_.convolve_rows(scratch, buffer(scratch, thread), spectrum_, r * set_.lanes,
                                 layout_.groups, layout_.groups);
    });
    parallel(layout_.groups, [&](ptrdiff_t first, ptrdiff_t last, int thread) {
      for (ptrdiff_t g = first; g < last; g++)
        transform_.inverse_group(scratch, buffer(scratch, thread), g, 1);
    });
    std::atomic<unsigned char> found(0);
    parallel(layout_.rows, [&](ptrdiff_t first, ptrdiff_t last, int thread) {
      for (ptrdiff_t row = first; row < last; row++)
        found |= store(b, row, scratch, thread, needed, nullptr);
    });
    blocks_.mark(b, found & UNSURE ? look_again(b, scratch, needed) : found.load());
  }

  // Stores a block whose results fall short once more: where windows hold nothing, they are zero.
  unsigned char look_again(const Block& b, char* scratch, double needed) const {
    const ptrdiff_t reach = b.count + line_.taps - 1;
    Occupancy occupied(1, ceil_div(reach, Occupancy::CELL), 1);
    if (!occupied.ready()) return UNSURE;
    for (ptrdiff_t first = 0; first < reach; first += folding_.columns) {
      const char* part = data(b, first, line(scratch, 0, 0));
      occupied.set_line(first, scalars_, part, min(reach - first, folding_.columns));
    }
    occupied.link();
    unsigned char found = 0;
    for (ptrdiff_t row = 0; row < layout_.rows; row++)
      found |= store(b, row, scratch, 0, needed, &occupied);
    return found;
  }

  // Part of the block's data, and zeros beyond it.
  const char* data(const Block& b, ptrdiff_t first, char* to) const {
    const ptrdiff_t start = b.first + line_.offset + first;
    const ptrdiff_t reach = b.count + line_.taps - 1;
    const ptrdiff_t count = max(min(reach - first, folding_.columns), 0);
    if (count == folding_.columns)
      if (const char* at = reader_.in_place(b.x, start, count)) return at;
    if (count) reader_.read(b.x, reader_.span(start, count), to);
    memset(to + count * element_, 0, size_t((folding_.columns - count) * element_));
    return to;
  }

  // A row of both halves; returns their Σ x².
  double load(const Block& b, ptrdiff_t row, char* scratch, int thread,
              std::atomic<bool>& nonfinite) const {
    const ptrdiff_t vectors = folding_.columns / set_.lanes;
    double sum = 0;
    const char* lines[2];
    for (int half = 0; half < 2; half++) {
      char* own = line(scratch, thread, half);
      lines[half] = data(b, row * folding_.columns + half * folding_.points, own);
      if (!judge_.judges()) continue;
      double squares = scalars_.squares(lines[half], vectors);
      if (!(squares < HUGE_VAL)) {
        if (lines[half] != own) memcpy(own, lines[half], size_t(folding_.columns * element_));
        lines[half] = own;
        if (scalars_.zero_nonfinite(own, vectors)) nonfinite = true;
        squares = scalars_.squares(own, vectors);
      }
      sum += squares;
    }
    put_row(transform_, row, lines[0], lines[1], scratch);
    return sum;
  }

  // Writes a row of results; returns what marks they earn. Where the occupied windows are known,
  // results of the others become zero.
  unsigned char store(const Block& b, ptrdiff_t row, char* scratch, int thread, double needed,
                      const Occupancy* occupied) const {
    const ptrdiff_t first[] = {row * folding_.columns, row * folding_.columns + folding_.points};
    char *to[2], *lines[2];
    ptrdiff_t count[2];
    for (int half = 0; half < 2; half++) {
      count[half] = max(min(b.count - first[half], folding_.columns), 0);
      to[half] = b.out + first[half] * line_.out_stride;
      const bool whole = count[half] == folding_.columns && writer_.takes(to[half]);
      lines[half] = whole ? to[half] : line(scratch, thread, half);
    }
    const Root turn = root_of_unity(row, 4 * layout_.rows);
    const ptrdiff_t at = row * layout_.vector;
    set_.store_turned(transform_.re(scratch, 0) + at, transform_.im(scratch, 0) + at,
                      2 * layout_.plane, turn.re, turn.im, lines[0], lines[1], layout_.groups);
    unsigned char found = 0;
    for (int half = 0; half < 2; half++) {
      if (!count[half]) continue;
      if (occupied)
        found |= judge_runs(set_, lines[half], count[half], needed, [&](ptrdiff_t i, ptrdiff_t j) {
          return occupied->empty_line(first[half] + i, first[half] + j + line_.taps - 1);
        });
      else if (judge_.judges())
        found |= Judge::mark(set_.least_peak(lines[half], count[half]), needed);
      if (lines[half] != to[half]) writer_.write(lines[half], to[half], count[half]);
    }
    return found;
  }

  bool all_zero(char* scratch) const {
    for (ptrdiff_t g = 0; g < layout_.groups; g++)
      for (const char* plane : {transform_.re(scratch, g), transform_.im(scratch, g)})
        if (!scalars_.all_zero(plane, layout_.rows)) return false;
    return true;
  }

  const LaneSet& set_;
  const void* spectrum_;
  const TileTransform& transform_;
  const TileLayout& layout_;
  const Folding folding_;
  const ptrdiff_t element_;
  const CorrelationAxis line_;
  const LineReader reader_;
  const LineWriter writer_;
  const Judge judge_;
  const Scalars scalars_;
  const LineBlocks blocks_;
};

}  // namespace

void four_step_scratch(const FourStep& fft, ptrdiff_t* block, ptrdiff_t* thread) {
  const Folding fold(fft);
  const TileLayout layout(1, fold.rows, fold.columns, lane_set_of(fft.type));
  *block = FourStepJob::block_bytes_of(layout);
  *thread = FourStepJob::thread_bytes_of(layout);
}

Status four_step_spectrum(const FourStep& fft, const char* w, ptrdiff_t taps, void* spectrum) {
  const Folding fold(fft);
  const LaneSet& set = lane_set_of(fft.type);
  const char* twiddles = twiddles_for(fft);
  const TileTransform transform(1, fold.rows, fold.columns, set, twiddles);
  const TileLayout& layout = transform.layout();
  const ptrdiff_t line_bytes = fft.points * set.scalar_bytes;
  char* scratch = take_scratch(layout.bytes + line_bytes);
  if (!scratch || !twiddles || !transform.ready()) {
    give_scratch_back(scratch);
    return Status::no_memory;
  }
  // Tap k stands at -k; t^{-k} is -t^{2M - k}.
  char* line = scratch + layout.bytes;
  memset(line, 0, size_t(line_bytes));
  for (ptrdiff_t k = 0; k < taps; k++) {
    const ptrdiff_t at = k ? fft.points - k : 0;
    if (set.scalar_bytes == 4) {
      const float tap = reinterpret_cast<const float*>(w)[k];
      reinterpret_cast<float*>(line)[at] = k ? -tap : tap;
    } else {
      const double tap = reinterpret_cast<const double*>(w)[k];
      reinterpret_cast<double*>(line)[at] = k ? -tap : tap;
    }
  }
  for (ptrdiff_t row = 0; row < layout.rows; row++) {
    const char* low = line + row * layout.columns * set.scalar_bytes;
    put_row(transform, row, low, low + fold.points * set.scalar_bytes, scratch);
  }
  transform.take_spectrum(scratch, 1.0 / double(fold.points), spectrum);
  give_scratch_back(scratch);
  return Status::ok;
}

ptrdiff_t four_step_count(const FourStep& fft, const Correlation& correlation) {
  return LineBlocks(correlation, fft.step, BlockRun()).count();
}

Status four_step_correlate(const FourStep& fft, const Correlation& correlation,
                           const void* spectrum, const BlockRun& run, bool apart, int threads) {
  const Folding fold(fft);
  const char* twiddles = twiddles_for(fft);
  const TileTransform transform(1, fold.rows, fold.columns, lane_set_of(fft.type), twiddles);
  if (!twiddles || !transform.ready()) return Status::no_memory;
  const FourStepJob job(fft, correlation, spectrum, transform, run);
  return apart ? run_items(job, threads) : run_together(job, threads);
}

}  // namespace fastconv
