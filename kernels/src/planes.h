// 2-bit convolutions whose lanes are output positions: for layers with few output channels.
//
// The roles of the table turn around: a vector holds the activation indices of 64 neighbouring positions, and a weight
// triple picks the row. The input is split into planes, one byte a position, each byte three activations:
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

constexpr int kPlanePositions = 128, kPlaneChannels = 16;

struct PlanesTile {
  const uint8_t* planes;   // of the first position
  const int64_t* steps;    // [step_count], byte offsets of the positions' bytes
  int64_t step_count;
  const uint16_t* weights; // [step_count][kPlaneChannels], byte offsets of table rows
  uint16_t* sums;          // [kPlaneChannels][kPlanePositions], 64-byte aligned
};

struct PlanesFinish {
  OutputKind kind;
  int shift;
  const int32_t* bias;  // [kPlaneChannels]
  const float* factor;  // [kPlaneChannels]
  int32_t zero_point;
  float own_ratio, residual_ratio, offset;
};

struct PlanesKernel {
  double speed;  // multiply-accumulates a cycle, roughly

  // One row of codes [pixels][channels] into rows of indices: out[c * pitch + pixel] = clamp(x) - x_min.
  void (*split)(const uint8_t* x, int64_t pixels, int64_t channels, uint8_t x_min, uint8_t x_max, uint8_t* out,
                int64_t pitch);

  // out[i] = a[i * stride] | b[i * stride] << 2 | c[i * stride] << 4
  void (*join)(const uint8_t* a, const uint8_t* b, const uint8_t* c, int64_t stride, int64_t count, uint8_t* out);

  // sums of table entries, modulo 2^16. Reads kPlanePositions bytes at every step.
  void (*run)(const PlanesTile& tile);

  // y[position * pitch + c] for position < positions <= kPlanePositions, c < channels <= kPlaneChannels, codes only;
  // `residual` is laid out as y.
  void (*finish)(const PlanesFinish& finish, const uint16_t* sums, int positions, int channels,
                 const uint8_t* residual, uint8_t* y, int64_t pitch);
};

}  // namespace dqmq
