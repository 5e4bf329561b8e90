// 2-bit convolutions whose lanes are output positions: for layers with few output channels.
//
// The roles of the table (table.h) turn around: a vector holds the activation indices of 64 neighbouring positions, and
// a triple of weights picks the row. The input is split into planes of two bits a pixel. From these come columns, one
// byte a position, each byte three activations (the taps of a row of a kernel that is three wide):
//
//     column of channel c and kernel row r:  x[ox], x[ox + 1], x[ox + 2] of c, r rows further down
//
// Positions are counted through the whole output, row by row, and every 64 of them get columns of their own. Where the
// output is as wide as the input, their pixels are neighbours in memory across rows, too: 64 positions of a 32-wide map
// are two rows of it. Strides would tear them apart: such layers go other ways.
#pragma once

#include <cstdint>

#include "layer.h"
#include "tile.h"

namespace dqmq {

constexpr int kBlockPositions = 64, kMostBlocks = 2, kPlaneChannels = 16;

// Sums of up to two blocks of 64 positions: [kPlaneChannels][kMostBlocks][32 even positions, then 32 odd ones].
struct PlaneSums {
  alignas(64) uint16_t words[kPlaneChannels][kMostBlocks][2][kBlockPositions / 2];
};

struct PlanesTile {
  const uint8_t* columns;   // [step_count][blocks][64], 64-byte aligned
  int64_t step_count;       // a multiple of kRunUnit
  int64_t run_steps;        // see tile.h; likewise
  const uint16_t* weights;  // [step_count / kRunUnit][kPlaneChannels][kRunUnit], byte offsets of table rows
};

// Columns from bits: byte i of a column, i < count, is t0 | t1 << 2 | t2 << 4, where tk is the code of pixel
// first + i + k if bit i % 64 of inside[i / 64][k] is set, else padding. Its upper two bits are any: look-ups ignore
// them.
//
// The look-ups find each column on a cache line of its own, behind the one before. Both count on Zen 5: a load across two
// lines is two of them, and one whose address is loaded first comes late.
struct PlanesJoin {
  const uint8_t* bits;  // [channels][pitch], four pixels a byte; read from bits - 1 to bits + 31, of 128 to bits + 47
  int64_t channels, pitch;
  int first;            // -3 to 0
  uint64_t inside[kMostBlocks][3];
  uint8_t padding;
  int count;            // 1 to 64, or 128
  int64_t column_bytes;  // from a channel's column to the next one's
};

struct Finish;

struct PlanesKernel {
  double speed;   // multiply-accumulates a cycle, roughly
  int table_row;  // bytes of a table row

  // Codes [pixels][channels] to two bits a pixel, clamp(x) - x_min: pixel p of channel c is in out[c * pitch + p / 4],
  // from bit p % 4 * 2 on. Writes whole blocks of 16 bytes.
  void (*split)(const uint8_t* x, int64_t pixels, int64_t channels, uint8_t x_min, uint8_t x_max, uint8_t* out,
                int64_t pitch);

  // Columns from such bits.
  void (*join)(const PlanesJoin& join, uint8_t* columns);

  // Sums of all steps, below 2^15, of `blocks` blocks.
  void (*run)(const PlanesTile& tile, int blocks, PlaneSums& sums);

  // y[position * pitch + c], c < channels <= kPlaneChannels, position < positions <= 128; codes, with or without a
  // residual, which is laid out as y.
  void (*finish)(const Finish& finish, const PlaneSums& sums, int positions, int channels, const uint8_t* residual,
                 uint8_t* y, int64_t pitch);
};

}  // namespace dqmq
