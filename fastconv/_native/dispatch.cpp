#include "dispatch.hpp"

#include <stdlib.h>
#include <string.h>

namespace fastconv {

#if defined(__aarch64__)
extern const Level level_neon;
#else
extern const Level level_baseline;
#endif
#if defined(__x86_64__)
extern const Level level_avx2;
extern const Level level_avx512;
#endif

namespace {

Levels detect() {
  Levels found{};
  const auto add = [&](const Level& level, bool usable) {
    found.level[found.count] = &level;
    found.usable[found.count] = usable;
    found.count++;
  };
#if defined(__aarch64__)
  add(level_neon, true);
#else
  add(level_baseline, true);
#endif
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  add(level_avx2, avx2);
  add(level_avx512, avx2 && __builtin_cpu_supports("avx512f") &&
                        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512vl"));
#endif
  int limit = found.count - 1;
  if (const char* wanted = getenv("FASTCONV_MAX_ISA"))
    for (int i = 0; i < found.count; i++)
      if (!strcmp(wanted, found.level[i]->name)) limit = i;
  while (!found.usable[limit]) limit--;
  found.used = found.level[limit];
  return found;
}

}  // namespace

const Levels& levels() {
  static const Levels found = detect();
  return found;
}

const TileSet* tile_set_of(ElementType type) {
  const TileSet& set = levels().used->tiles[type];
  return set.vector_bytes ? &set : nullptr;
}

const ProductSet& product_set_of(ElementType type) {
  const Level& level = *levels().used;
  return type == FLOAT32 ? level.products_f32 : level.products_f64;
}

const Conversion* conversions_of(ElementType type) {
  const Level& level = *levels().used;
  return type == FLOAT32 ? level.convert_f32 : level.convert_f64;
}

ptrdiff_t bytes_of(StorageType type) {
  constexpr ptrdiff_t bytes[STORAGE_TYPES] = {1, 1, 1, 2, 2, 4, 4, 8, 8, 4, 8};
  return bytes[type];
}

}  // namespace fastconv
