// The one place where threads are made.
#pragma once
#include <stddef.h>

namespace fastconv {

// Work on items [first, last) by the thread of this index; must not throw.
using RangeFunction = void (*)(void* context, ptrdiff_t first, ptrdiff_t last, int thread);

// Calls `body` over [0, items) on the caller and up to `threads` - 1 workers of one pool, in chunks
// handed out as they are finished. Thread indices lie below `threads`.
//
// The caller never waits for a worker that has not started: where the other cores are busy it does
// all the work itself. OpenMP's barrier waits for every thread of its team: next to another
// spinning OpenMP pool (torch's, say) a region of 0.1 ms took 8 to 20 ms.
//
// Runs on the caller alone in a forked child (the workers do not survive a fork) and while another
// caller's region runs.
void parallel_for(ptrdiff_t items, int threads, RangeFunction body, void* context);

}  // namespace fastconv
