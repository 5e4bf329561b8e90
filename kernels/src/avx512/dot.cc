// 8-bit dot products: vpdpbusd multiplies four codes with four weights in each of 16 lanes, one instruction a cycle.
//
// A tile keeps rows x vectors sums in registers. Each step loads the weights once, broadcasts the codes of every
// position, and reuses both: 6 x 4 sums take 24 multiplications for 10 loads.
#include <immintrin.h>

#include "tiles.h"

namespace dqmq::avx512 {
namespace {

using Four = int32_t __attribute__((aligned(1), may_alias));

// So many pointers stay in registers. The others are read again at every step, which is why they are called volatile:
// GCC 12 would keep them in vector registers, and moves from there cost multiplications.
constexpr int kPointers = 6;

template <int vectors, int rows>
void dot_exactly(const Tile& tile) {
  __m512i sums[rows][vectors];
#pragma GCC unroll 32
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 6
    for (int v = 0; v < vectors; ++v) sums[r][v] = _mm512_setzero_si512();
  }
  const uint8_t* weights = tile.weights;
  for (int64_t segment = 0; segment < tile.segment_count; ++segment) {
    const int64_t first = tile.segments[segment];
    const uint8_t* x[rows];
#pragma GCC unroll 32
    for (int r = 0; r < rows; ++r) x[r] = tile.positions[r] + first;
    for (int64_t at = 0; at < tile.steps * 4; at += 4, weights += vectors * 64) {
      __m512i w[vectors];
#pragma GCC unroll 6
      for (int v = 0; v < vectors; ++v) w[v] = _mm512_load_si512(weights + 64 * v);
#pragma GCC unroll 32
      for (int r = 0; r < rows; ++r) {
        const uint8_t* codes_at = (r < kPointers ? x[r] : const_cast<const uint8_t* volatile&>(x[r])) + at;
        const __m512i codes = _mm512_set1_epi32(*reinterpret_cast<const Four*>(codes_at));
#pragma GCC unroll 6
        for (int v = 0; v < vectors; ++v) sums[r][v] = _mm512_dpbusd_epi32(sums[r][v], codes, w[v]);
      }
    }
  }
#pragma GCC unroll 32
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 6
    for (int v = 0; v < vectors; ++v) _mm512_store_si512(tile.sums + (r * vectors + v) * 16, sums[r][v]);
  }
}

}  // namespace

template <int vectors, int rows>
void dot(int count, const Tile& tile) {
  if (count == rows) return dot_exactly<vectors, rows>(tile);
  if constexpr (rows > 1) dot<vectors, rows - 1>(count, tile);
}

template void dot<4, 6>(int, const Tile&);
template void dot<6, 4>(int, const Tile&);
template void dot<3, 8>(int, const Tile&);
template void dot<2, 14>(int, const Tile&);
template void dot<1, 24>(int, const Tile&);

}  // namespace dqmq::avx512
