// 2-bit dot products by look-up (table.h): vpermb fetches, for each of 64 channels, the dot product of three weights
// with the three activations of one position. One vpermb and one vpaddusb stand for 192 multiply-accumulates.
#include "../table.h"

#include <immintrin.h>

#include "look_up.h"
#include "table_sums.h"
#include "tiles.h"

namespace dqmq::avx512 {
namespace {

alignas(64) constexpr auto kTable = dot_table<3, 1>();
using Two __attribute__((aligned(1), may_alias)) = uint16_t;

// The row of the table that the encoded input at `x` points to.
inline __attribute__((always_inline)) __m512i entries_of(const uint8_t* x) {
  const uint64_t offset = *reinterpret_cast<const Two*>(x);
  return _mm512_load_si512(kTable.data() + offset);
}

// One step of every position.
template <int vectors, int rows>
inline __attribute__((always_inline)) void look_up_step(const uint8_t* const (&x)[rows], int64_t at,
                                                        const uint8_t* weights, __m512i (&sums)[rows][vectors]) {
  __m512i w[vectors];
#pragma GCC unroll 4
  for (int v = 0; v < vectors; ++v) w[v] = _mm512_load_si512(weights + 64 * v);
#pragma GCC unroll 32
  for (int r = 0; r + 1 < rows; r += 2) {
    const __m512i first = entries_of(x[r] + at), second = entries_of(x[r + 1] + at);
    if constexpr (vectors == 2) {
      add_four(sums[r][0], sums[r][1], sums[r + 1][0], sums[r + 1][1], first, second, w[0], w[1]);
    } else {
      add_two(sums[r][0], sums[r + 1][0], first, second, w[0], w[0]);
    }
  }
  if constexpr (rows % 2 == 1) {
    const __m512i last = entries_of(x[rows - 1] + at);
    if constexpr (vectors == 2) {
      add_two(sums[rows - 1][0], sums[rows - 1][1], last, last, w[0], w[1]);
    } else {
      sums[rows - 1][0] = _mm512_adds_epu8(sums[rows - 1][0], _mm512_permutexvar_epi8(w[0], last));
    }
  }
}

// Four steps of every position. One vector of channels uses each row once, so loads are what is short: one of them
// brings the offsets of four steps.
template <int rows>
inline __attribute__((always_inline)) void look_up_four(const uint8_t* const (&x)[rows], int64_t at,
                                                        const uint8_t* weights, __m512i (&sums)[rows][1]) {
  __m512i w[kRunUnit];
#pragma GCC unroll 4
  for (int i = 0; i < kRunUnit; ++i) w[i] = _mm512_load_si512(weights + 64 * i);
#pragma GCC unroll 32
  for (int r = 0; r < rows; ++r) add_chain(sums[r][0], kTable.data(), x[r], at, w);
}

// One run; its byte sums go to `held`, [rows][vectors].
template <int vectors, int rows>
inline __attribute__((always_inline)) const uint8_t* look_up(const uint8_t* const (&x)[rows], int64_t at, int64_t end,
                                                             const uint8_t* weights, __m512i* held) {
  __m512i sums[rows][vectors];
#pragma GCC unroll 32
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) sums[r][v] = _mm512_setzero_si512();
  }
  // Few turns a run, so that its end can be predicted.
  constexpr int kUnrolled = vectors == 1 ? kRunUnit : 2;
  for (; at + 2 * (kUnrolled - 1) < end; at += 2 * kUnrolled) {
    if constexpr (vectors == 1) {
      look_up_four<rows>(x, at, weights, sums);
      weights += kRunUnit * 64;
    } else {
#pragma GCC unroll 2
      for (int i = 0; i < kUnrolled; ++i, weights += vectors * 64) {
        look_up_step<vectors, rows>(x, at + 2 * i, weights, sums);
      }
    }
  }
  for (; at < end; at += 2, weights += vectors * 64) look_up_step<vectors, rows>(x, at, weights, sums);
#pragma GCC unroll 32
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) _mm512_store_si512(held + r * vectors + v, sums[r][v]);
  }
  return weights;
}

template <int vectors, int rows>
void table_exactly(const Tile& tile) {
  Widening<rows * vectors> wide;
  const uint8_t* weights = tile.weights;
  bool flushed = false;
  int64_t words_left = kWordRuns;
  for (int64_t segment = 0; segment < tile.segment_count; ++segment) {
    const uint8_t* x[rows];
    for (int r = 0; r < rows; ++r) x[r] = tile.positions[r] + tile.segments[segment];
    for (int64_t first = 0; first < tile.steps; first += tile.run_steps) {
      const int64_t left = tile.steps - first, length = left < tile.run_steps ? left : tile.run_steps;
      weights = look_up<vectors, rows>(x, 2 * first, 2 * (first + length), weights, wide.next());
      if (--words_left == 0) {
        flush(wide, tile.sums, flushed);
        flushed = true;
        words_left = kWordRuns;
      }
    }
  }
  finish_tile<vectors, rows>(wide, tile, flushed);
}

}  // namespace

// Channel 16 * k + d of a vector is byte k of its dword d.
alignas(64) const uint8_t kLaneOrder[128] = {
#define DQMQ_FOUR(at) at, at + 4, at + 8, at + 12
#define DQMQ_SIXTEEN(at) DQMQ_FOUR(at), DQMQ_FOUR(at + 16), DQMQ_FOUR(at + 32), DQMQ_FOUR(at + 48)
    DQMQ_SIXTEEN(0),  DQMQ_SIXTEEN(1),  DQMQ_SIXTEEN(2),  DQMQ_SIXTEEN(3),
    DQMQ_SIXTEEN(64), DQMQ_SIXTEEN(65), DQMQ_SIXTEEN(66), DQMQ_SIXTEEN(67)};

template <int vectors, int rows>
void table(int count, const Tile& tile) {
  if (count == rows) return table_exactly<vectors, rows>(tile);
  if constexpr (rows > 1) table<vectors, rows - 1>(count, tile);
}

template void table<2, 10>(int, const Tile&);
template void table<1, 14>(int, const Tile&);

}  // namespace dqmq::avx512
