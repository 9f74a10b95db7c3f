// The driver of template_sums.hpp.
//
// An item is a tile of the windows. Its rows of pixels are read in order, a few side by side, and
// become sums over windows along the row; lines of these go through a chunk of rows, and in volumes
// lines of its sums through a chunk of planes. No tile shares a sum with another.
#include "template.hpp"

#include <float.h>
#include <math.h>
#include <string.h>

#include <memory>
#include <new>

#include "dispatch.hpp"
#include "region.hpp"

namespace fastconv {
namespace {

// Rows that are looked at, or centred, as one item.
constexpr ptrdiff_t item_rows = 32;

// Columns of a tile: its chunk of rows is to stay in L2, but not at the cost of windows that are
// mostly halo; with windows of thousands of rows it must at least be bounded. Rows: a few times the
// window's, which are read first. Tried on 2026-11-24 on an AMD EPYC (Zen 3, AVX2, 2 cores) for
// templates of 16 × 16 to 256 × 256 on 1080 × 1920 pixels: chunks of 512 KiB and twice the rows are
// 5 to 10% faster, but leave images of 480 × 640 too few tiles for many cores.
constexpr ptrdiff_t chunk_bytes = 256 << 10, most_chunk_bytes = 8 << 20, pair_bytes = 16;
constexpr ptrdiff_t least_columns = 64, least_rows = 128, rows_of_window = 4;
// The same for the chunk of planes of a volume.
constexpr ptrdiff_t planes_bytes = 2 << 20, volume_columns = 128, least_volume_rows = 8;
// Whole vectors at every level, and the place after a row's last pair.
constexpr ptrdiff_t slack = 16;
constexpr ptrdiff_t doubles = sizeof(double);

const TemplateSet& template_set_of(ElementType type) {
  const Level& level = *levels().used;
  return type == FLOAT32 ? level.templates_f32 : level.templates_f64;
}

ptrdiff_t scalar_bytes_of(ElementType type) { return type == FLOAT32 ? 4 : 8; }

// Reads rows of the extended image: in place where they lie there as scalars.
class Rows {
 public:
  Rows(const MatchImage& image, Boundary boundary, const char* fill)
      : image_(image),
        boundary_(boundary),
        fill_(fill),
        scalar_(scalar_bytes_of(image.type)),
        convert_(conversions_of(image.type)[image.stored]),
        stored_bytes_(bytes_of(image.stored)) {
    const bool alike = image.stored == (image.type == FLOAT32 ? STORED_FLOAT32 : STORED_FLOAT64);
    in_place_ = alike && image.strides[2] == scalar_;
  }

  ptrdiff_t scalar() const { return scalar_; }

  const char* read(ptrdiff_t plane, ptrdiff_t row, ptrdiff_t first, ptrdiff_t count,
                   char* scratch) const {
    const MatchImage& m = image_;
    if (in_place_ && first >= 0 && first + count <= m.extents[2]) {
      plane = map_index(plane, m.extents[0], boundary_);
      row = map_index(row, m.extents[1], boundary_);
      if (plane >= 0 && row >= 0)
        return m.x + plane * m.strides[0] + row * m.strides[1] + first * m.strides[2];
    }
    const GatherAxis axes[MATCH_AXES] = {
        {m.extents[0], m.strides[0], plane, 1, 0},
        {m.extents[1], m.strides[1], row, 1, 0},
        {m.extents[2], m.strides[2], first, count, scalar_},
    };
    gather(m.x, scratch, axes, MATCH_AXES, Unit{stored_bytes_, scalar_, &convert_, 1}, boundary_,
           fill_);
    return scratch;
  }

 private:
  const MatchImage& image_;
  const Boundary boundary_;
  const char* const fill_;
  const ptrdiff_t scalar_;
  const Conversion& convert_;
  const ptrdiff_t stored_bytes_;
  bool in_place_;
};

// Passes over all rows of an image, a few of them an item; Part is what an item finds.
template <class Part>
class RowsJob {
 public:
  explicit RowsJob(const MatchImage& image)
      : image_(image),
        rows_(image, Boundary::zero, nullptr),
        set_(template_set_of(image.type)),
        parts_(new (std::nothrow) Part[size_t(items())]) {}

