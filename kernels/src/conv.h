// A layer made ready to run: weights packed for this CPU, the fastest exact way chosen.
#pragma once

#include <memory>
#include <string>

#include "isa.h"
#include "layer.h"
#include "parallel.h"

namespace dqmq {

// Pixels of one call.
struct Input {
  const uint8_t* data;  // [n, h, w, in_channels]
  int64_t n, h, w;
};

// Throws std::invalid_argument where sizes are negative, or padding makes far more of the pictures than they are.
void check(const Geometry& geometry, const Input& x);

class Conv {
 public:
  // The fastest way to compute `layer` with at most the instructions of `isa`, which this CPU must have.
  // Throws std::invalid_argument where the layer makes no sense.
  static std::unique_ptr<Conv> make(const Layer& layer, Isa isa);

  virtual ~Conv() = default;

  // y: [n, out_h, out_w, out_channels] of uint8, or of float for OutputKind::kNumbers. `residual`: codes of y's shape,
  // null for the other kinds. May be called from several threads at once. Scratch memory belongs to the thread.
  // Throws what check(geometry, x) throws.
  virtual void run(const Input& x, const uint8_t* residual, void* y, const Parallel& parallel) const = 0;

  // Instruction set and method, such as "avx512 table": what tests and benchmarks print.
  virtual std::string path() const = 0;
};

}  // namespace dqmq
