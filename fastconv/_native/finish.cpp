#include "finish.hpp"

#include <math.h>
#include <string.h>

#include "dispatch.hpp"
#include "sizes.hpp"

namespace fastconv {
namespace {

// float's own functions: a result in double would cost twice the time and be rounded anyway.
inline float exponential(float x) { return expf(x); }
inline double exponential(double x) { return exp(x); }
inline float hyperbolic_tangent(float x) { return tanhf(x); }
inline double hyperbolic_tangent(double x) { return ::tanh(x); }
inline float error_function(float x) { return erff(x); }
inline double error_function(double x) { return erf(x); }

template <class Scalar, class Function>
void apply(Scalar* y, ptrdiff_t count, Function f) {
  for (ptrdiff_t i = 0; i < count; i++) y[i] = f(y[i]);
}

// NaN stays NaN: comparisons are false for it.
template <class Scalar>
void activate(Scalar* y, ptrdiff_t count, Activation activation) {
  const Scalar root_half = Scalar(0.70710678118654752440);
  switch (activation) {
    case Activation::none:
      return;
    case Activation::relu:
      return apply(y, count, [](Scalar v) { return v < 0 ? Scalar(0) : v; });
    case Activation::relu6:
      return apply(y, count, [](Scalar v) { return v < 0 ? Scalar(0) : (v > 6 ? Scalar(6) : v); });
    case Activation::leaky_relu:
      return apply(y, count, [](Scalar v) { return v < 0 ? v * Scalar(0.01) : v; });
    case Activation::sigmoid:
      return apply(y, count, [](Scalar v) { return 1 / (1 + exponential(-v)); });
    case Activation::tanh:
      return apply(y, count, [](Scalar v) { return hyperbolic_tangent(v); });
    case Activation::silu:
      return apply(y, count, [](Scalar v) { return v / (1 + exponential(-v)); });
    case Activation::gelu:
      return apply(y, count, [root_half](Scalar v) {
        return Scalar(0.5) * v * (1 + error_function(v * root_half));
      });
  }
}

template <class Scalar>
void finish(Scalar* y, ptrdiff_t count, const char* bias, ptrdiff_t at, Activation activation) {
  if (bias) {
    const Scalar b = reinterpret_cast<const Scalar*>(bias)[at];
    for (ptrdiff_t i = 0; i < count; i++) y[i] += b;
  }
  activate(y, count, activation);
}

// Wraps around, as unsigned numbers do.
void finish_integers(unsigned* y, ptrdiff_t count, const char* bias, ptrdiff_t at,
                     Activation activation) {
  if (bias) {
    const unsigned b = reinterpret_cast<const unsigned*>(bias)[at];
    for (ptrdiff_t i = 0; i < count; i++) y[i] += b;
  }
  if (activation == Activation::relu)
    for (ptrdiff_t i = 0; i < count; i++) y[i] = int(y[i]) < 0 ? 0 : y[i];
}

}  // namespace

Finish::Finish(const Layer& layer, bool biased)
    : layer_(layer),
      convert_(conversions_of(layer.type)[layer.out_type]),
      integers_(layer.type == FLOAT32 && layer.out_type == STORED_INT32),
      bias_(biased && !integers_ ? nullptr : layer.bias) {}

void Finish::add(const float* sums, int* total, ptrdiff_t count) {
  unsigned* wrapping = reinterpret_cast<unsigned*>(total);
  for (ptrdiff_t i = 0; i < count; i++) wrapping[i] += unsigned(int(sums[i]));
}

void Finish::to_integers(char* sums, ptrdiff_t count) {
  for (ptrdiff_t i = 0; i < count; i++) {
    float sum;
    memcpy(&sum, sums + i * 4, 4);
    const int whole = int(sum);
    memcpy(sums + i * 4, &whole, 4);
  }
}

void Finish::store(char* sums, ptrdiff_t group, ptrdiff_t o, ptrdiff_t count, char* out,
                   ptrdiff_t stride) const {
  const ptrdiff_t at = group * layer_.outputs + o;
  if (integers_) {
    finish_integers(reinterpret_cast<unsigned*>(sums), count, bias_, at, layer_.activation);
    for (ptrdiff_t i = 0; i < count; i++) memcpy(out + i * stride, sums + i * 4, 4);
    return;
  }
  if (layer_.type == FLOAT32)
    finish(reinterpret_cast<float*>(sums), count, bias_, at, layer_.activation);
  else
    finish(reinterpret_cast<double*>(sums), count, bias_, at, layer_.activation);
  if (sums != out) convert_.store(sums, out, stride, count);
}

}  // namespace fastconv
