// Dot products of 2-bit codes by look-up.
//
// A row of the table belongs to a few activations, a column to as many weights; the entry is the dot product of both,
// modulo 256:
//
//     row    a0 | a1 << 2 | a2 << 4          activation index 0..3 each: clamp(x) - x_min
//     column w0 | w1 << 2 | w2 << 4          field 0..3 each: weight code + 2
//     entry  sum (a - kCentre) * (w - 2)
//
// The centre costs nothing: it is a constant for each output channel, and folds into its bias. With it entries are small
// numbers of both signs. With a weight of -2, -1, 0, 1 a product lies in a range of 6, 3, 0, 3.
//
// Entries add up in bytes, modulo 256, over a *run* of steps that is short enough for the sum of their ranges, which the
// weights tell, to stay within 255. A run starts from minus the lowest sum possible; so it ends between 0 and 255, as if
// nothing had wrapped, and what it started from folds into the bias as well. Typical weights allow runs of 20 to 40
// steps of three, the worst 12; each run ends with a widening, so long ones are faster.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace dqmq {

constexpr int kCentre = 2;

// [4^count rows][copies][4^count columns]. A row is repeated where the look-up instruction works in lanes of 16 bytes.
template <int count, int copies>
constexpr auto dot_table() {
  constexpr int side = 1 << (2 * count);
  std::array<uint8_t, static_cast<std::size_t>(side * side * copies)> table{};
  for (int row = 0; row < side; ++row) {
    for (int column = 0; column < side; ++column) {
      int entry = 0;
      for (int i = 0; i < count; ++i) entry += (((row >> 2 * i) & 3) - kCentre) * (((column >> 2 * i) & 3) - 2);
      for (int copy = 0; copy < copies; ++copy) {
        table[static_cast<std::size_t>((row * copies + copy) * side + column)] = static_cast<uint8_t>(entry);
      }
    }
  }
  return table;
}

// The lowest product of a weight code -2..1 with a centred activation -2..1, and the range above it.
static constexpr int lowest_product(int code) { return code > 0 ? -2 * code : code; }
static constexpr int product_range(int code) { return code > 0 ? 3 * code : -3 * code; }

}  // namespace dqmq
