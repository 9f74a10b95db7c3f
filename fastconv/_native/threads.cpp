#include "threads.hpp"

#include <atomic>

#ifdef _OPENMP
#include <omp.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#define FASTCONV_CAN_FORK 1
#endif

namespace fastconv {
namespace {

std::atomic<bool> region_running{false};
std::atomic<bool> forked_child{false};

#ifdef FASTCONV_CAN_FORK
[[maybe_unused]] const int fork_handler_registered =
    pthread_atfork(nullptr, nullptr, [] { forked_child = true; });
#endif

// Chunks small enough to even out a slow core, large enough that neighbours share a cache.
constexpr ptrdiff_t chunks_per_thread = 8;

}  // namespace

void parallel_for(ptrdiff_t items, int threads, RangeFunction body, void* context) {
  if (items <= 0) return;
#ifdef _OPENMP
  if (threads > items) threads = static_cast<int>(items);
  if (threads > 1 && !forked_child && !region_running.exchange(true)) {
    const ptrdiff_t target = threads * chunks_per_thread;
    const ptrdiff_t chunk = items > target ? items / target : 1;
    const ptrdiff_t chunk_count = (items + chunk - 1) / chunk;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
    for (ptrdiff_t c = 0; c < chunk_count; c++) {
      const ptrdiff_t first = c * chunk;
      body(context, first, first + chunk < items ? first + chunk : items, omp_get_thread_num());
    }
    region_running = false;
    return;
  }
#endif
  (void)threads;
  body(context, 0, items, 0);
}

bool openmp_enabled() {
#ifdef _OPENMP
  return true;
#else
  return false;
#endif
}

}  // namespace fastconv
