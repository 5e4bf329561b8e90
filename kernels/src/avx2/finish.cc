// The formulas of layer.h for 8 sums at a time; 32 where codes fill a register.
#include <immintrin.h>

#include "kernels.h"

namespace dqmq::avx2 {
namespace {

struct Requantize {
  explicit Requantize(const Finish& f)
      : finish(f),
        shift(_mm_cvtsi32_si128(f.shift)),
        zero_point(_mm256_set1_epi32(f.zero_point)),
        highest(_mm256_set1_ps(static_cast<float>(255 - f.zero_point))),
        own_ratio(_mm256_set1_ps(f.own_ratio)),
        residual_ratio(_mm256_set1_ps(f.residual_ratio)),
        offset(_mm256_set1_ps(f.offset)) {}

  // Of channels c .. c + 7.
  inline __attribute__((always_inline)) __m256 scaled(const int32_t* sums, int c) const {
    const __m256i bias = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(finish.bias + c));
    const __m256i acc = _mm256_add_epi32(
        _mm256_sll_epi32(_mm256_load_si256(reinterpret_cast<const __m256i*>(sums + c)), shift), bias);
    return _mm256_mul_ps(_mm256_cvtepi32_ps(acc), _mm256_loadu_ps(finish.factor + c));
  }

  // Clamped above before rounding, since what is too large for int32 becomes the lowest one; that one, and what is too
  // small, ends at 0 as it should. vminps gives its second operand where one is no number, which ends at 0 too.
  inline __attribute__((always_inline)) __m256i codes(const int32_t* sums, int c) const {
    const __m256i rounded = _mm256_cvtps_epi32(_mm256_min_ps(highest, scaled(sums, c)));
    return _mm256_max_epi32(_mm256_add_epi32(rounded, zero_point), _mm256_setzero_si256());
  }

  inline __attribute__((always_inline)) __m256i with_residual(__m256i own, __m128i residual) const {
    const __m256 other = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(residual));
    const __m256 inner = _mm256_fmadd_ps(other, residual_ratio, offset);
    const __m256 total = _mm256_fmadd_ps(_mm256_cvtepi32_ps(own), own_ratio, inner);
    const __m256i rounded = _mm256_cvtps_epi32(_mm256_min_ps(_mm256_set1_ps(255.0f), total));
    return _mm256_max_epi32(rounded, _mm256_setzero_si256());
  }

  Finish finish;
  __m128i shift;
  __m256i zero_point;
  __m256 highest, own_ratio, residual_ratio, offset;
};

// 8 codes as bytes.
inline __attribute__((always_inline)) __m128i pack(__m256i codes) {
  const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(codes), _mm256_extracti128_si256(codes, 1));
  return _mm_packus_epi16(words, words);
}

// 4 x 8 codes as bytes, in order.
inline __attribute__((always_inline)) __m256i pack(const __m256i (&codes)[4]) {
  const __m256i bytes =
      _mm256_packus_epi16(_mm256_packus_epi32(codes[0], codes[1]), _mm256_packus_epi32(codes[2], codes[3]));
  return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

// Codes c .. c + 7 of a row; `adds`: with 8 codes at `residual`.
template <bool adds>
inline __attribute__((always_inline)) __m256i eight(const Requantize& requantize, const int32_t* sums, int c,
                                                    const uint8_t* residual) {
  const __m256i own = requantize.codes(sums, c);
  if constexpr (!adds) return own;
  return requantize.with_residual(own, _mm_loadl_epi64(reinterpret_cast<const __m128i*>(residual)));
}

template <bool adds>
void finish_codes(const Requantize& requantize, const int32_t* sums, int lanes, int rows, int channels,
                  const uint8_t* residual, uint8_t* y, int64_t pitch) {
  for (int row = 0; row < rows; ++row, sums += lanes, y += pitch, residual += adds ? pitch : 0) {
    int c = 0;
    for (; c + 32 <= channels; c += 32) {
      __m256i codes[4];
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v) {
        const int at = c + 8 * v;
        codes[v] = eight<adds>(requantize, sums, at, adds ? residual + at : nullptr);
      }
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(y + c), pack(codes));
    }
    for (; c + 8 <= channels; c += 8) {
      const __m256i last = eight<adds>(requantize, sums, c, adds ? residual + c : nullptr);
      _mm_storel_epi64(reinterpret_cast<__m128i*>(y + c), pack(last));
    }
    if (c == channels) continue;
    // what is left goes through memory of our own: sums, bias and factor are padded, codes are not
    alignas(8) uint8_t codes[8], others[8] = {};
    if constexpr (adds) {
      for (int i = 0; i < channels - c; ++i) others[i] = residual[c + i];
    }
    _mm_storel_epi64(reinterpret_cast<__m128i*>(codes), pack(eight<adds>(requantize, sums, c, others)));
    for (int i = 0; i < channels - c; ++i) y[c + i] = codes[i];
  }
}

void finish_numbers(const Requantize& requantize, const int32_t* sums, int lanes, int rows, int channels, float* y,
                    int64_t pitch) {
  for (int row = 0; row < rows; ++row, sums += lanes, y += pitch) {
    int c = 0;
    for (; c + 8 <= channels; c += 8) _mm256_storeu_ps(y + c, requantize.scaled(sums, c));
    if (c == channels) continue;
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i exists = _mm256_cmpgt_epi32(_mm256_set1_epi32(channels - c), lane);
    _mm256_maskstore_ps(y + c, exists, requantize.scaled(sums, c));
  }
}

}  // namespace

void finish(const Finish& f, const int32_t* sums, int lanes, int rows, int channels, const uint8_t* residual, void* y,
            int64_t pitch) {
  const Requantize requantize(f);
  switch (f.kind) {
    case OutputKind::kCodes:
      return finish_codes<false>(requantize, sums, lanes, rows, channels, residual, static_cast<uint8_t*>(y), pitch);
    case OutputKind::kResidual:
      return finish_codes<true>(requantize, sums, lanes, rows, channels, residual, static_cast<uint8_t*>(y), pitch);
    case OutputKind::kNumbers:
      return finish_numbers(requantize, sums, lanes, rows, channels, static_cast<float*>(y), pitch);
  }
}

}  // namespace dqmq::avx2
