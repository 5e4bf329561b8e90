// The loop around 8-bit dot products, for any instruction that multiplies a register of codes with one of weights.
//
// A tile keeps rows x vectors sums in registers. Each step loads the weights once, broadcasts the codes of every
// position, and reuses both: 6 x 2 sums take 12 multiplications for 8 loads. With the weights, the codes and a product
// they fill the 16 registers.
#pragma once

#include <immintrin.h>

#include "../tile.h"

namespace dqmq {
namespace {  // compiled for the instruction set of each file that includes it

// Four bytes wherever they lie.
using Four __attribute__((aligned(1), may_alias)) = int32_t;

// A vector is 8 channels, 4 bytes of codes each. Their weights take `Multiply::kBytes` and are read by `load`;
// `add(sums, codes, weights)`: the sums of a step more.
struct Bytewise {
  static constexpr int kBytes = 32;
  static inline __attribute__((always_inline)) __m256i load(const uint8_t* weights) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(weights));
  }
};

template <class Multiply, int vectors, int rows>
inline __attribute__((always_inline)) void dot_steps(const uint8_t* const (&x)[rows], int64_t begin, int64_t end,
                                                     const uint8_t* weights, __m256i (&sums)[rows][vectors]) {
  for (int64_t at = 4 * begin; at < 4 * end; at += 4, weights += vectors * Multiply::kBytes) {
    __m256i w[vectors];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) w[v] = Multiply::load(weights + v * Multiply::kBytes);
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
      const __m256i codes = _mm256_set1_epi32(*reinterpret_cast<const Four*>(x[r] + at));
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) sums[r][v] = Multiply::add(sums[r][v], codes, w[v]);
    }
  }
}

template <int vectors, int rows>
inline __attribute__((always_inline)) void clear(__m256i (&sums)[rows][vectors]) {
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) sums[r][v] = _mm256_setzero_si256();
  }
}

// With sums of 32 bits, which need no widening.
template <class Multiply, int vectors, int rows>
void dot_exactly(const Tile& tile) {
  __m256i sums[rows][vectors];
  clear(sums);
  const uint8_t* weights = tile.weights;
  for (int64_t segment = 0; segment < tile.segment_count; ++segment) {
    const uint8_t* x[rows];
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) x[r] = tile.positions[r] + tile.segments[segment];
    dot_steps<Multiply>(x, 0, tile.steps, weights, sums);
    weights += tile.steps * vectors * Multiply::kBytes;
  }
  __m256i* to = reinterpret_cast<__m256i*>(tile.sums);
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) _mm256_store_si256(to + r * vectors + v, sums[r][v]);
  }
}

template <class Multiply, int vectors, int rows>
inline __attribute__((always_inline)) void dot_rows(int count, const Tile& tile) {
  if (count == rows) return dot_exactly<Multiply, vectors, rows>(tile);
  if constexpr (rows > 1) dot_rows<Multiply, vectors, rows - 1>(count, tile);
}

}  // namespace
}  // namespace dqmq
