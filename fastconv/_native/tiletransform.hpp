// Transforms of one tile of two or three axes, in the scratch of one thread.
//
// A tile lies in groups of as many columns as a vector has lanes: group[z][row][lane], a plane of
// real and a plane of imaginary parts. Transforms along the rows' index take a group as it lies;
// those along z go by way of a buffer; for those along the columns, `lanes` rows at a time are
// transposed into the buffer, transformed, multiplied by the kernel's spectrum, transformed back
// and transposed to where they came from. So the tile is read and written once a pass, and every
// butterfly works on whole vectors.
#pragma once
#include "job.hpp"
#include "stages.hpp"

namespace fastconv {

// Where everything lies in the scratch.
struct TileLayout {
  TileLayout(ptrdiff_t depth, ptrdiff_t rows, ptrdiff_t columns, const LaneSet& set);

  ptrdiff_t depth, rows, columns;  // points
  ptrdiff_t groups, vector;
  ptrdiff_t plane, buffer_plane;  // bytes from a plane to the next
  // The tile stands first; then the buffer, in which `lanes` rows are transformed. In bytes.
  ptrdiff_t buffer, bytes;
};

class TileTransform {
 public:
  // With twiddles, in the order of a spectrum, rows are multiplied by them before their transforms
  // and by their conjugates after: the columns and the rows are then one long line.
  TileTransform(ptrdiff_t depth, ptrdiff_t rows, ptrdiff_t columns, const LaneSet& set,
                const char* twiddles = nullptr);

  bool ready() const { return rows_ && columns_ && (depth_ || layout_.depth == 1); }
  const TileLayout& layout() const { return layout_; }
  const LaneSet& set() const { return set_; }
  // Scalars that all points take, and their place for `lanes` rows.
  ptrdiff_t spectrum_bytes() const { return 2 * points() * set_.scalar_bytes; }
  ptrdiff_t points() const { return layout_.depth * layout_.rows * layout_.columns; }

  char* re(char* scratch, ptrdiff_t group) const { return scratch + 2 * group * layout_.plane; }
  char* im(char* scratch, ptrdiff_t group) const { return re(scratch, group) + layout_.plane; }

  // One group along z and rows; only the first `used` of z hold data, or are wanted.
  void forward_group(char* scratch, char* buffer, ptrdiff_t group, ptrdiff_t used) const;
  void inverse_group(char* scratch, char* buffer, ptrdiff_t group, ptrdiff_t used) const;

  // `lanes` rows of the tile: from the first groups that hold data, by way of the buffer, into the
  // first that are wanted, multiplied by the spectrum.
  void convolve_rows(char* scratch, char* buffer, const void* spectrum, ptrdiff_t row,
                     ptrdiff_t in_groups, ptrdiff_t out_groups) const;

  // The spectrum of the kernel that stands in the scratch.
  void take_spectrum(char* scratch, double scale, void* spectrum) const;

 private:
  void forward_rows(char* scratch, char* buffer, ptrdiff_t row, ptrdiff_t groups) const;
  template <class Function>
  void along_depth(Function transform, char* buffer, char* re, char* im, ptrdiff_t from,
                   ptrdiff_t to) const;
  ptrdiff_t at_row(ptrdiff_t row) const { return 2 * row * layout_.columns * set_.scalar_bytes; }

  const LaneSet& set_;
  const TileLayout layout_;
  const Stages *rows_, *columns_, *depth_;
  const char* twiddles_;
};

}  // namespace fastconv
