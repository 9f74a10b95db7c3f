// Winograd's minimal filtering F(2 × 2, 3 × 3): 16 products for four outputs of a 3 × 3 kernel,
// where the sum itself takes 36. A tile of 4 × 4 data becomes 16 sums of them, the kernel 16 of its
// taps, and four outputs are sums of their products, which are added over channels first.
//
// A. Lavin, S. Gray, Fast Algorithms for Convolutional Neural Networks, arXiv:1509.09308. The
// matrices hold 0, ±1 and ±1/2 alone: results err no more than those of the sum itself.
#pragma once
#include "job.hpp"
#include "lanefft.hpp"
#include "vector.hpp"

namespace fastconv {
inline namespace FASTCONV_LEVEL {
namespace {

template <class Scalar>
struct Winograd {
  typedef Vector<Scalar> Lanes;
  typedef typename Lanes::type Vec;
  static constexpr ptrdiff_t vector_bytes = FASTCONV_VECTOR_BYTES;

  // Taps of some kernels side by side: taps[3·row + column] and spectrum[4·row + column] are lines
  // of `count` scalars. Reads and writes up to a vector past them.
  static void weights(const char* const* taps, ptrdiff_t count, char* const* transformed) {
    for (ptrdiff_t i = 0; i < count * ptrdiff_t(sizeof(Scalar)); i += vector_bytes) {
      Vec rows[4][3];
#pragma GCC unroll 3
      for (int c = 0; c < 3; c++) {
        const Vec column[3] = {Lanes::load(taps[c] + i), Lanes::load(taps[3 + c] + i),
                               Lanes::load(taps[6 + c] + i)};
        spread(column[0], column[1], column[2], rows[0][c], rows[1][c], rows[2][c], rows[3][c]);
      }
#pragma GCC unroll 4
      for (int r = 0; r < 4; r++) {
        Vec v[4];
        spread(rows[r][0], rows[r][1], rows[r][2], v[0], v[1], v[2], v[3]);
#pragma GCC unroll 4
        for (int c = 0; c < 4; c++) Lanes::store(transformed[4 * r + c] + i, v[c]);
      }
    }
  }

  // Neighbouring tiles: datum (row, column) of the first one lies at places[4·row + column] bytes,
  // and the next tile's beside it. Lines of the transformed lie `pitch` apart. Reads and writes up
  // to a vector past the last tile.
  static void data(const char* x, const ptrdiff_t* places, ptrdiff_t tiles, char* transformed,
                   ptrdiff_t pitch) {
    for (ptrdiff_t i = 0; i < tiles * ptrdiff_t(sizeof(Scalar)); i += vector_bytes) {
      Vec rows[4][4];
#pragma GCC unroll 4
      for (int c = 0; c < 4; c++) {
        Vec d[4];
#pragma GCC unroll 4
        for (int r = 0; r < 4; r++) d[r] = Lanes::load(x + places[4 * r + c] + i);
        rows[0][c] = d[0] - d[2];
        rows[1][c] = d[1] + d[2];
        rows[2][c] = d[2] - d[1];
        rows[3][c] = d[1] - d[3];
      }
#pragma GCC unroll 4
      for (int r = 0; r < 4; r++) {
        const Vec* d = rows[r];
        char* to = transformed + 4 * r * pitch + i;
        Lanes::store(to, d[0] - d[2]);
        Lanes::store(to + pitch, d[1] + d[2]);
        Lanes::store(to + 2 * pitch, d[2] - d[1]);
        Lanes::store(to + 3 * pitch, d[1] - d[3]);
      }
    }
  }

  // The two rows of outputs of neighbouring tiles, whose products lie in lines `pitch` apart.
  // Returns whether all are finite; reads and writes up to two vectors past the last tile.
  static bool outputs(const char* products, ptrdiff_t pitch, ptrdiff_t tiles, char* first,
                      char* second) {
    Vec differences = Lanes::zero();
    for (ptrdiff_t i = 0; i < tiles * ptrdiff_t(sizeof(Scalar)); i += vector_bytes) {
      Vec rows[2][4];
#pragma GCC unroll 4
      for (int c = 0; c < 4; c++) {
        Vec m[4];
#pragma GCC unroll 4
        for (int r = 0; r < 4; r++) m[r] = Lanes::load(products + (4 * r + c) * pitch + i);
        rows[0][c] = m[0] + m[1] + m[2];
        rows[1][c] = m[1] - m[2] - m[3];
      }
#pragma GCC unroll 2
      for (int r = 0; r < 2; r++) {
        const Vec* m = rows[r];
        const Vec even = m[0] + m[1] + m[2], odd = m[1] - m[2] - m[3];
        char* to = (r ? second : first) + 2 * i;
        Lanes::store(to, LaneTransform<Scalar>::template interleave<0>(even, odd, AllLanes()));
        Lanes::store(to + vector_bytes,
                     LaneTransform<Scalar>::template interleave<int(Lanes::lanes) / 2>(even, odd,
                                                                                       AllLanes()));
        // Zero for finite numbers, NaN for others; lanes past the last tile may hold anything.
        if (i + vector_bytes <= tiles * ptrdiff_t(sizeof(Scalar)))
          differences += (even - even) + (odd - odd);
        else
          for (ptrdiff_t l = 0; l < tiles % Lanes::lanes; l++)
            differences[0] += (even[l] - even[l]) + (odd[l] - odd[l]);
      }
    }
    bool finite = true;
    for (int l = 0; l < int(Lanes::lanes); l++) finite = finite && differences[l] == 0;
    return finite;
  }

 private:
  typedef typename LaneTransform<Scalar>::AllLanes AllLanes;

  // The products of (g0, g1, g2) with the matrix of kernels.
  static FASTCONV_INLINE void spread(Vec g0, Vec g1, Vec g2, Vec& a, Vec& b, Vec& c, Vec& d) {
    const Vec half = Lanes::broadcast(Scalar(0.5));
    const Vec outer = g0 + g2;
    a = g0;
    b = (outer + g1) * half;
    c = (outer - g1) * half;
    d = g2;
  }
};

template <class Scalar>
constexpr WinogradSet winograd_set() {
  return {Winograd<Scalar>::weights, Winograd<Scalar>::data, Winograd<Scalar>::outputs};
}

}  // namespace
}  // namespace FASTCONV_LEVEL
}  // namespace fastconv
