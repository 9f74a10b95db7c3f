// Which ISA levels were built, which this CPU can run, and which one is used.
#pragma once
#include "job.hpp"

namespace fastconv {

enum { MAX_LEVELS = 4 };

struct Levels {
  int count;
  const Level* level[MAX_LEVELS];  // slowest first
  bool usable[MAX_LEVELS];
  const Level* used;
};

// Looks at CPU features once, by flags alone (virtual machines report nonsense families). The
// level is capped by the environment variable FASTCONV_MAX_ISA where it names one.
const Levels& levels();

inline bool is_complex(ElementType type) { return type == COMPLEX64 || type == COMPLEX128; }
inline bool is_single(ElementType type) { return type == FLOAT32 || type == COMPLEX64; }

// The tile kernels of a type at the level in use; null where it has none.
const TileSet* tile_set_of(ElementType type);

// Of the level in use, for FLOAT32 or FLOAT64: its sums of products, and conversions by stored
// type.
const ProductSet& product_set_of(ElementType type);
const Conversion* conversions_of(ElementType type);

// Bytes of an element that is stored.
ptrdiff_t bytes_of(StorageType type);

}  // namespace fastconv
