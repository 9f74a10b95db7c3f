// The rate of fused multiply-adds that nothing but registers feeds, for one vector width: the limit
// that peaks.py holds the kernels against. Compiled once for each ISA level, with
// -DVECTOR_BYTES=16, 32 or 64; a level without FMA is measured with a multiplication and an
// addition.
#include <omp.h>

// Independent chains: enough to hide the latency of two FMA units, few enough for sixteen
// registers.
#define CHAINS 12
#define EACH_CHAIN(F) F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(10) F(11)

#if defined(__aarch64__)
#define VECTOR_REGISTER "+w"
#else
#define VECTOR_REGISTER "+x"
#endif
#if VECTOR_BYTES == 64
#undef VECTOR_REGISTER
#define VECTOR_REGISTER "+v"  // all thirty-two of AVX-512
#endif

#define BEGIN(i) vector chain##i = start + (i);
#define STEP(i) chain##i = chain##i * factor + term;
// The compiler may neither fold steps into one another nor keep a chain in memory.
#define PIN(i) __asm__ volatile("" : VECTOR_REGISTER(chain##i));
#define SUM(i) sum += chain##i;

// peak_TYPE(threads, steps) runs `steps` steps of all chains on each thread and returns flop/s.
#define DEFINE_PEAK(TYPE, NAME)                                                                  \
  static TYPE NAME##_chains(long steps) {                                                        \
    typedef TYPE vector __attribute__((vector_size(VECTOR_BYTES)));                              \
    const vector zero = {0};                                                                     \
    const vector factor = zero + (TYPE)0.999, term = zero + (TYPE)0.001, start = zero + (TYPE)1; \
    EACH_CHAIN(BEGIN)                                                                            \
    for (long step = 0; step < steps; ++step) {                                                  \
      EACH_CHAIN(STEP)                                                                           \
      EACH_CHAIN(PIN)                                                                            \
    }                                                                                            \
    vector sum = zero;                                                                           \
    EACH_CHAIN(SUM)                                                                              \
    return sum[0];                                                                               \
  }                                                                                              \
  double NAME(int threads, long steps) {                                                         \
    const double begin = omp_get_wtime();                                                        \
    _Pragma("omp parallel num_threads(threads)") {                                               \
      volatile TYPE sink = NAME##_chains(steps);                                                 \
      (void)sink;                                                                                \
    }                                                                                            \
    const double seconds = omp_get_wtime() - begin;                                              \
    const double flops_a_step = 2.0 * CHAINS * (VECTOR_BYTES / sizeof(TYPE));                    \
    return flops_a_step * (double)steps * threads / seconds;                                     \
  }

DEFINE_PEAK(float, peak_float32)
DEFINE_PEAK(double, peak_float64)
