// What all kernels share: elements and their conversions, boundaries, shared memory.
//
// Sources are compiled by NVRTC, which has no headers, and for the tests by a C++ compiler that
// runs threads one after the other. Strides are in elements, and positions in arrays 64 bits wide.

typedef long long Index;

#define INLINE __device__ __forceinline__

// Shared memory whose size the launch tells.
#ifdef __CUDA_ARCH__
#define DYNAMIC_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
#else
#define DYNAMIC_SHARED(name) unsigned char* name = fastconv_emulated_shared()
#endif

// --- elements ------------------------------------------------------------------------------------

typedef signed char Int8;
typedef unsigned char UInt8;
typedef short Int16;
typedef unsigned short UInt16;
typedef int Int32;
typedef unsigned int UInt32;
typedef long long Int64;
typedef unsigned long long UInt64;

struct Bool {
  unsigned char byte;
};

struct Half {
  unsigned short bits;
};

template <class Real>
struct __align__(2 * sizeof(Real)) Complex {
  Real re, im;
};

template <class A, class B>
struct Same {
  static constexpr bool value = false;
};
template <class A>
struct Same<A, A> {
  static constexpr bool value = true;
};

template <class T>
struct IsComplex {
  static constexpr bool value = false;
};
template <class Real>
struct IsComplex<Complex<Real>> {
  static constexpr bool value = true;
};

// Of numbers with a fraction.
template <class T>
struct IsFloat {
  static constexpr bool value =
      Same<T, float>::value || Same<T, double>::value || Same<T, Half>::value;
};

INLINE float to_float(Half h) {
#ifdef __CUDA_ARCH__
  float f;
  asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(h.bits));
  return f;
#else
  const unsigned sign = (h.bits & 0x8000u) << 16, rest = h.bits & 0x7fffu;
  if (rest >= 0x7c00u) return __uint_as_float(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
  const float size = float(rest & 0x3ffu) * 5.9604644775390625e-8f;  // 2^-24
  if (rest < 0x400u) return sign ? -size : size;
  return __uint_as_float(sign | ((rest << 13) + 0x38000000u));
#endif
}

INLINE Half to_half(float f) {
  Half h;
#ifdef __CUDA_ARCH__
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h.bits) : "f"(f));
#else
  const unsigned bits = __float_as_uint(f), sign = bits >> 16 & 0x8000u, rest = bits & 0x7fffffffu;
  if (rest > 0x7f800000u)
    h.bits = (unsigned short)(sign | 0x7e00u);
  else if (rest >= 0x477ff000u)
    h.bits = (unsigned short)(sign | 0x7c00u);
  else if (rest < 0x38800000u)  // to the unit of subnormal numbers, by an addition that rounds
    h.bits = (unsigned short)(sign | (__float_as_uint(__uint_as_float(rest) + 0.5f) - 0x3f000000u));
  else
    h.bits = (unsigned short)(sign | ((rest + 0xfffu + (rest >> 13 & 1u) - 0x38000000u) >> 13));
#endif
  return h;
}

// convert<To>(from): as a C++ conversion, for all elements.
template <class To>
struct Convert {
  template <class From>
  static INLINE To of(From v) {
    return To(v);
  }
  static INLINE To of(Half v) { return To(to_float(v)); }
  static INLINE To of(Bool v) { return To(v.byte != 0); }
  template <class Real>
  static INLINE To of(Complex<Real> v) {
    return To(v.re);
  }
};
template <>
struct Convert<Half> {
  template <class From>
  static INLINE Half of(From v) {
    return to_half(Convert<float>::of(v));
  }
  static INLINE Half of(Half v) { return v; }
};
template <>
struct Convert<Bool> {
  template <class From>
  static INLINE Bool of(From v) {
    return Bool{(unsigned char)(v != From(0))};
  }
  static INLINE Bool of(Half v) { return of(to_float(v)); }
  static INLINE Bool of(Bool v) { return Bool{(unsigned char)(v.byte != 0)}; }
};
template <class Real>
struct Convert<Complex<Real>> {
  template <class From>
  static INLINE Complex<Real> of(From v) {
    return Complex<Real>{Convert<Real>::of(v), Real(0)};
  }
  template <class Other>
  static INLINE Complex<Real> of(Complex<Other> v) {
    return Complex<Real>{Real(v.re), Real(v.im)};
  }
};

template <class To, class From>
INLINE To convert(From v) {
  return Convert<To>::of(v);
}

// A number, cut toward zero; what the type does not hold is its least value, on every machine.
INLINE Index cut_number(double v) {
  return fabs(v) < 9223372036854775808.0 ? Index(v) : Index(1ull << 63);
}

INLINE int cut_small_number(double v) {
  return v > -2147483649.0 && v < 2147483648.0 ? int(v) : int(1u << 31);
}

