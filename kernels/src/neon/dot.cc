// 8-bit dot products without instructions for them: smull multiplies eight codes with eight weights, sadalp adds each two
// products to 32 bits. Each takes a pipe of its own, eight multiply-accumulates a cycle, and nothing can overflow.
//
// A register of weights is four channels of four codes; its halves take a product and a sum each, whose two elements a
// channel are added up at the end. 3 x 4 vectors take 24 registers for sums.
#include <arm_neon.h>

#include "broadcast.h"
#include "tiles.h"

#if defined(__GNUC__) && !defined(__clang__)
// GCC would move so many products ahead that sums no longer fit the registers.
#pragma GCC optimize("no-schedule-insns")
#endif

namespace dqmq::neon {
namespace {

template <int vectors, int rows>
void dot_exactly(const Tile& tile) {
  int32x4_t low[rows][vectors], high[rows][vectors];
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) low[r][v] = high[r][v] = vdupq_n_s32(0);
  }
  const uint8_t* weights = tile.weights;
  for (int64_t segment = 0; segment < tile.segment_count; ++segment) {
    const uint8_t* x[rows];
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) x[r] = tile.positions[r] + tile.segments[segment];
    for (int64_t at = 0; at < 4 * tile.steps; at += 4, weights += vectors * 16) {
      int8x16_t w[vectors];
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) w[v] = vld1q_s8(reinterpret_cast<const int8_t*>(weights) + 16 * v);
#pragma GCC unroll 8
      for (int r = 0; r < rows; ++r) {
        const int8x16_t codes = broadcast(x[r] + at);
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) {
          low[r][v] = vpadalq_s16(low[r][v], vmull_s8(vget_low_s8(codes), vget_low_s8(w[v])));
          high[r][v] = vpadalq_s16(high[r][v], vmull_high_s8(codes, w[v]));
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) vst1q_s32(tile.sums + (r * vectors + v) * 4, vpaddq_s32(low[r][v], high[r][v]));
  }
}

}  // namespace

template <int vectors, int rows>
void dot(int count, const Tile& tile) {
  if (count == rows) return dot_exactly<vectors, rows>(tile);
  if constexpr (rows > 1) dot<vectors, rows - 1>(count, tile);
}

template void dot<4, 3>(int, const Tile&);
template void dot<2, 6>(int, const Tile&);

}  // namespace dqmq::neon
