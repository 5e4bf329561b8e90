#include "tiles.h"

#include "kernels.h"

namespace dqmq::neon {

// Speeds are estimates, in multiply-accumulates a cycle: what the instructions of the inner loops take on a Cortex-A76 by
// its optimization guide (two vector pipes, only one of which multiplies).
const TileKernel kTiles[] = {
    {"table 64", Encoding::kPairs, 6, 64, kTableRow, 0, nullptr, 40, table<4, 3>},
    {"table 32", Encoding::kPairs, 12, 32, kTableRow, 0, nullptr, 38, table<2, 6>},
    {"table 16", Encoding::kPairs, 14, 16, kTableRow, 0, nullptr, 32, table<1, 7>},
    {"dot 16", Encoding::kSigned, 3, 16, 0, kAnyProduct, nullptr, 7, dot<4, 3>},
    {"dot 8", Encoding::kSigned, 6, 8, 0, kAnyProduct, nullptr, 7, dot<2, 6>},
    {"depthwise 64", Encoding::kDepthwise, 8, 64, 0, kAnyProduct, nullptr, 5, depthwise<4>},
    {"depthwise 32", Encoding::kDepthwise, 16, 32, 0, kAnyProduct, nullptr, 5, depthwise<2>},
    {"depthwise 16", Encoding::kDepthwise, 32, 16, 0, kAnyProduct, nullptr, 5, depthwise<1>},
};
const int kTileCount = sizeof(kTiles) / sizeof(kTiles[0]);

}  // namespace dqmq::neon
