// Weights in the order in which a kernel reads them, made once in a process however many sessions use them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "layer.h"

namespace dqmq {

// Zeros at first, on a 64-byte boundary.
class Packed {
 public:
  explicit Packed(size_t size);
  ~Packed();
  Packed(const Packed&) = delete;
  Packed& operator=(const Packed&) = delete;

  uint8_t* data() { return data_; }
  const uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

  int64_t panel_bytes = 0;   // from one panel to the next, before they are halved
  int64_t run_steps = 0;     // see tile.h
  int64_t offsets_at = 0, runs_at = 0;  // bytes from the start of a panel to what tile.h calls so; 0: none
  bool is_halved = false;    // two 4-bit codes a byte: see tile_weights.h

 private:
  uint8_t* data_;
  size_t size_;
};

// The weights of `layer` as `make` lays them out. Layers with the same weights, geometry and `layout`, a name for what
// `make` does, share one copy while any of them lives.
std::shared_ptr<const Packed> packed_weights(const Layer& layer, const std::string& layout,
                                             const std::function<std::shared_ptr<Packed>()>& make);

}  // namespace dqmq
