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
// Lines of two are slower than planes.
constexpr int64_t kLongLine = 3;

// Ways to compute a layer between which the size of its maps decides. Planes compute 64 positions of a picture in the
// time of one: on maps of fewer a tile is faster. Tiles along rows need rows that divide into long lines. How large
// maps are is known with the first call; only then the weights are packed for a way that is not the likeliest, too.
class ByMap final : public Conv {
 public:
  // Of `tiles`, and of `rows` if not null; costs are those of a position.
  struct Kernel {
    const TileKernel* kernel;
    double cost;
  };

  ByMap(const Layer& layer, const KernelSet& set, Kernel tiles, Kernel rows, double planes_cost)
      : layer_(layer), weights_(layer.weights, layer.weights + layer.weights_size), set_(set),
        tiles_{tiles.kernel, tiles.cost}, rows_{rows.kernel, rows.cost}, planes_{nullptr, planes_cost} {
    layer_.weights = weights_.data();
    conv(likeliest());
  }

  std::string path() const override { return conv(likeliest()).path(); }

  void run(const Input& x, const uint8_t* residual, void* y, const Parallel& parallel) const override {
    check(layer_.geometry, x);
    const int64_t out_w = layer_.geometry.out_w(x.w), positions = layer_.geometry.out_h(x.h) * out_w;
    const double computed = static_cast<double>(ceil_div(positions, kBlockPositions) * kBlockPositions);
    const Way* way = &tiles_;
    double least = tiles_.cost * static_cast<double>(positions);
    if (planes_.cost * computed <= least) least = planes_.cost * computed, way = &planes_;
    const bool has_lines = rows_.kernel != nullptr && line_of(out_w) >= kLongLine;
    if (has_lines && rows_.cost * static_cast<double>(positions) < least) way = &rows_;
    conv(*way).run(x, residual, y, parallel);
  }

 private:
  struct Way {
    const TileKernel* kernel;  // null: planes
    double cost;
    mutable std::once_flag is_made{};
    mutable std::unique_ptr<Conv> conv{};
  };

  const Way& likeliest() const { return rows_.kernel != nullptr && rows_.cost < planes_.cost ? rows_ : planes_; }

  const Conv& conv(const Way& way) const {
    std::call_once(way.is_made, [&] {
      way.conv = way.kernel == nullptr ? make_planes(layer_, set_) : make_tiled(layer_, set_, *way.kernel);
    });
    return *way.conv;
  }

  Layer layer_;
  std::vector<uint8_t> weights_;
  const KernelSet& set_;
  Way tiles_, rows_, planes_;
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
  constexpr double kNone = std::numeric_limits<double>::infinity();
  ByMap::Kernel tiles{nullptr, kNone}, rows{nullptr, kNone};
  for (const TileKernel& kernel : set.tiles) {
    const double cost = tile_cost(kernel, layer);
    ByMap::Kernel& best = kernel.along_rows ? rows : tiles;
    if (cost < best.cost) best = {&kernel, cost};
  }
  const double planes = set.planes != nullptr ? planes_cost(*set.planes, layer) : kNone;
  if (planes < tiles.cost && tiles.kernel == nullptr) return make_planes(layer, set);
  if (planes < tiles.cost) return std::make_unique<ByMap>(layer, set, tiles, rows, planes);
  if (rows.cost < tiles.cost) return make_tiled(layer, set, *rows.kernel);
  if (tiles.kernel == nullptr) return make_reference(layer);
  return make_tiled(layer, set, *tiles.kernel);
}

}  // namespace dqmq
