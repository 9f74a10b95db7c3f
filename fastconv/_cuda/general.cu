// Correlations along any number of axes, one thread an output: for what tiles do not take, and for
// sums whose order matters.
//
// X, SUM, RESULT, CUT and SPARSE are as in filters.cu.
#include "common.cuh"

// Where an output's window starts along each axis, and where it is stored.
struct Output {
  Index first[MOST_AXES];
  Index x, w, out;  // offsets along the axes that no kernel slides on
};

INLINE Output output_of(const General& p, Index index) {
  Output o;
  o.x = o.w = o.out = 0;
#pragma unroll 1
  for (int a = p.axes - 1; a >= 0; a--) {
    const Index i = index % p.outputs[a];
    index /= p.outputs[a];
    o.out += i * p.out_stride[a];
    if (a < p.sliding) {
      o.first[a] = i + p.offset[a];
    } else {
      o.x += i * p.x_stride[a];
      o.w += i * p.w_stride[a];
    }
  }
  return o;
}

// The element of x̃ that tap number t of the sliding axes meets; false where that is none of x.
INLINE bool find(const General& p, const Output& o, Index t, Index* x, Index* w) {
  bool inside = true;
  *x = o.x;
  *w = o.w;
#pragma unroll 1
  for (int a = p.sliding - 1; a >= 0; a--) {
    const Index k = t % p.taps[a];
    t /= p.taps[a];
    const Index i = source_of(o.first[a] + k, p.extent[a], p.boundary);
    inside = inside && i >= 0;
    *x += i * p.x_stride[a];
    *w += k * p.w_stride[a];
  }
  return inside;
}

// The axes that the kernel slides on come first.
extern "C" __global__ void __launch_bounds__(THREADS, 2) plain(const General p) {
  if (p.only_if && !*(const int*)p.only_if) return;
  const Index index = Index(blockIdx.x) * THREADS + threadIdx.x;
  if (index >= p.count) return;
  const Output o = output_of(p, index);
  const SUM outside = element_of<SUM>(p.fill);
  SUM sum = {};
  for (Index t = 0; t < p.all_taps; t++) {
    Index x, w;
    const bool inside = find(p, o, t, &x, &w);
    if (!inside && p.boundary == ZERO) continue;
    const SUM tap = ((const SUM*)p.w)[w];
    if (SPARSE && is_zero(tap)) continue;
    add_product(sum, tap, inside ? convert<SUM>(((const X*)p.x)[x]) : outside);
  }
  ((RESULT*)p.out)[o.out] = Stored<RESULT, CUT>::of(sum);
}

// Sums in the order of a list of taps, each product and sum rounded by itself, as SciPy's are. A
// folded tap adds (or subtracts, by the sign of `fold`) its two data before it multiplies.
#if ORDERED
extern "C" __global__ void __launch_bounds__(THREADS, 2) ordered(const General p) {
  const Index index = Index(blockIdx.x) * THREADS + threadIdx.x;
  if (index >= p.count) return;
  const Output o = output_of(p, index);
  const SUM outside = element_of<SUM>(p.fill);
  const OrderedTap* taps = (const OrderedTap*)p.w;
  SUM sum = 0;
  for (Index t = 0; t < p.all_taps; t++) {
    Index x, unused;
    SUM value = find(p, o, taps[t].first, &x, &unused) ? convert<SUM>(((const X*)p.x)[x]) : outside;
    if (taps[t].second >= 0) {
      const bool inside = find(p, o, taps[t].second, &x, &unused);
      const SUM other = inside ? convert<SUM>(((const X*)p.x)[x]) : outside;
      value = plus(value, p.fold < 0 ? -other : other);
    }
    const SUM product = times(value, SUM(taps[t].weight));
    sum = t == 0 ? product : plus(sum, product);
  }
  ((RESULT*)p.out)[o.out] = Stored<RESULT, CUT>::of(sum);
}
#endif
