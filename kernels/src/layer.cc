#include "layer.h"

#include <cmath>
#include <stdexcept>
#include <string>

namespace dqmq {
namespace {

// Larger sizes than any picture has; products of them stay far inside int64.
constexpr int64_t kMostChannels = 1 << 20, kMostTaps = 1 << 12, kMostStep = 1 << 20;

void expect(bool holds, const std::string& message) {
  if (!holds) throw std::invalid_argument(message);
}

void expect_within(const char* what, int64_t value, int64_t lowest, int64_t highest) {
  expect(value >= lowest && value <= highest, std::string("expected ") + what + " from " + std::to_string(lowest) +
                                                   " to " + std::to_string(highest) + ", got " +
                                                   std::to_string(value));
}

void expect_finite(const char* what, float value) {
  expect(std::isfinite(value), std::string("expected finite ") + what + ", got " + std::to_string(value));
}

}  // namespace

void check_windows(const Geometry& g) {
  expect_within("kernel height", g.kernel_h, 1, kMostTaps);
  expect_within("kernel width", g.kernel_w, 1, kMostTaps);
  for (int64_t stride : {g.stride_h, g.stride_w}) expect_within("strides", stride, 1, kMostStep);
  for (int64_t dilation : {g.dilation_h, g.dilation_w}) expect_within("dilations", dilation, 1, kMostStep);
  for (int64_t pad : {g.pad_top, g.pad_left, g.pad_bottom, g.pad_right}) expect_within("pads", pad, 0, kMostStep);
}

void check(const Layer& layer) {
  const Geometry& g = layer.geometry;
  expect_within("input channels", g.in_channels, 1, kMostChannels);
  expect_within("output channels", g.out_channels, 1, kMostChannels);
  expect_within("groups", g.groups, 1, g.in_channels);
  expect(g.in_channels % g.groups == 0 && g.out_channels % g.groups == 0,
         "expected groups that divide " + std::to_string(g.in_channels) + " input and " +
             std::to_string(g.out_channels) + " output channels, got " + std::to_string(g.groups));
  check_windows(g);
  expect(layer.weight_bits == 2 || layer.weight_bits == 4 || layer.weight_bits == 8,
         "expected weight_bits of 2, 4 or 8, got " + std::to_string(layer.weight_bits));
  // divided, not multiplied: sizes that no weights have could overflow
  const size_t row = static_cast<size_t>(row_bytes(g.codes_per_channel(), layer.weight_bits));
  const size_t channels = static_cast<size_t>(g.out_channels);
  expect(layer.weights != nullptr && layer.weights_size % row == 0 && layer.weights_size / row == channels,
         "expected " + std::to_string(channels) + " times " + std::to_string(row) +
             " bytes of packed weights, got " + std::to_string(layer.weights_size));
  expect(layer.x_min <= layer.x_max, "expected x_min <= x_max, got " + std::to_string(layer.x_min) + " > " +
                                         std::to_string(layer.x_max));
  expect(layer.bias.size() == channels,
         "expected " + std::to_string(channels) + " biases, got " + std::to_string(layer.bias.size()));
  expect(layer.output.factor.size() == channels,
         "expected " + std::to_string(channels) + " factors, got " + std::to_string(layer.output.factor.size()));
  expect_within("output zero point", layer.output.zero_point, 0, 255);
  // what is no number has no order, and no two instruction sets clamp it alike
  const Output& out = layer.output;
  for (float factor : out.factor) expect_finite("factors", factor);
  for (float number : {out.own_ratio, out.residual_ratio, out.offset}) expect_finite("ratios and offset", number);
}

Codes unpack_codes(const Layer& layer) {
  const int64_t count = layer.geometry.codes_per_channel();
  const int64_t bytes = row_bytes(count, layer.weight_bits);
  const int bits = layer.weight_bits, half = 1 << (bits - 1), mask = (1 << bits) - 1, per_byte = 8 / bits;
  Codes codes(static_cast<size_t>(layer.geometry.out_channels * count));
  int8_t* out = codes.data();
  for (int64_t channel = 0; channel < layer.geometry.out_channels; ++channel) {
    const uint8_t* row = layer.weights + channel * bytes;
    int64_t left = count;
    for (; left >= per_byte; left -= per_byte, ++row) {
      for (int field = 0; field < per_byte; ++field) {
        *out++ = static_cast<int8_t>(((*row >> (field * bits)) & mask) - half);
      }
    }
    for (int field = 0; field < left; ++field) {
      *out++ = static_cast<int8_t>(((*row >> (field * bits)) & mask) - half);
    }
  }
  return codes;
}

}  // namespace dqmq
