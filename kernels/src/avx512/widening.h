// From byte sums to 16 bits.
//
// Seen as words, a vector of bytes is even + 256 * odd. So one sum collects the words as they are, another their upper
// halves, and even = mixed - 256 * odd at the end, modulo 2^16: three instructions for a widening instead of four.
// Runs are held as bytes until there are several of them: one store each, and the sums over them stay in registers.
#pragma once

#include <immintrin.h>

namespace dqmq::avx512 {
namespace {

struct Words {
  __m512i even, odd;
};

// `count` vectors of byte sums, collected run by run.
template <int count>
class Widening {
 public:
  // Where the bytes of the next run go.
  __m512i* next() {
    if (held_ == kMostHeld) collapse();
    return bytes_[held_++];
  }

  // Sums of vector i over all runs.
  Words total(int i) const {
    Words sums = collected_ ? wide_[i] : Words{_mm512_setzero_si512(), _mm512_setzero_si512()};
    for (int run = 0; run < held_; ++run) add(sums, bytes_[run][i]);
    return {_mm512_sub_epi16(sums.even, _mm512_slli_epi16(sums.odd, 8)), sums.odd};
  }

  // Forget all runs.
  void clear() { held_ = 0, collected_ = false; }

 private:
  static constexpr int kMostHeld = 8;

  static void add(Words& sums, __m512i bytes) {
    sums.even = _mm512_add_epi16(sums.even, bytes);  // mixed, until the end
    sums.odd = _mm512_add_epi16(sums.odd, _mm512_srli_epi16(bytes, 8));
  }

  void collapse() {
    for (int i = 0; i < count; ++i) {
      Words sums = collected_ ? wide_[i] : Words{_mm512_setzero_si512(), _mm512_setzero_si512()};
#pragma GCC unroll 8
      for (int run = 0; run < kMostHeld; ++run) {
        __m512i bytes = bytes_[run][i];
        asm("" : "+v"(bytes));  // loaded once: GCC 12 would read it again for the shift
        add(sums, bytes);
      }
      wide_[i] = sums;
    }
    held_ = 0, collected_ = true;
  }

  __m512i bytes_[kMostHeld][count];
  Words wide_[count];
  int held_ = 0;
  bool collected_ = false;
};

}  // namespace
}  // namespace dqmq::avx512
