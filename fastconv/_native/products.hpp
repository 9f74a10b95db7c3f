// Register tiles of sums of products: c[r][v] = Σ_k a[r][k] · b[k][v], for R rows × V vectors.
//
// The sums of layers over channels and taps. One factor is read a scalar at a time for each row and
// one a vector at a time: V + R loads serve R * V FMAs. Where each step k reads them is told by a
// table, so that one kernel serves weights in any order and windows in place: padding, stride and
// dilation are offsets.
#pragma once
#include "job.hpp"
#include "vector.hpp"

namespace fastconv {
inline namespace FASTCONV_LEVEL {
namespace {

// Rows of `a` lie a_pitch apart and vectors of `b` b_pitch; rows of c lie c_pitch apart and its
// vectors c_vector. All in bytes. Rows begin at the scalars of `start`,
// or at zero where it is null; where `add`, the sums are added to c.
template <class Scalar, int R, int V>
void sum_products(const ProductStep* steps, ptrdiff_t count, const char* a, ptrdiff_t a_pitch,
                  const char* b, ptrdiff_t b_pitch, char* c, ptrdiff_t c_pitch, ptrdiff_t c_vector,
                  const char* start, bool add) {
  typedef Vector<Scalar> Lanes;
  typedef typename Lanes::type Vec;
  Vec sum[R][V];
#pragma GCC unroll 16
  for (int r = 0; r < R; r++) {
    const Vec first =
        start ? Lanes::broadcast(reinterpret_cast<const Scalar*>(start)[r]) : Lanes::zero();
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) sum[r][v] = first;
  }
  for (const ProductStep* step = steps; step != steps + count; step++) {
    const char* row = a + step->a;
    const char* vector = b + step->b;
    Vec data[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) {
      data[v] = Lanes::load(vector + v * b_pitch);
      Lanes::keep_in_register(data[v]);
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; r++) {
      const Vec weight = Lanes::broadcast(*reinterpret_cast<const Scalar*>(row + r * a_pitch));
#pragma GCC unroll 4
      for (int v = 0; v < V; v++) sum[r][v] += weight * data[v];
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; r++)
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) {
      char* at = c + r * c_pitch + v * c_vector;
      Lanes::store(at, add ? sum[r][v] + Lanes::load(at) : sum[r][v]);
    }
}

// Data of one step for outputs end to end: copies `rows` rows of `row_bytes` to panels of two
// vectors each, panel_pitch apart. Writes up to a vector past what it copies: what is copied next
// overwrites it. Reads as far past each row.
inline void pack_products(const char* x, ptrdiff_t row_pitch, ptrdiff_t rows, ptrdiff_t row_bytes,
                          char* panel, ptrdiff_t panel_pitch) {
  typedef Vector<float> Lanes;
  constexpr ptrdiff_t vector_bytes = FASTCONV_VECTOR_BYTES;
  ptrdiff_t at = 0;  // bytes into the panel
  for (ptrdiff_t row = 0; row < rows; row++, x += row_pitch)
    for (ptrdiff_t done = 0; done < row_bytes;) {
      const ptrdiff_t room = 2 * vector_bytes - at, left = row_bytes - done;
      const ptrdiff_t count = left < room ? left : room;
      Lanes::store(panel + at, Lanes::load(x + done));
      if (count > vector_bytes)
        Lanes::store(panel + at + vector_bytes, Lanes::load(x + done + vector_bytes));
      done += count;
      at += count;
      if (at == 2 * vector_bytes) {
        at = 0;
        panel += panel_pitch;
      }
    }
}

// --- the shapes of a level ----------------------------------------------------------------------

// Vectors beside R rows: R * V sums, V vectors of data and one weight fill the registers.
constexpr int product_vectors(int rows) {
  const int fit = (FASTCONV_VECTOR_REGISTERS - 1) / (rows + 1);
  return fit < int(MAX_PRODUCT_VECTORS) ? fit : int(MAX_PRODUCT_VECTORS);
}

constexpr int product_rows() {
  int rows = MAX_PRODUCT_ROWS;
  while (product_vectors(rows) < 2) rows--;
  return rows;
}

template <class Scalar, int R, int V>
constexpr ProductFunction product_function() {
  if constexpr (R <= product_rows() && V <= product_vectors(R))
    return sum_products<Scalar, R, V>;
  else
    return nullptr;
}

template <class Scalar, int R = 1>
constexpr void fill_products(ProductSet& set) {
  set.vectors[R] = R <= product_rows() ? product_vectors(R) : 0;
  set.function[R - 1][0] = product_function<Scalar, R, 1>();
  set.function[R - 1][1] = product_function<Scalar, R, 2>();
  set.function[R - 1][2] = product_function<Scalar, R, 3>();
  set.function[R - 1][3] = product_function<Scalar, R, 4>();
  if constexpr (R < int(MAX_PRODUCT_ROWS)) fill_products<Scalar, R + 1>(set);
}

template <class Scalar>
constexpr ProductSet product_set() {
  ProductSet set{};
  set.scalar_bytes = int(sizeof(Scalar));
  set.vector_bytes = FASTCONV_VECTOR_BYTES;
  set.rows = product_rows();
  set.pack = pack_products;
  fill_products<Scalar>(set);
  return set;
}

}  // namespace
}  // namespace FASTCONV_LEVEL
}  // namespace fastconv
