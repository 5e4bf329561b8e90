// 8-bit dot products: vpdpbusd multiplies four codes with four weights in each of 16 lanes, one instruction a cycle.
//
// A tile keeps rows x vectors sums in registers. Each step loads the weights once, broadcasts the codes of every
// position, and reuses both: 6 x 4 sums take 24 multiplications for 10 loads.
#include <immintrin.h>

#include <cstring>

#include "requantize.h"
#include "tiles.h"

namespace dqmq::avx512 {
namespace {

using Four __attribute__((aligned(1), may_alias)) = int32_t;

// So many pointers stay in registers. The others are read again at every step, which is why they are called volatile:
// GCC 12 would keep them in vector registers, and moves from there cost multiplications.
constexpr int kPointers = 6;

// A pointer that is read by itself. Pointers have just been stored one by one: a load of several waits until all
// stores in front of it have left for the cache, which was a fifth of the time of a tile of few steps.
inline __attribute__((always_inline)) const uint8_t* alone(const uint8_t* pointer) {
  asm("" : "+r"(pointer));
  return pointer;
}

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

// Where the rows of a tile read: a pointer for each.
template <int rows>
struct Apart {
  inline __attribute__((always_inline)) Apart(const Tile& tile, int64_t segment) {
    const bool in_strip = tile.x != nullptr;
#pragma GCC unroll 32
    for (int r = 0; r < rows; ++r) x[r] = alone((in_strip ? tile.x + r * tile.step : tile.positions[r]) + segment);
  }

  inline __attribute__((always_inline)) const uint8_t* row(int r) const {
    return (r < kPointers ? x[r] : const_cast<const uint8_t* const volatile&>(x[r])) + at;
  }

  inline __attribute__((always_inline)) void move_on(int64_t bytes) { at += bytes; }

  const uint8_t* x[rows];
  int64_t at = 0;
};

// The same in strips: a pointer for each five, and what addresses of x86 can add to it. Where a load serves one vector
// only, loads are what is short.
template <int rows>
struct Even {
  static constexpr int kEach = 5, kBases = (rows + kEach - 1) / kEach;

  inline __attribute__((always_inline)) Even(const Tile& tile, int64_t segment)
      : step(tile.step), three(3 * tile.step) {
#pragma GCC unroll 8
    for (int i = 0; i < kBases; ++i) bases[i] = alone(tile.x + segment + kEach * i * step);
  }

  inline __attribute__((always_inline)) const uint8_t* row(int r) const {
    return bases[r / kEach] + (r % kEach == 3 ? three : r % kEach * step);
  }

  // Not known to be the same as before: else GCC would keep all sums of bases and steps.
  inline __attribute__((always_inline)) void move_on(int64_t bytes) {
    asm("" : "+r"(step), "+r"(three));
#pragma GCC unroll 8
    for (int i = 0; i < kBases; ++i) bases[i] += bytes;
  }

  const uint8_t* bases[kBases];
  int64_t step, three;
};

template <int vectors, int rows, typename Rows>
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
    Rows x(tile, tile.segments[segment]);
    for (int64_t step = 0; step < tile.steps; ++step, weights += vectors * 64) {
      __m512i w[vectors];
#pragma GCC unroll 6
      for (int v = 0; v < vectors; ++v) w[v] = _mm512_load_si512(weights + 64 * v);
#pragma GCC unroll 32
      for (int r = 0; r < rows; ++r) {
        const __m512i codes = _mm512_set1_epi32(*reinterpret_cast<const Four*>(x.row(r)));
#pragma GCC unroll 6
        for (int v = 0; v < vectors; ++v) sums[r][v] = _mm512_dpbusd_epi32(sums[r][v], codes, w[v]);
      }
      x.move_on(4);
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
  if (count == rows) return dot_exactly<vectors, rows, Apart<rows>>(tile);
  if constexpr (rows > 1) dot<vectors, rows - 1>(count, tile);
}

template <int vectors, int rows>
void dot_in_strip(int count, const Tile& tile) {
  if constexpr (vectors > 1) {
    dot<vectors, rows>(count, tile);
  } else {
    if (count == rows) return dot_exactly<vectors, rows, Even<rows>>(tile);
    if constexpr (rows > 1) dot_in_strip<vectors, rows - 1>(count, tile);
  }
}

// Tiles of even heights. Where channels are fewer than lanes, each row ends in bytes that later ones go over. Where
// those would lie behind the strip, rows go to a buffer first, and their residual comes from one.
template <int vectors, int rows>
void dot_strip(int64_t count, const Tile& strip) {
  constexpr int lanes = 16 * vectors;
  Tile tile = strip;
  for (int64_t left = (count + rows - 1) / rows; left > 0; --left) {
    const int64_t height = (count + left - 1) / left, bytes = height * tile.pitch;
    count -= height;
    if (count * tile.pitch >= lanes - tile.channels) {
      dot_in_strip<vectors, rows>(static_cast<int>(height), tile);
    } else {
      uint8_t y[rows * lanes], residual[rows * lanes];
      Tile apart = tile;
      apart.y = y;
      if (tile.residual != nullptr) {
        memcpy(residual, tile.residual, static_cast<size_t>(bytes));
        apart.residual = residual;
      }
      dot_in_strip<vectors, rows>(static_cast<int>(height), apart);
      memcpy(tile.y, y, static_cast<size_t>(bytes));
    }
    tile.x += height * tile.step, tile.y += bytes;
    if (tile.residual != nullptr) tile.residual += bytes;
  }
}

#define DQMQ_DOT(vectors, rows)                 \
  template void dot<vectors, rows>(int, const Tile&); \
  template void dot_strip<vectors, rows>(int64_t, const Tile&)
DQMQ_DOT(4, 6);
DQMQ_DOT(6, 4);
DQMQ_DOT(3, 8);
DQMQ_DOT(2, 14);
DQMQ_DOT(1, 24);
#undef DQMQ_DOT

}  // namespace dqmq::avx512
