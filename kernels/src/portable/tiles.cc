#include "kernels.h"

namespace dqmq::portable {
namespace {

constexpr int kRows = 4, kLanes = 16, kDepthwiseLanes = 16;

// Two bytes of activations times two of weights at a time: what compilers turn into the multiply-add of any SIMD.
void dot(int rows, const Tile& tile) {
  for (int row = 0; row < rows; ++row) {
    uint32_t sums[kLanes] = {};
    const uint8_t* weights = tile.weights;
    for (int64_t segment = 0; segment < tile.segment_count; ++segment) {
      const uint8_t* x = tile.positions[row] + tile.segments[segment];
      for (int64_t step = 0; step < tile.steps; ++step, x += 4, weights += 4 * kLanes) {
        const int8_t* w = reinterpret_cast<const int8_t*>(weights);
        for (int lane = 0; lane < kLanes; ++lane) {
          sums[lane] += static_cast<uint32_t>(x[0] * w[4 * lane] + x[1] * w[4 * lane + 1] + x[2] * w[4 * lane + 2] +
                                              x[3] * w[4 * lane + 3]);
        }
      }
    }
    for (int lane = 0; lane < kLanes; ++lane) tile.sums[row * kLanes + lane] = static_cast<int32_t>(sums[lane]);
  }
}

void depthwise(int rows, const Tile& tile) {
  for (int row = 0; row < rows; ++row) {
    uint32_t sums[kDepthwiseLanes] = {};
    const int8_t* weights = reinterpret_cast<const int8_t*>(tile.weights);
    for (int64_t tap = 0; tap < tile.segment_count; ++tap) {
      const uint8_t* x = tile.positions[row] + tile.segments[tap];
      const int8_t* w = weights + tap / 4 * 4 * kDepthwiseLanes + tap % 4;
      for (int lane = 0; lane < kDepthwiseLanes; ++lane) sums[lane] += static_cast<uint32_t>(x[lane] * w[4 * lane]);
    }
    for (int lane = 0; lane < kDepthwiseLanes; ++lane) tile.sums[row * kDepthwiseLanes + lane] = static_cast<int32_t>(sums[lane]);
  }
}

}  // namespace

const TileKernel kDot{"dot", Encoding::kBytes, kRows, kLanes, 0, kAnyProduct, nullptr, 2, dot};
const TileKernel kDepthwise{"depthwise", Encoding::kDepthwise, kRows, kDepthwiseLanes, 0, kAnyProduct, nullptr, 1,
                            depthwise};

}  // namespace dqmq::portable
