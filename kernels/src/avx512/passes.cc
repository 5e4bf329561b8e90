#include <immintrin.h>

#include "../portable/kernels.h"
#include "kernels.h"
#include "requantize.h"

namespace dqmq::avx512 {
namespace {

void copy_clamped(const uint8_t* x, int64_t bytes, __m512i lowest, __m512i highest, uint8_t* out) {
  const auto clamped = [&](__m512i codes) { return _mm512_min_epu8(_mm512_max_epu8(codes, lowest), highest); };
  if (bytes < 64) {
    const __mmask64 some = (1ull << bytes) - 1;
    return _mm512_mask_storeu_epi8(out, some, clamped(_mm512_maskz_loadu_epi8(some, x)));
  }
  // the last vector goes over some of the one before it again: masked stores are slow
  for (int64_t at = 0; at < bytes; at += 64) {
    const int64_t from = at + 64 <= bytes ? at : bytes - 64;
    _mm512_storeu_si512(out + from, clamped(_mm512_loadu_si512(x + from)));
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

// One group: whole vectors may be stored where something follows that is stored later, units in front of these or the
// next pixel's. Masked stores are slow.
void encode_triples_of_one(const Encoder& e, const uint8_t* x, int64_t x_step, int64_t pixels, uint8_t* encoded) {
  const int64_t units = e.units(), bytes = e.pixel_bytes();
  for (int64_t unit = (units - 1) / 32 * 32; unit >= 0; unit -= 32) {
    const Triples triples(e, unit, units);
    const uint8_t* from = x;
    uint8_t* to = encoded + 2 * unit;
    int64_t left = pixels;
    for (; left * bytes - 2 * unit >= 64; --left, from += x_step, to += bytes) {
      _mm512_storeu_si512(to, triples.offsets(from));
    }
    const __mmask32 mask = first_of_32(triples.count);
    for (; left > 0; --left, from += x_step, to += bytes) {
      _mm512_mask_storeu_epi16(to, mask, triples.offsets(from));
    }
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
    (e.groups == 1 ? encode_triples_of_one : encode_triples)(e, x, x_step, pixels, encoded);
  } else {
    portable::encode(e, x, x_step, pixels, encoded);
  }
}

namespace {

constexpr int kVector = 16;

// Where a line of outputs is: vectors of sums one after the other, with constants that begin again after `lanes`.
struct Line {
  const int32_t* sums;
  const Finish& finish;
  int lanes;
  int lane = 0;

  template <typename Requantizing>
  inline __attribute__((always_inline)) __m512i next(const Requantizing& requantize) {
    const __m512 values = requantize.scaled(_mm512_load_si512(sums), finish.bias + lane, finish.factor + lane);
    sums += kVector, lane += kVector;
    lane = lane == lanes ? 0 : lane;
    return requantize.rounded(values);
  }
};

// Fewer than 64 bytes; masked stores are slow.
void store_some(uint8_t* y, __m512i codes, int count) {
  if (count & 32) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(y), _mm512_castsi512_si256(codes));
    y += 32, codes = _mm512_shuffle_i64x2(codes, codes, 0xee);
  }
  if (count & 16) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y), _mm512_castsi512_si128(codes));
    y += 16, codes = _mm512_shuffle_i64x2(codes, codes, 0xf9);
  }
  if (count & 8) {
    _mm_storel_epi64(reinterpret_cast<__m128i*>(y), _mm512_castsi512_si128(codes));
    y += 8, codes = _mm512_castsi128_si512(_mm_srli_si128(_mm512_castsi512_si128(codes), 8));
  }
  if (count & 7) {
    _mm_mask_storeu_epi8(y, static_cast<__mmask16>((1 << (count & 7)) - 1), _mm512_castsi512_si128(codes));
  }
}

template <bool adds, typename Requantizing>
void finish_line(const Requantizing& requantize, Line line, int length, const uint8_t* residual, uint8_t* y) {
  int c = 0;
  for (; c + 64 <= length; c += 64) {
    __m512i rounded[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) rounded[i] = line.next(requantize);
    __m512i codes = in_order(requantize.packed(rounded));
    if constexpr (adds) codes = requantize.with_residual(codes, _mm512_loadu_si512(residual + c));
    _mm512_storeu_si512(y + c, codes);
  }
  const int left = length - c;
  if (left == 0) return;
  __m512i rounded[4] = {};
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    if (kVector * i < left) rounded[i] = line.next(requantize);
  }
  __m512i codes = in_order(requantize.packed(rounded));
  if constexpr (adds) {
    codes = requantize.with_residual(codes, _mm512_maskz_loadu_epi8((1ull << left) - 1, residual + c));
  }
  store_some(y + c, codes, left);
}

void finish_numbers(const Finish& f, const int32_t* sums, int lanes, int rows, int channels, float* y, int64_t pitch) {
  const Requantize<false, true> requantize(f);
  for (int row = 0; row < rows; ++row, sums += lanes, y += pitch) {
    for (int c = 0; c < channels; c += kVector) {
      const __mmask16 some = channels - c >= 16 ? 0xffff : static_cast<__mmask16>((1 << (channels - c)) - 1);
      const __m512 values = requantize.scaled(_mm512_load_si512(sums + c), f.bias + c, f.factor + c);
      _mm512_mask_storeu_ps(y + c, some, values);
    }
  }
}

}  // namespace

void finish(const Finish& f, const int32_t* sums, int lanes, int rows, int channels, const uint8_t* residual, void* y,
            int64_t pitch) {
  if (f.kind == OutputKind::kNumbers) {
    return finish_numbers(f, sums, lanes, rows, channels, static_cast<float*>(y), pitch);
  }
  // Rows without a gap between them are as good as one long row.
  const bool is_one = channels == lanes && pitch == lanes;
  const int lines = is_one ? 1 : rows, length = is_one ? rows * lanes : channels;
  requantize_by(f, [&](const auto& requantize) {
    for (int64_t line = 0; line < lines; ++line) {
      const Line at{sums + line * lanes, f, lanes};
      uint8_t* to = static_cast<uint8_t*>(y) + line * pitch;
      if (f.kind == OutputKind::kResidual) {
        finish_line<true>(requantize, at, length, residual + line * pitch, to);
      } else {
        finish_line<false>(requantize, at, length, nullptr, to);
      }
    }
  });
}

void widen(const uint8_t* halves, int64_t count, bool at_top, uint8_t* bytes) {
  if (!at_top) return portable::widen(halves, count, at_top, bytes);  // no kernel of this set reads them so
  const __m256i upper = _mm256_set1_epi8(static_cast<char>(0xf0));
  for (int64_t at = 0; at < count; at += 64, bytes += 64, halves += 32) {
    const __m256i two = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(halves));
    const __m256i first = _mm256_and_si256(_mm256_slli_epi16(two, 4), upper);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(bytes), first);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(bytes + 32), _mm256_and_si256(two, upper));
  }
}

}  // namespace dqmq::avx512