  ptrdiff_t items() const { return ceil_div(image_.extents[0] * image_.extents[1], item_rows); }
  ptrdiff_t scratch_bytes() const { return image_.extents[2] * rows_.scalar(); }
  const Part* parts() const { return parts_.get(); }

 protected:
  template <class Pass>
  void each_row(ptrdiff_t item, char* scratch, Pass pass) const {
    const ptrdiff_t last = min((item + 1) * item_rows, image_.extents[0] * image_.extents[1]);
    for (ptrdiff_t row = item * item_rows; row < last; row++)
      pass(row, rows_.read(row / image_.extents[1], row % image_.extents[1], 0, image_.extents[2],
                           scratch));
  }

  const MatchImage& image_;
  const Rows rows_;
  const TemplateSet& set_;
  const std::unique_ptr<Part[]> parts_;
};

constexpr PixelSums no_pixels = {0, DBL_MAX, -DBL_MAX, 0};

class LookJob : public RowsJob<PixelSums> {
 public:
  using RowsJob::RowsJob;
  void run(ptrdiff_t first, ptrdiff_t last, char* scratch) const {
    for (ptrdiff_t item = first; item < last; item++) {
      parts_[size_t(item)] = no_pixels;
      each_row(item, scratch, [&](ptrdiff_t, const char* row) {
        set_.look(row, image_.extents[2], &parts_[size_t(item)]);
      });
    }
  }
};

class CentreJob : public RowsJob<double> {
 public:
  CentreJob(const MatchImage& image, double centre, double scale, char* out)
      : RowsJob(image), centre_(centre), scale_(scale), out_(out) {}
  void run(ptrdiff_t first, ptrdiff_t last, char* scratch) const {
    const ptrdiff_t pitch = image_.extents[2] * rows_.scalar();
    for (ptrdiff_t item = first; item < last; item++) {
      double squares = 0;
      each_row(item, scratch, [&](ptrdiff_t number, const char* row) {
        squares += set_.centre(row, image_.extents[2], centre_, scale_, out_ + number * pitch);
      });
      parts_[size_t(item)] = squares;
    }
  }

 private:
  const double centre_, scale_;
  char* const out_;
};

class MatchJob {
 public:
  MatchJob(const Match& match, char* out, ptrdiff_t* unsure)
      : m_(match),
        out_(out),
        unsure_(unsure),
        rows_(match.image, match.boundary, match.fill),
        set_(template_set_of(match.image.type)) {
    match_tile(match, tile_);
    for (int a = 0; a < MATCH_AXES; a++) tiles_[a] = ceil_div(m_.out[a], tile_[a]);
    width_ = round_up(tile_[2], slack);
    pitch_ = spread_over_sets(2 * width_ * doubles) / doubles;
    plane_ = tile_[1] * pitch_;
    columns_ = round_up(width_ + m_.taps[2], slack) + slack;
  }

  ptrdiff_t items() const { return tiles_[0] * tiles_[1] * tiles_[2]; }
  ptrdiff_t scratch_bytes() const {
    const ptrdiff_t lanes = set_.lanes;
    ptrdiff_t count = lanes * (2 * columns_ + 4 * m_.taps[2] + 2 * width_);
    count += (lanes + 2 + m_.taps[1]) * pitch_;
    if (m_.taps[0] > 1) count += pitch_ + (1 + m_.taps[0]) * plane_;
    return count * doubles;
  }

  void run(ptrdiff_t first, ptrdiff_t last, char* scratch) const {
    for (ptrdiff_t item = first; item < last; item++) {
      ptrdiff_t start[MATCH_AXES], stop[MATCH_AXES], rest = item;
      for (int a = MATCH_AXES - 1; a >= 0; a--) {
        start[a] = rest % tiles_[a] * tile_[a];
        stop[a] = min(start[a] + tile_[a], m_.out[a]);
        rest /= tiles_[a];
      }
      unsure_[item] = run_tile(start, stop, reinterpret_cast<double*>(scratch));
    }
  }

 private:
  // Where a thread works. A line of sums has those of δ, then those of δ².
  struct Scratch {
    double *raw, *columns;  // rows of pixels one after the other, and side by side
    double *ends, *sums;    // of chunks of columns; over windows along rows
    double *zeros, *lines;  // lines of zeros, and of sums over windows
    double *begin, *slots;  // of the chunk of rows
    double *plane_line, *plane_begin, *plane_slots;  // of that of planes
  };

