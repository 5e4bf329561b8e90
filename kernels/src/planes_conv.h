// Convolution by planes: see planes.h.
#pragma once

#include <memory>

#include "conv.h"
#include "kernel_set.h"

namespace dqmq {

// Cycles for one output position, roughly; infinity where planes cannot compute the layer.
double planes_cost(const PlanesKernel& kernel, const Layer& layer);

// `layer` by set.planes, where its cost is finite.
std::unique_ptr<Conv> make_planes(const Layer& layer, const KernelSet& set);

}  // namespace dqmq
