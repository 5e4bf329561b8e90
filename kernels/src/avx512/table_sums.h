// From the byte sums of a table's runs to codes or to sums in 32 bits.
#pragma once

#include <immintrin.h>

#include "kernels.h"
#include "requantize.h"
#include "widening.h"

namespace dqmq::avx512 {
namespace {

// so many runs of at most 255 stay below 2^15; longer sums move on to 32 bits
constexpr int64_t kWordRuns = 128;

// Of each dword byte k belongs to channel 16 * k and on (kLaneOrder): even words are bytes 0 and 2, odd ones 1 and 3.
template <int count>
void flush(Widening<count>& wide, int32_t* sums, bool adds) {
  const __m512i lower = _mm512_set1_epi32(0xffff);
  for (int i = 0; i < count; ++i, sums += 64) {
    const Words words = wide.total(i);
    __m512i four[4] = {_mm512_and_si512(words.even, lower), _mm512_and_si512(words.odd, lower),
                       _mm512_srli_epi32(words.even, 16), _mm512_srli_epi32(words.odd, 16)};
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
      if (adds) four[k] = _mm512_add_epi32(four[k], _mm512_load_si512(sums + 16 * k));
      _mm512_store_si512(sums + 16 * k, four[k]);
    }
  }
  wide.clear();
}

// Codes straight from words: vpdpwssd takes one word of each pair, times 2^shift, to the bias.
template <bool adds, int vectors, int rows>
void finish_words(const Widening<rows * vectors>& wide, const Tile& tile) {
  const Finish& f = *tile.finish;
  const Requantize<true, false> requantize(f);
  const __m512i low = _mm512_set1_epi32(1 << f.shift), high = _mm512_set1_epi32(1 << (16 + f.shift));
  for (int row = 0; row < rows; ++row) {
    for (int v = 0; v < vectors; ++v) {
      const Words words = wide.total(row * vectors + v);
      const int32_t* bias = f.bias + 64 * v;
      const __m512i acc[4] = {_mm512_dpwssd_epi32(_mm512_loadu_si512(bias), words.even, low),
                              _mm512_dpwssd_epi32(_mm512_loadu_si512(bias + 16), words.odd, low),
                              _mm512_dpwssd_epi32(_mm512_loadu_si512(bias + 32), words.even, high),
                              _mm512_dpwssd_epi32(_mm512_loadu_si512(bias + 48), words.odd, high)};
      __m512i rounded[4];
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) {
        const __m512 factor = _mm512_loadu_ps(f.factor + 64 * v + 16 * k);
        rounded[k] = requantize.rounded(_mm512_mul_ps(_mm512_cvtepi32_ps(acc[k]), factor));
      }
      const int64_t at = row * tile.pitch + 64 * v;
      __m512i codes = in_order(requantize.packed(rounded));
      if constexpr (adds) codes = requantize.with_residual(codes, _mm512_loadu_si512(tile.residual + at));
      _mm512_storeu_si512(tile.y + at, codes);
    }
  }
}

// What a tile gives, once all runs are collected; `flushed`: some of them are in tile.sums already.
template <int vectors, int rows>
inline __attribute__((always_inline)) void finish_tile(Widening<rows * vectors>& wide, const Tile& tile, bool flushed) {
  if (tile.finish == nullptr || flushed) {
    flush(wide, tile.sums, flushed);
    if (tile.finish != nullptr) {
      finish(*tile.finish, tile.sums, 64 * vectors, rows, 64 * vectors, tile.residual, tile.y, tile.pitch);
    }
  } else if (tile.residual != nullptr) {
    finish_words<true, vectors, rows>(wide, tile);
  } else {
    finish_words<false, vectors, rows>(wide, tile);
  }
}

}  // namespace
}  // namespace dqmq::avx512