  Scratch lay_out(double* at) const {
    Scratch s;
    const auto take = [&](ptrdiff_t count) {
      double* taken = at;
      at += count;
      return taken;
    };
    const ptrdiff_t lanes = set_.lanes;
    s.raw = take(lanes * columns_);
    s.columns = take(lanes * columns_);
    s.ends = take(lanes * 4 * m_.taps[2]);
    s.sums = take(lanes * 2 * width_);
    s.zeros = take(pitch_);
    memset(s.zeros, 0, size_t(pitch_ * doubles));
    s.lines = take(lanes * pitch_);
    s.begin = take(pitch_);
    s.slots = take(m_.taps[1] * pitch_);
    s.plane_line = s.plane_begin = s.plane_slots = nullptr;
    if (m_.taps[0] > 1) {
      s.plane_line = take(pitch_);
      s.plane_begin = take(plane_);
      s.plane_slots = take(m_.taps[0] * plane_);
    }
    return s;
  }

  struct Tile {
    const ptrdiff_t *start, *stop;
    MatchFactors factors;
  };

  ptrdiff_t run_tile(const ptrdiff_t* start, const ptrdiff_t* stop, double* scratch) const {
    const Scratch s = lay_out(scratch);
    const ptrdiff_t rows = stop[1] - start[1] + m_.taps[1] - 1;
    const ptrdiff_t planes = stop[0] - start[0] + m_.taps[0] - 1;
    const ptrdiff_t outputs = stop[2] - start[2], columns = outputs + m_.taps[2] - 1;
    const int lanes = set_.lanes;
    Tile tile = {start, stop, m_.factors};
    tile.factors.level = m_.level * m_.scale;
    tile.factors.offset = (m_.level - m_.centre) * m_.scale;
    tile.factors.around = tile.factors.flat * fabs(tile.factors.level);
    // What whole vectors read past the last column.
    memset(s.sums, 0, size_t(lanes * 2 * width_ * doubles));
    memset(s.columns, 0, size_t(lanes * columns_ * doubles));
    ptrdiff_t unsure = 0;
    for (ptrdiff_t plane = 0; plane < planes; plane++)
      for (ptrdiff_t row = 0; row < rows; row += lanes) {
        const char* lines[MAX_SUM_LANES];
        const int count = int(min(lanes, rows - row));
        for (int r = 0; r < lanes; r++) {
          if (r >= count) {
            lines[r] = lines[0];
            continue;
          }
          char* raw = reinterpret_cast<char*>(s.raw + r * columns_);
          lines[r] = rows_.read(start[0] + m_.offset[0] + plane, start[1] + m_.offset[1] + row + r,
                                start[2] + m_.offset[2], columns, raw);
        }
        set_.columns(lines, columns, m_.scale, tile.factors.level, s.columns);
        set_.sum_columns(s.columns, outputs, m_.taps[2], s.ends, s.sums, s.sums + lanes * width_);
        unsure += add_rows(s, tile, plane, row, count);
      }
    return unsure;
  }

  // Sums along `count` rows of a plane of the tile join the chunk of rows, which may end among
  // them.
  ptrdiff_t add_rows(const Scratch& s, const Tile& tile, ptrdiff_t plane, ptrdiff_t row,
                     int count) const {
    const ptrdiff_t taps = m_.taps[1];
    ptrdiff_t unsure = 0;
    double *slots[MAX_SUM_LANES], *slots_squares[MAX_SUM_LANES];
    double *lines[MAX_SUM_LANES], *lines_squares[MAX_SUM_LANES];
    const double *ends[MAX_SUM_LANES], *ends_squares[MAX_SUM_LANES];
    for (int first = 0; first < count;) {
      const ptrdiff_t place = (row + first) % taps;
      const int last = int(min(count, first + taps - place));
      for (int r = first; r < last; r++) {
        const ptrdiff_t next = (row + r + 1) % taps;
        slots[r] = s.slots + (place + r - first) * pitch_;
        ends[r] = row + r >= taps - 1 && next ? s.slots + next * pitch_ : s.zeros;
        lines[r] = s.lines + r * pitch_;
        slots_squares[r] = slots[r] + width_;
        ends_squares[r] = ends[r] + width_;
        lines_squares[r] = lines[r] + width_;
      }
      if (place == 0) memset(s.begin, 0, size_t(pitch_ * doubles));
      set_.slide_rows(s.sums, first, last, s.begin, slots, ends, lines, width_);
      set_.slide_rows(s.sums + set_.lanes * width_, first, last, s.begin + width_, slots_squares,
                      ends_squares, lines_squares, width_);
      if (place + last - first == taps) set_.add_up(s.slots, pitch_, taps, 2 * width_);
      for (int r = first; r < last; r++)
        if (row + r >= taps - 1) unsure += add_plane(s, tile, plane, row + r - taps + 1, lines[r]);
      first = last;
    }
    return unsure;
  }

