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

__mmask32 first_of_32(int64_t count) { return count <= 0 ? 0 : count >= 32 ? ~0u : (1u << count) - 1; }

// Up to 32 units of a group: where their three channels are and how many of each there are.
struct Triples {
  Triples(const Encoder& e, int64_t unit, int64_t units)
      : lowest(_mm256_set1_epi8(static_cast<char>(e.x_min))),
        range(_mm256_set1_epi8(static_cast<char>(e.x_max - e.x_min))),
        first(unit), step(units), count(units - unit < 32 ? units - unit : 32) {
    for (int i = 0; i < 3; ++i) {
      const int64_t left = e.channels - i * units - unit;
      masks[i] = first_of_32(left < count ? left : count);
    }
  }

  __m512i indices(const uint8_t* x, int i) const {
    const __m256i codes = _mm256_maskz_loadu_epi8(masks[i], x + first + i * step);
    return _mm512_cvtepu8_epi16(_mm256_min_epu8(_mm256_subs_epu8(codes, lowest), range));
  }

  // The offset of a row is 64 times its number.
  __m512i offsets(const uint8_t* x) const {
    const __m512i a = _mm512_slli_epi16(indices(x, 0), 6), b = _mm512_slli_epi16(indices(x, 1), 8);
    return _mm512_ternarylogic_epi32(a, b, _mm512_slli_epi16(indices(x, 2), 10), 0xfe);
  }

  __m256i lowest, range;
  int64_t first, step, count;
  __mmask32 masks[3];
};

void encode_triples(const Encoder& e, const uint8_t* x, int64_t x_step, int64_t pixels, uint8_t* encoded) {
  const int64_t units = e.units(), bytes = e.pixel_bytes();
  for (int64_t group = 0; group < e.groups; ++group, x += e.channels, encoded += 2 * units) {
    for (int64_t unit = 0; unit < units; unit += 32) {
      const Triples triples(e, unit, units);
      const __mmask32 mask = first_of_32(triples.count);
      for (int64_t pixel = 0; pixel < pixels; ++pixel) {
        _mm512_mask_storeu_epi16(encoded + pixel * bytes + 2 * unit, mask, triples.offsets(x + pixel * x_step));
      }
    }
  }
}

// One group of up to 32 units: whole vectors may be stored where the next pixel's follow.
void encode_few_triples(const Encoder& e, const uint8_t* x, int64_t x_step, int64_t pixels, uint8_t* encoded) {
  const Triples triples(e, 0, e.units());
  const int64_t bytes = e.pixel_bytes();
  for (; pixels * bytes >= 64; --pixels, x += x_step, encoded += bytes) {
    _mm512_storeu_si512(encoded, triples.offsets(x));
  }
  encode_triples(e, x, x_step, pixels, encoded);
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
    const bool is_few = e.groups == 1 && e.units() <= 32;
    (is_few ? encode_few_triples : encode_triples)(e, x, x_step, pixels, encoded);
  } else {
    portable::encode(e, x, x_step, pixels, encoded);
  }
}

namespace {

// 16 outputs, or fewer at the end of a row.
void finish_some(const Requantize& requantize, const Finish& f, const int32_t* sums, int c, int count,
                 const uint8_t* residual, void* y, int64_t at) {
  const __mmask16 mask = count >= 16 ? 0xffff : static_cast<__mmask16>((1 << count) - 1);
  const __m512 values = requantize.scaled(_mm512_load_si512(sums + c), f.bias + c, f.factor + c);
  if (f.kind == OutputKind::kNumbers) {
    _mm512_mask_storeu_ps(static_cast<float*>(y) + at, mask, values);
    return;
  }
  __m512i codes = requantize.codes(values);
  if (f.kind == OutputKind::kResidual) {
    codes = requantize.with_residual(codes, _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask, residual + at)));
  }
  const __m128i bytes = _mm512_cvtusepi32_epi8(codes);
  uint8_t* to = static_cast<uint8_t*>(y) + at;
  if (count >= 16) {  // masked stores are slow
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), bytes);
  } else {
    _mm_mask_storeu_epi8(to, mask, bytes);
  }
}

// 64 codes at a time: saturating packs take the place of clamps.
__m512i pack(const __m512i (&rounded)[4], __m512i zero_point_words) {
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m512i low = _mm512_adds_epi16(_mm512_packs_epi32(rounded[0], rounded[1]), zero_point_words);
  const __m512i high = _mm512_adds_epi16(_mm512_packs_epi32(rounded[2], rounded[3]), zero_point_words);
  return _mm512_permutexvar_epi32(order, _mm512_packus_epi16(low, high));
}

template <bool adds>
__m512i finish_64(const Requantize& requantize, const Finish& f, const int32_t* sums, int c, const uint8_t* residual,
                  __m512i zero_point_words) {
  __m512i rounded[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const int at = c + 16 * i;
    rounded[i] = requantize.rounded(requantize.scaled(_mm512_load_si512(sums + at), f.bias + at, f.factor + at));
    if constexpr (adds) {
      const __m128i codes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(residual + 16 * i));
      rounded[i] = requantize.with_residual(requantize.from_zero_point(rounded[i]), _mm512_cvtepu8_epi32(codes));
    }
  }
  return pack(rounded, zero_point_words);
}

}  // namespace

void finish(const Finish& f, const int32_t* sums, int lanes, int rows, int channels, const uint8_t* residual, void* y,
            int64_t pitch) {
  const Requantize requantize(f);
  const bool adds = f.kind == OutputKind::kResidual;
  const __m512i words = _mm512_set1_epi16(static_cast<short>(adds ? 0 : f.zero_point));
  for (int row = 0; row < rows; ++row, sums += lanes) {
    int c = 0;
    for (; f.kind != OutputKind::kNumbers && c + 64 <= channels; c += 64) {
      const int64_t at = row * pitch + c;
      const __m512i codes = adds ? finish_64<true>(requantize, f, sums, c, residual + at, words)
                                 : finish_64<false>(requantize, f, sums, c, nullptr, words);
      _mm512_storeu_si512(static_cast<uint8_t*>(y) + at, codes);
    }
    for (; c < channels; c += 16) finish_some(requantize, f, sums, c, channels - c, residual, y, row * pitch + c);
  }
}

}  // namespace dqmq::avx512
