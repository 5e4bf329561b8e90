// Planes for AVX-512: 64 positions a vector, 8 channels by 2 vectors in registers.
#include "../planes.h"

#include <immintrin.h>

#include "../table.h"
#include "kernels.h"
#include "look_up.h"
#include "requantize.h"
#include "widening.h"

namespace dqmq::avx512 {
namespace {

constexpr int kRow = 64, kLanes = 16;

// Rows belong to weights here, columns to activations.
constexpr auto transposed() {
  constexpr auto table = dot_table<3, 1>();
  auto turned = table;
  for (int row = 0; row < kRow; ++row) {
    for (int column = 0; column < kRow; ++column) {
      turned[static_cast<std::size_t>(column * kRow + row)] = table[static_cast<std::size_t>(row * kRow + column)];
    }
  }
  return turned;
}
alignas(64) constexpr auto kTable = transposed();

// 16 x 16 bytes in each 128-bit lane: byte c of v[r] becomes byte r of v[c].
inline __attribute__((always_inline)) void transpose(__m512i (&v)[16]) {
  __m512i t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    t[2 * i] = _mm512_unpacklo_epi8(v[i], v[i + 8]);
    t[2 * i + 1] = _mm512_unpackhi_epi8(v[i], v[i + 8]);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    v[2 * i] = _mm512_unpacklo_epi8(t[i], t[i + 8]);
    v[2 * i + 1] = _mm512_unpackhi_epi8(t[i], t[i + 8]);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    t[2 * i] = _mm512_unpacklo_epi8(v[i], v[i + 8]);
    t[2 * i + 1] = _mm512_unpackhi_epi8(v[i], v[i + 8]);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    v[2 * i] = _mm512_unpacklo_epi8(t[i], t[i + 8]);
    v[2 * i + 1] = _mm512_unpackhi_epi8(t[i], t[i + 8]);
  }
}

// Codes of 64 pixels, 16 channels of each, to 16 vectors of a channel's 64 pixels. Reads `channels` bytes of each of
// `pixels` pixels.
inline __attribute__((always_inline)) void load_channels(const uint8_t* x, int64_t pixels, int64_t pitch,
                                                         int64_t channels, __m512i (&v)[16]) {
  const __mmask16 mask = channels >= 16 ? 0xffff : static_cast<__mmask16>((1 << channels) - 1);
  if (pixels >= 64 && channels >= 16) {
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) {
      const __m128i* at = reinterpret_cast<const __m128i*>(x + i * pitch);
      const auto next = [&](int lane) {
        return _mm_loadu_si128(reinterpret_cast<const __m128i*>(x + (i + 16 * lane) * pitch));
      };
      v[i] = _mm512_castsi128_si512(_mm_loadu_si128(at));
      v[i] = _mm512_inserti32x4(v[i], next(1), 1);
      v[i] = _mm512_inserti32x4(v[i], next(2), 2);
      v[i] = _mm512_inserti32x4(v[i], next(3), 3);
    }
  } else {
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) {
      const auto next = [&](int lane) {
        const int64_t pixel = i + 16 * lane;
        return _mm_maskz_loadu_epi8(pixel < pixels ? mask : 0, x + pixel * pitch);
      };
      v[i] = _mm512_castsi128_si512(next(0));
      v[i] = _mm512_inserti32x4(v[i], next(1), 1);
      v[i] = _mm512_inserti32x4(v[i], next(2), 2);
      v[i] = _mm512_inserti32x4(v[i], next(3), 3);
    }
  }
  transpose(v);
}

void split(const uint8_t* x, int64_t pixels, int64_t channels, uint8_t x_min, uint8_t x_max, uint8_t* out,
           int64_t pitch) {
  const __m512i lowest = _mm512_set1_epi8(static_cast<char>(x_min));
  const __m512i range = _mm512_set1_epi8(static_cast<char>(x_max - x_min));
  for (int64_t c = 0; c < channels; c += 16) {
    const int64_t some = channels - c < 16 ? channels - c : 16;
    for (int64_t pixel = 0; pixel < pixels; pixel += 64) {
      __m512i v[16];
      load_channels(x + pixel * channels + c, pixels - pixel, channels, some, v);
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) {
        const __m512i indices = _mm512_min_epu8(_mm512_subs_epu8(v[i], lowest), range);
        if (i < some) _mm512_storeu_si512(out + (c + i) * pitch + pixel, indices);
      }
    }
  }
}