// How a sum becomes a result: floats for integers are rounded to the nearest even number, or cut
// toward zero, and wrap around by way of int64, where they are cut by way of int32 if that holds
// the integers, as SciPy's are; a cut boolean is whether the byte of its number is zero.
template <class Result, bool TRUNCATE>
struct Stored {
  template <class Sum>
  static INLINE Result of(Sum v) {
    if constexpr (IsFloat<Sum>::value && !IsFloat<Result>::value && !IsComplex<Result>::value) {
      const double whole = TRUNCATE ? double(v) : rint(double(v));
      if constexpr (Same<Result, Bool>::value) {
        if (TRUNCATE) return convert<Bool>((unsigned char)cut_small_number(whole));
        return convert<Bool>(whole);
      } else {
        if constexpr (Result(-1) > Result(0) && sizeof(Result) == 8)
          if (whole >= 9223372036854775808.0)
            return Result(cut_number(whole - 9223372036854775808.0)) ^ Result(1ull << 63);
        if constexpr (sizeof(Result) < 4 || Same<Result, Int32>::value)
          if (TRUNCATE) return Result(cut_small_number(whole));
        return Result(cut_number(whole));
      }
    } else {
      return convert<Result>(v);
    }
  }
};

template <class T>
INLINE bool is_finite(T v) {
  if constexpr (IsComplex<T>::value)
    return isfinite(v.re) && isfinite(v.im);
  else if constexpr (Same<T, float>::value || Same<T, double>::value)
    return isfinite(v);
  else
    return true;
}

template <class T>
INLINE bool is_zero(T v) {
  if constexpr (IsComplex<T>::value)
    return v.re == 0 && v.im == 0;
  else if constexpr (Same<T, Bool>::value)
    return v.byte == 0;
  else
    return v == T(0);
}

// The element whose bytes these are.
template <class T>
INLINE T element_of(const UInt64* bytes) {
  if constexpr (IsComplex<T>::value) {  // which need not be aligned as a whole
    const auto* parts = &((const T*)bytes)->re;
    return T{parts[0], parts[1]};
  } else {
    return *(const T*)bytes;
  }
}

// Sums of floats over a divisor, where that is not zero.
template <class T>
INLINE T divided(T sum, double divisor) {
  if constexpr (Same<T, float>::value || Same<T, double>::value)
    return divisor != 0 ? T(sum / T(divisor)) : sum;
  else
    return sum;
}

// sum += a · b, fused for floats; integers wrap around, booleans take "or" for the sum.
INLINE void add_product(float& sum, float a, float b) { sum = fmaf(a, b, sum); }
INLINE void add_product(double& sum, double a, double b) { sum = fma(a, b, sum); }
INLINE void add_product(Bool& sum, Bool a, Bool b) {
  sum.byte |= (unsigned char)(a.byte != 0 && b.byte != 0);
}
template <class Real>
INLINE void add_product(Complex<Real>& sum, Complex<Real> a, Complex<Real> b) {
  add_product(sum.re, a.re, b.re);
  add_product(sum.re, -a.im, b.im);
  add_product(sum.im, a.re, b.im);
  add_product(sum.im, a.im, b.re);
}
template <class T>
INLINE void add_product(T& sum, T a, T b) {
  sum = T((unsigned long long)sum + (unsigned long long)a * (unsigned long long)b);
}

// sum += part, as parts of a long sum are put together.
template <class T>
INLINE void add_part(T& sum, T part) {
  if constexpr (IsComplex<T>::value) {
    sum.re += part.re;
    sum.im += part.im;
  } else if constexpr (Same<T, Bool>::value) {
    sum.byte |= part.byte;
  } else if constexpr (IsFloat<T>::value) {
    sum += part;
  } else {
    sum = T(UInt64(sum) + UInt64(part));
  }
}

// --- sums in order -------------------------------------------------------------------------------

// A tap of a sum in order: its number in the kernel, that of the one it is folded with or -1, and
// its weight.
struct OrderedTap {
  Index first, second;
  double weight;
};

INLINE double times(double a, double b) { return __dmul_rn(a, b); }
INLINE double plus(double a, double b) { return __dadd_rn(a, b); }
INLINE float times(float a, float b) { return __fmul_rn(a, b); }
INLINE float plus(float a, float b) { return __fadd_rn(a, b); }

// --- boundaries ----------------------------------------------------------------------------------

enum Boundary { ZERO, CONSTANT, REFLECT, MIRROR, NEAREST, WRAP };  // as in _problem.py

// Where x̃[i] is stored along an axis of n elements, or -1 where it is none of them.
INLINE Index source_of(Index i, Index n, int boundary) {
  if (i >= 0 && i < n) return i;
  if (n == 0) return -1;
  switch (boundary) {
    case NEAREST:
      return i < 0 ? 0 : n - 1;
    case WRAP:
      i %= n;
      return i < 0 ? i + n : i;
    case REFLECT: {
      i %= 2 * n;
      if (i < 0) i += 2 * n;
      return i < n ? i : 2 * n - 1 - i;
    }
    case MIRROR: {
      const Index period = n > 1 ? 2 * n - 2 : 1;
      i %= period;
      if (i < 0) i += period;
      return i < n ? i : period - i;
    }
    default:
      return -1;
  }
}
