// Depthwise convolutions for AVX-512 VNNI: see depthwise.h. Blocks of 64 channels, and of 32 or 16 for what is left.
#include "../depthwise.h"

#include <immintrin.h>

#include <type_traits>

#include "kernels.h"
#include "requantize.h"

namespace dqmq::avx512 {
namespace {

// Lanes of each vector of channels; four bytes a lane.
constexpr int kLanes = 16;

// One column of the kernel, interleaved: vectors of 16 channels. Unpacking works within lanes of 128 bits, so of four
// vectors, vector k has channels 16 * l + 4 * k + (0 .. 3) in its lane l: the order in which packs take them back.
template <int vectors>
struct Column {
  __m512i v[vectors];
};

alignas(64) constexpr uint8_t kOfOneRow[64] = {0,  16, 32, 48, 1,  17, 33, 49, 2,  18, 34, 50, 3,  19, 35, 51,
                                               4,  20, 36, 52, 5,  21, 37, 53, 6,  22, 38, 54, 7,  23, 39, 55,
                                               8,  24, 40, 56, 9,  25, 41, 57, 10, 26, 42, 58, 11, 27, 43, 59,
                                               12, 28, 44, 60, 13, 29, 45, 61, 14, 30, 46, 62, 15, 31, 47, 63};
alignas(64) constexpr uint8_t kOfTwoRows[64] = {0,  32, 64, 96,  1,  33, 65, 97,  2,  34, 66, 98,  3,  35, 67, 99,
                                                4,  36, 68, 100, 5,  37, 69, 101, 6,  38, 70, 102, 7,  39, 71, 103,
                                                8,  40, 72, 104, 9,  41, 73, 105, 10, 42, 74, 106, 11, 43, 75, 107,
                                                12, 44, 76, 108, 13, 45, 77, 109, 14, 46, 78, 110, 15, 47, 79, 111};

// How a block reads rows 4 * group to 4 * group + 3 of its kernel. Rows and columns outside are all padding; there are
// no branches, since at narrow pictures every second one would be guessed wrong. What is in a row beyond `rows` does not
// matter: its weights are zero.
template <int vectors, bool clamps, int rows>
struct Reader {
  Reader(const DepthwiseRow& row, int64_t group)
      : padding(row.padding), width(row.width), pixel(row.pixel),
        lowest(_mm512_set1_epi8(static_cast<char>(row.x_min))),
        highest(_mm512_set1_epi8(static_cast<char>(row.x_max))),
        mask(row.channels >= 64 ? ~0ull : (1ull << row.channels) - 1) {
#pragma GCC unroll 4
    for (int i = 0; i < kRowGroup; ++i) {
      const int64_t at = group * kRowGroup + i;
      offsets[i] = row.rows[at] - padding, inside[i] = row.inside[at], steps[i] = pixel & inside[i];
    }
  }

  const uint8_t* at_column(int64_t at, int i) const {
    const int64_t is_inside = -static_cast<int64_t>(at >= 0 && at < width);
    return padding + ((offsets[i] + at * pixel) & is_inside & inside[i]);
  }

  __m512i clamped(__m512i codes) const {
    return clamps ? _mm512_max_epu8(_mm512_min_epu8(codes, highest), lowest) : codes;
  }

  // A column of the picture.
  inline __attribute__((always_inline)) Column<vectors> column(int64_t at) const {
    const uint8_t* from[kRowGroup];
#pragma GCC unroll 4
    for (int i = 0; i < rows; ++i) from[i] = at_column(at, i);
    return column(from);
  }

  // Two neighbours that are both within the picture, rows of the first at `from`, which moves on behind the second.
  inline __attribute__((always_inline)) void two_columns(const uint8_t* (&from)[kRowGroup],
                                                         Column<vectors> (&out)[2]) const {
    const uint8_t* next[kRowGroup];
    out[0] = column(from);
#pragma GCC unroll 4
    for (int i = 0; i < rows; ++i) next[i] = from[i] + steps[i];
    out[1] = column(next);
#pragma GCC unroll 4
    for (int i = 0; i < rows; ++i) from[i] += 2 * steps[i];
  }

