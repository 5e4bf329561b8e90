// The formulas of layer.h for 16 sums at a time.
#pragma once

#include <immintrin.h>

#include "../kernel_set.h"

namespace dqmq::avx512 {
namespace {

// In an unnamed namespace: compiled for this instruction set only.
struct Requantize {
  explicit Requantize(const Finish& f)
      : shift(_mm_cvtsi32_si128(f.shift)),
        zero_point(_mm512_set1_epi32(f.zero_point)),
        highest(_mm512_set1_ps(static_cast<float>(255 - f.zero_point))),
        own_ratio(_mm512_set1_ps(f.own_ratio)),
        residual_ratio(_mm512_set1_ps(f.residual_ratio)),
        offset(_mm512_set1_ps(f.offset)) {}

  __m512 scaled(__m512i sums, const int32_t* bias, const float* factor) const {
    const __m512i acc = _mm512_add_epi32(_mm512_sll_epi32(sums, shift), _mm512_loadu_si512(bias));
    return _mm512_mul_ps(_mm512_cvtepi32_ps(acc), _mm512_loadu_ps(factor));
  }

  // Clamped above before rounding, since what is too large for int32 becomes the lowest one; that one, and what is too
  // small, ends at 0 as it should.
  __m512i rounded(__m512 values) const { return _mm512_cvtps_epi32(_mm512_min_ps(values, highest)); }

  __m512i from_zero_point(__m512i rounded) const {
    return _mm512_max_epi32(_mm512_add_epi32(rounded, zero_point), _mm512_setzero_si512());
  }

  __m512i codes(__m512 values) const { return from_zero_point(rounded(values)); }

  __m512i with_residual(__m512i own, __m512i residual) const {
    const __m512 inner = _mm512_fmadd_ps(_mm512_cvtepi32_ps(residual), residual_ratio, offset);
    const __m512 total = _mm512_fmadd_ps(_mm512_cvtepi32_ps(own), own_ratio, inner);
    const __m512i rounded = _mm512_cvtps_epi32(_mm512_min_ps(total, _mm512_set1_ps(255.0f)));
    return _mm512_max_epi32(rounded, _mm512_setzero_si512());
  }

  __m128i shift;
  __m512i zero_point;
  __m512 highest, own_ratio, residual_ratio, offset;
};

}  // namespace
}  // namespace dqmq::avx512
