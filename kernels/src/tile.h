// The inner loop of a convolution: one tile of output positions times one panel of output channels.
//
// A position of the output reads the encoded input at a pointer of its own, along the same segments as every other
// position; a segment is a run of consecutive steps. A 3x3 kernel over [H, W, C] has three segments (its rows), each
// 3 x C codes long:
//
//     sums[r][c] = sum over segments s, steps t of  dot(step t at positions[r] + segments[s], weights[s][t][c])
//
// What a step is depends on the encoding; all sums are exact, modulo 2^32. Tables (table.h) divide each segment into runs
// of `run_steps` steps, the last one maybe shorter; over a run a lane's byte sum stays within 255, and is then added to
// the lane's result. Kernels `along_rows` have runs of any length instead.
//
// Depthwise, every segment is one tap, and a lane reads a byte of its own; taps come in fours, the last four filled up
// with weights of zero:
//
//     sums[r][c] = sum over segments s of  positions[r][segments[s] + c] * weights[s / 4][c][s % 4]
#pragma once

#include <cstdint>

namespace dqmq {

// How the codes of a step lie in memory, and the weights beside them.
enum class Encoding {
  kBytes,      // four codes a step, a byte each;          weights int8 [lanes][4]
  kSigned,     // four codes a step, less 128, as int8;    weights int8 [lanes][4]
  kWords,      // two codes a step, 16 bits each;          weights int8 [lanes][2]
  kPairs,      // two 2-bit codes a step: uint16, the byte offset of their row in a table; weights uint8 [lanes]
  kTriples,    // three 2-bit codes a step, likewise
  kDepthwise,  // lane c reads channel c alone: see below
};

struct EncodingFacts {
  int depth;        // codes a step
  int step_bytes;   // of the encoded input
  int lane_bytes;   // of weights, per step and lane
  bool is_table;
};

static constexpr EncodingFacts facts(Encoding encoding) {
  switch (encoding) {
    case Encoding::kBytes:
    case Encoding::kSigned: return {4, 4, 4, false};
    case Encoding::kWords: return {2, 4, 2, false};
    case Encoding::kPairs: return {2, 2, 1, true};
    case Encoding::kTriples: return {3, 2, 1, true};
    case Encoding::kDepthwise: return {1, 1, 1, false};
  }
  return {};
}

struct Finish;

struct Tile {
  const uint8_t* const* positions;  // [rows]
  const int64_t* segments;          // [segment_count], byte offsets
  int64_t segment_count;
  int64_t steps;                    // of each segment
  const uint8_t* weights;           // [segment_count][steps][lanes][lane_bytes], 64-byte aligned
  int64_t run_steps;                // tables only
  int32_t* sums;                    // [rows][lanes], 64-byte aligned

  // What a kernel that `finishes` turns sums into, if not null: codes, with or without a residual, of a tame finish and
  // for all lanes. Lane c of row r goes to y[r * pitch + c]; `residual` is laid out as y. Products then start from the
  // biases, which takes no time; so that they need no shift either, they have weights at the top of their bytes.
  const Finish* finish = nullptr;
  const uint8_t* residual = nullptr;
  uint8_t* y = nullptr;
  int64_t pitch = 0;

  // Kernels `along_rows`: positions are lines of so many neighbours, whole ones; 1: they lie anyhow. Their weights lie
  // unit by unit, each of which begins at segments[s] + an offset.
  int64_t line = 1;
  const uint32_t* offsets = nullptr;  // [segment_count][steps / 3]
  const uint32_t* runs = nullptr;     // units of each run, as many as there are; one may go on in the next segment

  // Strips only: the first of the positions, bytes from one to the next, and channels of the panel. They may be fewer
  // than lanes where pitch is as many.
  const uint8_t* x = nullptr;
  int64_t step = 0;
  int channels = 0;
};

// Of a kernel whose sums never saturate: its products are added up in 32 bits.
constexpr int kAnyProduct = 255 * 128;

struct TileKernel {
  const char* name;
  Encoding encoding;
  int rows;           // most positions a tile has
  int lanes;          // channels of a panel
  int table_row;      // bytes of a table row, 0 without a table
  int most_product;   // sums are exact while highest code x largest |weight code| is at most this
  const uint8_t* lane_order;  // [lanes], the lane that a channel of the panel has in `weights`; null: its own
  double speed;       // multiply-accumulates a cycle, roughly: decides between kernels that fit
  // 1 <= rows <= TileKernel::rows. Reads nothing beyond the last step of the last segment; depthwise, `lanes` bytes of
  // each tap.
  void (*run)(int rows, const Tile& tile);
  bool finishes = false;  // see Tile
  // For kernels three pixels wide with stride 1, one group and no dilation: the three steps of a unit of channels
  // follow each other, so that a row of the table serves the three positions that see a pixel. Units come in any order.
  bool along_rows = false;
  // The same for any number of positions at even distances, which it finishes; null: none.
  void (*strip)(int64_t count, const Tile& tile) = nullptr;
  // Along rows: a line may be of any length up to `rows`, not only as line_of says.
  bool any_line = false;
};

constexpr bool has_weights_at_top(const TileKernel& kernel) {
  return kernel.finishes && !facts(kernel.encoding).is_table;
}

// Into lines of how many positions the rows of an output divide, for kernels `along_rows`.
constexpr int64_t line_of(int64_t width) {
  for (int64_t line = 8; line > 1; --line) {
    if (width % line == 0) return line;
  }
  return 1;
}

constexpr int kRunUnit = 4;  // steps that a table kernel may unroll
constexpr int kUnitSteps = 3;  // of kernels `along_rows`: the columns of a kernel
constexpr int kMostRows = 32, kMostTileSums = 2048;  // rows; rows x lanes

}  // namespace dqmq
