// Aligned memory, and such as is kept between calls: fresh pages would cost a fault each.
#pragma once
#include <stddef.h>

namespace fastconv {

// Memory that starts at a cache line; null where there is none.
void* allocate_lines(size_t bytes);
void free_lines(void* memory);

// For the length of one call, kept for the next. Aligned to a cache line, holding anything; null
// where there is no memory.
char* take_scratch(ptrdiff_t bytes);
void give_scratch_back(char* scratch);

}  // namespace fastconv