  inline __attribute__((always_inline)) Column<vectors> column(const uint8_t* const (&from)[kRowGroup]) const {
    Column<vectors> out;
    if constexpr (vectors == 4) {
      __m512i r[kRowGroup] = {};
#pragma GCC unroll 4
      for (int i = 0; i < rows; ++i) r[i] = clamped(_mm512_loadu_si512(from[i]));
      const __m512i ab_low = _mm512_unpacklo_epi8(r[0], r[1]), ab_high = _mm512_unpackhi_epi8(r[0], r[1]);
      const __m512i cd_low = _mm512_unpacklo_epi8(r[2], r[3]), cd_high = _mm512_unpackhi_epi8(r[2], r[3]);
      out.v[0] = _mm512_unpacklo_epi16(ab_low, cd_low), out.v[1] = _mm512_unpackhi_epi16(ab_low, cd_low);
      out.v[2] = _mm512_unpacklo_epi16(ab_high, cd_high), out.v[3] = _mm512_unpackhi_epi16(ab_high, cd_high);
    } else if constexpr (vectors == 2) {
      const auto half = [&](int i) { return _mm256_maskz_loadu_epi8(static_cast<__mmask32>(mask), from[i]); };
      const __m512i ab = clamped(_mm512_inserti64x4(_mm512_castsi256_si512(half(0)), half(1), 1));
      const __m512i c = _mm512_castsi256_si512(half(2));
      const __m512i cd = clamped(rows < 4 ? c : _mm512_inserti64x4(c, half(3), 1));
      const __m512i first = _mm512_load_si512(kOfTwoRows), second = _mm512_add_epi8(first, _mm512_set1_epi8(16));
      out.v[0] = _mm512_permutex2var_epi8(ab, first, cd), out.v[1] = _mm512_permutex2var_epi8(ab, second, cd);
    } else {
      const auto quarter = [&](int i) { return _mm_maskz_loadu_epi8(static_cast<__mmask16>(mask), from[i]); };
      __m512i abcd = _mm512_inserti32x4(_mm512_castsi128_si512(quarter(0)), quarter(1), 1);
      abcd = _mm512_inserti32x4(abcd, quarter(2), 2);
      if constexpr (rows == 4) abcd = _mm512_inserti32x4(abcd, quarter(3), 3);
      out.v[0] = _mm512_permutexvar_epi8(_mm512_load_si512(kOfOneRow), clamped(abcd));
    }
    return out;
  }

  // copies, which stores to y cannot change
  const uint8_t* padding;
  int64_t width, pixel, offsets[kRowGroup], inside[kRowGroup], steps[kRowGroup];
  __m512i lowest, highest;
  __mmask64 mask;
};

// From sums of a position to its outputs.
template <int lane_vectors, OutputKind kind, typename Requantizing>
struct Writer {
  static constexpr int vectors = lane_vectors;
  static constexpr bool writes_codes = kind != OutputKind::kNumbers;

  Writer(const Finish& f, const Requantizing& requantize, int channels, const uint8_t* residual, void* y, int64_t pitch)
      : finish(f), requantize(requantize), residual(residual), y(y), pitch(pitch),
        mask(channels >= 64 ? ~0ull : (1ull << channels) - 1) {}

  // What the sums of vector v start from.
  __m512i start(int v) const { return _mm512_loadu_si512(finish.bias + kLanes * v); }

