// 8-bit dot products, exact: what does not fit the 16 bits of vpmaddubsw takes vpmaddwd.
//
//     dot_words  vpmaddwd    16 bits x 16 bits, two products added in 32 bits: any codes
//     dot_bytes  vpmaddubsw  8 bits x 8 bits, two products added in 16 bits, where they have to stay for a while
#include "dot.h"

#include "tiles.h"

namespace dqmq::avx2 {
namespace {

struct Words {
  static constexpr int kBytes = 16;  // memory holds half of what is multiplied: widening takes an instruction a step
  static inline __attribute__((always_inline)) __m256i load(const uint8_t* weights) {
    return _mm256_cvtepi8_epi16(_mm_load_si128(reinterpret_cast<const __m128i*>(weights)));
  }
  static inline __attribute__((always_inline)) __m256i add(__m256i sums, __m256i codes, __m256i weights) {
    return _mm256_add_epi32(sums, _mm256_madd_epi16(codes, weights));
  }
};

struct Bytes : Bytewise {
  static inline __attribute__((always_inline)) __m256i add(__m256i sums, __m256i codes, __m256i weights) {
    return _mm256_add_epi16(sums, _mm256_maddubs_epi16(codes, weights));
  }
};

// Sums of 16 bits move to the tile's after every `word_steps` steps, counted across segments.
template <int vectors, int rows>
void dot_bytes_exactly(const Tile& tile, int64_t word_steps) {
  __m256i sums[rows][vectors], *const wide = reinterpret_cast<__m256i*>(tile.sums);
  clear(sums);
  for (int i = 0; i < rows * vectors; ++i) wide[i] = _mm256_setzero_si256();
  const auto widen = [&]() __attribute__((always_inline)) {
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) {
        __m256i* to = wide + r * vectors + v;
        *to = _mm256_add_epi32(*to, _mm256_madd_epi16(sums[r][v], _mm256_set1_epi16(1)));
        sums[r][v] = _mm256_setzero_si256();
      }
    }
  };
  const uint8_t* weights = tile.weights;
  int64_t steps_left = word_steps;
  for (int64_t segment = 0; segment < tile.segment_count; ++segment) {
    const uint8_t* x[rows];
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) x[r] = tile.positions[r] + tile.segments[segment];
    for (int64_t step = 0; step < tile.steps;) {
      const int64_t left = tile.steps - step, count = left < steps_left ? left : steps_left;
      dot_steps<Bytes>(x, step, step + count, weights, sums);
      step += count, steps_left -= count, weights += count * vectors * 32;
      if (steps_left == 0) {
        widen();
        steps_left = word_steps;
      }
    }
  }
  widen();
}

template <int vectors, int rows>
inline __attribute__((always_inline)) void dot_bytes_rows(int count, const Tile& tile, int64_t word_steps) {
  if (count == rows) return dot_bytes_exactly<vectors, rows>(tile, word_steps);
  if constexpr (rows > 1) dot_bytes_rows<vectors, rows - 1>(count, tile, word_steps);
}

}  // namespace

template <int vectors, int rows>
void dot_words(int count, const Tile& tile) {
  dot_rows<Words, vectors, rows>(count, tile);
}

template <int vectors, int rows, int word_steps>
void dot_bytes(int count, const Tile& tile) {
  dot_bytes_rows<vectors, rows>(count, tile, word_steps);
}

template void dot_words<2, 6>(int, const Tile&);
template void dot_words<1, 10>(int, const Tile&);
template void dot_bytes<2, 6, 2>(int, const Tile&);
template void dot_bytes<2, 6, 8>(int, const Tile&);
template void dot_bytes<2, 6, 32>(int, const Tile&);
template void dot_bytes<2, 6, 128>(int, const Tile&);
template void dot_bytes<1, 10, 8>(int, const Tile&);
template void dot_bytes<1, 10, 128>(int, const Tile&);

}  // namespace dqmq::avx2
