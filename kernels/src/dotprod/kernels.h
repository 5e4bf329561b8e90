// What the dot product instructions of ARMv8.2 add to NEON.
#pragma once

#include "../kernel_set.h"

namespace dqmq::dotprod {

extern const TileKernel kTiles[];
extern const int kTileCount;

}  // namespace dqmq::dotprod
