// Convolution of each channel by itself: see depthwise.h.
#pragma once

#include <memory>

#include "conv.h"
#include "kernel_set.h"

namespace dqmq {

// Whether set.depthwise is there and can compute the layer.
bool is_depthwise(const KernelSet& set, const Layer& layer);

std::unique_ptr<Conv> make_depthwise(const Layer& layer, const KernelSet& set);

}  // namespace dqmq