// Bytes of a row, every second one at a stride of 2, where they are inside.
inline __attribute__((always_inline)) __m512i some_bytes(const uint8_t* from, int64_t stride, uint64_t inside,
                                                         __m512i padding) {
  if (stride == 1) return _mm512_mask_loadu_epi8(padding, inside, from);
  const __m256i low = _mm512_cvtepi16_epi8(_mm512_loadu_si512(from));
  const __m256i high = _mm512_cvtepi16_epi8(_mm512_loadu_si512(from + 64));
  return _mm512_mask_mov_epi8(padding, inside, _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1));
}

void join(const PlanesJoin& j, uint8_t* out) {
  const __m512i padding = _mm512_set1_epi8(static_cast<char>(j.padding));
  for (int64_t i = 0; i < j.count; i += 64) {
    const int64_t at = i * j.stride;
    const __m512i first = some_bytes(j.from[0] + at, j.stride, j.inside[0][i / 64], padding);
    const __m512i second = some_bytes(j.from[1] + at, j.stride, j.inside[1][i / 64], padding);
    const __m512i third = some_bytes(j.from[2] + at, j.stride, j.inside[2][i / 64], padding);
    const __m512i bytes =
        _mm512_ternarylogic_epi32(first, _mm512_slli_epi16(second, 2), _mm512_slli_epi16(third, 4), 0xfe);
    _mm512_mask_storeu_epi8(out + i, j.count - i >= 64 ? ~0ull : (1ull << (j.count - i)) - 1, bytes);
  }
}

// `channels` sums of `blocks` vectors each.
template <int channels, int blocks>
void run_some(const PlanesTile& tile, int first_channel, PlaneSums& out) {
  Widening<channels * blocks> wide;
  const uint16_t* weights = tile.weights + first_channel;
  const uint8_t* starts = tile.starts + first_channel;
  for (int64_t first = 0; first < tile.step_count; first += tile.run_steps, starts += kPlaneChannels) {
    const int64_t left = tile.step_count - first, end = first + (left < tile.run_steps ? left : tile.run_steps);
    __m512i sums[channels][blocks];
#pragma GCC unroll 16
    for (int c = 0; c < channels; ++c) {
#pragma GCC unroll 2
      for (int b = 0; b < blocks; ++b) sums[c][b] = _mm512_set1_epi8(static_cast<char>(starts[c]));
    }
    for (int64_t step = first; step < end; ++step, weights += kPlaneChannels) {
      const uint8_t* at = tile.planes + tile.steps[step];
      __m512i x[blocks];
#pragma GCC unroll 2
      for (int b = 0; b < blocks; ++b) x[b] = _mm512_loadu_si512(at + 64 * b);
#pragma GCC unroll 16
      for (int c = 0; c < channels; c += 2) {
        const __m512i one = _mm512_load_si512(kTable.data() + weights[c]);
        const __m512i two = _mm512_load_si512(kTable.data() + weights[c + 1]);
        if constexpr (blocks == 2) {
          add_four(sums[c][0], sums[c][1], sums[c + 1][0], sums[c + 1][1], one, two, x[0], x[1]);
        } else {
          add_two(sums[c][0], sums[c + 1][0], one, two, x[0], x[0]);
        }
      }
    }
    __m512i* held = wide.next();
#pragma GCC unroll 16
    for (int c = 0; c < channels; ++c) {
#pragma GCC unroll 2
      for (int b = 0; b < blocks; ++b) _mm512_store_si512(held + c * blocks + b, sums[c][b]);
    }
  }
  for (int c = 0; c < channels; ++c) {
    for (int b = 0; b < blocks; ++b) {
      const Words words = wide.total(c * blocks + b);
      _mm512_store_si512(out.words[first_channel + c][b][0], words.even);
      _mm512_store_si512(out.words[first_channel + c][b][1], words.odd);
    }
  }
}

