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

constexpr int kOr = 0xfe;  // of three, for _mm512_ternarylogic_epi32

// Codes of four pixels, up to 16 channels of each, and back again. Contiguous ones are one access.
struct FourPixels {
  int64_t pitch;     // bytes from pixel to pixel
  int64_t channels;  // 1 to 16

  bool is_one() const { return pitch == 16 && channels == 16; }
  __mmask16 mask() const { return channels >= 16 ? 0xffff : static_cast<__mmask16>((1 << channels) - 1); }

  __m512i load(const uint8_t* x, int64_t pixels) const {
    if (is_one() && pixels >= 4) return _mm512_loadu_si512(x);
    const auto one = [&](int64_t i) { return _mm_maskz_loadu_epi8(i < pixels ? mask() : 0, x + i * pitch); };
    __m512i four = _mm512_castsi128_si512(one(0));
    four = _mm512_inserti32x4(four, one(1), 1);
    four = _mm512_inserti32x4(four, one(2), 2);
    return _mm512_inserti32x4(four, one(3), 3);
  }

  void store(uint8_t* y, int64_t pixels, __m512i four) const {
    if (is_one() && pixels >= 4) {
      _mm512_storeu_si512(y, four);
      return;
    }
    const auto one = [&](int64_t i, __m128i codes) {
      if (i >= pixels) return;
      if (channels >= 16) {  // masked stores are slow
        _mm_storeu_si128(reinterpret_cast<__m128i*>(y + i * pitch), codes);
      } else {
        _mm_mask_storeu_epi8(y + i * pitch, mask(), codes);
      }
    };
    one(0, _mm512_castsi512_si128(four));
    one(1, _mm512_extracti32x4_epi32(four, 1));
    one(2, _mm512_extracti32x4_epi32(four, 2));
    one(3, _mm512_extracti32x4_epi32(four, 3));
  }
};

// 4 x 4 dwords in each 128-bit lane: dword c of v[r] becomes dword r of v[c].
inline __attribute__((always_inline)) void transpose(__m512i (&v)[4]) {
  const __m512i ab_low = _mm512_unpacklo_epi32(v[0], v[1]), ab_high = _mm512_unpackhi_epi32(v[0], v[1]);
  const __m512i cd_low = _mm512_unpacklo_epi32(v[2], v[3]), cd_high = _mm512_unpackhi_epi32(v[2], v[3]);
  v[0] = _mm512_unpacklo_epi64(ab_low, cd_low), v[1] = _mm512_unpackhi_epi64(ab_low, cd_low);
  v[2] = _mm512_unpacklo_epi64(ab_high, cd_high), v[3] = _mm512_unpackhi_epi64(ab_high, cd_high);
}

alignas(64) constexpr uint8_t kPixelsTogether[64] = {
    0, 16, 32, 48, 1, 17, 33, 49, 2,  18, 34, 50, 3,  19, 35, 51, 4,  20, 36, 52, 5,  21, 37, 53, 6,  22, 38, 54,
    7, 23, 39, 55, 8, 24, 40, 56, 9,  25, 41, 57, 10, 26, 42, 58, 11, 27, 43, 59, 12, 28, 44, 60, 13, 29, 45, 61,
    14, 30, 46, 62, 15, 31, 47, 63};

// Bits of 16 pixels, a dword for each of 16 channels.
struct Bits {
  Bits(uint8_t x_min, uint8_t x_max)
      : lowest(_mm512_set1_epi8(static_cast<char>(x_min))),
        range(_mm512_set1_epi8(static_cast<char>(x_max - x_min))) {}

  __m512i of(const FourPixels& four, const uint8_t* x, int64_t pixels) const {
    // a byte of four codes: 1, 4, 16 and 64 times them
    const __m512i places = _mm512_set1_epi32(0x40100401), order = _mm512_load_si512(kPixelsTogether);
    __m512i bytes[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const __m512i codes = _mm512_subs_epu8(four.load(x + 4 * i * four.pitch, pixels - 4 * i), lowest);
      const __m512i together = _mm512_permutexvar_epi8(order, _mm512_min_epu8(codes, range));
      bytes[i] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), together, places);
    }
    const __m512i low = _mm512_or_si512(bytes[0], _mm512_slli_epi32(bytes[1], 8));
    return _mm512_ternarylogic_epi32(low, _mm512_slli_epi32(bytes[2], 16), _mm512_slli_epi32(bytes[3], 24), kOr);
  }

  __m512i lowest, range;
};

