#include "tiles.h"

#include "kernels.h"

namespace dqmq::avx512 {

// Speeds are those measured on one core of a Zen 4, in multiply-accumulates a cycle, for long segments.
const TileKernel kTiles[] = {
    {"table 128", Encoding::kTriples, 10, 128, kTableRow, 0, kLaneOrder, 170, table<2, 10>, true},
    {"table 64", Encoding::kTriples, 14, 64, kTableRow, 0, kLaneOrder, 140, table<1, 14>, true},
    {"row table 128", Encoding::kTriples, 10, 128, kTableRow, 0, kLaneOrder, 170, row_table<2, 10>, true, true, nullptr,
     true},
    {"row table 64", Encoding::kTriples, 16, 64, kTableRow, 0, kLaneOrder, 160, row_table<1, 16>, true, true},
    {"dot 64", Encoding::kBytes, 6, 64, 0, kAnyProduct, nullptr, 62, dot<4, 6>, true, false, dot_strip<4, 6>},
    {"dot 96", Encoding::kBytes, 4, 96, 0, kAnyProduct, nullptr, 62, dot<6, 4>, true, false, dot_strip<6, 4>},
    {"dot 48", Encoding::kBytes, 8, 48, 0, kAnyProduct, nullptr, 62, dot<3, 8>, true, false, dot_strip<3, 8>},
    {"dot 32", Encoding::kBytes, 14, 32, 0, kAnyProduct, nullptr, 60, dot<2, 14>, true, false, dot_strip<2, 14>},
    {"dot 16", Encoding::kBytes, 24, 16, 0, kAnyProduct, nullptr, 52, dot<1, 24>, true, false, dot_strip<1, 24>},
};
const int kTileCount = sizeof(kTiles) / sizeof(kTiles[0]);

}  // namespace dqmq::avx512
