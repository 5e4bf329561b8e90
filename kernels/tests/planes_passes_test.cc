// The passes of planes, each between guards and against planes.h in plain loops.
#include <algorithm>
#include <cstring>

#include "guarded.h"
#include "paths.h"
#include "table.h"

namespace dqmq::test {
namespace {

constexpr Side kSides[] = {Side::kStart, Side::kEnd};

std::vector<uint8_t> random_bytes(int64_t count, Random& random) {
  std::vector<uint8_t> bytes(static_cast<size_t>(count));
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random.bits() >> 3);
  return bytes;
}

// Two bits of `bits` from pixel `at` on.
int code_at(const uint8_t* bits, int64_t at) { return bits[at >> 2] >> ((at & 3) * 2) & 3; }

// Calls `body` for each kernel, at each side of the guards.
void each_kernel(const char* pass, const std::function<void(const KernelSet&, const PlanesKernel&, Side)>& body) {
  for (const KernelSet* set : kernel_sets()) {
    now_path(std::string(name(set->isa)) + " planes " + pass);
    if (set->planes == nullptr) continue;
    for (Side side : kSides) body(*set, *set->planes, side);
  }
}

void expect_split(const PlanesKernel& kernel, int64_t pixels, int64_t channels, Side side, Random& random) {
  const uint8_t x_min = static_cast<uint8_t>(random.from(0, 252));
  const uint8_t x_max = static_cast<uint8_t>(x_min + random.from(0, 3));
  std::vector<uint8_t> codes = random_bytes(pixels * channels, random);
  for (uint8_t& code : codes) code = static_cast<uint8_t>(random.once_in(4) ? code : x_min + code % 5 - code % 2);
  const int64_t pitch = (pixels + 63) / 64 * 16;
  const Guarded x(codes, side), out(static_cast<size_t>(channels * pitch), side);
  kernel.split(x.data(), pixels, channels, x_min, x_max, out.data(), pitch);
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t p = 0; p < pixels; ++p) {
      const int wanted = std::clamp(codes[static_cast<size_t>(p * channels + c)], x_min, x_max) - x_min;
      if (code_at(out.data() + c * pitch, p) == wanted) continue;
      return fail("split: wrong code at pixel " + std::to_string(p) + " of " + std::to_string(pixels) + ", channel " +
                  std::to_string(c) + " of " + std::to_string(channels));
    }
  }
}

DQMQ_TEST(passes, planes_split) {
  Random random(43);
  each_kernel("split", [&](const KernelSet&, const PlanesKernel& kernel, Side side) {
    for (int64_t pixels = 1; pixels <= 200; ++pixels) {
      if (drawn()) expect_split(kernel, pixels, random.from(1, 70), side, random);
    }
    for (int64_t channels = 1; channels <= 140; ++channels) {
      if (drawn()) expect_split(kernel, random.from(1, 130), channels, side, random);
    }
  });
}

void expect_join(const PlanesKernel& kernel, int count, int first, Side side, Random& random) {
  const int64_t channels = random.from(1, 5), pitch = 48 + random.from(0, 40), column_bytes = count + random.from(0, 9);
  const int64_t read = count > kBlockPositions ? 48 : 32;
  const Guarded bits(random_bytes((channels - 1) * pitch + read, random), side);
  const Guarded columns(random_bytes((channels - 1) * column_bytes + count, random), side);
  const std::vector<uint8_t> before(columns.data(), columns.data() + columns.size());
  const uint8_t padding = static_cast<uint8_t>(random.from(0, 3));
  PlanesJoin join{bits.data() + 1, channels, pitch, first, {}, padding, count, column_bytes};
  for (auto& block : join.inside) {
    for (uint64_t& inside : block) {
      const uint64_t any = uint64_t{random.bits()} << 32 | random.bits();
      inside = random.once_in(2) ? any : ~uint64_t{0};
    }
  }
  kernel.join(join, columns.data());
  for (int64_t at = 0; at < static_cast<int64_t>(columns.size()); ++at) {
    const int64_t channel = at / column_bytes, i = at % column_bytes;
    int wanted = before[static_cast<size_t>(at)];
    if (i < count) wanted = 0;
    for (int k = 0; i < count && k < 3; ++k) {
      const int64_t pixel = first + i + k;
      const bool is_inside = join.inside[i / kBlockPositions][k] >> i % kBlockPositions & 1;
      wanted |= (is_inside ? code_at(join.bits + channel * pitch, pixel) : join.padding) << (2 * k);
    }
    const int got = i < count ? columns.data()[at] & 63 : columns.data()[at];
    if (got == wanted) continue;
    return fail("join: byte " + std::to_string(i) + " of " + std::to_string(count) + " is " +
                std::to_string(got) + ", not " + std::to_string(wanted));
  }
}

DQMQ_TEST(passes, planes_join) {
  Random random(44);
  each_kernel("join", [&](const KernelSet&, const PlanesKernel& kernel, Side side) {
    for (int round = 0; round < 4; ++round) {
      for (int first = -3; first <= 0; ++first) {
        for (int count = 1; count <= kBlockPositions; ++count) {
          if (drawn()) expect_join(kernel, count, first, side, random);
        }
        if (drawn()) expect_join(kernel, 2 * kBlockPositions, first, side, random);
      }
    }
  });
}

int field(int fields, int i) { return fields >> (2 * i) & 3; }

