// The table of 2-bit dot products for kernels three pixels wide with stride 1, along rows of the output.
//
// A pixel of the input counts for three neighbouring positions, with the weights of three columns of the kernel. So a
// row of the table that is loaded once serves three vectors of 64 channels: loads are what is short where a position
// has but one vector.
#include <immintrin.h>

#include "../table.h"
#include "look_up.h"
#include "table_sums.h"
#include "tiles.h"

namespace dqmq::avx512 {
namespace {

alignas(64) constexpr auto kTable = dot_table<3, 1>();
constexpr int kTaps = 3;

using Two __attribute__((aligned(1), may_alias)) = uint16_t;

// Odd multiples of the distance between pixels: with the scales of an address they reach ten pixels from one pointer.
struct Strides {
  explicit Strides(int64_t pixel) : one(pixel), three(3 * pixel), five(5 * pixel), seven(7 * pixel), nine(9 * pixel) {}
  int64_t one, three, five, seven, nine;
};

// The row of the table for pixel k behind `x`. In assembly, as GCC 12 would rather keep ten pointers in memory.
template <int k>
inline __attribute__((always_inline)) __m512i row_at(const uint8_t* x, const Strides& strides) {
  uint64_t offset;
#define DQMQ_LOAD(stride, scale)                                       \
  asm("movzwl (%[x],%[by]," #scale "), %k[offset]"                     \
      : [offset] "=r"(offset)                                          \
      : [x] "r"(x), [by] "r"(stride), "m"(*reinterpret_cast<const uint8_t(*)[1 << 20]>(x)))
  if constexpr (k == 0) offset = *reinterpret_cast<const Two*>(x);
  if constexpr (k == 1) DQMQ_LOAD(strides.one, 1);
  if constexpr (k == 2) DQMQ_LOAD(strides.one, 2);
  if constexpr (k == 3) DQMQ_LOAD(strides.three, 1);
  if constexpr (k == 4) DQMQ_LOAD(strides.one, 4);
  if constexpr (k == 5) DQMQ_LOAD(strides.five, 1);
  if constexpr (k == 6) DQMQ_LOAD(strides.three, 2);
  if constexpr (k == 7) DQMQ_LOAD(strides.seven, 1);
  if constexpr (k == 8) DQMQ_LOAD(strides.one, 8);
  if constexpr (k == 9) DQMQ_LOAD(strides.nine, 1);
#undef DQMQ_LOAD
  return _mm512_load_si512(kTable.data() + offset);
}

// Pixels k to length - 1 of a line, each for the positions k, k - 1 and k - 2.
template <int k, int length>
inline __attribute__((always_inline)) void add_inner(const uint8_t* x, const Strides& strides,
                                                     const __m512i (&w)[kTaps], __m512i* sums) {
  if constexpr (k < length) {
    add_three(sums[k], sums[k - 1], sums[k - 2], row_at<k>(x, strides), w[0], w[1], w[2]);
    add_inner<k + 1, length>(x, strides, w, sums);
  }
}

// One unit of channels of a line.
template <int length>
inline __attribute__((always_inline)) void add_line(const uint8_t* x, const Strides& strides, const __m512i (&w)[kTaps],
                                                    __m512i* sums) {
  if constexpr (length == 1) {
    add_rows(sums[0], row_at<0>(x, strides), row_at<1>(x, strides), row_at<2>(x, strides), w[0], w[1], w[2]);
  } else {
    constexpr int last = length - 1;
    const __m512i second = row_at<1>(x, strides), before_end = row_at<length>(x, strides);
    add_two(sums[0], sums[last], row_at<0>(x, strides), row_at<length + 1>(x, strides), w[0], w[2]);
    add_two(sums[0], sums[1], second, second, w[1], w[0]);
    add_two(sums[last], sums[last - 1], before_end, before_end, w[1], w[2]);
    add_inner<2, length>(x, strides, w, sums);
  }
}

// One run; its byte sums go to `held`, [lines][length]. `x` moves on with it.
template <int lines, int length>
inline __attribute__((always_inline)) const uint8_t* look_up(const uint8_t* (&x)[lines], const Strides& strides,
                                                             int64_t steps, const uint8_t* weights,
                                                             __m512i* held) {
  __m512i sums[lines * length];
#pragma GCC unroll 32
  for (int r = 0; r < lines * length; ++r) sums[r] = _mm512_setzero_si512();
  for (const uint8_t* end = weights + steps * 64; weights != end; weights += kTaps * 64) {
    __m512i w[kTaps];
#pragma GCC unroll 3
    for (int tap = 0; tap < kTaps; ++tap) w[tap] = _mm512_load_si512(weights + 64 * tap);
#pragma GCC unroll 32
    for (int line = 0; line < lines; ++line) {
      add_line<length>(x[line], strides, w, sums + line * length);
      x[line] += 2;
    }
  }
#pragma GCC unroll 32
  for (int r = 0; r < lines * length; ++r) _mm512_store_si512(held + r, sums[r]);
  return weights;
}

template <int lines, int length>
void look_up_tile(const Tile& tile) {
  Widening<lines * length> wide;
  const Strides strides(tile.steps / kTaps * 2);
  const uint8_t* weights = tile.weights;
  bool flushed = false;
  int64_t words_left = kWordRuns;
  for (int64_t segment = 0; segment < tile.segment_count; ++segment) {
    const uint8_t* x[lines];
    for (int line = 0; line < lines; ++line) x[line] = tile.positions[line * length] + tile.segments[segment];
    for (int64_t first = 0; first < tile.steps; first += tile.run_steps) {
      const int64_t left = tile.steps - first, steps = left < tile.run_steps ? left : tile.run_steps;
      weights = look_up<lines, length>(x, strides, steps, weights, wide.next());
      if (--words_left == 0) {
        flush(wide, tile.sums, flushed);
        flushed = true;
        words_left = kWordRuns;
      }
    }
  }
  finish_tile<1, lines * length>(wide, tile, flushed);
}

// `count` lines of that length, up to `most`.
template <int length, int most>
void look_up_lines(int count, const Tile& tile) {
  if (count == most) return look_up_tile<most, length>(tile);
  if constexpr (most > 1) look_up_lines<length, most - 1>(count, tile);
}

}  // namespace

void row_table(int count, const Tile& tile) {
  if (tile.line == 8) return look_up_lines<8, 2>(count / 8, tile);
  if (tile.line == 7) return look_up_lines<7, 2>(count / 7, tile);
  look_up_lines<1, 16>(count, tile);
}

}  // namespace dqmq::avx512
