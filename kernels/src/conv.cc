#include "conv.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "arithmetic.h"
#include "depthwise_conv.h"
#include "kernel_set.h"
#include "planes.h"
#include "planes_conv.h"
#include "reference/conv.h"
#include "tiled_conv.h"

namespace dqmq {
namespace {

// Pictures may grow by padding to 16 times what they are, small ones to 64 MiB: no network comes near, and a hostile
// one gets no more memory out of a call than it puts in.
constexpr double kMostGrowth = 16, kAlwaysPadded = 1 << 26;
constexpr int64_t kMostSize = 0x7fffffff;

// Planes compute 64 positions of a picture in the time of one: on maps of fewer a tile is faster. How large maps are is
// known with the first call; only then the weights are packed for tiles, too.
class PlanesOrTiles final : public Conv {
 public:
  PlanesOrTiles(const Layer& layer, const KernelSet& set, const TileKernel& kernel, double planes_per_tile)
      : layer_(layer), weights_(layer.weights, layer.weights + layer.weights_size), set_(set), kernel_(kernel),
        planes_per_tile_(planes_per_tile), planes_(make_planes(layer, set)) {
    layer_.weights = weights_.data();
  }

  std::string path() const override { return planes_->path(); }

  void run(const Input& x, const uint8_t* residual, void* y, const Parallel& parallel) const override {
    check(layer_.geometry, x);
    const int64_t positions = layer_.geometry.out_h(x.h) * layer_.geometry.out_w(x.w);
    const double computed = static_cast<double>(ceil_div(positions, kBlockPositions) * kBlockPositions);
    const bool few = computed * planes_per_tile_ > static_cast<double>(positions);
    (few ? tiles() : *planes_).run(x, residual, y, parallel);
  }

 private:
  const Conv& tiles() const {
    std::call_once(packed_, [&] { tiles_ = make_tiled(layer_, set_, kernel_); });
    return *tiles_;
  }

  Layer layer_;
  std::vector<uint8_t> weights_;
  const KernelSet& set_;
  const TileKernel& kernel_;
  double planes_per_tile_;  // time of a position
  std::unique_ptr<Conv> planes_;
  mutable std::once_flag packed_;
  mutable std::unique_ptr<Conv> tiles_;
};

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
  const double planes = set.planes != nullptr ? planes_cost(*set.planes, layer) : least;
  if (planes < least && chosen == nullptr) return make_planes(layer, set);
  if (planes < least) return std::make_unique<PlanesOrTiles>(layer, set, *chosen, planes / least);
  if (chosen == nullptr) return make_reference(layer);
  return make_tiled(layer, set, *chosen);
}

}  // namespace dqmq
