#include <immintrin.h>

#include "../portable/kernels.h"
#include "kernels.h"
#include "requantize.h"

namespace dqmq::avx512 {
namespace {

__mmask64 first(int64_t bytes) { return bytes >= 64 ? ~0ull : (1ull << bytes) - 1; }

void copy_clamped(const uint8_t* x, int64_t bytes, __m512i lowest, __m512i highest, uint8_t* out) {
  for (; bytes > 0; bytes -= 64, x += 64, out += 64) {
    const __m512i codes = _mm512_maskz_loadu_epi8(first(bytes), x);
    _mm512_mask_storeu_epi8(out, first(bytes), _mm512_min_epu8(_mm512_max_epu8(codes, lowest), highest));
  }
}

// Indices 0..3 of up to 32 channels, as words.
__m512i indices(const uint8_t* x, int64_t count, __m256i lowest, __m256i range) {
  const __mmask32 mask = count <= 0 ? 0 : count >= 32 ? ~0u : (1u << count) - 1;
  const __m256i codes = _mm256_maskz_loadu_epi8(mask, x);
  return _mm512_cvtepu8_epi16(_mm256_min_epu8(_mm256_subs_epu8(codes, lowest), range));
}

void encode_triples(const Encoder& e, const uint8_t* x, int64_t units, uint8_t* encoded) {
  const __m256i lowest = _mm256_set1_epi8(static_cast<char>(e.x_min));
  const __m256i range = _mm256_set1_epi8(static_cast<char>(e.x_max - e.x_min));
  for (int64_t unit = 0; unit < units; unit += 32) {
    const int64_t count = units - unit < 32 ? units - unit : 32;
    const __m512i a = indices(x + unit, count, lowest, range);
    const int64_t b_left = e.channels - units - unit, c_left = e.channels - 2 * units - unit;
    const __m512i b = indices(x + unit + units, b_left < count ? b_left : count, lowest, range);
    const __m512i c = indices(x + unit + 2 * units, c_left < count ? c_left : count, lowest, range);
    // the offset of a row is 64 times its number
    const __m512i offsets = _mm512_or_si512(_mm512_slli_epi16(a, 6),
                                            _mm512_or_si512(_mm512_slli_epi16(b, 8), _mm512_slli_epi16(c, 10)));
    const __mmask32 mask = count >= 32 ? ~0u : (1u << count) - 1;
    _mm512_mask_storeu_epi16(encoded + 2 * unit, mask, offsets);
  }
}

}  // namespace

void encode(const Encoder& e, const uint8_t* x, int64_t x_step, int64_t pixels, uint8_t* encoded) {
  const int64_t channels = e.groups * e.channels;
  if (e.encoding == Encoding::kBytes || e.encoding == Encoding::kDepthwise) {
    const __m512i lowest = _mm512_set1_epi8(static_cast<char>(e.x_min));
    const __m512i highest = _mm512_set1_epi8(static_cast<char>(e.x_max));
    if (x_step == channels) return copy_clamped(x, channels * pixels, lowest, highest, encoded);
    for (; pixels > 0; --pixels, x += x_step, encoded += channels) {
      copy_clamped(x, channels, lowest, highest, encoded);
    }
  } else if (e.encoding == Encoding::kTriples) {
    const int64_t units = e.units();
    for (; pixels > 0; --pixels, x += x_step) {
      for (int64_t group = 0; group < e.groups; ++group, encoded += 2 * units) {
        encode_triples(e, x + group * e.channels, units, encoded);
      }
    }
  } else {
    portable::encode(e, x, x_step, pixels, encoded);
  }
}

void finish(const Finish& f, const int32_t* sums, int lanes, int rows, int channels, const uint8_t* residual, void* y,
            int64_t pitch) {
  const Requantize requantize(f);
  for (int row = 0; row < rows; ++row, sums += lanes) {
    for (int c = 0; c < channels; c += 16) {
      const __mmask16 mask = channels - c >= 16 ? 0xffff : static_cast<__mmask16>((1 << (channels - c)) - 1);
      const int64_t at = row * pitch + c;
      const __m512 values = requantize.scaled(_mm512_load_si512(sums + c), f.bias + c, f.factor + c);
      if (f.kind == OutputKind::kNumbers) {
        _mm512_mask_storeu_ps(static_cast<float*>(y) + at, mask, values);
        continue;
      }
      __m512i codes = requantize.codes(values);
      if (f.kind == OutputKind::kResidual) {
        codes = requantize.with_residual(codes, _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask, residual + at)));
      }
      _mm_mask_storeu_epi8(static_cast<uint8_t*>(y) + at, mask, _mm512_cvtepi32_epi8(codes));
    }
  }
}

}  // namespace dqmq::avx512
