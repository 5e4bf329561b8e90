// Kernels for aarch64 with Advanced SIMD, which every such CPU has. Files here see no standard library templates, as
// those of other instruction sets do not.
#pragma once

#include "../kernel_set.h"

namespace dqmq::neon {

extern const TileKernel kTiles[];
extern const int kTileCount;

void encode(const Encoder& encoder, const uint8_t* x, int64_t x_step, int64_t pixels, uint8_t* encoded);

void finish(const Finish& finish, const int32_t* sums, int lanes, int rows, int channels, const uint8_t* residual,
            void* y, int64_t pitch);

}  // namespace dqmq::neon
