#include "conv.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

#include "depthwise_conv.h"
#include "kernel_set.h"
#include "planes_conv.h"
#include "reference/conv.h"
#include "tiled_conv.h"

namespace dqmq {
namespace {

// Pictures may grow by padding to 16 times what they are, small ones to 64 MiB: no network comes near, and a hostile
// one gets no more memory out of a call than it puts in.
constexpr double kMostGrowth = 16, kAlwaysPadded = 1 << 26;
constexpr int64_t kMostSize = 0x7fffffff;

}  // namespace

void check(const Geometry& g, const Input& x) {
  for (int64_t size : {x.n, x.h, x.w}) {
    if (size >= 0 && size <= kMostSize) continue;
    throw std::invalid_argument("expected pictures of sizes from 0 to " + std::to_string(kMostSize) + ", got " +
                                std::to_string(size));
  }
  const auto area = [](int64_t h, int64_t w) { return static_cast<double>(h) * static_cast<double>(w); };
  const double pixel = static_cast<double>(g.in_channels), bytes = area(x.h, x.w) * pixel;
  const double padded = area(x.h + g.pad_top + g.pad_bottom, x.w + g.pad_left + g.pad_right) * pixel;
  if (padded > std::max(kAlwaysPadded, kMostGrowth * bytes)) {
    throw std::invalid_argument("expected padding that makes pictures at most 16 times as large, got " +
                                std::to_string(padded / std::max(1.0, bytes)) + " times");
  }
}

std::unique_ptr<Conv> Conv::make(const Layer& layer, Isa isa) {
  check(layer);
  if (isa == Isa::kReference) return make_reference(layer);
  const KernelSet& set = kernel_set(isa);
  if (is_depthwise(set, layer)) return make_depthwise(layer, set);
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
