// 8-bit dot products: sdot multiplies four codes with four weights in each of 4 lanes, and adds all of it in 32 bits.
//
// A register holds four steps' codes of a position; sdot picks those of one step by itself. So 16 bytes of codes are
// loaded for every 16 codes, and nothing is broadcast: four steps of 5 x 4 vectors take 80 multiplications for 21 loads.
#include <arm_neon.h>

#include "../neon/broadcast.h"
#include "kernels.h"

#if defined(__GNUC__) && !defined(__clang__)
// GCC would move so many loads ahead that sums no longer fit the registers.
#pragma GCC optimize("no-schedule-insns")
#endif

namespace dqmq::dotprod {
namespace {

// One step, of those whose codes are in `x`.
template <int step, int vectors, int rows>
inline __attribute__((always_inline)) const uint8_t* dot_step(const uint8_t* weights, const int8x16_t (&x)[rows],
                                                              int32x4_t (&sums)[rows][vectors]) {
#pragma GCC unroll 4
  for (int v = 0; v < vectors; ++v) {
    const int8x16_t w = vld1q_s8(reinterpret_cast<const int8_t*>(weights) + 16 * v);
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) sums[r][v] = vdotq_laneq_s32(sums[r][v], w, x[r], step);
  }
  return weights + 16 * vectors;
}

template <int vectors, int rows>
void dot_exactly(const Tile& tile) {
  int32x4_t sums[rows][vectors];
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) sums[r][v] = vdupq_n_s32(0);
  }
  const uint8_t* weights = tile.weights;
  for (int64_t segment = 0; segment < tile.segment_count; ++segment) {
    const uint8_t* x[rows];
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) x[r] = tile.positions[r] + tile.segments[segment];
    const int64_t end = 4 * tile.steps;
    int64_t at = 0;
    int8x16_t codes[rows];
    for (; at + 16 <= end; at += 16) {
#pragma GCC unroll 16
      for (int r = 0; r < rows; ++r) codes[r] = vld1q_s8(reinterpret_cast<const int8_t*>(x[r]) + at);
      weights = dot_step<0>(weights, codes, sums);
      weights = dot_step<1>(weights, codes, sums);
      weights = dot_step<2>(weights, codes, sums);
      weights = dot_step<3>(weights, codes, sums);
    }
    for (; at < end; at += 4) {
#pragma GCC unroll 16
      for (int r = 0; r < rows; ++r) codes[r] = neon::broadcast(x[r] + at);
      weights = dot_step<0>(weights, codes, sums);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) vst1q_s32(tile.sums + (r * vectors + v) * 4, sums[r][v]);
  }
}

// `vectors` of 4 channels, up to `rows` positions.
template <int vectors, int rows>
void dot(int count, const Tile& tile) {
  if (count == rows) return dot_exactly<vectors, rows>(tile);
  if constexpr (rows > 1) dot<vectors, rows - 1>(count, tile);
}

}  // namespace

// Speeds are estimates like those of NEON's kernels: two sdot a cycle, less what else the loop does.
const TileKernel kTiles[] = {
    {"sdot 16", Encoding::kSigned, 5, 16, 0, kAnyProduct, nullptr, 28, dot<4, 5>},
    {"sdot 8", Encoding::kSigned, 8, 8, 0, kAnyProduct, nullptr, 27, dot<2, 8>},
};
const int kTileCount = sizeof(kTiles) / sizeof(kTiles[0]);

}  // namespace dqmq::dotprod
