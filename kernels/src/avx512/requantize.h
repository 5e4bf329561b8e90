// The formulas of layer.h for vectors of sums.
#pragma once

#include <immintrin.h>

#include "../kernel_set.h"

namespace dqmq::avx512 {
namespace {

// In an unnamed namespace: compiled for this instruction set only.
struct Requantize {
  explicit Requantize(const Finish& f)
      : shift(_mm512_set1_epi32(f.shift)),
        zero_point(_mm512_set1_epi16(static_cast<short>(f.zero_point))),
        highest(_mm512_set1_ps(static_cast<float>(255 - f.zero_point))),
        own_ratio(_mm512_set1_ps(f.own_ratio)),
        residual_ratio(_mm512_set1_ps(f.residual_ratio)),
        offset(_mm512_set1_ps(f.offset)) {}

  __m512 scaled(__m512i sums, const int32_t* bias, const float* factor) const {
    const __m512i acc = _mm512_add_epi32(_mm512_sllv_epi32(sums, shift), _mm512_loadu_si512(bias));
    return _mm512_mul_ps(_mm512_cvtepi32_ps(acc), _mm512_loadu_ps(factor));
  }

  // Clamped above before rounding, since what is too large for int32 becomes the lowest one; that one, and what is too
  // small, ends at 0 as it should.
  __m512i rounded(__m512 values) const { return _mm512_cvtps_epi32(_mm512_min_ps(values, highest)); }

  // Saturating packs take the place of clamps: dwords to bytes, in the order in which packs leave them in each lane.
  __m512i packed(const __m512i (&rounded)[4]) const {
    const __m512i low = _mm512_adds_epi16(_mm512_packs_epi32(rounded[0], rounded[1]), zero_point);
    const __m512i high = _mm512_adds_epi16(_mm512_packs_epi32(rounded[2], rounded[3]), zero_point);
    return _mm512_packus_epi16(low, high);
  }

  // 64 codes of its own and 64 of the residual, added: those of each fourth place at a time, which takes no shuffle.
  __m512i with_residual(__m512i own, __m512i residual) const {
    __m512i added[4];
#pragma GCC unroll 4
    for (unsigned i = 0; i < 4; ++i) {
      const __m512 inner = _mm512_fmadd_ps(fourth(residual, i), residual_ratio, offset);
      const __m512 total = _mm512_max_ps(_mm512_fmadd_ps(fourth(own, i), own_ratio, inner), _mm512_setzero_ps());
      added[i] = _mm512_cvtps_epi32(_mm512_min_ps(total, _mm512_set1_ps(255.0f)));
    }
    constexpr int kOr = 0xfe;
    const __m512i low = _mm512_or_si512(added[0], _mm512_slli_epi32(added[1], 8));
    return _mm512_ternarylogic_epi32(low, _mm512_slli_epi32(added[2], 16), _mm512_slli_epi32(added[3], 24), kOr);
  }

  static __m512 fourth(__m512i bytes, unsigned i) {
    const __m512i moved = i == 0 ? bytes : _mm512_srli_epi32(bytes, 8 * i);
    return _mm512_cvtepi32_ps(i == 3 ? moved : _mm512_and_si512(moved, _mm512_set1_epi32(255)));
  }

  __m512i shift;
  __m512i zero_point;  // words
  __m512 highest, own_ratio, residual_ratio, offset;
};

}  // namespace
}  // namespace dqmq::avx512
