// Inner loops for NEON; see tile.h for what they compute.
#pragma once

#include "../tile.h"

namespace dqmq::neon {

constexpr int kTableRow = 16;

// `vectors` of 16 channels, up to `pairs` times two positions.
template <int vectors, int pairs>
void table(int count, const Tile& tile);

// `vectors` of 4 channels, up to `rows` positions.
template <int vectors, int rows>
void dot(int count, const Tile& tile);

// `vectors` of 16 channels, any number of positions.
template <int vectors>
void depthwise(int count, const Tile& tile);

}  // namespace dqmq::neon
