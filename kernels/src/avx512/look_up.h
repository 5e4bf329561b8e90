// Look-ups and additions in the order that this kind of CPU runs best.
//
// Two vpermb, then two vpaddb: one pair a cycle on Zen 4. In turn, vpermb vpaddb vpermb vpaddb, they get in each other's
// way on the shuffle units and take 1.24 cycles a pair. Compilers reorder intrinsics freely, so the order is written
// down in assembly; it also keeps sums in their registers, where GCC 12 would copy each one at every step.
#pragma once

#include <immintrin.h>

namespace dqmq::avx512 {
namespace {

// a += first[w0], b += second[w1], each of 64 bytes by the low six bits of the weights' bytes.
inline __attribute__((always_inline)) void add_two(__m512i& a, __m512i& b, __m512i first, __m512i second, __m512i w0,
                                                   __m512i w1) {
  __m512i found_a, found_b;
  asm("vpermb %[first], %[w0], %[fa]\n\t"
      "vpermb %[second], %[w1], %[fb]\n\t"
      "vpaddb %[fa], %[a], %[a]\n\t"
      "vpaddb %[fb], %[b], %[b]"
      : [a] "+v"(a), [b] "+v"(b), [fa] "=&v"(found_a), [fb] "=&v"(found_b)
      : [first] "v"(first), [second] "v"(second), [w0] "v"(w0), [w1] "v"(w1));
}

// a += first[w0], b += first[w1], c += second[w0], d += second[w1].
inline __attribute__((always_inline)) void add_four(__m512i& a, __m512i& b, __m512i& c, __m512i& d, __m512i first,
                                                    __m512i second, __m512i w0, __m512i w1) {
  __m512i found_a, found_b, found_c, found_d;
  asm("vpermb %[first], %[w0], %[fa]\n\t"
      "vpermb %[first], %[w1], %[fb]\n\t"
      "vpermb %[second], %[w0], %[fc]\n\t"
      "vpermb %[second], %[w1], %[fd]\n\t"
      "vpaddb %[fa], %[a], %[a]\n\t"
      "vpaddb %[fb], %[b], %[b]\n\t"
      "vpaddb %[fc], %[c], %[c]\n\t"
      "vpaddb %[fd], %[d], %[d]"
      : [a] "+v"(a), [b] "+v"(b), [c] "+v"(c), [d] "+v"(d), [fa] "=&v"(found_a), [fb] "=&v"(found_b),
        [fc] "=&v"(found_c), [fd] "=&v"(found_d)
      : [first] "v"(first), [second] "v"(second), [w0] "v"(w0), [w1] "v"(w1));
}

}  // namespace
}  // namespace dqmq::avx512
