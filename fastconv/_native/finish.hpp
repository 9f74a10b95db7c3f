// What follows the sums of a layer: bias, activation, conversion, and the way to the output.
#pragma once
#include "layers.hpp"

namespace fastconv {

class Finish {
 public:
  // `biased`: sums that are no integers hold the bias already.
  explicit Finish(const Layer& layer, bool biased = false);

  // Stores `count` sums of output o of a group to lines of the output that lie `stride` bytes
  // apart. Changes the sums, which may be the output's own.
  void store(char* sums, ptrdiff_t group, ptrdiff_t o, ptrdiff_t count, char* out,
             ptrdiff_t stride) const;
  // Whether the sums are exact integers: int32, added up by `add`.
  bool integers() const { return integers_; }
  // total[i] += sums[i] for sums that are integers.
  static void add(const float* sums, int* total, ptrdiff_t count);
  // Turns sums that are integers into int32 in place.
  static void to_integers(char* sums, ptrdiff_t count);

 private:
  const Layer& layer_;
  const Conversion& convert_;
  bool integers_;
  const char* bias_;  // what is still to be added
};

}  // namespace fastconv
