// Convolution by tiles: encode the input once, with its padding, then run an inner loop over tiles of output positions.
#pragma once

#include <memory>

#include "conv.h"
#include "kernel_set.h"

namespace dqmq {

// Cycles that `kernel` takes for one output position of `layer`, roughly; infinity where it cannot compute the layer.
double tile_cost(const TileKernel& kernel, const Layer& layer);

// `layer` by `kernel`, one of set.tiles, whose cost is finite.
std::unique_ptr<Conv> make_tiled(const Layer& layer, const KernelSet& set, const TileKernel& kernel);

}  // namespace dqmq
