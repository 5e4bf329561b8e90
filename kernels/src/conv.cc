#include "conv.h"

#include <limits>
#include <stdexcept>

#include "kernel_set.h"
#include "planes_conv.h"
#include "reference/conv.h"
#include "tiled_conv.h"

namespace dqmq {

std::unique_ptr<Conv> Conv::make(const Layer& layer, Isa isa) {
  check(layer);
  if (isa == Isa::kReference) return make_reference(layer);
  const KernelSet& set = kernel_set(isa);
  const TileKernel* chosen = nullptr;
  double least = std::numeric_limits<double>::infinity();
  for (const TileKernel& kernel : set.tiles) {
    const double cost = tile_cost(kernel, layer);
    if (cost < least) least = cost, chosen = &kernel;
  }
  if (set.planes != nullptr && planes_cost(*set.planes, layer) < least) return make_planes(layer, set);
  if (chosen == nullptr) return make_reference(layer);
  return make_tiled(layer, set, *chosen);
}

}  // namespace dqmq
