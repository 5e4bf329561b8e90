// Multiplications of bytes and nothing else, as libraries do them here: in pairs that may saturate.
#include <immintrin.h>

#include "kernels.h"

namespace dqmq::avx2 {

// 10 sums hide the latency of the addition that ends each; the rest of a chain is independent of its neighbours.
int64_t multiply_bytes(int64_t turns) {
  constexpr int kSums = 10, kProducts = 32;
  const __m256i codes = _mm256_set1_epi8(3), weights = _mm256_set1_epi8(5), ones = _mm256_set1_epi16(1);
  __m256i sums[kSums] = {};
  for (int64_t turn = 0; turn < turns; ++turn) {
#pragma GCC unroll 10
    for (int i = 0; i < kSums; ++i) {
      __m256i product;
      // written down, or the compiler would multiply once and scale
      asm volatile("vpmaddubsw %[weights], %[codes], %[product]\n\t"
                   "vpmaddwd %[ones], %[product], %[product]\n\t"
                   "vpaddd %[product], %[sum], %[sum]"
                   : [sum] "+x"(sums[i]), [product] "=&x"(product)
                   : [codes] "x"(codes), [weights] "x"(weights), [ones] "x"(ones));
    }
  }
  return turns * kSums * kProducts;
}

}  // namespace dqmq::avx2
