// Depthwise convolution: four taps' bytes are interleaved, so that vpdpbusd multiplies and adds them for 16 channels.
#include <immintrin.h>

#include "tiles.h"

namespace dqmq::avx512 {
namespace {

// Bytes of four taps, channels 0..63 each, to [channel][tap]: out[v] holds channels 16v .. 16v + 15.
inline __attribute__((always_inline)) void interleave(const __m512i (&taps)[4], __m512i (&out)[4]) {
  const __m512i ab_low = _mm512_unpacklo_epi8(taps[0], taps[1]), ab_high = _mm512_unpackhi_epi8(taps[0], taps[1]);
  const __m512i cd_low = _mm512_unpacklo_epi8(taps[2], taps[3]), cd_high = _mm512_unpackhi_epi8(taps[2], taps[3]);
  out[0] = _mm512_unpacklo_epi16(ab_low, cd_low), out[1] = _mm512_unpackhi_epi16(ab_low, cd_low);
  out[2] = _mm512_unpacklo_epi16(ab_high, cd_high), out[3] = _mm512_unpackhi_epi16(ab_high, cd_high);
}

}  // namespace

template <int vectors>
void depthwise(int count, const Tile& tile) {
  // unpacking works within lanes of 128 bits: loads put the channels where they come out in order
  constexpr __mmask64 kLoaded = vectors == 4 ? ~0ull : (1ull << (16 * vectors)) - 1;
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  for (int r = 0; r < count; ++r) {
    __m512i sums[4] = {};
    const uint8_t* weights = tile.weights;
    for (int64_t tap = 0; tap < tile.segment_count; tap += 4, weights += 64 * vectors) {
      __m512i taps[4], codes[4];
      for (int i = 0; i < 4; ++i) {
        taps[i] = _mm512_permutexvar_epi32(
            order, _mm512_maskz_loadu_epi8(kLoaded, tile.positions[r] + tile.segments[tap + i]));
      }
      interleave(taps, codes);
      for (int v = 0; v < vectors; ++v) {
        sums[v] = _mm512_dpbusd_epi32(sums[v], codes[v], _mm512_load_si512(weights + 64 * v));
      }
    }
    for (int v = 0; v < vectors; ++v) _mm512_store_si512(tile.sums + (r * vectors + v) * 16, sums[v]);
  }
}

template void depthwise<4>(int, const Tile&);
template void depthwise<2>(int, const Tile&);
template void depthwise<1>(int, const Tile&);

}  // namespace dqmq::avx512
