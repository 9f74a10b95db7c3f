#include "stages.hpp"

#include <math.h>

#include <atomic>
#include <new>

#include "dispatch.hpp"
#include "scratch.hpp"
#include "sizes.hpp"

namespace fastconv {
namespace {

constexpr double pi = 3.14159265358979323846;
enum { MAX_LOG2 = 40 };

template <class Scalar>
char* fill_twiddles(const LaneStage& s, char* at) {
  Scalar* twiddle = reinterpret_cast<Scalar*>(at);
  for (ptrdiff_t j = 0; j < s.points / s.radix; j++)
    for (int k = 1; k < s.radix; k++) {
      const Root root = root_of_unity(j * k, s.points);
      *twiddle++ = Scalar(root.re);
      *twiddle++ = Scalar(root.im);
    }
  return reinterpret_cast<char*>(twiddle);
}

// Null where there is no memory.
Stages* make_stages(ptrdiff_t points, int scalar_bytes) {
  Stages* made = new (std::nothrow) Stages;
  if (!made) return nullptr;
  // Points of a stage lie a power of two apart: while that is a page or more, radix 8 would need
  // more ways of L1 than there are. So radix 4 first, and radix 8 for what is left.
  const int log2 = log2_of(points);
  int fours = log2 == 4 ? 2 : log2 % 2 == 0 ? (log2 - 6) / 2 : (log2 - 3) / 2;
  ptrdiff_t scalars = 0, n = points;
  for (; n > 1; n /= made->stages[made->count].radix, made->count++) {
    LaneStage& stage = made->stages[made->count];
    stage.radix = fours-- > 0 ? 4 : 8;
    stage.points = n;
    scalars += 2 * (n / stage.radix) * (stage.radix - 1);
  }
  const size_t bytes = size_t(scalars * scalar_bytes);
  // Never freed: they serve until the process ends.
  char* at = static_cast<char*>(allocate_lines(bytes));
  if (!at) {
    delete made;
    return nullptr;
  }
  for (int s = 0; s < made->count; s++) {
    made->stages[s].twiddles = at;
    at = scalar_bytes == 4 ? fill_twiddles<float>(made->stages[s], at)
                           : fill_twiddles<double>(made->stages[s], at);
  }
  return made;
}

}  // namespace

Root root_of_unity(ptrdiff_t j, ptrdiff_t n) {
  j &= n - 1;
  const ptrdiff_t quarter = n / 4, turn = j / quarter, rest = j % quarter;
  const bool beyond = 2 * rest > quarter;
  const double angle = 2 * pi * double(beyond ? quarter - rest : rest) / double(n);
  const double c = beyond ? sin(angle) : cos(angle), s = beyond ? cos(angle) : sin(angle);
  switch (turn) {
    case 0:
      return {c, -s};
    case 1:
      return {-s, -c};
    case 2:
      return {-c, s};
    default:
      return {s, c};
  }
}

ptrdiff_t frequency_at(const Stages& stages, ptrdiff_t position) {
  ptrdiff_t frequency = 0, factor = 1;
  for (int s = 0; s < stages.count; s++) {
    const ptrdiff_t part = stages.stages[s].points / stages.stages[s].radix;
    frequency += position / part * factor;
    position %= part;
    factor *= stages.stages[s].radix;
  }
  return frequency;
}

const LaneSet& lane_set_of(ElementType type) {
  const Level& level = *levels().used;
  return type == FLOAT32 || type == COMPLEX64 ? level.lanes_f32 : level.lanes_f64;
}

const Stages* stages_for(ptrdiff_t points, int scalar_bytes) {
  static std::atomic<const Stages*> made[2][MAX_LOG2 + 1];
  std::atomic<const Stages*>& kept = made[scalar_bytes == 4 ? 0 : 1][log2_of(points)];
  if (const Stages* found = kept.load(std::memory_order_acquire)) return found;
  Stages* fresh = make_stages(points, scalar_bytes);
  if (!fresh) return nullptr;
  const Stages* first = nullptr;
  if (kept.compare_exchange_strong(first, fresh, std::memory_order_acq_rel)) return fresh;
  free_lines(const_cast<void*>(fresh->stages[0].twiddles));  // another thread was faster
  delete fresh;
  return first;
}

}  // namespace fastconv
