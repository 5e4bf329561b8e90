// Inner loops for AVX-512; see tile.h for what they compute.
#pragma once

#include "../tile.h"

namespace dqmq::avx512 {

constexpr int kTableRow = 64;
extern const uint8_t kLaneOrder[128];

// `vectors` of 16 channels, up to `rows` positions.
template <int vectors, int rows>
void dot(int count, const Tile& tile);
template <int vectors, int rows>
void dot_strip(int64_t count, const Tile& strip);

// `vectors` of 64 channels, up to `rows` positions.
template <int vectors, int rows>
void table(int count, const Tile& tile);

// `vectors` of 64 channels, up to `rows` positions of kernels three pixels wide with stride 1: see
// TileKernel::along_rows.
template <int vectors, int rows>
void row_table(int count, const Tile& tile);

}  // namespace dqmq::avx512