void run(const PlanesTile& tile, int blocks, PlaneSums& sums) {
  if (blocks == 1) return run_some<16, 1>(tile, 0, sums);
  run_some<8, 2>(tile, 0, sums);
  run_some<8, 2>(tile, 8, sums);
}

// Sums of 64 positions of one channel, four vectors of 16: vector i has positions i, i + 4, i + 8, ...
struct FourOf {
  FourOf(const uint16_t (&words)[2][32], const Requantize& requantize, int shift, int32_t bias, float factor) {
    // vpdpwssd takes one word of each pair, times 2^shift, to the bias
    const __m512i low = _mm512_set1_epi32(1 << shift), high = _mm512_set1_epi32(1 << (16 + shift));
    const __m512i even = _mm512_load_si512(words[0]), odd = _mm512_load_si512(words[1]);
    const __m512i start = _mm512_set1_epi32(bias);
    const __m512 ratio = _mm512_set1_ps(factor);
    const __m512i acc[4] = {_mm512_dpwssd_epi32(start, even, low), _mm512_dpwssd_epi32(start, odd, low),
                            _mm512_dpwssd_epi32(start, even, high), _mm512_dpwssd_epi32(start, odd, high)};
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) rounded[i] = requantize.rounded(_mm512_mul_ps(_mm512_cvtepi32_ps(acc[i]), ratio));
  }
  __m512i rounded[4];
};

// Bytes of a lane: positions 0, 4, 8, 12, 1, 5, ... of its 16.
inline __attribute__((always_inline)) __m512i to_bytes(const __m512i (&rounded)[4], __m512i zero_point_words) {
  const __m512i low = _mm512_adds_epi16(_mm512_packs_epi32(rounded[0], rounded[1]), zero_point_words);
  const __m512i high = _mm512_adds_epi16(_mm512_packs_epi32(rounded[2], rounded[3]), zero_point_words);
  return _mm512_packus_epi16(low, high);
}

void store_positions(__m512i (&v)[16], int positions, int channels, uint8_t* y, int64_t pitch) {
  transpose(v);
  const __mmask16 mask = channels >= 16 ? 0xffff : static_cast<__mmask16>((1 << channels) - 1);
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) {
    const int place = i % 4 * 4 + i / 4;
    const auto store = [&](int position, __m128i codes) {
      if (position < positions) _mm_mask_storeu_epi8(y + position * pitch, mask, codes);
    };
    store(place, _mm512_castsi512_si128(v[i]));
    store(16 + place, _mm512_extracti32x4_epi32(v[i], 1));
    store(32 + place, _mm512_extracti32x4_epi32(v[i], 2));
    store(48 + place, _mm512_extracti32x4_epi32(v[i], 3));
  }
}

void finish(const Finish& f, const PlaneSums& sums, int positions, int channels, const uint8_t* residual, uint8_t* y,
            int64_t pitch) {
  const Requantize requantize(f);
  const bool adds = f.kind == OutputKind::kResidual;
  const __m512i words = _mm512_set1_epi16(static_cast<short>(adds ? 0 : f.zero_point));
  for (int first = 0; first < positions; first += 64) {
    const int some = positions - first < 64 ? positions - first : 64;
    __m512i r[16] = {}, out[16];
    if (adds) load_channels(residual + first * pitch, some, pitch, channels, r);
#pragma GCC unroll 16
    for (int c = 0; c < kLanes; ++c) {
      FourOf four(sums.words[c][first / 64], requantize, f.shift, f.bias[c], f.factor[c]);
      if (adds) {
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) {
          const __m512i other = _mm512_and_si512(_mm512_srli_epi32(r[c], 8 * i), _mm512_set1_epi32(255));
          four.rounded[i] = requantize.with_residual(requantize.from_zero_point(four.rounded[i]), other);
        }
      }
      out[c] = to_bytes(four.rounded, words);
    }
    store_positions(out, some, channels, y + first * pitch, pitch);
  }
}

}  // namespace

const PlanesKernel kPlanes{130, kRow, split, join, run, finish};

}  // namespace dqmq::avx512