void split(const uint8_t* x, int64_t pixels, int64_t channels, uint8_t x_min, uint8_t x_max, uint8_t* out,
           int64_t pitch) {
  const Bits bits(x_min, x_max);
  for (int64_t c = 0; c < channels; c += kLanes) {
    const int64_t some = channels - c < kLanes ? channels - c : kLanes;
    const FourPixels four{channels, some};
    for (int64_t pixel = 0; pixel < pixels; pixel += 64) {
      __m512i v[4] = {};
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        const int64_t first = pixel + 16 * i;
        if (first < pixels) v[i] = bits.of(four, x + first * channels + c, pixels - first);
      }
      transpose(v);  // lane l of v[i] is channel 4 * l + i
      uint8_t* at = out + c * pitch + pixel / 4;
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        const auto store = [&](int channel, __m128i sixteen) {
          if (channel < some) _mm_storeu_si128(reinterpret_cast<__m128i*>(at + channel * pitch), sixteen);
        };
        store(i, _mm512_castsi512_si128(v[i]));
        store(4 + i, _mm512_extracti32x4_epi32(v[i], 1));
        store(8 + i, _mm512_extracti32x4_epi32(v[i], 2));
        store(12 + i, _mm512_extracti32x4_epi32(v[i], 3));
      }
    }
  }
}

// The fields of 64 positions that get padding.
inline __attribute__((always_inline)) __m512i outside_of(const uint64_t (&inside)[3]) {
  __m512i outside = _mm512_setzero_si512();
#pragma GCC unroll 3
  for (int k = 0; k < 3; ++k) {
    const __m512i field = _mm512_set1_epi8(static_cast<char>(3 << (2 * k)));
    outside = _mm512_or_si512(outside, _mm512_maskz_mov_epi8(~inside[k], field));
  }
  return outside;
}

void join(const PlanesJoin& j, uint8_t* columns) {
  // Qword q gets the bits of positions 8 * q to 8 * q + 7 and their neighbours, bytes 2 * q - 1 to 2 * q + 2; byte i of
  // it then takes those from pixel first + i on. Look-ups ignore what is above the lowest six bits.
  const __m512i spread = _mm512_add_epi8(
      _mm512_set_epi64(0x0e0e0e0e0e0e0e0e, 0x0c0c0c0c0c0c0c0c, 0x0a0a0a0a0a0a0a0a, 0x0808080808080808,
                       0x0606060606060606, 0x0404040404040404, 0x0202020202020202, 0),
      _mm512_set1_epi64(0x0303030303020100));
  const __m512i places = _mm512_add_epi8(_mm512_set1_epi64(0x0e0c0a0806040200),
                                         _mm512_set1_epi8(static_cast<char>(8 + 2 * j.first)));
  const __m512i padding = _mm512_set1_epi8(static_cast<char>(j.padding * (1 + 4 + 16)));
  const auto joined = [&](const uint8_t* bits, __m512i outside) {
    const __m256i found = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bits));
    const __m512i spread_bits = _mm512_permutexvar_epi8(spread, _mm512_castsi256_si512(found));
    return _mm512_ternarylogic_epi32(outside, padding, _mm512_multishift_epi64_epi8(places, spread_bits),
                                     0xca);  // outside ? padding : bits
  };
  // from here on `j` is not read again: for all the compiler knows, columns could lie over it
  const int64_t pitch = j.pitch, column_bytes = j.column_bytes;
  const uint8_t *bits = j.bits - 1, *const end = bits + j.channels * pitch;
  const __m512i outside = outside_of(j.inside[0]);
  if (j.count == 2 * kBlockPositions) {
    const __m512i outside_second = outside_of(j.inside[1]);
    for (; bits != end; bits += pitch, columns += column_bytes) {
      _mm512_storeu_si512(columns, joined(bits, outside));
      _mm512_storeu_si512(columns + 64, joined(bits + 16, outside_second));
    }
  } else if (j.count == kBlockPositions) {  // masked stores are slow
    for (; bits != end; bits += pitch, columns += column_bytes) _mm512_storeu_si512(columns, joined(bits, outside));
  } else {
    const uint64_t some = (1ull << j.count) - 1;
    for (; bits != end; bits += pitch, columns += column_bytes) {
      _mm512_mask_storeu_epi8(columns, some, joined(bits, outside));
    }
  }
}

inline __attribute__((always_inline)) __m512i entries_of(const uint16_t* weight) {
  return _mm512_load_si512(kTable.data() + *weight);
}

