// Depthwise convolutions: every output channel sees one input channel, so lanes are channels and nothing is broadcast.
//
// Of each column of the kernel, up to four rows are interleaved: a lane gets the four bytes that one dot product of
// bytes takes. Neighbouring positions share columns, so each is interleaved once for a row of output:
//
//     input rows   a0 a1 a2 ...   b0 b1 b2 ...   c0 c1 c2 ...      (one column, channel by channel)
//     column       a0 b0 c0 0   a1 b1 c1 0   a2 b2 c2 0   ...
#pragma once

#include <cstdint>

#include "layer.h"

namespace dqmq {

constexpr int kRowGroup = 4, kMostRowGroups = 2;
constexpr int kDepthwiseLanes = 64;

struct Finish;

// A row of output, of one block of channels.
struct DepthwiseRow {
  const uint8_t* rows[kMostRowGroups * kRowGroup];  // of the kernel, at the block's first channel
  int64_t inside[kMostRowGroups * kRowGroup];       // -1, or 0 for rows outside the picture or beyond the kernel
  const uint8_t* padding;     // a pixel of the block, for what is outside
  int64_t width, pixel;       // columns of the rows, bytes from one to the next
  int64_t first_column;       // of the first output position: -pad_left
  int64_t kernel_h, row_groups, kernel_w, stride_w, dilation_w, out_w;
  uint8_t x_min, x_max;
  const uint8_t* weights;     // [row_groups][kernel_w][lanes][kRowGroup], at the top of their bytes: sums need no shift
  int channels;               // of the block, at most its lanes
};

struct DepthwiseKernel {
  // Lanes of a block for so many channels that are left: 16, 32 or 64.
  int (*lanes)(int64_t channels);

  // The lane of each channel of a block.
  int (*lane_of)(int lanes, int channel);

  // `finish` has the constants of the block's lanes, and no shift. Outputs are `pitch` elements apart, residuals laid out as they are.
  void (*run)(const DepthwiseRow& row, int lanes, const Finish& finish, const uint8_t* residual, void* y, int64_t pitch);
};

}  // namespace dqmq
