// Direct correlation of so little data that setting up the general driver would take longer.
#pragma once
#include "direct.hpp"

namespace fastconv {

// Whether no tap that is not finite meets the zeros beyond an edge: their product would not be
// zero.
bool finite_beyond_edges(const Correlation& correlation);

// Correlates on the calling thread, taps that are finite beyond the edges. Contiguous lines and
// images whose window fits a buffer are gathered into it once, edges and all, and need no other
// set-up; what does not fit goes through the general driver, whose bits all results are. Returns
// false where there is no kernel for the type or no memory; `out` holds anything then.
bool correlate_small(const Correlation& correlation);

}  // namespace fastconv
