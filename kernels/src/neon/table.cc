// 2-bit dot products by look-up (table.h), two positions at a time: tbl fetches, for each of 16 channels, the dot products
// of two weights with the two activations of one position and with those of another.
//
// A product of two codes lies in a range of 12 at most; counted from its column's lowest, it fits four bits. So a byte of
// the table holds two of them, and a row belongs to two positions:
//
//     row    p | q << 4                      what the encoded input of the first and of the second position points to
//     byte   entry(p, column) | entry(q, column) << 4        less the column's lowest entry, 0 to 12 each
//
// Over a run, `both` adds up the bytes and `second` their upper halves, which is one instruction, usra. Then
//
//     second = sum of the second position,  both = first + 16 * second modulo 256:  first = both - 16 * second
//
// where each sum is within 0 to 255 over a run. So three instructions stand for 64 multiply-accumulates, while two
// separate look-ups with an addition each would be four. sdot takes four, too.
#include "../table.h"

#include <arm_neon.h>

#include "tiles.h"

#if defined(__GNUC__) && !defined(__clang__)
// GCC would move so many look-ups ahead that sums no longer fit the registers.
#pragma GCC optimize("no-schedule-insns")
#endif

namespace dqmq::neon {
namespace {

struct Table {
  uint8_t bytes[16 * 16 * kTableRow];
};

constexpr int entry(int row, int column) {
  int entry = 0;
  for (int shift = 0; shift < 4; shift += 2) {
    const int code = (column >> shift & 3) - 2;
    entry += ((row >> shift & 3) - kCentre) * code - lowest_product(code);
  }
  return entry;
}

constexpr Table make_table() {
  Table table{};
  for (int row = 0; row < 256; ++row) {
    for (int column = 0; column < 16; ++column) {
      table.bytes[row * kTableRow + column] =
          static_cast<uint8_t>(entry(row & 15, column) | entry(row >> 4, column) << 4);
    }
  }
  return table;
}

alignas(64) constexpr Table kTable = make_table();
// 16-bit sums hold this many runs of at most 255; longer ones move on to 32 bits
constexpr int64_t kWordRuns = 257;

// 16-bit sums of a tile, channels in order.
template <int vectors, int pairs>
struct Wide {
  uint16x8_t words[2 * pairs][2 * vectors];
};

inline __attribute__((always_inline)) void add(uint16x8_t* words, uint8x16_t bytes) {
  words[0] = vaddw_u8(words[0], vget_low_u8(bytes));
  words[1] = vaddw_high_u8(words[1], bytes);
}

template <int vectors, int pairs>
void flush(Wide<vectors, pairs>& wide, int count, int32_t* sums, bool adds) {
  for (int r = 0; r < count; ++r) {
    for (int v = 0; v < 2 * vectors; ++v, sums += 8) {
      const uint32x4_t none = vdupq_n_u32(0);
      const uint32x4_t low = adds ? vreinterpretq_u32_s32(vld1q_s32(sums)) : none;
      const uint32x4_t high = adds ? vreinterpretq_u32_s32(vld1q_s32(sums + 4)) : none;
      const uint16x8_t words = wide.words[r][v];
      vst1q_s32(sums, vreinterpretq_s32_u32(vaddw_u16(low, vget_low_u16(words))));
      vst1q_s32(sums + 4, vreinterpretq_s32_u32(vaddw_high_u16(high, words)));
    }
  }
  wide = {};
}

inline __attribute__((always_inline)) uint64_t offset_at(const uint8_t* x) {
  uint16_t offset;
  __builtin_memcpy(&offset, x, sizeof(offset));
  return offset;
}

// One run of steps, added to the 16-bit sums.
template <int vectors, int pairs>
inline __attribute__((always_inline)) const uint8_t* look_up(const uint8_t* const (&x)[2 * pairs], int64_t at,
                                                             int64_t end, const uint8_t* weights,
                                                             Wide<vectors, pairs>& wide) {
  uint8x16_t both[pairs][vectors], second[pairs][vectors];
#pragma GCC unroll 8
  for (int p = 0; p < pairs; ++p) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) both[p][v] = second[p][v] = vdupq_n_u8(0);
  }
  for (; at < end; at += 2, weights += vectors * 16) {
    uint8x16_t w[vectors];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) w[v] = vld1q_u8(weights + 16 * v);
#pragma GCC unroll 8
    for (int p = 0; p < pairs; ++p) {
      const uint64_t row = offset_at(x[2 * p] + at) + (offset_at(x[2 * p + 1] + at) << 4);
      const uint8x16_t entries = vld1q_u8(kTable.bytes + row);
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) {
        const uint8x16_t found = vqtbl1q_u8(entries, w[v]);
        both[p][v] = vaddq_u8(both[p][v], found);
        second[p][v] = vsraq_n_u8(second[p][v], found, 4);
      }
    }
  }
#pragma GCC unroll 8
  for (int p = 0; p < pairs; ++p) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      add(wide.words[2 * p] + 2 * v, vsubq_u8(both[p][v], vshlq_n_u8(second[p][v], 4)));
      add(wide.words[2 * p + 1] + 2 * v, second[p][v]);
    }
  }
  return weights;
}

// An odd position out is its own partner.
template <int vectors, int pairs>
void table_exactly(int count, const Tile& tile) {
  Wide<vectors, pairs> wide{};
  const uint8_t* weights = tile.weights;
  bool flushed = false;
  int64_t runs_left = kWordRuns;
  for (int64_t segment = 0; segment < tile.segment_count; ++segment) {
    const uint8_t* x[2 * pairs];
#pragma GCC unroll 16
    for (int r = 0; r < 2 * pairs; ++r) x[r] = tile.positions[r < count ? r : count - 1] + tile.segments[segment];
    for (int64_t first = 0; first < tile.steps; first += tile.run_steps) {
      const int64_t left = tile.steps - first, length = left < tile.run_steps ? left : tile.run_steps;
      weights = look_up<vectors, pairs>(x, 2 * first, 2 * (first + length), weights, wide);
      if (--runs_left == 0) {
        flush(wide, count, tile.sums, flushed);
        flushed = true;
        runs_left = kWordRuns;
      }
    }
  }
  flush(wide, count, tile.sums, flushed);
}

}  // namespace

template <int vectors, int pairs>
void table(int count, const Tile& tile) {
  if ((count + 1) / 2 == pairs) return table_exactly<vectors, pairs>(count, tile);
  if constexpr (pairs > 1) table<vectors, pairs - 1>(count, tile);
}

template void table<4, 3>(int, const Tile&);
template void table<2, 6>(int, const Tile&);
template void table<1, 7>(int, const Tile&);

}  // namespace dqmq::neon
