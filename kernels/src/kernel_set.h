// What one instruction set contributes: inner loops and the passes before and after them.
#pragma once

#include <cstdint>
#include <vector>

#include "depthwise.h"
#include "isa.h"
#include "layer.h"
#include "planes.h"
#include "tile.h"

namespace dqmq {

// From codes [pixels][groups][channels] to encoded pixels. With `units` = ceil(channels / depth) of a table encoding,
// unit u of a group holds channels u, u + units, u + 2 * units: no shuffle is needed.
struct Encoder {
  Encoding encoding;
  int64_t groups, channels;  // channels of a group
  uint8_t x_min, x_max;
  int table_row;

  // Not inline: an inline function may be linked as whichever instruction set compiled it last.
  int64_t units() const;
  int64_t pixel_bytes() const;
};

// From sums of a tile to what the layer gives: acc = (sum << shift) + bias, then the formulas of layer.h.
struct Finish {
  OutputKind kind;
  int shift;
  const int32_t* bias;  // of the panel, padded to its lanes
  const float* factor;  // likewise
  int32_t zero_point;
  float own_ratio, residual_ratio, offset;
  bool is_tame = false;  // what is rounded is far below 2^31
};

// All but the constants.
Finish make_finish(const Output& output, int shift);

struct KernelSet {
  Isa isa;
  std::vector<TileKernel> tiles;

  // `x_step`: bytes from one pixel of x to the next, at least its channels. Writes exactly pixels * pixel_bytes().
  void (*encode)(const Encoder& encoder, const uint8_t* x, int64_t x_step, int64_t pixels, uint8_t* encoded);

  // sums [rows][lanes] to y[row * pitch + c], c < channels <= lanes; `residual` is laid out as y. Reads and writes
  // nothing else.
  void (*finish)(const Finish& finish, const int32_t* sums, int lanes, int rows, int channels, const uint8_t* residual,
                 void* y, int64_t pitch);

  // Codes of 4 bits from half a byte each to a byte, or its upper half: the inverse of `halve` in tile_weights.h.
  void (*widen)(const uint8_t* halves, int64_t count, bool at_top, uint8_t* bytes);

  const PlanesKernel* planes = nullptr;        // null: none
  const DepthwiseKernel* depthwise = nullptr;  // likewise
};

// The kernels of a level; those it has no better ones for come from the level below.
const KernelSet& kernel_set(Isa isa);

}  // namespace dqmq
