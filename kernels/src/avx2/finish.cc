// The formulas of layer.h for 8 sums at a time; 32 where codes fill a register.
#include <immintrin.h>

#include "kernels.h"

namespace dqmq::avx2 {
namespace {

// `tame`: nothing that is rounded leaves int32, and saturating packs do for all clamps. `shifts`: f.shift is not 0.
template <bool tame, bool shifts>
struct Requantize {
  explicit Requantize(const Finish& f)
      : bias(f.bias), factor(f.factor),
        shift(_mm_cvtsi32_si128(f.shift)),
        zero_point(_mm256_set1_epi32(f.zero_point)),
        zero_words(_mm256_set1_epi16(static_cast<short>(f.zero_point))),
        highest(_mm256_set1_ps(static_cast<float>(255 - f.zero_point))),
        own_ratio(_mm256_set1_ps(f.own_ratio)),
        residual_ratio(_mm256_set1_ps(f.residual_ratio)),
        offset(_mm256_set1_ps(f.offset)) {}

  // Of channels c .. c + 7.
  inline __attribute__((always_inline)) __m256 scaled(const int32_t* sums, int c) const {
    __m256i acc = _mm256_load_si256(reinterpret_cast<const __m256i*>(sums + c));
    if constexpr (shifts) acc = _mm256_sll_epi32(acc, shift);
    acc = _mm256_add_epi32(acc, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bias + c)));
    return _mm256_mul_ps(_mm256_cvtepi32_ps(acc), _mm256_loadu_ps(factor + c));
  }

  // Clamped above before rounding, since what is too large for int32 becomes the lowest one; that one, and what is too
  // small, ends at 0 as it should. vminps gives its second operand where one is no number, which ends at 0 too.
  inline __attribute__((always_inline)) __m256i rounded(const int32_t* sums, int c) const {
    return _mm256_cvtps_epi32(tame ? scaled(sums, c) : _mm256_min_ps(highest, scaled(sums, c)));
  }

  inline __attribute__((always_inline)) __m256i with_residual(const int32_t* sums, int c, __m128i residual) const {
    const __m256i code = _mm256_add_epi32(_mm256_cvtps_epi32(_mm256_min_ps(highest, scaled(sums, c))), zero_point);
    const __m256i own = _mm256_max_epi32(code, _mm256_setzero_si256());
    const __m256 other = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(residual));
    const __m256 inner = _mm256_fmadd_ps(other, residual_ratio, offset);
    const __m256 total = _mm256_fmadd_ps(_mm256_cvtepi32_ps(own), own_ratio, inner);
    return _mm256_cvtps_epi32(tame ? total : _mm256_min_ps(_mm256_set1_ps(255.0f), total));
  }

  const int32_t* bias;
  const float* factor;
  __m128i shift;
  __m256i zero_point, zero_words;
  __m256 highest, own_ratio, residual_ratio, offset;
};

// 8 rounded values, zero points more, as bytes.
inline __attribute__((always_inline)) __m128i pack(__m256i rounded, __m256i zero_words) {
  const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(rounded), _mm256_extracti128_si256(rounded, 1));
  const __m128i codes = _mm_adds_epi16(words, _mm256_castsi256_si128(zero_words));
  return _mm_packus_epi16(codes, codes);
}

