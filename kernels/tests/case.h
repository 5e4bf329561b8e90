// A layer with its weights, and pictures for it: what a test computes in every way there is.
#pragma once

#include <string>
#include <vector>

#include "conv.h"
#include "harness.h"

namespace dqmq::test {

struct Case {
  Layer layer;
  std::vector<uint8_t> weights;
  int64_t n = 1, h = 1, w = 1;
  std::vector<uint8_t> x, residual;

  Case() = default;
  Case(const Case&) = delete;  // layer.weights points into weights
  Case& operator=(const Case&) = delete;

  int64_t outputs() const;  // elements of y
  size_t y_bytes() const { return static_cast<size_t>(outputs()) * layer.output.element_size(); }
  Input input() const { return {x.data(), n, h, w}; }
};

// Activations of `bits` bits: unsigned with zero point 0, or around 128 where `is_signed`.
void set_range(Layer& layer, int bits, bool is_signed);

// Weights, bias, factors, pictures and residual for the geometry, bits, sizes and output kind that are set: random, and
// every now and then extreme.
void fill(Case& c, Random& random);

// One line, enough to build the case again.
std::string describe(const Case& c);

}  // namespace dqmq::test
