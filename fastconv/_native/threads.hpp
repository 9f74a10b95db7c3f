// The one place where threads are made.
#pragma once
#include <stddef.h>

namespace fastconv {

// Work on items [first, last) by the thread of this index; must not throw.
using RangeFunction = void (*)(void* context, ptrdiff_t first, ptrdiff_t last, int thread);

// Calls `body` over [0, items) on at most `threads` threads, in chunks handed out as they are
// finished. Runs on the caller alone in a forked child (OpenMP's pool does not survive a fork) and
// while another caller's region runs (each caller would bring a pool of its own).
void parallel_for(ptrdiff_t items, int threads, RangeFunction body, void* context);

bool openmp_enabled();

}  // namespace fastconv
