// Lines of any stored type to and from the type of a computation, float or double.
//
// Loads and stores take any alignment and any stride; lines of scalars are contiguous. Integers are
// cut toward zero and wrap around, as C's casts do by way of int (long long where int is too
// narrow) on x86: what SciPy's ndimage gives.
#pragma once
#include "job.hpp"
#include "vector.hpp"

namespace fastconv {
inline namespace FASTCONV_LEVEL {
namespace {

template <class T>
struct Unaligned {
  typedef T type __attribute__((aligned(1), may_alias));
};

struct Bool {};  // one byte, any but 0 is true; between passes it is a number, as SciPy's

template <class Stored>
struct Storage {
  typedef Stored Bytes;
  template <class Scalar>
  static FASTCONV_INLINE Scalar load(Stored v) {
    return Scalar(v);
  }
  static FASTCONV_INLINE Stored stored(Stored v) { return v; }
  template <class Scalar>
  static FASTCONV_INLINE Stored cut(Scalar v) {
    if constexpr (Stored(0.5) != 0) {
      return Stored(v);  // a floating type
    } else if constexpr (sizeof(Stored) < 4 || (sizeof(Stored) == 4 && Stored(-1) < 0)) {
      return Stored(int(v));
    } else {
      constexpr Scalar half = Scalar(9223372036854775808.0);
      if (Stored(-1) > 0 && sizeof(Stored) == 8 && v >= half)
        return Stored((long long)(v - half)) ^ Stored(1ULL << 63);
      return Stored((long long)(v));
    }
  }
};

template <>
struct Storage<Bool> {
  typedef unsigned char Bytes;
  template <class Scalar>
  static FASTCONV_INLINE Scalar load(unsigned char v) {
    return Scalar(v != 0);
  }
  template <class Scalar>
  static FASTCONV_INLINE unsigned char cut(Scalar v) {
    return (unsigned char)(int(v));
  }
  static FASTCONV_INLINE unsigned char stored(unsigned char v) { return v != 0; }
};

template <class Stored, class Scalar>
void load_line(const char* x, ptrdiff_t stride, char* line, ptrdiff_t count) {
  typedef Storage<Stored> S;
  typedef typename Unaligned<typename S::Bytes>::type Bytes;
  Scalar* to = reinterpret_cast<Scalar*>(line);
  if (stride == ptrdiff_t(sizeof(Bytes))) {
    const Bytes* from = reinterpret_cast<const Bytes*>(x);
    for (ptrdiff_t i = 0; i < count; i++) to[i] = S::template load<Scalar>(from[i]);
  } else if (stride == 2 * ptrdiff_t(sizeof(Bytes))) {
    // A step that the compiler knows: it shuffles vectors.
    const Bytes* from = reinterpret_cast<const Bytes*>(x);
    for (ptrdiff_t i = 0; i < count; i++) to[i] = S::template load<Scalar>(from[2 * i]);
  } else {
    for (ptrdiff_t i = 0; i < count; i++)
      to[i] = S::template load<Scalar>(*reinterpret_cast<const Bytes*>(x + i * stride));
  }
}

template <class Stored, class Scalar>
void store_line(const char* line, char* out, ptrdiff_t stride, ptrdiff_t count) {
  typedef Storage<Stored> S;
  typedef typename Unaligned<typename S::Bytes>::type Bytes;
  const Scalar* from = reinterpret_cast<const Scalar*>(line);
  if (stride == ptrdiff_t(sizeof(Bytes))) {
    Bytes* to = reinterpret_cast<Bytes*>(out);
    for (ptrdiff_t i = 0; i < count; i++) to[i] = S::stored(S::cut(from[i]));
  } else {
    for (ptrdiff_t i = 0; i < count; i++)
      *reinterpret_cast<Bytes*>(out + i * stride) = S::stored(S::cut(from[i]));
  }
}

template <class Stored, class Scalar>
void cut_line(char* line, ptrdiff_t count) {
  typedef Storage<Stored> S;
  Scalar* values = reinterpret_cast<Scalar*>(line);
  for (ptrdiff_t i = 0; i < count; i++) values[i] = Scalar(S::cut(values[i]));
}

template <class Stored, class Scalar>
constexpr Conversion conversion() {
  return {load_line<Stored, Scalar>, store_line<Stored, Scalar>, cut_line<Stored, Scalar>};
}

}  // namespace
}  // namespace FASTCONV_LEVEL
}  // namespace fastconv
