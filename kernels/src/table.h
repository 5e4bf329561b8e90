// Dot products of 2-bit codes by look-up.
//
// A row of the table belongs to a few activations, a column to as many weights; the entry is the dot product of both:
//
//     row    a0 | a1 << 2 | a2 << 4          activation index 0..3 each: clamp(x) - x_min
//     column w0 | w1 << 2 | w2 << 4          field 0..3 each: weight code + 2
//     entry  sum (a - kCentre) * (w - 2) + kEntryBias * count
//
// With activations centred at 2 a product lies in -2..4, so that an entry needs only 0..18 (three) or 0..12 (two): 14 or
// 21 of them add up in a byte before the sum has to be widened. The centre costs nothing: it is a constant for each
// output channel, and folds into its bias.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace dqmq {

constexpr int kCentre = 2, kEntryBias = 2;

// Entries that add up in a byte without overflow.
constexpr int entries_per_byte_sum(int count) { return 255 / (6 * count); }

// [4^count rows][copies][4^count columns]. A row is repeated where the look-up instruction works in lanes of 16 bytes.
template <int count, int copies>
constexpr auto make_table() {
  constexpr int side = 1 << (2 * count);
  std::array<uint8_t, static_cast<std::size_t>(side * side * copies)> table{};
  for (int row = 0; row < side; ++row) {
    for (int column = 0; column < side; ++column) {
      int entry = kEntryBias * count;
      for (int i = 0; i < count; ++i) entry += (((row >> 2 * i) & 3) - kCentre) * (((column >> 2 * i) & 3) - 2);
      for (int copy = 0; copy < copies; ++copy) {
        table[static_cast<std::size_t>((row * copies + copy) * side + column)] = static_cast<uint8_t>(entry);
      }
    }
  }
  return table;
}

}  // namespace dqmq