  // `count` positions of so many vectors, or fewer at the end of a row.
  template <int count>
  inline __attribute__((always_inline)) void write(int64_t position, int64_t end,
                                                   const __m512i (&sums)[count][vectors]) const {
    if constexpr (!writes_codes) {
      for (int p = 0; p < count && position + p < end; ++p) write_numbers(position + p, sums[p]);
      return;
    }
    __m512i rounded[count][4] = {};
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      const __m512 factor = _mm512_castsi512_ps(kept(_mm512_loadu_si512(finish.factor + kLanes * v)));
#pragma GCC unroll 2
      for (int p = 0; p < count; ++p) {
        rounded[p][v] = requantize.rounded(_mm512_mul_ps(_mm512_cvtepi32_ps(sums[p][v]), factor));
      }
    }
#pragma GCC unroll 2
    for (int p = 0; p < count; ++p) {
      if (p > 0 && position + p >= end) return;
      __m512i codes = requantize.packed(rounded[p]);
      if constexpr (vectors < 4) {
        codes = in_order(codes);
      }
      if constexpr (kind == OutputKind::kResidual) {
        codes = requantize.with_residual(codes, _mm512_maskz_loadu_epi8(mask, residual + (position + p) * pitch));
      }
      store(static_cast<uint8_t*>(y) + (position + p) * pitch, codes);
    }
  }

  void store(uint8_t* to, __m512i codes) const {
    if constexpr (vectors == 4) {
      _mm512_storeu_si512(to, codes);
    } else if (vectors == 2 && static_cast<__mmask32>(~mask) == 0) {  // masked stores are slow
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_castsi512_si256(codes));
    } else if (vectors == 1 && static_cast<__mmask16>(~mask) == 0) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_castsi512_si128(codes));
    } else {
      _mm512_mask_storeu_epi8(to, mask, codes);
    }
  }

  void write_numbers(int64_t position, const __m512i (&sums)[vectors]) const {
    alignas(64) float values[vectors * kLanes];
    for (int v = 0; v < vectors; ++v) {
      const __m512 factor = _mm512_loadu_ps(finish.factor + kLanes * v);
      _mm512_store_ps(values + kLanes * v, _mm512_mul_ps(_mm512_cvtepi32_ps(sums[v]), factor));
    }
    float* to = static_cast<float*>(y) + position * pitch;
    for (int c = 0; c < vectors * kLanes; ++c) {
      if (mask >> c & 1) to[c] = values[vectors == 4 ? c % 16 / 4 * 16 + c / 16 * 4 + c % 4 : c];
    }
  }

  Finish finish;
  Requantizing requantize;
  const uint8_t* residual;
  void* y;
  int64_t pitch;
  __mmask64 mask;
};

// Kernels up to 3 x 3 at a stride of 1 or 2: columns stay in registers from position to position, and weights serve
// several positions at a time.
template <bool clamps, int stride, typename Writing>
void slide(const DepthwiseRow& row, const Writing& writer) {
  constexpr int vectors = Writing::vectors;
  constexpr int positions = 3 - stride, columns = stride * (positions - 1) + 3;
  const Reader<vectors, clamps, 3> reader(row, 0);
  const int64_t out_w = row.out_w, first_column = row.first_column;
  const uint8_t* const all_weights = row.weights;
  Column<vectors> c[columns];
#pragma GCC unroll 2
  for (int i = 0; i < 3 - stride; ++i) c[i] = reader.column(first_column + i);
  const uint8_t* from[kRowGroup];
  int64_t at = first_column + 3 - stride;
#pragma GCC unroll 4
  for (int i = 0; i < 3; ++i) from[i] = row.padding + (reader.offsets[i] & reader.inside[i]) + at * reader.steps[i];
  for (int64_t position = 0; position < out_w; position += positions, at += 2) {
    Column<vectors> fresh[2];
    if (at >= 0 && at + 1 < reader.width) {
      reader.two_columns(from, fresh);
    } else {
      fresh[0] = reader.column(at), fresh[1] = reader.column(at + 1);
#pragma GCC unroll 4
      for (int i = 0; i < 3; ++i) from[i] += 2 * reader.steps[i];
    }
    c[columns - 2] = fresh[0], c[columns - 1] = fresh[1];
    __m512i sums[positions][vectors];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      const __m512i start = kept(writer.start(v));
#pragma GCC unroll 2
      for (int p = 0; p < positions; ++p) sums[p][v] = start;
#pragma GCC unroll 3
      for (int k = 0; k < 3; ++k) {
        const __m512i weights = kept(_mm512_load_si512(all_weights + (k * vectors + v) * 64));
#pragma GCC unroll 2
        for (int p = 0; p < positions; ++p) {
          sums[p][v] = _mm512_dpbusd_epi32(sums[p][v], c[p * stride + k].v[v], weights);
        }
      }
    }
    writer.write(position, out_w, sums);
#pragma GCC unroll 2
    for (int i = 0; i < 3 - stride; ++i) c[i] = c[i + positions * stride];
  }
}

