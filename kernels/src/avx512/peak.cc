// Multiplications of bytes and nothing else.
#include <immintrin.h>

#include "kernels.h"

namespace dqmq::avx512 {

// 20 sums are more than enough to hide the latency of vpdpbusd, and stay in registers.
int64_t multiply_bytes(int64_t turns) {
  constexpr int kSums = 20, kProducts = 64;
  const __m512i codes = _mm512_set1_epi8(3), weights = _mm512_set1_epi8(5);
  __m512i sums[kSums] = {};
  for (int64_t turn = 0; turn < turns; ++turn) {
#pragma GCC unroll 20
    for (int i = 0; i < kSums; ++i) {
      // written down, or the compiler would multiply once and scale
      asm volatile("vpdpbusd %[weights], %[codes], %[sum]"
                   : [sum] "+v"(sums[i])
                   : [codes] "v"(codes), [weights] "v"(weights));
    }
  }
  return turns * kSums * kProducts;
}

}  // namespace dqmq::avx512
