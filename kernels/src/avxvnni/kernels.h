// What AVX-VNNI, vpdpbusd on 256 bits, adds to AVX2.
#pragma once

#include "../kernel_set.h"

namespace dqmq::avxvnni {

extern const TileKernel kTiles[];
extern const int kTileCount;

}  // namespace dqmq::avxvnni
