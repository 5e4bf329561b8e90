// What a layer adds to its sums and multiplies them with, in the lanes of whatever computes them.
#pragma once

#include <functional>
#include <vector>

#include "aligned.h"
#include "kernel_set.h"

namespace dqmq {

class Constants {
 public:
  Constants() = default;

  // What biases make up for: sums whose activations count from `counted_from` instead of the zero point and, from tables,
  // whose runs start from minus the lowest sum possible.
  struct Sums {
    int counted_from;
    bool from_tables;
    bool from_aligned = false;  // weights at the top of their bytes: the sums are shifted already
  };

  // `lane_of` gives the lane of each output channel, below `lanes`. The other lanes are all zeros.
  Constants(const Layer& layer, const Codes& codes, Sums sums, int64_t lanes,
            const std::function<int64_t(int64_t channel)>& lane_of);

  // With the constants from `lane` on. Valid while this object lives.
  Finish from(int64_t lane) const;

  // Of panels of so many lanes each.
  std::vector<Finish> panels(int64_t lanes) const;

 private:
  Finish finish_{};
  AlignedVector<int32_t> bias_;  // [lanes]
  AlignedVector<float> factor_;  // likewise
};

}  // namespace dqmq
