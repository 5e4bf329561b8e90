// The formulas of layer.h for vectors of sums.
#pragma once

#include <immintrin.h>

#include "../kernel_set.h"

namespace dqmq::avx512 {
namespace {

// `tame`: nothing that is rounded leaves int32, and saturating packs do for all clamps. `shifts`: f.shift is not 0.
// In an unnamed namespace: compiled for this instruction set only.
template <bool tame, bool shifts>
struct Requantize {
  explicit Requantize(const Finish& f)
      : shift(_mm512_set1_epi32(f.shift)),
        zero_point(_mm512_set1_epi16(static_cast<short>(f.zero_point))),
        highest(_mm512_set1_ps(static_cast<float>(255 - f.zero_point))),
        own_ratio(_mm512_set1_ps(f.own_ratio)),
        residual_ratio(_mm512_set1_ps(f.residual_ratio)),
        offset(_mm512_set1_ps(f.offset)) {}

  __m512 scaled(__m512i sums, const int32_t* bias, const float* factor) const {
    if constexpr (shifts) sums = _mm512_sllv_epi32(sums, shift);
    const __m512i acc = _mm512_add_epi32(sums, _mm512_loadu_si512(bias));
    return _mm512_mul_ps(_mm512_cvtepi32_ps(acc), _mm512_loadu_ps(factor));
  }

  // Clamped above before rounding, since what is too large for int32 becomes the lowest one; that one, and what is too
  // small, ends at 0 as it should.
  __m512i rounded(__m512 values) const { return _mm512_cvtps_epi32(tame ? values : _mm512_min_ps(values, highest)); }

  // Dwords to bytes, in the order in which packs leave them in each lane.
  __m512i packed(const __m512i (&rounded)[4]) const {
    const __m512i low = _mm512_adds_epi16(_mm512_packs_epi32(rounded[0], rounded[1]), zero_point);
    const __m512i high = _mm512_adds_epi16(_mm512_packs_epi32(rounded[2], rounded[3]), zero_point);
    return _mm512_packus_epi16(low, high);
  }

  // 64 codes of its own and 64 of the residual, added: those of each fourth place at a time, which stay in their dword.
  __m512i with_residual(__m512i own, __m512i residual) const {
    __m512i added[4];
#pragma GCC unroll 4
    for (unsigned i = 0; i < 4; ++i) {
      const __m512 inner = _mm512_fmadd_ps(fourth(residual, i), residual_ratio, offset);
      const __m512 total = _mm512_fmadd_ps(fourth(own, i), own_ratio, inner);
      added[i] = _mm512_cvtps_epi32(tame ? total : clamped(total));
    }
    // the packs put place 4 * j + i of a lane at 4 * i + j
    const __m512i back = _mm512_set4_epi32(0x0f0b0703, 0x0e0a0602, 0x0d090501, 0x0c080400);
    const __m512i low = _mm512_packs_epi32(added[0], added[1]), high = _mm512_packs_epi32(added[2], added[3]);
    return _mm512_shuffle_epi8(_mm512_packus_epi16(low, high), back);
  }

  // To 0 what is no number.
  static __m512 clamped(__m512 values) {
    return _mm512_min_ps(_mm512_max_ps(values, _mm512_setzero_ps()), _mm512_set1_ps(255.0f));
  }

  static __m512 fourth(__m512i bytes, unsigned i) {
    if (i == 0) return _mm512_cvtepi32_ps(_mm512_and_si512(bytes, _mm512_set1_epi32(255)));
    if (i == 3) return _mm512_cvtepi32_ps(_mm512_srli_epi32(bytes, 24));
    const __m512i place = _mm512_set4_epi32(0x8080800c, 0x80808008, 0x80808004, 0x80808000);
    return _mm512_cvtepi32_ps(_mm512_shuffle_epi8(bytes, _mm512_add_epi8(place, _mm512_set1_epi32(static_cast<int>(i)))));
  }

  __m512i shift;
  __m512i zero_point;  // words
  __m512 highest, own_ratio, residual_ratio, offset;
};

// Bytes that packs left in each lane, in the order of the dwords they came from.
inline __attribute__((always_inline)) __m512i in_order(__m512i packed) {
  return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), packed);
}

// Keeps a value in a register, where GCC 12 would read it from memory at every use: loads are what is short.
inline __attribute__((always_inline)) __m512i kept(__m512i value) {
  asm("" : "+v"(value));
  return value;
}

// Calls body(Requantize<...>(f)) as tame as f allows.
template <typename Body>
inline __attribute__((always_inline)) void requantize_by(const Finish& f, Body&& body) {
  if (!f.is_tame) return body(Requantize<false, true>(f));
  if (f.shift != 0) return body(Requantize<true, true>(f));
  body(Requantize<true, false>(f));
}

}  // namespace
}  // namespace dqmq::avx512
