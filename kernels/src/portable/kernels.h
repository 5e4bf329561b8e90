// Kernels in plain C++, for any machine.
#pragma once

#include "../kernel_set.h"

namespace dqmq::portable {

extern const TileKernel kDot, kDepthwise;

void encode(const Encoder& encoder, const uint8_t* x, int64_t x_step, int64_t pixels, uint8_t* encoded);

void finish(const Finish& finish, const int32_t* sums, int lanes, int rows, int channels, const uint8_t* residual,
            void* y, int64_t pitch);

void widen(const uint8_t* halves, int64_t count, bool at_top, uint8_t* bytes);

}  // namespace dqmq::portable
