// 2-bit convolutions whose lanes are output positions: for layers with few output channels.
//
// The roles of the table (table.h) turn around: a vector holds the activation indices of 64 neighbouring positions, and
// a triple of weights picks the row. The input is split into planes, one byte a position, each byte three activations:
//
//     kernel_w = 3    plane of channel c:              x[ox], x[ox + 1], x[ox + 2] of c      (the taps of a kernel row)
//     otherwise       plane of channels u, u+G, u+2G:  one column of the kernel, G = ceil(channels / 3)
//
// A plane holds rows as wide as the output, so that positions stay neighbours across rows: 64 positions of a 32-wide
// map are two rows of it. With a vertical stride, the rows of each phase (row mod stride) lie together.
#pragma once

#include <cstdint>

#include "layer.h"

namespace dqmq {

constexpr int kBlockPositions = 64, kMostBlocks = 2, kPlaneChannels = 16;

// Sums of up to two blocks of 64 positions: [kPlaneChannels][kMostBlocks][32 even positions, then 32 odd ones].
struct PlaneSums {
  alignas(64) uint16_t words[kPlaneChannels][kMostBlocks][2][kBlockPositions / 2];
};

struct PlanesTile {
  const uint8_t* planes;    // of the first position
  const int64_t* steps;     // [step_count], byte offsets from there to the positions of each step
  int64_t step_count;
  int64_t run_steps;        // see tile.h; a multiple of 4
  const uint16_t* weights;  // [step_count][kPlaneChannels], byte offsets of table rows
  const uint8_t* starts;    // [ceil(step_count / run_steps)][kPlaneChannels]
};

// out[i] = t0 | t1 << 2 | t2 << 4, i < count, where tk = from[k][i * stride] if bit i of inside[k] is set, else padding.
struct PlanesJoin {
  const uint8_t* from[3];
  const uint64_t* inside[3];  // [ceil(count / 64)]
  uint8_t padding;
  int64_t stride, count;      // stride 1 or 2
};

struct Finish;

struct PlanesKernel {
  double speed;   // multiply-accumulates a cycle, roughly
  int table_row;  // bytes of a table row

  // Codes [pixels][channels] to rows of indices: out[c * pitch + pixel] = clamp(x) - x_min. Writes whole blocks of 64.
  void (*split)(const uint8_t* x, int64_t pixels, int64_t channels, uint8_t x_min, uint8_t x_max, uint8_t* out,
                int64_t pitch);

  // A plane's bytes from three such rows.
  void (*join)(const PlanesJoin& join, uint8_t* out);

  // Sums of all steps, below 2^15, of `blocks` blocks. Reads 64 bytes a block at every step.
  void (*run)(const PlanesTile& tile, int blocks, PlaneSums& sums);

  // y[position * pitch + c], c < channels <= kPlaneChannels, position < positions <= 128; codes, with or without a
  // residual, which is laid out as y.
  void (*finish)(const Finish& finish, const PlaneSums& sums, int positions, int channels, const uint8_t* residual,
                 uint8_t* y, int64_t pitch);
};

}  // namespace dqmq
