// Rows of depthwise convolutions, every buffer between guards, against depthwise.h in plain loops.
#include <algorithm>
#include <cstring>
#include <memory>

#include "guarded.h"
#include "paths.h"

namespace dqmq::test {
namespace {

// A row of one block of channels, and what it needs.
struct Row {
  int kernel_h, lanes, channels;
  DepthwiseRow row{};
  std::vector<std::unique_ptr<Guarded>> inputs;
  std::vector<int32_t> sums;  // [out_w][channels]
};

uint8_t value_at(const Row& r, int ky, int64_t column, int channel) {
  const DepthwiseRow& row = r.row;
  const bool is_inside = row.inside[ky] != 0 && column >= 0 && column < row.width;
  const uint8_t code = is_inside ? row.rows[ky][column * row.pixel + channel] : row.padding[channel];
  return std::clamp(code, row.x_min, row.x_max);
}

// The first block of `left` channels.
void draw(Row& r, const DepthwiseKernel& kernel, int left, Side side, Random& random) {
  r.lanes = kernel.lanes(left), r.channels = std::min(r.lanes, left);
  const int channels = r.channels;
  r.kernel_h = static_cast<int>(random.from(1, kMostRowGroups * kRowGroup));
  DepthwiseRow& row = r.row;
  row.channels = channels;
  row.kernel_h = r.kernel_h;
  row.row_groups = (r.kernel_h + kRowGroup - 1) / kRowGroup;
  row.kernel_w = random.once_in(2) ? 3 : random.from(1, 7), row.stride_w = random.from(1, 3);
  row.dilation_w = random.once_in(4) ? random.from(2, 3) : 1;
  row.width = random.from(1, 12), row.pixel = channels + random.from(0, 9);
  row.first_column = -random.from(0, 3), row.out_w = random.from(1, 12);
  row.x_min = static_cast<uint8_t>(random.from(0, 100)), row.x_max = static_cast<uint8_t>(random.from(101, 255));
  for (int ky = 0; ky < kMostRowGroups * kRowGroup; ++ky) {
    std::vector<uint8_t> codes(static_cast<size_t>((row.width - 1) * row.pixel + channels));
    for (uint8_t& code : codes) code = static_cast<uint8_t>(random.bits());
    r.inputs.push_back(std::make_unique<Guarded>(codes, side));
    row.rows[ky] = r.inputs.back()->data();
    row.inside[ky] = ky < r.kernel_h && !random.once_in(5) ? -1 : 0;
  }
}

void run(const DepthwiseKernel& kernel, int left, OutputKind kind, Side side, Random& random) {
  Row r;
  draw(r, kernel, left, side, random);
  const int channels = r.channels;
  DepthwiseRow& row = r.row;
  const size_t lanes = static_cast<size_t>(r.lanes);
  // as wide as its lanes, all of them readable; aligned
  const Guarded padding(lanes, side);
  std::memset(padding.data(), static_cast<int>(random.from(row.x_min, row.x_max)), lanes);
  row.padding = padding.data();
  const Guarded weights(static_cast<size_t>(row.row_groups * row.kernel_w * kRowGroup) * lanes, side);
  row.weights = weights.data();
  r.sums.assign(static_cast<size_t>(row.out_w * channels), 0);
  const Guarded bias(lanes * 4, side), factor(lanes * 4, side);
  std::vector<int32_t> plain_bias;
  std::vector<float> plain_factor;
  for (int c = 0; c < channels; ++c) {
    const int64_t lane = kernel.lane_of(r.lanes, c);
    plain_bias.push_back(static_cast<int32_t>(random.from(-30000, 30000)));
    plain_factor.push_back(static_cast<float>(random.from(-100, 100)) / 20000);
    std::memcpy(bias.data() + 4 * lane, &plain_bias.back(), 4);
    std::memcpy(factor.data() + 4 * lane, &plain_factor.back(), 4);
    for (int ky = 0; ky < r.kernel_h; ++ky) {
      for (int64_t kx = 0; kx < row.kernel_w; ++kx) {
        const int8_t weight = static_cast<int8_t>(random.from(-128, 127));
        const int64_t at = ((ky / kRowGroup * row.kernel_w + kx) * r.lanes + lane) * kRowGroup + ky % kRowGroup;
        weights.data()[at] = static_cast<uint8_t>(weight);
        for (int64_t ox = 0; ox < row.out_w; ++ox) {
          const int64_t column = row.first_column + ox * row.stride_w + kx * row.dilation_w;
          r.sums[static_cast<size_t>(ox * channels + c)] += weight * value_at(r, ky, column, c);
        }
      }
    }
  }
  const int64_t pitch = channels + random.from(0, 9), size = (row.out_w - 1) * pitch + channels;
  const int64_t element = kind == OutputKind::kNumbers ? 4 : 1;
  std::vector<uint8_t> residuals(static_cast<size_t>(size)), expected(static_cast<size_t>(size * element), 0xa5);
  for (uint8_t& code : residuals) code = static_cast<uint8_t>(random.bits());
  const Guarded residual(residuals, side), y(expected, side);
  const uint8_t* added = kind == OutputKind::kResidual ? residual.data() : nullptr;
  Finish f{kind, 0, plain_bias.data(), plain_factor.data(), static_cast<int32_t>(random.from(0, 255)), 0.7f, 0.4f, -9};
  kernel_set(Isa::kPortable).finish(f, r.sums.data(), channels, static_cast<int>(row.out_w), channels, added,
                                    expected.data(), pitch);
  f.bias = reinterpret_cast<const int32_t*>(bias.data()), f.factor = reinterpret_cast<const float*>(factor.data());
  kernel.run(row, r.lanes, f, added, y.data(), pitch);
  expect(std::memcmp(y.data(), expected.data(), expected.size()) == 0,
         "a wrong row: " + std::to_string(channels) + " channels, kernel " + std::to_string(r.kernel_h) + "x" +
             std::to_string(row.kernel_w) + ", stride " + std::to_string(row.stride_w) + ", dilation " +
             std::to_string(row.dilation_w) + ", width " + std::to_string(row.width) + " to " +
             std::to_string(row.out_w) + ", kind " + std::to_string(static_cast<int>(kind)));
}

DQMQ_TEST(passes, depthwise_rows) {
  Random random(47);
  for (const KernelSet* set : kernel_sets()) {
    if (set->depthwise == nullptr) continue;
    now_path(std::string(name(set->isa)) + " depthwise rows");
    for (int left = 1; left <= kDepthwiseLanes; ++left) {
      for (OutputKind kind : {OutputKind::kCodes, OutputKind::kResidual, OutputKind::kNumbers}) {
        for (int round = 0; round < 8; ++round) {
          if (!drawn()) continue;
          for (Side side : {Side::kStart, Side::kEnd}) run(*set->depthwise, left, kind, side, random);
        }
      }
    }
  }
}

}  // namespace
}  // namespace dqmq::test
