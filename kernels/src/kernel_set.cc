#include "kernel_set.h"

#include <algorithm>
#include <cmath>

#include "portable/kernels.h"
#if defined(__x86_64__)
#include "avx2/kernels.h"
#include "avx512/kernels.h"
#include "avxvnni/kernels.h"
#elif defined(__aarch64__)
#include "dotprod/kernels.h"
#include "neon/kernels.h"
#endif

namespace dqmq {
namespace {

// Each level lists its own kernels first, then those of the level below, which cost decides between.
KernelSet over(KernelSet below, Isa isa, const TileKernel* tiles, int count) {
  below.isa = isa;
  below.tiles.insert(below.tiles.begin(), tiles, tiles + count);
  return below;
}

KernelSet portable_set() {
  return {Isa::kPortable, {portable::kDot, portable::kDepthwise}, portable::encode, portable::finish,
          portable::widen};
}

#if defined(__x86_64__)

KernelSet avx2_set() {
  KernelSet set = over(portable_set(), Isa::kAvx2, avx2::kTiles, avx2::kTileCount);
  set.encode = avx2::encode;
  set.finish = avx2::finish;
  set.widen = avx2::widen;
  return set;
}

#if defined(DQMQ_AVXVNNI)
KernelSet avxvnni_set() { return over(avx2_set(), Isa::kAvxVnni, avxvnni::kTiles, avxvnni::kTileCount); }
#endif

KernelSet avx512_set() {
  KernelSet set = over(portable_set(), Isa::kAvx512, avx512::kTiles, avx512::kTileCount);
  set.encode = avx512::encode;
  set.finish = avx512::finish;
  set.widen = avx512::widen;
  set.planes = &avx512::kPlanes;
  set.depthwise = &avx512::kDepthwise;
  return set;
}

#elif defined(__aarch64__)

KernelSet neon_set() {
  KernelSet set = over(portable_set(), Isa::kNeon, neon::kTiles, neon::kTileCount);
  set.encode = neon::encode;
  set.finish = neon::finish;
  return set;
}

KernelSet dotprod_set() { return over(neon_set(), Isa::kDotProd, dotprod::kTiles, dotprod::kTileCount); }

#endif

}  // namespace

int64_t Encoder::units() const { return (channels + facts(encoding).depth - 1) / facts(encoding).depth; }

int64_t Encoder::pixel_bytes() const {
  if (facts(encoding).is_table) return groups * units() * 2;
  return groups * channels * (encoding == Encoding::kWords ? 2 : 1);
}

Finish make_finish(const Output& output, int shift) {
  const bool is_small = std::all_of(output.factor.begin(), output.factor.end(), [](float f) { return std::abs(f) < 0.5f; });
  const float most = 255 * (std::abs(output.own_ratio) + std::abs(output.residual_ratio)) + std::abs(output.offset);
  return {output.kind, shift, nullptr, nullptr, output.zero_point, output.own_ratio, output.residual_ratio,
          output.offset, is_small && most < 1 << 30};
}

const KernelSet& kernel_set(Isa isa) {
  static const KernelSet portable = portable_set();
#if defined(__x86_64__)
  static const KernelSet avx2 = avx2_set(), avx512 = avx512_set();
  if (isa == Isa::kAvx2) return avx2;
  if (isa == Isa::kAvx512) return avx512;
#if defined(DQMQ_AVXVNNI)
  static const KernelSet avxvnni = avxvnni_set();
  if (isa == Isa::kAvxVnni) return avxvnni;
#endif
#elif defined(__aarch64__)
  static const KernelSet neon = neon_set(), dotprod = dotprod_set();
  if (isa == Isa::kNeon) return neon;
  if (isa == Isa::kDotProd) return dotprod;
#endif
  return portable;
}

}  // namespace dqmq
