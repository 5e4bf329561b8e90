// Inner loops for AVX2; see tile.h for what they compute. `vectors` of channels, up to `rows` positions.
#pragma once

#include "../tile.h"

namespace dqmq::avx2 {

// Every row of the table serves both 128-bit halves of a register: one broadcast loads it.
constexpr int kTableRow = 16;
extern const uint8_t kLaneOrder[64];

// Vectors of 32 channels.
template <int vectors, int rows>
void table(int count, const Tile& tile);

// Vectors of 8 channels, codes of 16 bits.
template <int vectors, int rows>
void dot_words(int count, const Tile& tile);

// Vectors of 8 channels; products small enough for 16-bit sums of `word_steps` steps.
constexpr int most_product(int word_steps) { return 32767 / (2 * word_steps); }
template <int vectors, int rows, int word_steps>
void dot_bytes(int count, const Tile& tile);

// Vectors of 16 channels, any number of positions.
template <int vectors>
void depthwise(int count, const Tile& tile);

}  // namespace dqmq::avx2
