// The steps that a tile kernel takes through a layer, and the layer's weights in that order.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "layer.h"
#include "packed.h"
#include "tile.h"

namespace dqmq {

// Segments and steps of a layer; see tile.h. Neighbouring taps of a kernel row lie side by side in memory where there is
// one group and no horizontal dilation: then a kernel row is one segment, else every tap is.
struct TileSteps {
  TileSteps(const Layer& layer, const TileKernel& kernel);

  bool depthwise;
  bool row_segments;
  int64_t codes;          // of a segment, before they are filled up to whole steps
  int64_t segment_count;
  int64_t steps;          // of a segment

  // Byte offsets of the segments in an encoded image that is `width` pixels of `pixel_bytes` wide: [segment_count].
  void offsets(const Geometry& geometry, int64_t width, int64_t pixel_bytes, int64_t* segments) const;
  std::vector<int64_t> segments(const Geometry& geometry, int64_t width, int64_t pixel_bytes) const;
};

// Codes of 4 bits, a byte each or `at_top` of their bytes, two to a byte. Memory holds half as much; what a kernel reads
// is widened anew for each panel, a few per cent of the work on it. `count` bytes, a multiple of 64: of each 64 the first
// 32 go to the lower halves of 32 bytes, the others to the upper ones.
void halve(const uint8_t* bytes, int64_t count, bool at_top, uint8_t* halves);

// Panels of weights, [groups][panels] of [segments][steps][lanes][lane_bytes] (depthwise [taps / 4][lanes][4]). Large
// layers of 4 bits are halved. Kernels `along_rows` have their units in an order of their own.
std::shared_ptr<Packed> pack_tiles(const Layer& layer, const TileKernel& kernel, const TileSteps& steps,
                                   const Codes& codes);

}  // namespace dqmq
