// Look-ups and additions in the order that this kind of CPU runs best.
//
// Sums stay within 255, so additions may saturate, and should: on Zen 5 vpaddb also goes to the pipes that vpermb needs,
// vpaddusb only to the others. A pair of vpermb and vpaddb takes 0.58 cycles there, of vpermb and vpaddusb 0.50.
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
      "vpaddusb %[fa], %[a], %[a]\n\t"
      "vpaddusb %[fb], %[b], %[b]"
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
      "vpaddusb %[fa], %[a], %[a]\n\t"
      "vpaddusb %[fb], %[b], %[b]\n\t"
      "vpaddusb %[fc], %[c], %[c]\n\t"
      "vpaddusb %[fd], %[d], %[d]"
      : [a] "+v"(a), [b] "+v"(b), [c] "+v"(c), [d] "+v"(d), [fa] "=&v"(found_a), [fb] "=&v"(found_b),
        [fc] "=&v"(found_c), [fd] "=&v"(found_d)
      : [first] "v"(first), [second] "v"(second), [w0] "v"(w0), [w1] "v"(w1));
}

// a += row[w0], b += row[w1], c += row[w2].
inline __attribute__((always_inline)) void add_three(__m512i& a, __m512i& b, __m512i& c, __m512i row, __m512i w0,
                                                     __m512i w1, __m512i w2) {
  __m512i found_a, found_b, found_c;
  asm("vpermb %[row], %[w0], %[fa]\n\t"
      "vpermb %[row], %[w1], %[fb]\n\t"
      "vpermb %[row], %[w2], %[fc]\n\t"
      "vpaddusb %[fa], %[a], %[a]\n\t"
      "vpaddusb %[fb], %[b], %[b]\n\t"
      "vpaddusb %[fc], %[c], %[c]"
      : [a] "+v"(a), [b] "+v"(b), [c] "+v"(c), [fa] "=&v"(found_a), [fb] "=&v"(found_b), [fc] "=&v"(found_c)
      : [row] "v"(row), [w0] "v"(w0), [w1] "v"(w1), [w2] "v"(w2));
}

// sum += row0[w0] + row1[w1] + row2[w2].
inline __attribute__((always_inline)) void add_rows(__m512i& sum, __m512i row0, __m512i row1, __m512i row2, __m512i w0,
                                                     __m512i w1, __m512i w2) {
  __m512i f0, f1, f2;
  asm("vpermb %[r0], %[w0], %[f0]\n\t"
      "vpermb %[r1], %[w1], %[f1]\n\t"
      "vpermb %[r2], %[w2], %[f2]\n\t"
      "vpaddusb %[f0], %[sum], %[sum]\n\t"
      "vpaddusb %[f1], %[sum], %[sum]\n\t"
      "vpaddusb %[f2], %[sum], %[sum]"
      : [sum] "+v"(sum), [f0] "=&v"(f0), [f1] "=&v"(f1), [f2] "=&v"(f2)
      : [r0] "v"(row0), [r1] "v"(row1), [r2] "v"(row2), [w0] "v"(w0), [w1] "v"(w1), [w2] "v"(w2));
}

// Four 16-bit offsets at x + at: the first two to t1 and t2, the others to the lower half of t0.
#define DQMQ_OFFSETS                   \
  "movq %[x], %[t0]\n\t"               \
  "movq (%[t0],%[at]), %[t0]\n\t"      \
  "movzwl %w[t0], %k[t1]\n\t"          \
  "movl %k[t0], %k[t2]\n\t"            \
  "shrl $16, %k[t2]\n\t"               \
  "shrq $32, %[t0]\n\t"

// sum += row0[w0] + row1[w1] + row2[w2] + row3[w3], where four 16-bit offsets at x + at pick rows of the table. The rows
// come straight from memory; left to itself, GCC 12 keeps the offsets in vector registers and loses a third of the speed.
inline __attribute__((always_inline)) void add_chain(__m512i& sum, const uint8_t* table, const uint8_t* const& x,
                                                     int64_t at, const __m512i (&w)[4]) {
  __m512i f0, f1, f2, f3;
  uint64_t t0, t1, t2;
  asm(DQMQ_OFFSETS
      "vpermb (%[table],%[t1]), %[w0], %[f0]\n\t"
      "vpermb (%[table],%[t2]), %[w1], %[f1]\n\t"
      "movzwl %w[t0], %k[t1]\n\t"
      "shrl $16, %k[t0]\n\t"
      "vpermb (%[table],%[t1]), %[w2], %[f2]\n\t"
      "vpermb (%[table],%[t0]), %[w3], %[f3]\n\t"
      "vpaddusb %[f0], %[sum], %[sum]\n\t"
      "vpaddusb %[f1], %[sum], %[sum]\n\t"
      "vpaddusb %[f2], %[sum], %[sum]\n\t"
      "vpaddusb %[f3], %[sum], %[sum]"
      : [sum] "+v"(sum), [f0] "=&v"(f0), [f1] "=&v"(f1), [f2] "=&v"(f2), [f3] "=&v"(f3), [t0] "=&r"(t0),
        [t1] "=&r"(t1), [t2] "=&r"(t2)
      : [table] "r"(table), [x] "rm"(x), [at] "r"(at), [w0] "v"(w[0]), [w1] "v"(w[1]), [w2] "v"(w[2]), [w3] "v"(w[3]),
        "m"(*reinterpret_cast<const uint8_t(*)[4096]>(table)), "m"(*reinterpret_cast<const uint8_t(*)[8]>(x + at))
      : "cc");
}

#undef DQMQ_OFFSETS

}  // namespace
}  // namespace dqmq::avx512
