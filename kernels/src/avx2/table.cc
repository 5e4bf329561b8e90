// 2-bit dot products by look-up (table.h): vpshufb fetches, for each of 32 channels, the dot product of two weights with
// the two activations of one position. One vpshufb and one vpaddb stand for 64 multiply-accumulates.
//
// Sums grow in bytes for a run, then move to 16 bits. Seen as words, a vector of byte sums is even + 256 * odd; so
// `mixed` collects the words as they are, `odd` their upper halves, and even = mixed - 256 * odd at the end, modulo 2^16:
// three instructions for a widening instead of four.
#include "../table.h"

#include <immintrin.h>

#include "tiles.h"

namespace dqmq::avx2 {
namespace {

// Two bytes wherever they lie.
using Two __attribute__((aligned(1), may_alias)) = uint16_t;

alignas(64) constexpr auto kTable = dot_table<2, 1>();
// 16-bit sums hold this many runs of at most 255; longer ones move on to 32 bits
constexpr int64_t kWordRuns = 257;

template <int vectors, int rows>
struct Wide {
  __m256i mixed[rows][vectors], odd[rows][vectors];
};

inline __attribute__((always_inline)) void put(__m256i words, int32_t* sums, bool adds) {
  __m256i low = _mm256_cvtepu16_epi32(_mm256_castsi256_si128(words));
  __m256i high = _mm256_cvtepu16_epi32(_mm256_extracti128_si256(words, 1));
  __m256i* to = reinterpret_cast<__m256i*>(sums);
  if (adds) low = _mm256_add_epi32(low, to[0]), high = _mm256_add_epi32(high, to[1]);
  to[0] = low, to[1] = high;
}

template <int vectors, int rows>
void flush(const Wide<vectors, rows>& wide, int32_t* sums, bool adds) {
  for (int r = 0; r < rows; ++r) {
    for (int v = 0; v < vectors; ++v, sums += 32) {
      const __m256i odd = wide.odd[r][v];
      put(_mm256_sub_epi16(wide.mixed[r][v], _mm256_slli_epi16(odd, 8)), sums, adds);
      put(odd, sums + 16, adds);
    }
  }
}

// One run of steps, added to the 16-bit sums.
template <int vectors, int rows>
inline __attribute__((always_inline)) void look_up(const uint8_t* const (&x)[rows], int64_t begin, int64_t end,
                                                   const uint8_t* weights, Wide<vectors, rows>& wide) {
  const uint8_t* const table = reinterpret_cast<const uint8_t*>(&kTable);
  __m256i sums[rows][vectors];
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      sums[r][v] = _mm256_setzero_si256();
      asm("" : "+x"(sums[r][v]));  // or GCC 12 keeps sums in memory, at half the speed
    }
  }
  for (int64_t at = 2 * begin; at < 2 * end; at += 2, weights += vectors * 32) {
    __m256i w[vectors];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) w[v] = _mm256_load_si256(reinterpret_cast<const __m256i*>(weights) + v);
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
      const uint64_t offset = *reinterpret_cast<const Two*>(x[r] + at);
      const __m256i entries =
          _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(table + offset)));
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) {
        sums[r][v] = _mm256_add_epi8(sums[r][v], _mm256_shuffle_epi8(entries, w[v]));
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      wide.mixed[r][v] = _mm256_add_epi16(wide.mixed[r][v], sums[r][v]);
      wide.odd[r][v] = _mm256_add_epi16(wide.odd[r][v], _mm256_srli_epi16(sums[r][v], 8));
    }
  }
}

template <int vectors, int rows>
void table_exactly(const Tile& tile) {
  Wide<vectors, rows> wide{};
  const uint8_t* weights = tile.weights;
  bool flushed = false;
  int64_t runs_left = kWordRuns;
  for (int64_t segment = 0; segment < tile.segment_count; ++segment) {
    const uint8_t* x[rows];
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) x[r] = tile.positions[r] + tile.segments[segment];
    for (int64_t first = 0; first < tile.steps; first += tile.run_steps) {
      const int64_t left = tile.steps - first, length = left < tile.run_steps ? left : tile.run_steps;
      look_up<vectors, rows>(x, first, first + length, weights, wide);
      weights += length * 32 * vectors;
      if (--runs_left == 0) {
        flush(wide, tile.sums, flushed);
        wide = {};
        flushed = true;
        runs_left = kWordRuns;
      }
    }
  }
  flush(wide, tile.sums, flushed);
}

}  // namespace

// Even bytes hold the first half of a vector's channels, odd bytes the second: so halves come out in order.
alignas(64) const uint8_t kLaneOrder[64] = {
#define DQMQ_EIGHT(at) at, at + 2, at + 4, at + 6, at + 8, at + 10, at + 12, at + 14
#define DQMQ_VECTOR(at) DQMQ_EIGHT(at), DQMQ_EIGHT(at + 16), DQMQ_EIGHT(at + 1), DQMQ_EIGHT(at + 17)
    DQMQ_VECTOR(0), DQMQ_VECTOR(32)};

template <int vectors, int rows>
void table(int count, const Tile& tile) {
  if (count == rows) return table_exactly<vectors, rows>(tile);
  if constexpr (rows > 1) table<vectors, rows - 1>(count, tile);
}

template void table<2, 6>(int, const Tile&);
template void table<1, 10>(int, const Tile&);

}  // namespace dqmq::avx2
