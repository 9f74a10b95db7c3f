// Memory for the length of one call, kept for the next: fresh pages would cost a fault each.
#pragma once
#include <stddef.h>

namespace fastconv {

// Aligned to a cache line, holding anything; null where there is no memory.
char* take_scratch(ptrdiff_t bytes);
void give_scratch_back(char* scratch);

}  // namespace fastconv