// Any kernel, stride and dilation.
template <bool clamps, typename Writing>
void walk(const DepthwiseRow& row, const Writing& writer) {
  constexpr int vectors = Writing::vectors;
  for (int64_t position = 0; position < row.out_w; ++position) {
    __m512i sums[1][vectors];
    for (int v = 0; v < vectors; ++v) sums[0][v] = writer.start(v);
    const uint8_t* weights = row.weights;
    for (int64_t group = 0; group < row.row_groups; ++group) {
      const Reader<vectors, clamps, kRowGroup> reader(row, group);
      for (int64_t k = 0; k < row.kernel_w; ++k, weights += 64 * vectors) {
        const int64_t at = row.first_column + position * row.stride_w + k * row.dilation_w;
        const Column<vectors> column = reader.column(at);
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) {
          sums[0][v] = _mm512_dpbusd_epi32(sums[0][v], column.v[v], _mm512_load_si512(weights + 64 * v));
        }
      }
    }
    writer.write(position, row.out_w, sums);
  }
}

template <bool clamps, typename Writing>
void run_clamped(const DepthwiseRow& row, const Writing& writer) {
  if constexpr (Writing::writes_codes) {
    const bool slides = row.kernel_w == 3 && row.dilation_w == 1 && row.kernel_h <= 3;
    if (slides && row.stride_w == 1) return slide<clamps, 1>(row, writer);
    if (slides && row.stride_w == 2) return slide<clamps, 2>(row, writer);
  }
  walk<clamps>(row, writer);
}

template <OutputKind kind>
struct Kind {
  static constexpr OutputKind value = kind;
};

template <int vectors>
void run_block(const DepthwiseRow& row, const Finish& f, const uint8_t* residual, void* y, int64_t pitch) {
  const auto run_with = [&](const auto& requantize) {
    using Requantizing = std::decay_t<decltype(requantize)>;
    const auto write = [&](const auto& writer) {
      row.x_min > 0 || row.x_max < 255 ? run_clamped<true>(row, writer) : run_clamped<false>(row, writer);
    };
    const auto run_kind = [&](auto kind) {
      write(Writer<vectors, decltype(kind)::value, Requantizing>(f, requantize, row.channels, residual, y, pitch));
    };
    switch (f.kind) {
      case OutputKind::kCodes: return run_kind(Kind<OutputKind::kCodes>());
      case OutputKind::kResidual: return run_kind(Kind<OutputKind::kResidual>());
      case OutputKind::kNumbers: return run_kind(Kind<OutputKind::kNumbers>());
    }
  };
  f.is_tame ? run_with(Requantize<true, false>(f)) : run_with(Requantize<false, false>(f));
}

void run(const DepthwiseRow& row, int lanes, const Finish& f, const uint8_t* residual, void* y, int64_t pitch) {
  (lanes == 64 ? run_block<4> : lanes == 32 ? run_block<2> : run_block<1>)(row, f, residual, y, pitch);
}

int lanes_for(int64_t channels) { return channels >= 64 ? 64 : channels > 16 ? 32 : 16; }

int lane_of(int lanes, int channel) {
  return lanes == 64 ? channel % 16 / 4 * 16 + channel / 16 * 4 + channel % 4 : channel;
}

}  // namespace

const DepthwiseKernel kDepthwise{lanes_for, lane_of, run};

}  // namespace dqmq::avx512
