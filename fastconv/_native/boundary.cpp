#include "boundary.hpp"

#include <stdint.h>
#include <string.h>

#include "sizes.hpp"

namespace fastconv {

namespace {

// How an extended line goes on from an index beyond its edges: elements from `source` on, each
// `step` from the one before, until it turns.
struct Run {
  ptrdiff_t source, step, count;
};

Run run_at(ptrdiff_t i, ptrdiff_t n, Boundary boundary) {
  const auto modulo = [i](ptrdiff_t period) {
    const ptrdiff_t r = i % period;
    return r < 0 ? r + period : r;
  };
  ptrdiff_t m;
  switch (boundary) {
    case Boundary::reflect:
      m = modulo(2 * n);
      return m < n ? Run{m, 1, n - m} : Run{2 * n - 1 - m, -1, 2 * n - m};
    case Boundary::mirror:
      if (n == 1) return {0, 0, PTRDIFF_MAX};
      m = modulo(2 * n - 2);
      return m < n - 1 ? Run{m, 1, n - 1 - m} : Run{2 * n - 2 - m, -1, 2 * n - 2 - m};
    case Boundary::nearest:
      return i < 0 ? Run{0, 0, -i} : Run{n - 1, 0, PTRDIFF_MAX};
    case Boundary::wrap:
      m = modulo(n);
      return {m, 1, n - m};
    default:
      return {-1, 0, PTRDIFF_MAX};
  }
}

}  // namespace

ptrdiff_t map_index(ptrdiff_t i, ptrdiff_t n, Boundary boundary) {
  return i >= 0 && i < n ? i : run_at(i, n, boundary).source;
}

namespace {

// memcpy of a few bytes whose count is known: the compiler makes it one move.
template <size_t Bytes>
void copy_strided(const char* x, ptrdiff_t stride, char* out, ptrdiff_t count) {
  for (ptrdiff_t i = 0; i < count; i++) memcpy(out + i * ptrdiff_t(Bytes), x + i * stride, Bytes);
}

void copy_units(const char* x, ptrdiff_t stride, char* out, ptrdiff_t count, const Unit& u) {
  if (count <= 0) return;
  if (u.convert) {
    const ptrdiff_t element = u.x_bytes / u.elements;
    if (u.elements == 1 || stride == u.x_bytes) {
      u.convert->load(x, u.elements == 1 ? stride : element, out, count * u.elements);
      return;
    }
    for (ptrdiff_t i = 0; i < count; i++)
      u.convert->load(x + i * stride, element, out + i * u.out_bytes, u.elements);
    return;
  }
  const ptrdiff_t unit = u.out_bytes;
  if (stride == unit) {
    memcpy(out, x, size_t(count * unit));
    return;
  }
  switch (unit) {
    case 1:
      return copy_strided<1>(x, stride, out, count);
    case 2:
      return copy_strided<2>(x, stride, out, count);
    case 4:
      return copy_strided<4>(x, stride, out, count);
    case 8:
      return copy_strided<8>(x, stride, out, count);
    case 16:
      return copy_strided<16>(x, stride, out, count);
    default:
      for (ptrdiff_t i = 0; i < count; i++) memcpy(out + i * unit, x + i * stride, size_t(unit));
  }
}

void fill_units(char* out, ptrdiff_t count, ptrdiff_t unit, const char* fill) {
  if (count <= 0) return;
  if (!fill) {
    memset(out, 0, size_t(count * unit));
    return;
  }
  // What is filled is copied behind itself, twice as much each time.
  const ptrdiff_t total = count * unit;
  memcpy(out, fill, size_t(unit));
  for (ptrdiff_t filled = unit; filled < total; filled *= 2)
    memcpy(out + filled, out, size_t(min(filled, total - filled)));
}

void gather_line(const char* x, char* out, const GatherAxis& axis, const Unit& u, Boundary boundary,
                 const char* fill) {
  const ptrdiff_t unit = u.out_bytes;
  // Three runs: before the stored axis, inside it, after it.
  const ptrdiff_t stop = axis.start + axis.count;
  const ptrdiff_t inside_first = axis.start < 0 ? (stop < 0 ? stop : 0) : axis.start;
  const ptrdiff_t inside_stop =
      stop > axis.x_extent ? (axis.x_extent > inside_first ? axis.x_extent : inside_first) : stop;
  const auto outside = [&](ptrdiff_t first, ptrdiff_t last) {
    if (boundary == Boundary::zero || boundary == Boundary::constant) {
      fill_units(out + (first - axis.start) * unit, last - first, unit, fill);
      return;
    }
    for (ptrdiff_t i = first; i < last;) {
      const Run run = run_at(i, axis.x_extent, boundary);
      const ptrdiff_t count = min(run.count, last - i);
      copy_units(x + run.source * axis.x_stride, run.step * axis.x_stride,
                 out + (i - axis.start) * unit, count, u);
      i += count;
    }
  };
  outside(axis.start, inside_first);
  if (inside_stop > inside_first)
    copy_units(x + inside_first * axis.x_stride, axis.x_stride,
               out + (inside_first - axis.start) * unit, inside_stop - inside_first, u);
  outside(inside_stop, stop);
}

// A sub-block that lies wholly outside along some axis: every unit is the fill.
void fill_block(char* out, const GatherAxis* axes, int axis_count, ptrdiff_t unit,
                const char* fill) {
  if (axis_count == 1) {
    fill_units(out, axes[0].count, unit, fill);
    return;
  }
  for (ptrdiff_t i = 0; i < axes[0].count; i++)
    fill_block(out + i * axes[0].out_stride, axes + 1, axis_count - 1, unit, fill);
}

}  // namespace

void gather(const char* x, char* out, const GatherAxis* axes, int axis_count, const Unit& unit,
            Boundary boundary, const char* fill) {
  if (axis_count == 1) {
    gather_line(x, out, axes[0], unit, boundary, fill);
    return;
  }
  const GatherAxis& axis = axes[0];
  for (ptrdiff_t i = 0; i < axis.count; i++) {
    const ptrdiff_t source = map_index(axis.start + i, axis.x_extent, boundary);
    char* target = out + i * axis.out_stride;
    if (source < 0)
      fill_block(target, axes + 1, axis_count - 1, unit.out_bytes, fill);
    else
      gather(x + source * axis.x_stride, target, axes + 1, axis_count - 1, unit, boundary, fill);
  }
}

void gather(const char* x, char* out, const GatherAxis* axes, int axis_count, ptrdiff_t unit_bytes,
            Boundary boundary, const char* fill) {
  gather(x, out, axes, axis_count, Unit{unit_bytes, unit_bytes, nullptr, 1}, boundary, fill);
}

}  // namespace fastconv
