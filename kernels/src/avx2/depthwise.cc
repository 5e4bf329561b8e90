// Depthwise convolution: the codes of two taps are interleaved as words, so that vpmaddwd multiplies and adds them for
// 8 channels, exactly for any codes.
#include <immintrin.h>

#include "tiles.h"

namespace dqmq::avx2 {
namespace {

constexpr int kChunk = 12;  // taps worked on together, so that their weights are widened once for all positions

// Two taps' words, channels 0..15 each, to [channel][tap]: channels 0..3 and 8..11, then the others.
struct Pairs {
  __m256i low, high;
};

inline __attribute__((always_inline)) Pairs interleave(__m256i a, __m256i b) {
  return {_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)};
}

inline __attribute__((always_inline)) __m256i words(const uint8_t* codes) {
  return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes)));
}

// Weights of four taps, [16 channels][4] bytes, to words as interleave() orders codes: of taps 0 and 1, then 2 and 3.
inline __attribute__((always_inline)) void widen(const uint8_t* weights, Pairs& first, Pairs& second) {
  const __m128i* from = reinterpret_cast<const __m128i*>(weights);
  // each holds four channels' words [channel][tap 0..3], the lower half two channels of them
  const __m256i a = _mm256_cvtepi8_epi16(from[0]), b = _mm256_cvtepi8_epi16(from[1]);
  const __m256i c = _mm256_cvtepi8_epi16(from[2]), d = _mm256_cvtepi8_epi16(from[3]);
  // pairs of taps are 32 bits: the first pairs of four channels to the lower half, the second to the upper
  const __m256i order = _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7);
  const __m256i e = _mm256_permutevar8x32_epi32(a, order), f = _mm256_permutevar8x32_epi32(b, order);
  const __m256i g = _mm256_permutevar8x32_epi32(c, order), h = _mm256_permutevar8x32_epi32(d, order);
  first = {_mm256_permute2x128_si256(e, g, 0x20), _mm256_permute2x128_si256(f, h, 0x20)};
  second = {_mm256_permute2x128_si256(e, g, 0x31), _mm256_permute2x128_si256(f, h, 0x31)};
}

inline __attribute__((always_inline)) bool is_zero(const Pairs& pairs) {
  const __m256i any = _mm256_or_si256(pairs.low, pairs.high);
  return _mm256_testz_si256(any, any) != 0;
}

// 16 channels from `channel` on, over taps first .. first + taps - 1.
void chunk(int count, const Tile& tile, int lanes, int channel, int64_t first, int64_t taps) {
  Pairs weights[kChunk / 2];
  for (int64_t tap = 0; tap < taps; tap += 4) {
    widen(tile.weights + ((first + tap) * lanes) + channel * 4, weights[tap / 2], weights[tap / 2 + 1]);
  }
  int64_t pairs = taps / 2;
  while (pairs > 1 && is_zero(weights[pairs - 1])) --pairs;  // what taps were filled up with
  const int64_t* segments = tile.segments + first;
  for (int r = 0; r < count; ++r) {
    const uint8_t* x = tile.positions[r] + channel;
    __m256i low = _mm256_setzero_si256(), high = _mm256_setzero_si256();
    for (int64_t pair = 0; pair < pairs; ++pair) {
      const Pairs codes = interleave(words(x + segments[2 * pair]), words(x + segments[2 * pair + 1]));
      low = _mm256_add_epi32(low, _mm256_madd_epi16(codes.low, weights[pair].low));
      high = _mm256_add_epi32(high, _mm256_madd_epi16(codes.high, weights[pair].high));
    }
    __m256i* to = reinterpret_cast<__m256i*>(tile.sums + r * lanes + channel);
    __m256i front = _mm256_permute2x128_si256(low, high, 0x20), back = _mm256_permute2x128_si256(low, high, 0x31);
    if (first > 0) front = _mm256_add_epi32(front, to[0]), back = _mm256_add_epi32(back, to[1]);
    to[0] = front, to[1] = back;
  }
}

}  // namespace

template <int vectors>
void depthwise(int count, const Tile& tile) {
  for (int64_t first = 0; first < tile.segment_count; first += kChunk) {
    const int64_t left = tile.segment_count - first, taps = left < kChunk ? left : kChunk;
    for (int v = 0; v < vectors; ++v) chunk(count, tile, 16 * vectors, 16 * v, first, taps);
  }
}

template void depthwise<4>(int, const Tile&);
template void depthwise<2>(int, const Tile&);
template void depthwise<1>(int, const Tile&);

}  // namespace dqmq::avx2
