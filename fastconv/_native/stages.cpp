#include "stages.hpp"

#include <math.h>
#include <stdlib.h>

#include <atomic>
#include <new>

#include "dispatch.hpp"

namespace fastconv {
namespace {

constexpr size_t alignment = 64;
enum { MAX_LOG2 = 40 };

int log2_of(ptrdiff_t points) {
  int log2 = 0;
  while ((ptrdiff_t(1) << log2) < points) log2++;
  return log2;
}

template <class Scalar>
char* fill_twiddles(const LaneStage& s, char* at) {
  Scalar* twiddle = reinterpret_cast<Scalar*>(at);
  for (ptrdiff_t j = 0; j < s.points / s.radix; j++)
    for (int k = 1; k < s.radix; k++) {
      // The angle's integer part first: cos and sin are exact at the quarters then.
      const double angle = -2 * M_PI * double(j * k % s.points) / double(s.points);
      *twiddle++ = Scalar(cos(angle));
      *twiddle++ = Scalar(sin(angle));
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
  char* at =
      static_cast<char*>(aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment));
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
  free(const_cast<void*>(fresh->stages[0].twiddles));  // another thread was faster
  delete fresh;
  return first;
}

}  // namespace fastconv
