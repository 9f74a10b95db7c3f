// Register-tiled direct correlation: R rows × V vectors of accumulators, G taps at a time.
//
// Direct convolution is bound by loads: a vector load that straddles a cache line costs a whole
// cycle, as much as an FMA. So each input vector is loaded once and feeds the FMAs of every
// (row, tap) pair that needs it: R + G - 1 loads serve R * G FMAs, for each of V vectors.
// The same code serves images (the rows are image rows) and signals (the rows lie one vector
// apart on one line, so that taps s, s + lanes, s + 2 * lanes … share their loads).
//
// Accumulators are summed tap after tap in the order of the groups, for every output alike, so
// that a result does not depend on where its tile began or which thread computed it.
#pragma once
#include "job.hpp"
#include "vector.hpp"

namespace fastconv {
inline namespace FASTCONV_LEVEL {
namespace {

// --- element types: how a tap is applied --------------------------------------------------------

template <class S>
struct Number {
  typedef S Scalar;
  static constexpr int parts = 1;
  typedef Vector<S> Lanes;
  typedef typename Lanes::type Vec;
  static FASTCONV_INLINE Vec tap(S weight) { return Lanes::broadcast(weight); }
  // With -ffp-contract=fast this is one FMA where the level has it. Integers wrap: S is unsigned.
  static FASTCONV_INLINE void apply_tap(Vec& sum, Vec tap, Vec data) { sum += tap * data; }
  static FASTCONV_INLINE Vec result(Vec sum) { return sum; }
};

// Booleans, one byte each: convolution over (or, and), as NumPy's. Any byte but 0 is true, so a tap
// is a mask, and a sum is made 0 or 1 at the end.
struct Boolean {
  typedef unsigned char Scalar;
  static constexpr int parts = 1;
  typedef Vector<Scalar> Lanes;
  typedef Lanes::type Vec;
  static FASTCONV_INLINE Vec tap(Scalar weight) {
    return Lanes::broadcast(weight ? Scalar(0xff) : Scalar(0));
  }
  static FASTCONV_INLINE void apply_tap(Vec& sum, Vec tap, Vec data) { sum |= tap & data; }
  static FASTCONV_INLINE Vec result(Vec sum) { return (Vec)(sum != 0) & 1; }
};

// Complex numbers, interleaved. The products with the tap's real part and those with its imaginary
// part are summed apart, each an ordinary real correlation, and joined at the end.
template <class S>
struct Complex : Number<S> {
  static constexpr int parts = 2;
};

// --- one group ----------------------------------------------------------------------------------

template <class Element, int R, int V>
struct Tile {
  typedef typename Element::Scalar Scalar;
  typedef typename Element::Lanes Lanes;
  typedef typename Element::Vec Vec;
  static constexpr int P = Element::parts;
  static constexpr ptrdiff_t vector_bytes = Lanes::lanes * ptrdiff_t(sizeof(Scalar));

  Vec sum[P][R][V];

  template <int G>
  FASTCONV_INLINE void accumulate(const char* x, ptrdiff_t pitch, ptrdiff_t step,
                                  const Scalar* weights, ptrdiff_t columns) {
    for (ptrdiff_t k = 0; k < columns; k++, x += step, weights += G * P) {
      Vec tap[P][G];
#pragma GCC unroll 16
      for (int g = 0; g < G; g++)
#pragma GCC unroll 2
        for (int p = 0; p < P; p++) tap[p][g] = Element::tap(weights[g * P + p]);
#pragma GCC unroll 32
      for (int i = 0; i < R + G - 1; i++)
#pragma GCC unroll 8
        for (int v = 0; v < V; v++) {
          Vec data = Lanes::load(x + i * pitch + v * vector_bytes);
          if (G * P > 1) Lanes::keep_in_register(data);
#pragma GCC unroll 16
          for (int g = 0; g < G; g++)
            if (i - g >= 0 && i - g < R)
#pragma GCC unroll 2
              for (int p = 0; p < P; p++) Element::apply_tap(sum[p][i - g][v], tap[p][g], data);
        }
    }
  }

  FASTCONV_INLINE void clear() {
#pragma GCC unroll 2
    for (int p = 0; p < P; p++)
#pragma GCC unroll 16
      for (int r = 0; r < R; r++)
#pragma GCC unroll 8
        for (int v = 0; v < V; v++) sum[p][r][v] = Lanes::zero();
  }

  FASTCONV_INLINE void store(char* out, ptrdiff_t pitch) const {
#pragma GCC unroll 16
    for (int r = 0; r < R; r++)
#pragma GCC unroll 8
      for (int v = 0; v < V; v++) store_vector(out + r * pitch + v * vector_bytes, r, v);
  }

  FASTCONV_INLINE void store_vector(char* out, int r, int v) const {
    if constexpr (P == 1) {
      Lanes::store(out, Element::result(sum[0][r][v]));
    } else {
      // (re, im) · wr summed in a, (re, im) · wi in b: the result is (a.re - b.im, a.im + b.re).
      constexpr int complex_lanes = Lanes::lanes > 1 ? Lanes::lanes : 2;
      Scalar a[complex_lanes], b[complex_lanes];
      Lanes::store(reinterpret_cast<char*>(a), sum[0][r][v]);
      Lanes::store(reinterpret_cast<char*>(b), sum[1][r][v]);
      Scalar joined[complex_lanes];
      for (int i = 0; i < complex_lanes; i += 2) {
        joined[i] = a[i] - b[i + 1];
        joined[i + 1] = a[i + 1] + b[i];
      }
      Lanes::store(out, Lanes::load(reinterpret_cast<const char*>(joined)));
    }
  }
};

template <class Element, int R, int V, int MAX_G>
void correlate_tile(const Group* groups, ptrdiff_t group_count, Layout layout, const char* x,
                    ptrdiff_t x_pitch, ptrdiff_t step, char* out, ptrdiff_t out_pitch) {
  typedef typename Element::Scalar Scalar;
  Tile<Element, R, V> tile;
  tile.clear();
  for (const Group* group = groups; group != groups + group_count; group++) {
    const char* data = x + group->offset[layout];
    const Scalar* weights = static_cast<const Scalar*>(group->weights);
    // One unrolled loop a group size: the accumulators stay in registers across the switch.
    switch (group->rows) {
#define FASTCONV_GROUP(G)                                                        \
  case G:                                                                        \
    if constexpr (G <= MAX_G)                                                    \
      tile.template accumulate<G>(data, x_pitch, step, weights, group->columns); \
    break;
      FASTCONV_GROUP(1)
      FASTCONV_GROUP(2)
      FASTCONV_GROUP(3)
      FASTCONV_GROUP(4)
      FASTCONV_GROUP(5)
      FASTCONV_GROUP(6)
      FASTCONV_GROUP(7)
#undef FASTCONV_GROUP
    }
  }
  tile.store(out, out_pitch);
}

// --- the shapes of a level ----------------------------------------------------------------------

// Shapes fill the register file: parts * R * V accumulators, parts * G taps, one datum.
template <class Element, int... RowsVectors>
struct Shapes;

template <class Element, int G, int R, int V>
constexpr TileShape shape() {
  return {R, V, correlate_tile<Element, R, V, G>};
}

constexpr int registers = FASTCONV_VECTOR_REGISTERS;

template <class Element>
constexpr TileSet tile_set() {
  typedef typename Element::Scalar Scalar;
  constexpr int bytes = Element::Lanes::lanes * int(sizeof(Scalar));
  constexpr bool many = registers == 32;
  constexpr int V = many ? 2 : 1;
  if constexpr (sizeof(Scalar) > 8) {
    // long double: x87 arithmetic, one element at a time; complex needs re and im in one vector,
    // which one lane cannot hold, so NumPy's reference serves it.
    if constexpr (Element::parts == 2) return {int(sizeof(Scalar)), 2, 0, 0, {}, {}};
    constexpr int G = 1;
    return {int(sizeof(Scalar)),
            1,
            bytes,
            G,
            {shape<Element, G, 4, 1>(), shape<Element, G, 2, 1>(), shape<Element, G, 1, 1>()},
            {shape<Element, G, 4, 1>(), shape<Element, G, 1, 1>()}};
  } else if constexpr (Element::parts == 2) {
    constexpr int G = many ? 5 : 3;
    return {int(sizeof(Scalar)),
            2,
            bytes,
            G,
            {shape<Element, G, 4, V>(), shape<Element, G, 2, V>(), shape<Element, G, 1, V>()},
            {shape<Element, G, many ? 6 : 4, 1>(), shape<Element, G, 2, 1>(),
             shape<Element, G, 1, 1>()}};
  } else {
    constexpr int G = many || FASTCONV_VECTOR_BYTES == 32 ? 7 : 5;
    return {int(sizeof(Scalar)),
            1,
            bytes,
            G,
            {shape<Element, G, 8, V>(), shape<Element, G, 4, V>(), shape<Element, G, 2, V>(),
             shape<Element, G, 1, V>()},
            {shape<Element, G, many ? 12 : 15 - G, 1>(), shape<Element, G, 4, 1>(),
             shape<Element, G, 1, 1>()}};
  }
}

}  // namespace
}  // namespace FASTCONV_LEVEL
}  // namespace fastconv
