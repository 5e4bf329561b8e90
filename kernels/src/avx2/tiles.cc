#include "tiles.h"

#include "kernels.h"

namespace dqmq::avx2 {

// Speeds are those measured on one core of a Zen 4, in multiply-accumulates a cycle, for long segments.
const TileKernel kTiles[] = {
    {"table 64", Encoding::kPairs, 6, 64, kTableRow, 0, kLaneOrder, 100, table<2, 6>},
    {"table 32", Encoding::kPairs, 10, 32, kTableRow, 0, kLaneOrder, 80, table<1, 10>},
    {"dot 16", Encoding::kWords, 6, 16, 0, kAnyProduct, nullptr, 29, dot_words<2, 6>},
    {"dot 8", Encoding::kWords, 10, 8, 0, kAnyProduct, nullptr, 26, dot_words<1, 10>},
    {"dot 16 by 2", Encoding::kBytes, 6, 16, 0, most_product(2), nullptr, 32, dot_bytes<2, 6, 2>},
    {"dot 16 by 8", Encoding::kBytes, 6, 16, 0, most_product(8), nullptr, 45, dot_bytes<2, 6, 8>},
    {"dot 16 by 32", Encoding::kBytes, 6, 16, 0, most_product(32), nullptr, 54, dot_bytes<2, 6, 32>},
    {"dot 16 by 128", Encoding::kBytes, 6, 16, 0, most_product(128), nullptr, 58, dot_bytes<2, 6, 128>},
    {"dot 8 by 8", Encoding::kBytes, 10, 8, 0, most_product(8), nullptr, 40, dot_bytes<1, 10, 8>},
    {"dot 8 by 128", Encoding::kBytes, 10, 8, 0, most_product(128), nullptr, 50, dot_bytes<1, 10, 128>},
    {"depthwise 64", Encoding::kDepthwise, 8, 64, 0, kAnyProduct, nullptr, 14, depthwise<4>},
    {"depthwise 32", Encoding::kDepthwise, 16, 32, 0, kAnyProduct, nullptr, 14, depthwise<2>},
    {"depthwise 16", Encoding::kDepthwise, 32, 16, 0, kAnyProduct, nullptr, 14, depthwise<1>},
};
const int kTileCount = sizeof(kTiles) / sizeof(kTiles[0]);

}  // namespace dqmq::avx2
