#include "tiletransform.hpp"

#include <string.h>

#include "sizes.hpp"

namespace fastconv {
namespace {

template <class Scalar>
void put_scaled(const char* plane, int lanes, ptrdiff_t points, double scale, char* to) {
  const Scalar* from = reinterpret_cast<const Scalar*>(plane);
  Scalar* out = reinterpret_cast<Scalar*>(to);
  for (ptrdiff_t i = 0; i < points; i++, from += lanes, out += 2 * lanes)
    for (int l = 0; l < lanes; l++) out[l] = Scalar(from[l] * scale);
}

}  // namespace

TileLayout::TileLayout(ptrdiff_t depth, ptrdiff_t rows, ptrdiff_t columns, const LaneSet& set)
    : depth(depth), rows(rows), columns(columns) {
  vector = set.lanes * set.scalar_bytes;
  groups = columns / set.lanes;
  // A line of cache between planes: a power of two would put all groups into few sets of L1.
  plane = depth * rows * vector + cache_line;
  buffer_plane = max(columns, depth) * vector + cache_line;
  buffer = groups * 2 * plane;
  bytes = buffer + 2 * buffer_plane;
}

TileTransform::TileTransform(ptrdiff_t depth, ptrdiff_t rows, ptrdiff_t columns, const LaneSet& set,
                             const char* twiddles)
    : set_(set),
      layout_(depth, rows, columns, set),
      rows_(stages_for(rows, set.scalar_bytes)),
      columns_(stages_for(columns, set.scalar_bytes)),
      depth_(depth > 1 ? stages_for(depth, set.scalar_bytes) : nullptr),
      twiddles_(twiddles) {}

void TileTransform::forward_group(char* scratch, char* buffer, ptrdiff_t group,
                                  ptrdiff_t used) const {
  const ptrdiff_t slab = layout_.rows * layout_.vector;
  char* re = this->re(scratch, group);
  char* im = this->im(scratch, group);
  for (ptrdiff_t z = 0; z < used; z++)
    set_.forward(rows_->stages, rows_->count, re + z * slab, im + z * slab);
  if (depth_) along_depth(set_.forward, buffer, re, im, used, layout_.depth);
}

void TileTransform::inverse_group(char* scratch, char* buffer, ptrdiff_t group,
                                  ptrdiff_t used) const {
  const ptrdiff_t slab = layout_.rows * layout_.vector;
  char* re = this->re(scratch, group);
  char* im = this->im(scratch, group);
  if (depth_) along_depth(set_.inverse, buffer, re, im, layout_.depth, used);
  for (ptrdiff_t z = 0; z < used; z++)
    set_.inverse(rows_->stages, rows_->count, re + z * slab, im + z * slab);
}

template <class Function>
void TileTransform::along_depth(Function transform, char* buffer, char* re, char* im,
                                ptrdiff_t from, ptrdiff_t to) const {
  char* buffer_im = buffer + layout_.buffer_plane;
  const ptrdiff_t vector = layout_.vector, slab = layout_.rows * vector;
  for (ptrdiff_t y = 0; y < layout_.rows; y++, re += vector, im += vector) {
    set_.copy_vectors(re, slab, buffer, vector, from);
    set_.copy_vectors(im, slab, buffer_im, vector, from);
    memset(buffer + from * vector, 0, size_t((layout_.depth - from) * vector));
    memset(buffer_im + from * vector, 0, size_t((layout_.depth - from) * vector));
    transform(depth_->stages, depth_->count, buffer, buffer_im);
    set_.copy_vectors(buffer, vector, re, slab, to);
    set_.copy_vectors(buffer_im, vector, im, slab, to);
  }
}

void TileTransform::forward_rows(char* scratch, char* buffer, ptrdiff_t row,
                                 ptrdiff_t groups) const {
  char* im = buffer + layout_.buffer_plane;
  const ptrdiff_t block = set_.lanes * layout_.vector;
  const ptrdiff_t at = row * layout_.vector;
  set_.transpose_blocks(scratch + at, 2 * layout_.plane, buffer, block, groups);
  set_.transpose_blocks(scratch + layout_.plane + at, 2 * layout_.plane, im, block, groups);
  memset(buffer + groups * block, 0, size_t((layout_.groups - groups) * block));
  memset(im + groups * block, 0, size_t((layout_.groups - groups) * block));
  if (twiddles_) set_.multiply_points(twiddles_ + at_row(row), layout_.columns, buffer, im);
  set_.forward(columns_->stages, columns_->count, buffer, im);
}

void TileTransform::convolve_rows(char* scratch, char* buffer, const void* spectrum, ptrdiff_t row,
                                  ptrdiff_t in_groups, ptrdiff_t out_groups) const {
  char* im = buffer + layout_.buffer_plane;
  const ptrdiff_t block = set_.lanes * layout_.vector;
  const ptrdiff_t at = row * layout_.vector;
  forward_rows(scratch, buffer, row, in_groups);
  set_.multiply_points(static_cast<const char*>(spectrum) + at_row(row), layout_.columns, buffer,
                       im);
  set_.inverse(columns_->stages, columns_->count, buffer, im);
  if (twiddles_) set_.multiply_conjugates(twiddles_ + at_row(row), layout_.columns, buffer, im);
  set_.transpose_blocks(buffer, block, scratch + at, 2 * layout_.plane, out_groups);
  set_.transpose_blocks(im, block, scratch + layout_.plane + at, 2 * layout_.plane, out_groups);
}

void TileTransform::take_spectrum(char* scratch, double scale, void* spectrum) const {
  char* buffer = scratch + layout_.buffer;
  for (ptrdiff_t g = 0; g < layout_.groups; g++) forward_group(scratch, buffer, g, layout_.depth);
  for (ptrdiff_t row = 0; row < layout_.depth * layout_.rows; row += set_.lanes) {
    forward_rows(scratch, buffer, row, layout_.groups);
    char* to = static_cast<char*>(spectrum) + at_row(row);
    for (int part = 0; part < 2; part++) {
      const char* plane = buffer + part * layout_.buffer_plane;
      if (set_.scalar_bytes == 4)
        put_scaled<float>(plane, set_.lanes, layout_.columns, scale, to + part * layout_.vector);
      else
        put_scaled<double>(plane, set_.lanes, layout_.columns, scale, to + part * layout_.vector);
    }
  }
}

}  // namespace fastconv
