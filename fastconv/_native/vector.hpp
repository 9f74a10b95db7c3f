// Vectors of one ISA level, written with the vector extensions of GCC and Clang: one source serves
// SSE2, AVX2, AVX-512 and NEON, and the compiler's -m flags choose the instructions.
//
// Everything lives in a namespace of its level's name, which symbols show, and there in an
// anonymous one: each level gets its own copy of every template.
#pragma once
#include <stddef.h>

#if !defined(__GNUC__) && !defined(__clang__)
#error "fastconv's kernels need the vector extensions of GCC or Clang (on Windows: clang-cl)."
#endif

#if defined(__AVX512F__)
#define FASTCONV_VECTOR_BYTES 64
#define FASTCONV_VECTOR_REGISTERS 32
#elif defined(__AVX2__)
#define FASTCONV_VECTOR_BYTES 32
#define FASTCONV_VECTOR_REGISTERS 16
#elif defined(__aarch64__)
#define FASTCONV_VECTOR_BYTES 16
#define FASTCONV_VECTOR_REGISTERS 32
#else
#define FASTCONV_VECTOR_BYTES 16
#define FASTCONV_VECTOR_REGISTERS 16
#endif

#define FASTCONV_INLINE inline __attribute__((always_inline))
#define FASTCONV_LAMBDA_INLINE __attribute__((always_inline))

namespace fastconv {
inline namespace FASTCONV_LEVEL {
namespace {

// A register full of scalars that may be loaded from any address aligned to the scalar.
template <class Scalar>
struct Vector {
  typedef Scalar type __attribute__((vector_size(FASTCONV_VECTOR_BYTES), may_alias));
  typedef Scalar unaligned
      __attribute__((vector_size(FASTCONV_VECTOR_BYTES), aligned(alignof(Scalar)), may_alias));
  static constexpr int lanes = FASTCONV_VECTOR_BYTES / sizeof(Scalar);

  static FASTCONV_INLINE type load(const char* p) { return *reinterpret_cast<const unaligned*>(p); }
  static FASTCONV_INLINE void store(char* p, type v) { *reinterpret_cast<unaligned*>(p) = v; }
  static FASTCONV_INLINE type zero() { return type{}; }
  static FASTCONV_INLINE type broadcast(Scalar s) { return s - type{}; }

  // Keeps a loaded vector in a register. GCC would otherwise fold a load that two or three FMAs
  // share into each of them, and loads, not FMAs, are what bounds these kernels.
  static FASTCONV_INLINE void keep_in_register(type& v) {
#if defined(__x86_64__)
    __asm__("" : "+v"(v));
#elif defined(__aarch64__)
    __asm__("" : "+w"(v));
#else
    (void)v;
#endif
  }
};

// long double has no vector registers anywhere: one lane.
template <>
struct Vector<long double> {
  typedef long double type;
  static constexpr int lanes = 1;
  static FASTCONV_INLINE type load(const char* p) {
    return *reinterpret_cast<const long double*>(p);
  }
  static FASTCONV_INLINE void store(char* p, type v) { *reinterpret_cast<long double*>(p) = v; }
  static FASTCONV_INLINE type zero() { return 0; }
  static FASTCONV_INLINE type broadcast(long double s) { return s; }
  static FASTCONV_INLINE void keep_in_register(type&) {}
};

}  // namespace
}  // namespace FASTCONV_LEVEL
}  // namespace fastconv
