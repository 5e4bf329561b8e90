// Kernels for AVX2 with FMA. Files here see no standard library templates: what the compiler instantiates with these
// instructions must never be what the linker picks for another CPU.
#pragma once

#include "../kernel_set.h"

namespace dqmq::avx2 {

extern const TileKernel kTiles[];
extern const int kTileCount;

void encode(const Encoder& encoder, const uint8_t* x, int64_t x_step, int64_t pixels, uint8_t* encoded);

void finish(const Finish& finish, const int32_t* sums, int lanes, int rows, int channels, const uint8_t* residual,
            void* y, int64_t pitch);

void widen(const uint8_t* halves, int64_t count, bool at_top, uint8_t* bytes);

// A loop of multiplications; how many those were.
int64_t multiply_bytes(int64_t turns);

}  // namespace dqmq::avx2