// `channels` sums of `blocks` vectors each.
template <int channels, int blocks>
void run_some(const PlanesTile& tile, int first_channel, PlaneSums& out) {
  Widening<channels * blocks> wide;
  const uint16_t* weights = tile.weights + first_channel * kRunUnit;
  const uint8_t* columns = tile.columns;
  for (int64_t first = 0; first < tile.step_count; first += tile.run_steps) {
    const int64_t left = tile.step_count - first, end = first + (left < tile.run_steps ? left : tile.run_steps);
    __m512i sums[channels][blocks];
#pragma GCC unroll 16
    for (int c = 0; c < channels; ++c) {
#pragma GCC unroll 2
      for (int b = 0; b < blocks; ++b) sums[c][b] = _mm512_setzero_si512();
    }
    for (int64_t step = first; step < end; step += kRunUnit, weights += kRunUnit * kPlaneChannels) {
      if constexpr (blocks == 1) {
        __m512i x[kRunUnit];
#pragma GCC unroll 4
        for (int i = 0; i < kRunUnit; ++i) x[i] = _mm512_load_si512(columns + 64 * i);
#pragma GCC unroll 16
        for (int c = 0; c < channels; ++c) {
          add_chain(sums[c][0], kTable.data(), reinterpret_cast<const uint8_t*>(weights + c * kRunUnit), 0, x);
        }
      } else {
#pragma GCC unroll 4
        for (int i = 0; i < kRunUnit; ++i) {
          const __m512i first_block = _mm512_load_si512(columns + 128 * i);
          const __m512i second_block = _mm512_load_si512(columns + 128 * i + 64);
#pragma GCC unroll 8
          for (int c = 0; c < channels; c += 2) {
            const uint16_t* weight = weights + c * kRunUnit + i;
            add_four(sums[c][0], sums[c][1], sums[c + 1][0], sums[c + 1][1], entries_of(weight),
                     entries_of(weight + kRunUnit), first_block, second_block);
          }
        }
      }
      columns += kRunUnit * 64 * blocks;
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
  template <typename Requantizing>
  FourOf(const uint16_t (&words)[2][32], const Requantizing& requantize, int shift, int32_t bias, float factor) {
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

// Of packed codes, lane l gets those of positions l, l + 4, l + 8, ...: transposed, a vector holds four neighbours.
alignas(64) constexpr uint8_t kEachFourth[64] = {
    0,  1,  2,  3,  16, 17, 18, 19, 32, 33, 34, 35, 48, 49, 50, 51, 4,  5,  6,  7,  20, 21, 22, 23, 36, 37, 38, 39,
    52, 53, 54, 55, 8,  9,  10, 11, 24, 25, 26, 27, 40, 41, 42, 43, 56, 57, 58, 59, 12, 13, 14, 15, 28, 29, 30, 31,
    44, 45, 46, 47, 60, 61, 62, 63};

template <bool adds, typename Requantizing>
void finish_block(const Finish& f, const Requantizing& requantize, const PlaneSums& sums, int block, int positions,
                  const FourPixels& four, const uint8_t* residual, uint8_t* y) {
  const __m512i each_fourth = _mm512_load_si512(kEachFourth);
  __m512i codes[16];
#pragma GCC unroll 16
  for (int c = 0; c < kLanes; ++c) {
    const FourOf sums_of(sums.words[c][block], requantize, f.shift, f.bias[c], f.factor[c]);
    codes[c] = _mm512_permutexvar_epi8(each_fourth, requantize.packed(sums_of.rounded));
  }
  transpose(codes);
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) {
    const int left = positions - 4 * i;
    if (left <= 0) break;
    const int64_t at = 4 * i * four.pitch;
    if constexpr (adds) codes[i] = requantize.with_residual(codes[i], four.load(residual + at, left));
    four.store(y + at, left, codes[i]);
  }
}

void finish(const Finish& f, const PlaneSums& sums, int positions, int channels, const uint8_t* residual, uint8_t* y,
            int64_t pitch) {
  const FourPixels four{pitch, channels};
  requantize_by(f, [&](const auto& requantize) {
    for (int first = 0; first < positions; first += kBlockPositions) {
      const int block = first / kBlockPositions, left = positions - first;
      const int some = left < kBlockPositions ? left : kBlockPositions;
      uint8_t* to = y + first * pitch;
      if (f.kind == OutputKind::kResidual) {
        finish_block<true>(f, requantize, sums, block, some, four, residual + first * pitch, to);
      } else {
        finish_block<false>(f, requantize, sums, block, some, four, nullptr, to);
      }
    }
  });
}

}  // namespace

const PlanesKernel kPlanes{150, kRow, split, join, run, finish};

}  // namespace dqmq::avx512
