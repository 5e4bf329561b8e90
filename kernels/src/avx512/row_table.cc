// The table of 2-bit dot products for kernels three pixels wide with stride 1, along rows of the output.
//
// A pixel of the input counts for three neighbouring positions, with the weights of three columns of the kernel. So a
// row of the table that is loaded once serves three positions: loads are what is short.
#include <immintrin.h>

#include "../table.h"
#include "look_up.h"
#include "table_sums.h"
#include "tiles.h"

namespace dqmq::avx512 {
namespace {

alignas(64) constexpr auto kTable = dot_table<3, 1>();
using Two __attribute__((aligned(1), may_alias)) = uint16_t;

// Odd multiples of the distance between pixels: with the scales of an address they reach twelve pixels from one pointer.
struct Strides {
  explicit Strides(int64_t pixel) : one(pixel), three(3 * pixel), five(5 * pixel), seven(7 * pixel), nine(9 * pixel),
                                   eleven(11 * pixel) {}
  int64_t one, three, five, seven, nine, eleven;
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
  if constexpr (k == 10) DQMQ_LOAD(strides.five, 2);
  if constexpr (k == 11) DQMQ_LOAD(strides.eleven, 1);
#undef DQMQ_LOAD
  return _mm512_load_si512(kTable.data() + offset);
}

// Pixels k to length - 1 of a line, each for the positions k, k - 1 and k - 2.
template <int k, int length, int vectors>
inline __attribute__((always_inline)) void add_inner(const uint8_t* x, const Strides& strides,
                                                     const __m512i (&w)[kUnitSteps][vectors],
                                                     __m512i (*sums)[vectors]) {
  if constexpr (k < length) {
    const __m512i row = row_at<k>(x, strides);
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) {
      add_three(sums[k][v], sums[k - 1][v], sums[k - 2][v], row, w[0][v], w[1][v], w[2][v]);
    }
    add_inner<k + 1, length>(x, strides, w, sums);
  }
}

// One unit of channels of a line.
template <int length, int vectors>
inline __attribute__((always_inline)) void add_line(const uint8_t* x, const Strides& strides,
                                                    const __m512i (&w)[kUnitSteps][vectors], __m512i (*sums)[vectors]) {
  const __m512i first = row_at<0>(x, strides), second = row_at<1>(x, strides);
  if constexpr (length == 1) {
    const __m512i third = row_at<2>(x, strides);
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) add_rows(sums[0][v], first, second, third, w[0][v], w[1][v], w[2][v]);
  } else {
    constexpr int last = length - 1;
    const __m512i before_end = row_at<length>(x, strides), end = row_at<length + 1>(x, strides);
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) {
      add_two(sums[0][v], sums[last][v], first, end, w[0][v], w[2][v]);
      add_two(sums[0][v], sums[1][v], second, second, w[1][v], w[0][v]);
      add_two(sums[last][v], sums[last - 1][v], before_end, before_end, w[1][v], w[2][v]);
    }
    add_inner<2, length>(x, strides, w, sums);
  }
}

// Where the look-ups of a tile have got to.
template <int lines, int length>
struct Place {
  explicit Place(const Tile& tile)
      : tile(tile), weights(tile.weights), offsets(tile.offsets), segment(tile.segments), left(0) {}

  // The start of the next segment in each line.
  inline __attribute__((always_inline)) void next_segment() {
#pragma GCC unroll 16
    for (int line = 0; line < lines; ++line) x[line] = tile.positions[line * length] + *segment;
    ++segment, left = tile.steps / kUnitSteps;
  }

  const Tile& tile;
  const uint8_t* weights;
  const uint32_t* offsets;
  const int64_t* segment;
  int64_t left;  // units of the segment
  const uint8_t* x[lines];
};

// One run; its byte sums go to `held`, [lines][length][vectors].
template <int vectors, int lines, int length>
inline __attribute__((always_inline)) void look_up(Place<lines, length>& place, const Strides& strides, int64_t units,
                                                   __m512i* held) {
  __m512i sums[lines * length][vectors];
#pragma GCC unroll 32
  for (int r = 0; r < lines * length; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) sums[r][v] = _mm512_setzero_si512();
  }
  while (units > 0) {
    if (place.left == 0) place.next_segment();
    const int64_t some = units < place.left ? units : place.left;
    const uint8_t* weights = place.weights;
    const uint32_t *offsets = place.offsets, *const end = offsets + some;
    for (; offsets != end; ++offsets, weights += kUnitSteps * vectors * 64) {
      __m512i w[kUnitSteps][vectors];
#pragma GCC unroll 3
      for (int tap = 0; tap < kUnitSteps; ++tap) {
#pragma GCC unroll 2
        for (int v = 0; v < vectors; ++v) w[tap][v] = _mm512_load_si512(weights + 64 * (tap * vectors + v));
      }
#pragma GCC unroll 32
      for (int line = 0; line < lines; ++line) {
        add_line<length>(place.x[line] + *offsets, strides, w, sums + line * length);
      }
    }
    place.weights = weights, place.offsets = offsets;
    place.left -= some, units -= some;
  }
#pragma GCC unroll 32
  for (int r = 0; r < lines * length; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) _mm512_store_si512(held + r * vectors + v, sums[r][v]);
  }
}

template <int vectors, int lines, int length>
void look_up_tile(const Tile& tile) {
  Widening<lines * length * vectors> wide;
  const Strides strides(tile.steps / kUnitSteps * 2);
  Place<lines, length> place(tile);
  const uint32_t* const end = tile.offsets + tile.segment_count * (tile.steps / kUnitSteps);
  bool flushed = false;
  int64_t words_left = kWordRuns;
  for (const uint32_t* run = tile.runs; place.offsets != end; ++run) {
    look_up<vectors, lines, length>(place, strides, *run, wide.next());
    if (--words_left == 0) {
      flush(wide, tile.sums, flushed);
      flushed = true;
      words_left = kWordRuns;
    }
  }
  finish_tile<vectors, lines * length>(wide, tile, flushed);
}

// `count` lines of that length, up to `most`.
template <int vectors, int length, int most>
void look_up_lines(int count, const Tile& tile) {
  if (count == most) return look_up_tile<vectors, most, length>(tile);
  if constexpr (most > 1) look_up_lines<vectors, length, most - 1>(count, tile);
}

}  // namespace

template <int vectors, int rows>
void row_table(int count, const Tile& tile) {
  if constexpr (rows == 10) {
    if (tile.line == 10) return look_up_tile<vectors, 1, 10>(tile);
    if (tile.line == 9) return look_up_tile<vectors, 1, 9>(tile);
  }
  switch (tile.line) {
    case 8: return look_up_lines<vectors, 8, rows / 8>(count / 8, tile);
    case 7: return look_up_lines<vectors, 7, rows / 7>(count / 7, tile);
    case 6: return look_up_lines<vectors, 6, rows / 6>(count / 6, tile);
    case 5: return look_up_lines<vectors, 5, rows / 5>(count / 5, tile);
    case 4: return look_up_lines<vectors, 4, rows / 4>(count / 4, tile);
    case 3: return look_up_lines<vectors, 3, rows / 3>(count / 3, tile);
    case 2: return look_up_lines<vectors, 2, rows / 2>(count / 2, tile);
    default: return look_up_lines<vectors, 1, rows>(count, tile);
  }
}

template void row_table<2, 10>(int, const Tile&);
template void row_table<1, 16>(int, const Tile&);

}  // namespace dqmq::avx512
