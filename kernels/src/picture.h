// What makes a small picture of a large one, before a network sees it. Plain C++ for every instruction set: GCC makes
// vectors of it, and it is a hundredth of the work.
#pragma once

#include <vector>

#include "conv.h"

namespace dqmq {

// How one side of a picture is shared out: `fewer` outputs, each a weighted sum of neighbouring pixels.
class Areas {
 public:
  Areas() = default;
  // weights: [fewer, size]. Throws std::invalid_argument where one is negative or a sum does not fit into 16 bits.
  Areas(const int32_t* weights, int64_t fewer, int64_t size);

  struct Part {
    int64_t first, count;    // pixels
    const int32_t* weights;  // count of them
  };
  Part part(int64_t at) const;
  int64_t size() const { return size_; }
  int64_t fewer() const { return static_cast<int64_t>(first_.size()); }
  int64_t highest_sum() const { return highest_sum_; }

 private:
  int64_t size_ = 0, highest_sum_ = 0;
  std::vector<int64_t> first_, from_;  // of each output: its first pixel, and where its weights start; one more at the end
  std::vector<int32_t> weights_;
};

// y = round(sum of rows x columns x pixels / area), half to even, the division in float32. y: [n, rows, columns, channels].
struct Resize {
  Areas rows, columns;
  float area = 1;
};
void resize(const Resize& how, const Input& x, int64_t channels, uint8_t* y);

// Throws std::invalid_argument unless every result is a code and every sum exact in float32.
void check(const Resize& how);

// The median of the 3 x 3 codes around each, edges repeated. y: as x.
void median(const Input& x, int64_t channels, uint8_t* y);

}  // namespace dqmq
