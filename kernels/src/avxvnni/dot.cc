// 8-bit dot products: vpdpbusd multiplies four codes with four weights in each of 8 lanes, and adds all of it in 32 bits.
#include "../avx2/dot.h"

#include "kernels.h"

namespace dqmq::avxvnni {
namespace {

struct Bytes : Bytewise {
  static inline __attribute__((always_inline)) __m256i add(__m256i sums, __m256i codes, __m256i weights) {
    return _mm256_dpbusd_avx_epi32(sums, codes, weights);
  }
};

// `vectors` of 8 channels, up to `rows` positions.
template <int vectors, int rows>
void dot(int count, const Tile& tile) {
  dot_rows<Bytes, vectors, rows>(count, tile);
}

}  // namespace

// Speeds are estimates, on the scale of those measured for AVX2: two vpdpbusd a cycle, less what else the loop does.
const TileKernel kTiles[] = {
    {"vnni 16", Encoding::kBytes, 6, 16, 0, kAnyProduct, nullptr, 60, dot<2, 6>},
    {"vnni 8", Encoding::kBytes, 10, 8, 0, kAnyProduct, nullptr, 52, dot<1, 10>},
};
const int kTileCount = sizeof(kTiles) / sizeof(kTiles[0]);

}  // namespace dqmq::avxvnni
