// The weights of one panel after another, as kernels read them.
#pragma once

#include <cstdint>

#include "kernel_set.h"
#include "packed.h"
#include "scratch.h"

namespace dqmq {

// Panels that are halved are widened into the thread's own memory.
class Panel {
 public:
  Panel(const KernelSet& set, const Packed& packed, bool at_top)
      : set_(set), packed_(packed), at_top_(at_top),
        wide_(packed.is_halved ? scratch(Slot::kPanel, static_cast<size_t>(packed.panel_bytes)) : nullptr) {}

  const uint8_t* at(int64_t panel) {
    const int64_t from = panel * packed_.panel_bytes;
    if (wide_ == nullptr) return packed_.data() + from;
    if (panel != widened_) set_.widen(packed_.data() + from / 2, packed_.panel_bytes, at_top_, wide_);
    widened_ = panel;
    return wide_;
  }

 private:
  const KernelSet& set_;
  const Packed& packed_;
  bool at_top_;
  uint8_t* wide_;
  int64_t widened_ = -1;
};

}  // namespace dqmq