void expect_sums(const PlanesKernel& kernel, int64_t units, int blocks, Random& random) {
  constexpr int64_t kRunSteps = 12;  // the longest that suits any weights
  const int64_t count = units * kRunUnit;
  const std::vector<uint8_t> bytes = random_bytes(count * blocks * kBlockPositions, random);
  std::vector<uint16_t> offsets(static_cast<size_t>(count * kPlaneChannels));
  std::vector<int> wanted(static_cast<size_t>(kPlaneChannels * blocks * kBlockPositions));
  for (int64_t step = 0; step < count; ++step) {
    for (int64_t c = 0; c < kPlaneChannels; ++c) {
      const int row = static_cast<int>(random.from(0, 63));
      offsets[static_cast<size_t>((step / kRunUnit * kPlaneChannels + c) * kRunUnit + step % kRunUnit)] =
          static_cast<uint16_t>(row * kernel.table_row);
      int lowest = 0;
      for (int i = 0; i < 3; ++i) lowest += lowest_product(field(row, i) - 2);
      for (int64_t p = 0; p < blocks * kBlockPositions; ++p) {
        const uint8_t codes = bytes[static_cast<size_t>(step * blocks * kBlockPositions + p)];
        int& sum = wanted[static_cast<size_t>(c * blocks * kBlockPositions + p)];
        for (int i = 0; i < 3; ++i) sum += (field(codes, i) - kCentre) * (field(row, i) - 2);
        sum -= lowest;
      }
    }
  }
  const Guarded weights(offsets.size() * sizeof(uint16_t), Side::kStart);  // aligned
  const Guarded columns(bytes, Side::kStart);
  std::memcpy(weights.data(), offsets.data(), weights.size());
  PlaneSums sums;
  kernel.run({columns.data(), count, kRunSteps, reinterpret_cast<const uint16_t*>(weights.data())}, blocks, sums);
  for (int64_t c = 0; c < kPlaneChannels; ++c) {
    for (int64_t p = 0; p < blocks * kBlockPositions; ++p) {
      const int got = sums.words[c][p / kBlockPositions][p % 2][p % kBlockPositions / 2];
      if (got == wanted[static_cast<size_t>(c * blocks * kBlockPositions + p)]) continue;
      return fail("run: wrong sum of channel " + std::to_string(c) + ", position " + std::to_string(p) + ", " +
                  std::to_string(count) + " steps");
    }
  }
}

DQMQ_TEST(passes, planes_run) {
  Random random(45);
  each_kernel("run", [&](const KernelSet&, const PlanesKernel& kernel, Side) {
    for (int64_t units = 1; units <= 40; ++units) {
      for (int blocks = 1; blocks <= kMostBlocks; ++blocks) {
        if (drawn()) expect_sums(kernel, units, blocks, random);
      }
    }
  });
}

// Against the portable finish of the same sums.
void expect_finish(const PlanesKernel& kernel, Finish f, int positions, int channels, Side side, Random& random) {
  PlaneSums sums;
  std::vector<int32_t> plain(static_cast<size_t>(positions * kPlaneChannels));
  for (int c = 0; c < kPlaneChannels; ++c) {
    for (int p = 0; p < kMostBlocks * kBlockPositions; ++p) {
      const uint16_t sum = static_cast<uint16_t>(random.from(0, 32767));
      sums.words[c][p / kBlockPositions][p % 2][p % kBlockPositions / 2] = sum;
      if (p < positions) plain[static_cast<size_t>(p * kPlaneChannels + c)] = sum;
    }
  }
  const Guarded bias(kPlaneChannels * sizeof(int32_t), side), factor(kPlaneChannels * sizeof(float), side);
  for (int c = 0; c < kPlaneChannels; ++c) {
    const int32_t whole = static_cast<int32_t>(random.from(-2000000, 1000));
    const float number = static_cast<float>(random.from(-100, 100)) / 100000;
    std::memcpy(bias.data() + 4 * c, &whole, 4), std::memcpy(factor.data() + 4 * c, &number, 4);
  }
  f.bias = reinterpret_cast<const int32_t*>(bias.data()), f.factor = reinterpret_cast<const float*>(factor.data());
  const int64_t pitch = channels + random.from(0, 20);
  const int64_t size = (positions - 1) * pitch + channels;
  std::vector<uint8_t> expected(static_cast<size_t>(size), 0xa5);
  const Guarded residual(random_bytes(size, random), side), y(expected, side);
  const uint8_t* added = f.kind == OutputKind::kResidual ? residual.data() : nullptr;
  const KernelSet& portable = kernel_set(Isa::kPortable);
  portable.finish(f, plain.data(), kPlaneChannels, positions, channels, added, expected.data(), pitch);
  kernel.finish(f, sums, positions, channels, added, y.data(), pitch);
  expect(std::memcmp(y.data(), expected.data(), expected.size()) == 0,
         "finish otherwise than portable: " + std::to_string(positions) + " positions, " + std::to_string(channels) +
             " channels, pitch " + std::to_string(pitch));
}

DQMQ_TEST(passes, planes_finish) {
  Random random(46);
  each_kernel("finish", [&](const KernelSet&, const PlanesKernel& kernel, Side side) {
    for (int positions = 1; positions <= kMostBlocks * kBlockPositions; ++positions) {
      for (int channels = 1; channels <= kPlaneChannels; ++channels) {
        for (OutputKind kind : {OutputKind::kCodes, OutputKind::kResidual}) {
          if (!drawn()) continue;
          const float ratio = static_cast<float>(random.from(-3000, 3000)) / 1000;
          const int32_t zero_point = static_cast<int32_t>(random.from(0, 255));
          const Finish f{kind, 6, nullptr, nullptr, zero_point, ratio, 1 - ratio / 3, ratio * 40};
          expect_finish(kernel, f, positions, channels, side, random);
        }
      }
    }
  });
}

}  // namespace
}  // namespace dqmq::test
