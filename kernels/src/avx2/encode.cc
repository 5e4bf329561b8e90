// Encodes codes; the last vector of a run overlaps the one before, so that nothing beyond the run is touched. And widens
// weights.
#include <immintrin.h>

#include "../each.h"
#include "../portable/kernels.h"
#include "kernels.h"

namespace dqmq::avx2 {
namespace {

inline __attribute__((always_inline)) __m128i load(const uint8_t* x) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(x));
}

void copy_clamped(const Encoder& e, const uint8_t* x, int64_t count, uint8_t* out) {
  const __m128i lowest = _mm_set1_epi8(static_cast<char>(e.x_min)), highest = _mm_set1_epi8(static_cast<char>(e.x_max));
  each(
      count,
      [&](int64_t i) {
        const __m128i codes = _mm_min_epu8(_mm_max_epu8(load(x + i), lowest), highest);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), codes);
      },
      [&](int64_t i) { out[i] = clamp(x[i], e.x_min, e.x_max); });
}

void to_words(const Encoder& e, const uint8_t* x, int64_t count, uint8_t* out) {
  const __m128i lowest = _mm_set1_epi8(static_cast<char>(e.x_min)), highest = _mm_set1_epi8(static_cast<char>(e.x_max));
  each(
      count,
      [&](int64_t i) {
        const __m128i codes = _mm_min_epu8(_mm_max_epu8(load(x + i), lowest), highest);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 2 * i), _mm256_cvtepu8_epi16(codes));
      },
      [&](int64_t i) { out[2 * i] = clamp(x[i], e.x_min, e.x_max), out[2 * i + 1] = 0; });
}

// Of one group of a pixel. A row of the table is 16 bytes: its offset is the pair's number times 16.
void to_pairs(const Encoder& e, const uint8_t* x, int64_t units, uint8_t* out) {
  const __m128i lowest = _mm_set1_epi8(static_cast<char>(e.x_min));
  const __m128i range = _mm_set1_epi8(static_cast<char>(e.x_max - e.x_min));
  const uint8_t* second = x + units;
  const int64_t full = e.channels - units;  // the last unit of an odd number of channels holds one code only
  each(
      full,
      [&](int64_t i) {
        const __m128i a = _mm_min_epu8(_mm_subs_epu8(load(x + i), lowest), range);
        const __m128i b = _mm_min_epu8(_mm_subs_epu8(load(second + i), lowest), range);
        // indices have two bits: shifts of words move nothing into a neighbour
        const __m128i offsets = _mm_or_si128(_mm_slli_epi16(a, 4), _mm_slli_epi16(b, 6));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 2 * i), _mm256_cvtepu8_epi16(offsets));
      },
      [&](int64_t i) {
        const int a = clamp(x[i], e.x_min, e.x_max) - e.x_min, b = clamp(second[i], e.x_min, e.x_max) - e.x_min;
        out[2 * i] = static_cast<uint8_t>(a << 4 | b << 6), out[2 * i + 1] = 0;
      });
  if (full < units) {
    out[2 * full] = static_cast<uint8_t>((clamp(x[full], e.x_min, e.x_max) - e.x_min) << 4), out[2 * full + 1] = 0;
  }
}

}  // namespace

void encode(const Encoder& e, const uint8_t* x, int64_t x_step, int64_t pixels, uint8_t* encoded) {
  const int64_t channels = e.groups * e.channels, bytes = e.pixel_bytes();
  if (e.encoding == Encoding::kPairs && e.table_row == 16) {
    const int64_t units = e.units();
    for (; pixels > 0; --pixels, x += x_step) {
      for (int64_t group = 0; group < e.groups; ++group, encoded += 2 * units) {
        to_pairs(e, x + group * e.channels, units, encoded);
      }
    }
  } else if (e.encoding == Encoding::kBytes || e.encoding == Encoding::kDepthwise || e.encoding == Encoding::kWords) {
    const auto run = e.encoding == Encoding::kWords ? to_words : copy_clamped;
    if (x_step == channels) return run(e, x, channels * pixels, encoded);
    for (; pixels > 0; --pixels, x += x_step, encoded += bytes) run(e, x, channels, encoded);
  } else {
    portable::encode(e, x, x_step, pixels, encoded);
  }
}

void widen(const uint8_t* halves, int64_t count, bool at_top, uint8_t* bytes) {
  if (at_top) return portable::widen(halves, count, at_top, bytes);  // no kernel of this set reads them so
  const __m256i lower = _mm256_set1_epi8(0x0f), sign = _mm256_set1_epi8(8);
  for (int64_t at = 0; at < count; at += 64, bytes += 64, halves += 32) {
    const __m256i two = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(halves));
    const __m256i fields[] = {_mm256_and_si256(two, lower), _mm256_and_si256(_mm256_srli_epi16(two, 4), lower)};
    for (int i = 0; i < 2; ++i) {
      const __m256i codes = _mm256_sub_epi8(_mm256_xor_si256(fields[i], sign), sign);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(bytes) + i, codes);
    }
  }
}

}  // namespace dqmq::avx2