  // A line of sums over windows of a plane, in row `row` of the tile, joins the chunk of planes.
  ptrdiff_t add_plane(const Scratch& s, const Tile& tile, ptrdiff_t plane, ptrdiff_t row,
                      const double* line) const {
    const ptrdiff_t taps = m_.taps[0], place = plane % taps, next = (plane + 1) % taps;
    if (taps > 1) {
      const bool whole = plane >= taps - 1;
      double* begin = s.plane_begin + row * pitch_;
      double* slots = s.plane_slots + row * pitch_;
      if (place == 0) memset(begin, 0, size_t(pitch_ * doubles));
      set_.slide_line(line, begin, slots + place * plane_,
                      whole && next ? slots + next * plane_ : s.zeros, s.plane_line, 2 * width_);
      if (next == 0) set_.add_up(slots, plane_, taps, 2 * width_);
      if (!whole) return 0;
      line = s.plane_line;
    }
    const ptrdiff_t* start = tile.start;
    const ptrdiff_t at =
        ((start[0] + plane - taps + 1) * m_.out[1] + start[1] + row) * m_.out[2] + start[2];
    return set_.finish(line, line + width_, tile.stop[2] - start[2], tile.factors,
                       out_ + at * rows_.scalar());
  }

  const Match& m_;
  char* const out_;
  ptrdiff_t* const unsure_;
  const Rows rows_;
  const TemplateSet& set_;
  ptrdiff_t tile_[MATCH_AXES], tiles_[MATCH_AXES];
  // In doubles: sums of a line, and from line to line and plane to plane; columns of a row that is
  // read.
  ptrdiff_t width_, pitch_, plane_, columns_;
};

}  // namespace

Status look_at_image(const MatchImage& image, int threads, PixelSums* sums) {
  const LookJob job(image);
  if (!job.parts()) return Status::no_memory;
  const Status status = run_items(job, threads);
  if (status != Status::ok) return status;
  *sums = no_pixels;
  for (ptrdiff_t i = 0; i < job.items(); i++) {
    const PixelSums& part = job.parts()[i];
    sums->sum += part.sum;
    sums->count += part.count;
    if (part.least < sums->least) sums->least = part.least;
    if (part.most > sums->most) sums->most = part.most;
  }
  return Status::ok;
}

Status centre_image(const MatchImage& image, double centre, double scale, char* out, int threads,
                    double* squares) {
  const CentreJob job(image, centre, scale, out);
  if (!job.parts()) return Status::no_memory;
  const Status status = run_items(job, threads);
  if (status != Status::ok) return status;
  *squares = 0;
  for (ptrdiff_t i = 0; i < job.items(); i++) *squares += job.parts()[i];
  return Status::ok;
}

void match_tile(const Match& m, ptrdiff_t* tile) {
  const ptrdiff_t *taps = m.taps, *out = m.out;
  ptrdiff_t columns = max(max(chunk_bytes / (pair_bytes * taps[1]), taps[2]), least_columns);
  columns = min(columns, max(most_chunk_bytes / (pair_bytes * taps[1]), least_columns));
  ptrdiff_t rows = max(rows_of_window * taps[1], least_rows);
  if (taps[0] > 1) {
    columns = min(columns, max(volume_columns, taps[2]));
    rows = max(planes_bytes / (pair_bytes * taps[0] * columns), least_volume_rows);
  }
  tile[0] = min(max(rows_of_window * taps[0], 1), out[0]);
  tile[1] = min(rows, out[1]);
  tile[2] = min(columns, out[2]);
}

Status finish_match(const Match& match, char* out, int threads, ptrdiff_t* unsure) {
  return run_items(MatchJob(match, out, unsure), threads);
}

}  // namespace fastconv
