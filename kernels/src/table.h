// Dot products of 2-bit codes by look-up.
//
// A row of the table belongs to a few activations, a column to as many weights; the entry is the dot product of both,
// counted from the lowest of its column:
//
//     row    a0 | a1 << 2 | a2 << 4          activation index 0..3 each: clamp(x) - x_min
//     column w0 | w1 << 2 | w2 << 4          field 0..3 each: weight code + 2
//     entry  sum (a - kCentre) * (w - 2) - lowest_product(w - 2)
//
// Centre and lowest cost nothing: they are constants for each output channel, and fold into its bias. Entries are 0 to 6,
// 3, 0 or 3 for each weight of -2, -1, 0, 1.
//
// Entries add up in bytes over a *run* of steps that is short enough for the sum of the highest, which the weights tell,
// to stay within 255: whatever the activations are, no sum wraps or saturates. Typical weights allow runs of 20 to 40
// steps of three, the worst 12; each run ends with a widening, so long ones are faster.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace dqmq {

constexpr int kCentre = 2;

// The lowest product of a weight code -2..1 with a centred activation -2..1, and the range above it.
static constexpr int lowest_product(int code) { return code > 0 ? -2 * code : code; }
static constexpr int product_range(int code) { return code > 0 ? 3 * code : -3 * code; }

// [4^count rows][copies][4^count columns]. A row is repeated where the look-up instruction works in lanes of 16 bytes.
template <int count, int copies>
constexpr auto dot_table() {
  constexpr int side = 1 << (2 * count);
  std::array<uint8_t, static_cast<std::size_t>(side * side * copies)> table{};
  for (int row = 0; row < side; ++row) {
    for (int column = 0; column < side; ++column) {
      int entry = 0;
      for (int i = 0; i < count; ++i) {
        const int code = (column >> 2 * i & 3) - 2;
        entry += ((row >> 2 * i & 3) - kCentre) * code - lowest_product(code);
      }
      for (int copy = 0; copy < copies; ++copy) {
        table[static_cast<std::size_t>((row * copies + copy) * side + column)] = static_cast<uint8_t>(entry);
      }
    }
  }
  return table;
}

}  // namespace dqmq
