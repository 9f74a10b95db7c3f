// Many transforms side by side: one in each lane of a vector.
//
// A plane holds `lanes` blocks of n points, plane[point][lane]; a transform works on a plane of
// real and a plane of imaginary parts, so that butterflies are plain vector arithmetic without
// shuffles. The forward transform decimates in frequency, the inverse in time, each in place: the
// spectrum between them is in scrambled order, which nobody needs to undo. Neither is normalised.
//
// Two real blocks travel as re + i·im: a convolution with a real kernel keeps them apart. Stages
// are of radix 8 and 4. The first ones go over the whole plane; once a sub-block fits L1 it is done
// to the end before the next.
#pragma once
#include "job.hpp"
#include "vector.hpp"

namespace fastconv {
inline namespace FASTCONV_LEVEL {
namespace {

// Bytes of sub-block (both planes) that L1 surely holds, beside twiddles.
constexpr ptrdiff_t l1_bytes = 16 << 10;

template <class Scalar>
struct LaneTransform {
  typedef Vector<Scalar> Lanes;
  typedef typename Lanes::type Vec;
  static constexpr ptrdiff_t lanes = Lanes::lanes;

  struct Complex {
    Vec re, im;
  };

  static FASTCONV_INLINE Complex add(Complex a, Complex b) { return {a.re + b.re, a.im + b.im}; }
  static FASTCONV_INLINE Complex subtract(Complex a, Complex b) {
    return {a.re - b.re, a.im - b.im};
  }
  // a - i·b forward, a + i·b inverse.
  template <bool Forward>
  static FASTCONV_INLINE Complex add_rotated(Complex a, Complex b) {
    if constexpr (Forward) return {a.re + b.im, a.im - b.re};
    return {a.re - b.im, a.im + b.re};
  }
  static FASTCONV_INLINE Complex scale(Complex a, Vec s) { return {a.re * s, a.im * s}; }
  static FASTCONV_INLINE Complex multiply(Complex a, Scalar re, Scalar im) {
    const Vec r = Lanes::broadcast(re), i = Lanes::broadcast(im);
    return {a.re * r - a.im * i, a.re * i + a.im * r};
  }

  template <bool Forward>
  static FASTCONV_INLINE void butterfly4(Complex& a, Complex& b, Complex& c, Complex& d) {
    const Complex s = add(a, c), t = subtract(a, c), u = add(b, d), v = subtract(b, d);
    a = add(s, u);
    b = add_rotated<Forward>(t, v);
    c = subtract(s, u);
    d = add_rotated<!Forward>(t, v);
  }

  template <int R, bool Forward>
  static FASTCONV_INLINE void butterfly(Complex* x) {
    if constexpr (R == 4) {
      butterfly4<Forward>(x[0], x[1], x[2], x[3]);
    } else {
      Complex e0 = x[0], e1 = x[2], e2 = x[4], e3 = x[6];
      Complex o0 = x[1], o1 = x[3], o2 = x[5], o3 = x[7];
      butterfly4<Forward>(e0, e1, e2, e3);
      butterfly4<Forward>(o0, o1, o2, o3);
      // The eighth roots: o1 · (1 ∓ i)/√2, o2 · (∓i), o3 · (-1 ∓ i)/√2.
      const Vec half = Lanes::broadcast(Scalar(0.70710678118654752440L));
      o1 = scale(add_rotated<Forward>(o1, o1), half);
      o3 = scale(add_rotated<!Forward>(o3, o3), half);
      x[0] = add(e0, o0);
      x[4] = subtract(e0, o0);
      x[1] = add(e1, o1);
      x[5] = subtract(e1, o1);
      x[2] = add_rotated<Forward>(e2, o2);
      x[6] = add_rotated<!Forward>(e2, o2);
      x[3] = subtract(e3, o3);
      x[7] = add(e3, o3);
    }
  }

  static FASTCONV_INLINE Complex load(const Scalar* re, const Scalar* im, ptrdiff_t point) {
    return {Lanes::load(reinterpret_cast<const char*>(re + point * lanes)),
            Lanes::load(reinterpret_cast<const char*>(im + point * lanes))};
  }
  static FASTCONV_INLINE void store(Scalar* re, Scalar* im, ptrdiff_t point, Complex x) {
    Lanes::store(reinterpret_cast<char*>(re + point * lanes), x.re);
    Lanes::store(reinterpret_cast<char*>(im + point * lanes), x.im);
  }

  // One stage over a sub-block of n points; `twiddles` holds W^(j·k), k = 1 … R-1, for each j.
  template <int R, bool Forward>
  static void stage(Scalar* re, Scalar* im, ptrdiff_t n, const Scalar* twiddles) {
    const ptrdiff_t m = n / R;
    for (ptrdiff_t j = 0; j < m; j++, twiddles += 2 * (R - 1)) {
      Complex x[R];
#pragma GCC unroll 8
      for (int k = 0; k < R; k++) {
        x[k] = load(re, im, j + k * m);
        if (!Forward && k && m > 1)
          x[k] = multiply(x[k], twiddles[2 * k - 2], -twiddles[2 * k - 1]);
      }
      butterfly<R, Forward>(x);
#pragma GCC unroll 8
      for (int k = 0; k < R; k++) {
        if (Forward && k && m > 1) x[k] = multiply(x[k], twiddles[2 * k - 2], twiddles[2 * k - 1]);
        store(re, im, j + k * m, x[k]);
      }
    }
  }

  template <bool Forward>
  static FASTCONV_INLINE void run_stage(const LaneStage& s, Scalar* re, Scalar* im) {
    const Scalar* twiddles = static_cast<const Scalar*>(s.twiddles);
    if (s.radix == 8)
      stage<8, Forward>(re, im, s.points, twiddles);
    else
      stage<4, Forward>(re, im, s.points, twiddles);
  }

  static void forward(const LaneStage* stages, int count, void* re_plane, void* im_plane) {
    Scalar* re = static_cast<Scalar*>(re_plane);
    Scalar* im = static_cast<Scalar*>(im_plane);
    const ptrdiff_t n = stages[0].points;
    if (2 * n * lanes * ptrdiff_t(sizeof(Scalar)) > l1_bytes && count > 1) {
      run_stage<true>(stages[0], re, im);
      const ptrdiff_t m = n / stages[0].radix;
      for (ptrdiff_t b = 0; b < n; b += m)
        forward(stages + 1, count - 1, re + b * lanes, im + b * lanes);
      return;
    }
    for (int s = 0; s < count; s++)
      for (ptrdiff_t b = 0; b < n; b += stages[s].points)
        run_stage<true>(stages[s], re + b * lanes, im + b * lanes);
  }

  static void inverse(const LaneStage* stages, int count, void* re_plane, void* im_plane) {
    Scalar* re = static_cast<Scalar*>(re_plane);
    Scalar* im = static_cast<Scalar*>(im_plane);
    const ptrdiff_t n = stages[0].points;
    if (2 * n * lanes * ptrdiff_t(sizeof(Scalar)) > l1_bytes && count > 1) {
      const ptrdiff_t m = n / stages[0].radix;
      for (ptrdiff_t b = 0; b < n; b += m)
        inverse(stages + 1, count - 1, re + b * lanes, im + b * lanes);
      run_stage<false>(stages[0], re, im);
      return;
    }
    for (int s = count - 1; s >= 0; s--)
      for (ptrdiff_t b = 0; b < n; b += stages[s].points)
        run_stage<false>(stages[s], re + b * lanes, im + b * lanes);
  }

  // Multiplies each point of every lane by one complex number: spectrum[point] = (re, im).
  static void multiply_by(const void* spectrum, ptrdiff_t n, void* re_plane, void* im_plane) {
    const Scalar* h = static_cast<const Scalar*>(spectrum);
    Scalar* re = static_cast<Scalar*>(re_plane);
    Scalar* im = static_cast<Scalar*>(im_plane);
    for (ptrdiff_t i = 0; i < n; i++)
      store(re, im, i, multiply(load(re, im, i), h[2 * i], h[2 * i + 1]));
  }

  // --- lines in and out of lanes ----------------------------------------------------------------

  template <int... I>
  struct Indices {};
  template <int N, int... I>
  struct Count : Count<N - 1, N - 1, I...> {};
  template <int... I>
  struct Count<0, I...> {
    typedef Indices<I...> type;
  };
  typedef typename Count<int(lanes)>::type AllLanes;

#if defined(__clang__)
#define FASTCONV_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define FASTCONV_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, Mask{__VA_ARGS__})
#endif
  typedef decltype(Vec{} < Vec{}) Mask;

  // Exchanges the off-diagonal H × H blocks of rows a and b.
  template <int H, int... I>
  static FASTCONV_INLINE void exchange(Vec& a, Vec& b, Indices<I...>) {
    const Vec low = FASTCONV_SHUFFLE(a, b, ((I & H) ? int(lanes) + I - H : I)...);
    b = FASTCONV_SHUFFLE(a, b, ((I & H) ? int(lanes) + I : I + H)...);
    a = low;
  }

  template <int H>
  static FASTCONV_INLINE void transpose_from(Vec* rows) {
    if constexpr (H < lanes) {
#pragma GCC unroll 16
      for (int i = 0; i < lanes; i++)
        if (!(i & H)) exchange<H>(rows[i], rows[i + H], AllLanes());
      transpose_from<2 * H>(rows);
    }
  }

  template <int Offset, int... I>
  static FASTCONV_INLINE Vec every_second(Vec a, Vec b, Indices<I...>) {
    return FASTCONV_SHUFFLE(a, b, (2 * I + Offset)...);
  }
  template <int Offset, int... I>
  static FASTCONV_INLINE Vec interleave(Vec a, Vec b, Indices<I...>) {
    return FASTCONV_SHUFFLE(a, b,
                            ((I & 1) ? int(lanes) + Offset + (I >> 1) : Offset + (I >> 1))...);
  }
#undef FASTCONV_SHUFFLE

  // plane[i][l] = lines[l][i] for i < n, a multiple of the lanes.
  static void load_real(const char* const* lines, ptrdiff_t n, void* plane) {
    Scalar* out = static_cast<Scalar*>(plane);
    for (ptrdiff_t i = 0; i < n; i += lanes) {
      Vec rows[lanes];
#pragma GCC unroll 16
      for (int l = 0; l < lanes; l++) rows[l] = Lanes::load(lines[l] + i * sizeof(Scalar));
      transpose_from<1>(rows);
#pragma GCC unroll 16
      for (int l = 0; l < lanes; l++)
        Lanes::store(reinterpret_cast<char*>(out + (i + l) * lanes), rows[l]);
    }
  }

  // lines[l][i] = plane[first + i][l] for i < n, a multiple of the lanes.
  static void store_real(const void* plane, ptrdiff_t first, ptrdiff_t n, char* const* lines) {
    const Scalar* in = static_cast<const Scalar*>(plane) + first * lanes;
    for (ptrdiff_t i = 0; i < n; i += lanes) {
      Vec rows[lanes];
#pragma GCC unroll 16
      for (int l = 0; l < lanes; l++)
        rows[l] = Lanes::load(reinterpret_cast<const char*>(in + (i + l) * lanes));
      transpose_from<1>(rows);
#pragma GCC unroll 16
      for (int l = 0; l < lanes; l++) Lanes::store(lines[l] + i * sizeof(Scalar), rows[l]);
    }
  }

  // The same for interleaved complex lines and two planes.
  static void load_complex(const char* const* lines, ptrdiff_t n, void* re_plane, void* im_plane) {
    Scalar* re = static_cast<Scalar*>(re_plane);
    Scalar* im = static_cast<Scalar*>(im_plane);
    for (ptrdiff_t i = 0; i < n; i += lanes) {
      Vec real[lanes], imaginary[lanes];
#pragma GCC unroll 16
      for (int l = 0; l < lanes; l++) {
        const char* p = lines[l] + 2 * i * sizeof(Scalar);
        const Vec a = Lanes::load(p), b = Lanes::load(p + FASTCONV_VECTOR_BYTES);
        real[l] = every_second<0>(a, b, AllLanes());
        imaginary[l] = every_second<1>(a, b, AllLanes());
      }
      transpose_from<1>(real);
      transpose_from<1>(imaginary);
#pragma GCC unroll 16
      for (int l = 0; l < lanes; l++) store(re, im, i + l, {real[l], imaginary[l]});
    }
  }

  static void store_complex(const void* re_plane, const void* im_plane, ptrdiff_t first,
                            ptrdiff_t n, char* const* lines) {
    const Scalar* re = static_cast<const Scalar*>(re_plane);
    const Scalar* im = static_cast<const Scalar*>(im_plane);
    for (ptrdiff_t i = 0; i < n; i += lanes) {
      Vec real[lanes], imaginary[lanes];
#pragma GCC unroll 16
      for (int l = 0; l < lanes; l++) {
        const Complex x = load(re, im, first + i + l);
        real[l] = x.re;
        imaginary[l] = x.im;
      }
      transpose_from<1>(real);
      transpose_from<1>(imaginary);
#pragma GCC unroll 16
      for (int l = 0; l < lanes; l++) {
        char* p = lines[l] + 2 * i * sizeof(Scalar);
        Lanes::store(p, interleave<0>(real[l], imaginary[l], AllLanes()));
        Lanes::store(p + FASTCONV_VECTOR_BYTES,
                     interleave<int(lanes) / 2>(real[l], imaginary[l], AllLanes()));
      }
    }
  }

  // --- tiles of several axes --------------------------------------------------------------------

  // Moves vectors that lie from_step and to_step bytes apart.
  static void copy_vectors(const char* from, ptrdiff_t from_step, char* to, ptrdiff_t to_step,
                           ptrdiff_t count) {
    for (ptrdiff_t i = 0; i < count; i++, from += from_step, to += to_step)
      Lanes::store(to, Lanes::load(from));
  }

  // Transposes blocks of lanes × lanes, each contiguous; blocks lie from_step and to_step apart.
  static void transpose_blocks(const char* from, ptrdiff_t from_step, char* to, ptrdiff_t to_step,
                               ptrdiff_t count) {
    for (ptrdiff_t i = 0; i < count; i++, from += from_step, to += to_step) {
      Vec rows[lanes];
#pragma GCC unroll 16
      for (int l = 0; l < lanes; l++) rows[l] = Lanes::load(from + l * FASTCONV_VECTOR_BYTES);
      transpose_from<1>(rows);
#pragma GCC unroll 16
      for (int l = 0; l < lanes; l++) Lanes::store(to + l * FASTCONV_VECTOR_BYTES, rows[l]);
    }
  }

  // Multiplies each point of each lane by its own: spectrum[point] holds a vector of real parts
  // and one of imaginary parts; or by its conjugate.
  template <bool Conjugate>
  static void multiply_points(const void* spectrum, ptrdiff_t n, void* re_plane, void* im_plane) {
    const char* h = static_cast<const char*>(spectrum);
    Scalar* re = static_cast<Scalar*>(re_plane);
    Scalar* im = static_cast<Scalar*>(im_plane);
    for (ptrdiff_t i = 0; i < n; i++, h += 2 * FASTCONV_VECTOR_BYTES) {
      const Complex a = load(re, im, i);
      const Vec r = Lanes::load(h), q = Lanes::load(h + FASTCONV_VECTOR_BYTES);
      if constexpr (Conjugate)
        store(re, im, i, {a.re * r + a.im * q, a.im * r - a.re * q});
      else
        store(re, im, i, {a.re * r - a.im * q, a.re * q + a.im * r});
    }
  }

  // re + i·im = (first + i·second) · turn, vectors `step` bytes apart in the planes.
  static void load_turned(const char* first, const char* second, double turn_re, double turn_im,
                          char* re, char* im, ptrdiff_t step, ptrdiff_t count) {
    for (ptrdiff_t i = 0; i < count; i++, re += step, im += step) {
      const Complex a = {Lanes::load(first + i * FASTCONV_VECTOR_BYTES),
                         Lanes::load(second + i * FASTCONV_VECTOR_BYTES)};
      const Complex b = multiply(a, Scalar(turn_re), Scalar(turn_im));
      Lanes::store(re, b.re);
      Lanes::store(im, b.im);
    }
  }

  static void store_turned(const char* re, const char* im, ptrdiff_t step, double turn_re,
                           double turn_im, char* first, char* second, ptrdiff_t count) {
    for (ptrdiff_t i = 0; i < count; i++, re += step, im += step) {
      const Complex a = {Lanes::load(re), Lanes::load(im)};
      const Complex b = multiply(a, Scalar(turn_re), Scalar(turn_im));
      Lanes::store(first + i * FASTCONV_VECTOR_BYTES, b.re);
      Lanes::store(second + i * FASTCONV_VECTOR_BYTES, b.im);
    }
  }

  // --- rounding errors --------------------------------------------------------------------------

  static void add_squares(const void* plane, ptrdiff_t n, void* sums) {
    const char* p = static_cast<const char*>(plane);
    char* out = static_cast<char*>(sums);
    Vec even = Lanes::load(out), odd = Lanes::zero();
    for (ptrdiff_t i = 0; i + 1 < n; i += 2, p += 2 * FASTCONV_VECTOR_BYTES) {
      const Vec a = Lanes::load(p), b = Lanes::load(p + FASTCONV_VECTOR_BYTES);
      even += a * a;
      odd += b * b;
    }
    if (n & 1) odd += Lanes::load(p) * Lanes::load(p);
    Lanes::store(out, even + odd);
  }

  static FASTCONV_INLINE Vec larger(Vec a, Vec b) { return a > b ? a : b; }
  static FASTCONV_INLINE Vec absolute(Vec a) { return larger(a, -a); }

  static double least_peak(const void* line, ptrdiff_t n) {
    const Scalar* x = static_cast<const Scalar*>(line);
    Vec faults = Lanes::zero();  // zero unless something is not finite
    Scalar least = Scalar(__builtin_inf()), last = 0;
    ptrdiff_t i = 0;
    for (; i + PEAK_BLOCK <= n; i += PEAK_BLOCK) {
      Vec peak = Lanes::zero();
#pragma GCC unroll 16
      for (int v = 0; v < PEAK_BLOCK / int(lanes); v++) {
        const Vec a = Lanes::load(reinterpret_cast<const char*>(x + i + v * lanes));
        faults += a - a;
        peak = larger(peak, absolute(a));
      }
      last = largest(peak);
      least = last < least ? last : least;
    }
    Scalar fault = 0;
    for (int l = 0; l < lanes; l++) fault += faults[l];
    if (i < n) {  // the rest, in one block with what is before it
      Scalar peak = i ? last : Scalar(0);
      for (; i < n; i++) {
        const Scalar a = x[i] < 0 ? -x[i] : x[i];
        fault += a - a;
        peak = a > peak ? a : peak;
      }
      least = peak < least ? peak : least;
    }
    return double(least + fault);
  }

  static FASTCONV_INLINE Scalar largest(Vec a) {
    Scalar found = a[0];
    for (int l = 1; l < lanes; l++) found = a[l] > found ? a[l] : found;
    return found;
  }
};

template <class Scalar>
constexpr LaneSet lane_set() {
  typedef LaneTransform<Scalar> T;
  return {int(T::lanes),
          int(sizeof(Scalar)),
          T::forward,
          T::inverse,
          T::multiply_by,
          T::load_real,
          T::store_real,
          T::load_complex,
          T::store_complex,
          T::copy_vectors,
          T::transpose_blocks,
          T::template multiply_points<false>,
          T::template multiply_points<true>,
          T::load_turned,
          T::store_turned,
          T::add_squares,
          T::least_peak};
}

}  // namespace
}  // namespace FASTCONV_LEVEL
}  // namespace fastconv
