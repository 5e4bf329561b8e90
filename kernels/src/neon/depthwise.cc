// Depthwise convolution: products of two taps add up in 16 bits before they move to 32.
//
// Two products of bytes do not fit there: twice -128 * -128 is one too many. One product less another fits always. So the
// code x of a pair's first tap is multiplied as x - 128, that of its second as 127 - x, and
//
//     (x0 - 128) * w0 - (127 - x1) * w1  =  x0 * w0 + x1 * w1 - 128 * w0 - 127 * w1
//
// where the last two terms depend on weights only: sums begin with what makes up for them.
#include <arm_neon.h>

#include "tiles.h"

#if defined(__GNUC__) && !defined(__clang__)
// GCC would move so many loads ahead that sums no longer fit the registers.
#pragma GCC optimize("no-schedule-insns")
#endif

namespace dqmq::neon {
namespace {

constexpr int kChunkPairs = 6;  // taps worked on together: their weights stay in 12 registers for all positions

// 16 channels.
struct Sums {
  int32x4_t parts[4];
};

inline __attribute__((always_inline)) void add(Sums& sums, int16x8_t low, int16x8_t high) {
  sums.parts[0] = vaddw_s16(sums.parts[0], vget_low_s16(low));
  sums.parts[1] = vaddw_high_s16(sums.parts[1], low);
  sums.parts[2] = vaddw_s16(sums.parts[2], vget_low_s16(high));
  sums.parts[3] = vaddw_high_s16(sums.parts[3], high);
}

// 128 * w0 + 127 * w1 over all pairs.
template <int pairs>
inline __attribute__((always_inline)) Sums beginning(const int8x16_t (&weights)[2 * kChunkPairs]) {
  int16x8_t all[2] = {vdupq_n_s16(0), vdupq_n_s16(0)}, second[2] = {all[0], all[1]};
#pragma GCC unroll 8
  for (int pair = 0; pair < pairs; ++pair) {
    const int8x16_t w0 = weights[2 * pair], w1 = weights[2 * pair + 1];
    all[0] = vaddq_s16(all[0], vaddl_s8(vget_low_s8(w0), vget_low_s8(w1)));
    all[1] = vaddq_s16(all[1], vaddl_high_s8(w0, w1));
    second[0] = vaddw_s8(second[0], vget_low_s8(w1));
    second[1] = vaddw_high_s8(second[1], w1);
  }
  Sums sums;
  for (int half = 0; half < 2; ++half) {
    sums.parts[2 * half] = vsubw_s16(vshll_n_s16(vget_low_s16(all[half]), 7), vget_low_s16(second[half]));
    sums.parts[2 * half + 1] = vsubw_high_s16(vshll_high_n_s16(all[half], 7), second[half]);
  }
  return sums;
}

// 16 channels from `channel` on, over `pairs` pairs of taps from `first` on.
template <int pairs>
void chunk_exactly(int count, const Tile& tile, int lanes, int channel, int64_t first,
                   const int8x16_t (&weights)[2 * kChunkPairs]) {
  const Sums start = beginning<pairs>(weights);
  const int64_t* segments = tile.segments + first;
  for (int r = 0; r < count; ++r) {
    const uint8_t* x = tile.positions[r] + channel;
    Sums sums = start;
#pragma GCC unroll 8
    for (int pair = 0; pair < pairs; ++pair) {
      const int8x16_t w0 = weights[2 * pair], w1 = weights[2 * pair + 1];
      const int8x16_t x0 = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(x + segments[2 * pair]), vdupq_n_u8(0x80)));
      const int8x16_t x1 = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(x + segments[2 * pair + 1]), vdupq_n_u8(0x7f)));
      add(sums, vmlsl_s8(vmull_s8(vget_low_s8(x0), vget_low_s8(w0)), vget_low_s8(x1), vget_low_s8(w1)),
          vmlsl_high_s8(vmull_high_s8(x0, w0), x1, w1));
    }
    int32_t* to = tile.sums + r * lanes + channel;
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      vst1q_s32(to + 4 * i, first == 0 ? sums.parts[i] : vaddq_s32(sums.parts[i], vld1q_s32(to + 4 * i)));
    }
  }
}

template <int pairs>
inline __attribute__((always_inline)) void chunk(int wanted, int count, const Tile& tile, int lanes, int channel,
                                                 int64_t first, const int8x16_t (&weights)[2 * kChunkPairs]) {
  if (wanted == pairs) return chunk_exactly<pairs>(count, tile, lanes, channel, first, weights);
  if constexpr (pairs > 1) chunk<pairs - 1>(wanted, count, tile, lanes, channel, first, weights);
}

inline __attribute__((always_inline)) bool is_zero(int8x16_t a, int8x16_t b) {
  return vmaxvq_u8(vreinterpretq_u8_s8(vorrq_s8(a, b))) == 0;
}

}  // namespace

template <int vectors>
void depthwise(int count, const Tile& tile) {
  constexpr int kLanes = 16 * vectors;
  for (int64_t first = 0; first < tile.segment_count; first += 2 * kChunkPairs) {
    for (int channel = 0; channel < kLanes; channel += 16) {
      int8x16_t weights[2 * kChunkPairs];
      int pairs = 0;
      for (int64_t tap = first; tap < tile.segment_count && pairs < kChunkPairs; tap += 4, pairs += 2) {
        // from [channel][4 taps] to a register each tap
        const int8x16x4_t four = vld4q_s8(reinterpret_cast<const int8_t*>(tile.weights) + tap * kLanes + channel * 4);
        for (int i = 0; i < 4; ++i) weights[2 * pairs + i] = four.val[i];
      }
      // what taps were filled up with
      if (is_zero(weights[2 * pairs - 2], weights[2 * pairs - 1])) --pairs;
      chunk<kChunkPairs>(pairs, count, tile, kLanes, channel, first, weights);
    }
  }
}

template void depthwise<4>(int, const Tile&);
template void depthwise<2>(int, const Tile&);
template void depthwise<1>(int, const Tile&);

}  // namespace dqmq::neon