// 4 x 8 of them, in order.
inline __attribute__((always_inline)) __m256i pack(const __m256i (&rounded)[4], __m256i zero_words) {
  const __m256i low = _mm256_adds_epi16(_mm256_packs_epi32(rounded[0], rounded[1]), zero_words);
  const __m256i high = _mm256_adds_epi16(_mm256_packs_epi32(rounded[2], rounded[3]), zero_words);
  return _mm256_permutevar8x32_epi32(_mm256_packus_epi16(low, high), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

// Channels c .. c + 7 of a row, rounded; `adds`: with 8 codes at `residual`.
template <bool adds, class Requantize>
inline __attribute__((always_inline)) __m256i eight(const Requantize& requantize, const int32_t* sums, int c,
                                                    const uint8_t* residual) {
  if constexpr (!adds) return requantize.rounded(sums, c);
  return requantize.with_residual(sums, c, _mm_loadl_epi64(reinterpret_cast<const __m128i*>(residual)));
}

// Two rows of 16 channels, which fill a register together.
template <bool adds, class Requantize>
inline __attribute__((always_inline)) void finish_two(const Requantize& requantize, const int32_t* sums, int lanes,
                                                      const uint8_t* residual, __m256i zero_words, uint8_t* y,
                                                      int64_t pitch) {
  __m256i rounded[4];
#pragma GCC unroll 4
  for (int v = 0; v < 4; ++v) {
    const int row = v / 2, at = 8 * (v % 2);
    rounded[v] = eight<adds>(requantize, sums + row * lanes, at, adds ? residual + row * pitch + at : nullptr);
  }
  const __m256i codes = pack(rounded, zero_words);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(y), _mm256_castsi256_si128(codes));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(y + pitch), _mm256_extracti128_si256(codes, 1));
}

template <bool adds, class Requantize>
void finish_codes(const Requantize& requantize, const int32_t* sums, int lanes, int rows, int channels,
                  const uint8_t* residual, uint8_t* y, int64_t pitch) {
  const __m256i zero_words = adds ? _mm256_setzero_si256() : requantize.zero_words;
  for (; channels == 16 && rows > 1; rows -= 2, sums += 2 * lanes, y += 2 * pitch, residual += adds ? 2 * pitch : 0) {
    finish_two<adds>(requantize, sums, lanes, residual, zero_words, y, pitch);
  }
  for (int row = 0; row < rows; ++row, sums += lanes, y += pitch, residual += adds ? pitch : 0) {
    int c = 0;
    for (; c + 32 <= channels; c += 32) {
      __m256i rounded[4];
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v) {
        const int at = c + 8 * v;
        rounded[v] = eight<adds>(requantize, sums, at, adds ? residual + at : nullptr);
      }
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(y + c), pack(rounded, zero_words));
    }
    for (; c + 8 <= channels; c += 8) {
      const __m256i last = eight<adds>(requantize, sums, c, adds ? residual + c : nullptr);
      _mm_storel_epi64(reinterpret_cast<__m128i*>(y + c), pack(last, zero_words));
    }
    if (c == channels) continue;
    // what is left goes through memory of our own: sums, bias and factor are padded, codes are not
    alignas(8) uint8_t codes[8], others[8] = {};
    if constexpr (adds) {
      for (int i = 0; i < channels - c; ++i) others[i] = residual[c + i];
    }
    _mm_storel_epi64(reinterpret_cast<__m128i*>(codes), pack(eight<adds>(requantize, sums, c, others), zero_words));
    for (int i = 0; i < channels - c; ++i) y[c + i] = codes[i];
  }
}

template <class Requantize>
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

template <class Requantize>
void finish_by(const Requantize& requantize, const Finish& f, const int32_t* sums, int lanes, int rows, int channels,
               const uint8_t* residual, void* y, int64_t pitch) {
  switch (f.kind) {
    case OutputKind::kCodes:
      return finish_codes<false>(requantize, sums, lanes, rows, channels, residual, static_cast<uint8_t*>(y), pitch);
    case OutputKind::kResidual:
      return finish_codes<true>(requantize, sums, lanes, rows, channels, residual, static_cast<uint8_t*>(y), pitch);
    case OutputKind::kNumbers:
      return finish_numbers(requantize, sums, lanes, rows, channels, static_cast<float*>(y), pitch);
  }
}

}  // namespace

void finish(const Finish& f, const int32_t* sums, int lanes, int rows, int channels, const uint8_t* residual, void* y,
            int64_t pitch) {
  const auto run = [&](const auto& requantize) {
    finish_by(requantize, f, sums, lanes, rows, channels, residual, y, pitch);
  };
  if (!f.is_tame) return run(Requantize<false, true>(f));
  if (f.shift != 0) return run(Requantize<true, true>(f));
  run(Requantize<true, false>(f));
}

}  // namespace dqmq::avx2
