// 8-bit dot products: vpdpbusd multiplies four codes with four weights in each of 16 lanes, one instruction a cycle.
//
// A tile keeps rows x vectors sums in registers. Each step loads the weights once, broadcasts the codes of every
// position, and reuses both: 6 x 4 sums take 24 multiplications for 10 loads.
#include <immintrin.h>

#include "requantize.h"
#include "tiles.h"

namespace dqmq::avx512 {
namespace {

using Four __attribute__((aligned(1), may_alias)) = int32_t;

// So many pointers stay in registers. The others are read again at every step, which is why they are called volatile:
// GCC 12 would keep them in vector registers, and moves from there cost multiplications.
constexpr int kPointers = 6;

// `count` vectors of codes, the first of which is vector `at` of the tile, row by row: where they lie in y or a residual
// that is laid out as y. As many vectors as lie side by side are one access.
template <int vectors, int count>
struct Codes {
  static constexpr int kPiece = vectors % 2 == 0 ? 2 : 1;

  Codes(int64_t pitch, int at) : pitch(pitch), at(at) {}

  inline __attribute__((always_inline)) bool is_one() const { return count == 4 && (vectors % 4 == 0 || pitch == 16 * vectors); }
  inline __attribute__((always_inline)) int64_t offset(int i) const {
    return (at + i) / vectors * pitch + (at + i) % vectors * 16;
  }

  inline __attribute__((always_inline)) void store(uint8_t* y, __m512i codes) const {
    if (is_one()) return _mm512_storeu_si512(y + offset(0), codes);
#pragma GCC unroll 4
    for (int i = 0; i < count; i += kPiece) {
      if constexpr (kPiece == 2) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(y + offset(i)), _mm512_castsi512_si256(codes));
      } else {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(y + offset(i)), _mm512_castsi512_si128(codes));
      }
      codes = kPiece == 2 ? _mm512_shuffle_i64x2(codes, codes, 0xee) : _mm512_shuffle_i64x2(codes, codes, 0xf9);
    }
  }

  inline __attribute__((always_inline)) __m512i load(const uint8_t* y) const {
    if (is_one()) return _mm512_loadu_si512(y + offset(0));
    __m512i codes = _mm512_setzero_si512();
    if constexpr (kPiece == 2) {
      const auto two = [&](int i) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(y + offset(i))); };
      codes = _mm512_castsi256_si512(two(0));
      if constexpr (count > 2) codes = _mm512_inserti64x4(codes, two(2), 1);
    } else {
      const auto one = [&](int i) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(y + offset(i))); };
      codes = _mm512_castsi128_si512(one(0));
      if constexpr (count > 1) codes = _mm512_inserti32x4(codes, one(1), 1);
      if constexpr (count > 2) codes = _mm512_inserti32x4(codes, one(2), 2);
      if constexpr (count > 3) codes = _mm512_inserti32x4(codes, one(3), 3);
    }
    return codes;
  }

  int64_t pitch;
  int at;
};

// Codes straight from registers.
template <bool adds, int vectors, int rows>
inline __attribute__((always_inline)) void finish_codes(const Tile& tile, const __m512i (&sums)[rows][vectors]) {
  constexpr int total = rows * vectors;
  const Requantize<true, false> requantize(*tile.finish);
  __m512 factor[vectors];
#pragma GCC unroll 6
  for (int v = 0; v < vectors; ++v) {
    factor[v] = _mm512_castsi512_ps(kept(_mm512_loadu_si512(tile.finish->factor + 16 * v)));
  }
#pragma GCC unroll 8
  for (int at = 0; at < total; at += 4) {
    __m512i rounded[4] = {};
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      if (at + i >= total) continue;
      const int row = (at + i) / vectors, v = (at + i) % vectors;
      rounded[i] = requantize.rounded(_mm512_mul_ps(_mm512_cvtepi32_ps(sums[row][v]), factor[v]));
    }
    const Codes<vectors, 4> four(tile.pitch, at);
    const Codes<vectors, total % 4> rest(tile.pitch, at);
    const bool is_four = total - at >= 4;
    __m512i codes = in_order(requantize.packed(rounded));
    if constexpr (adds) codes = requantize.with_residual(codes, is_four ? four.load(tile.residual) : rest.load(tile.residual));
    is_four ? four.store(tile.y, codes) : rest.store(tile.y, codes);
  }
}

template <int vectors, int rows>
void dot_exactly(const Tile& tile) {
  alignas(64) static constexpr int32_t kZeros[16 * vectors] = {};
  const int32_t* start = tile.finish != nullptr ? tile.finish->bias : kZeros;
  __m512i sums[rows][vectors];
#pragma GCC unroll 32
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 6
    for (int v = 0; v < vectors; ++v) sums[r][v] = _mm512_loadu_si512(start + 16 * v);
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
  if (tile.finish != nullptr) {
    return tile.residual ? finish_codes<true, vectors, rows>(tile, sums) : finish_codes<false, vectors, rows>(tile, sums);
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
