#include "node.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "attributes.h"

namespace dqmq::ort {
namespace {

float finite_ratio(const char* what, float ratio) {
  if (!std::isfinite(ratio)) refuse(std::string("expected scales with a finite ratio, got ") + what + " that has none");
  return ratio;
}

std::vector<float> factors(const Tensors& inputs, int64_t channels, const float* y_scale) {
  const Tensor& scales = inputs[kWScale];
  const bool is_shared = scales.type == kFloat && count(scales.shape) == 1;
  if (!is_shared) expect("w_scale", scales, kFloat, {channels});
  const float x_scale = scalar<float>("x_scale", inputs[kXScale], kFloat);
  std::vector<float> made(static_cast<size_t>(channels));
  for (size_t channel = 0; channel < made.size(); ++channel) {
    const float factor = x_scale * scales.as<float>()[is_shared ? 0 : channel];
    made[channel] = finite_ratio("w_scale", y_scale ? factor / *y_scale : factor);
  }
  return made;
}

Output make_output(const Operator& op, const Tensors& inputs, int64_t channels) {
  Output output;
  output.kind = op.kind;
  if (op.kind == OutputKind::kNumbers) {
    output.factor = factors(inputs, channels, nullptr);
    return output;
  }
  const float y_scale = scalar<float>("y_scale", inputs[kYScale], kFloat);
  const uint8_t y_zp = scalar<uint8_t>("y_zp", inputs[kYZp], kUint8);
  if (op.kind == OutputKind::kCodes) {
    output.factor = factors(inputs, channels, &y_scale);
    output.zero_point = y_zp;
    return output;
  }
  const float c_scale = scalar<float>("c_scale", inputs[kCScale], kFloat);
  const float r_scale = scalar<float>("r_scale", inputs[kRScale], kFloat);
  output.factor = factors(inputs, channels, &c_scale);
  output.zero_point = scalar<uint8_t>("c_zp", inputs[kCZp], kUint8);
  output.own_ratio = finite_ratio("c_scale", c_scale / y_scale);
  output.residual_ratio = finite_ratio("r_scale", r_scale / y_scale);
  const float own_zero = output.own_ratio * static_cast<float>(output.zero_point);
  const float residual_zero = output.residual_ratio * scalar<uint8_t>("r_zp", inputs[kRZp], kUint8);
  output.offset = y_zp - (own_zero + residual_zero);
  return output;
}

// The packed rows of `w`, one behind the other: its own where they lie so, else copied to `rows`.
void take_weights(const Tensor& w, Layer* layer, std::vector<uint8_t>* rows) {
  const int64_t channels = layer->geometry.out_channels;
  const int64_t row = row_bytes(layer->geometry.codes_per_channel(), layer->weight_bits);
  const bool is_longer = w.type == kUint8 && w.shape.size() == 2 && w.shape[0] == channels && w.shape[1] > row;
  if (!is_longer) expect("w", w, kUint8, {channels, row});
  layer->weights = w.as<uint8_t>();
  layer->weights_size = static_cast<size_t>(channels * row);
  if (!is_longer) return;
  rows->resize(layer->weights_size);
  for (int64_t channel = 0; channel < channels; ++channel) {
    std::memcpy(rows->data() + channel * row, w.as<uint8_t>() + channel * w.shape[1], static_cast<size_t>(row));
  }
  layer->weights = rows->data();
}

}  // namespace

Attributes read_attributes(const Api& api, const OrtKernelInfo* info, const Operator& op) {
  const Reader reader(api, info);
  Attributes attributes;
  attributes.weight_bits = reader.integer("weight_bits", nullptr);
  attributes.act_bits = reader.integer("act_bits", nullptr);
  const int64_t bits = attributes.weight_bits;
  if (bits != 2 && bits != 4 && bits != 8) refuse("weight_bits: expected 2, 4 or 8, got " + std::to_string(bits));

  const Shape w_shape = reader.integers("w_shape", nullptr), w_count = reader.integers("w_count", nullptr);
  expect_size("w_shape", w_shape, op.is_conv ? 4 : 2);
  if (*std::min_element(w_shape.begin(), w_shape.end()) < 1) {
    refuse("w_shape: expected integers from 1, got " + text(w_shape));
  }
  // eight bits a code at most: that their number fits into an int64 must hold for the bits, too
  int64_t codes = 8;
  for (int64_t size : w_shape) {
    if (__builtin_mul_overflow(codes, size, &codes)) refuse("w_shape: got " + text(w_shape) + ", too many weights");
  }
  const Shape per_channel = {codes / 8 / w_shape[0]};
  if (w_count != per_channel) refuse("w_count: expected " + text(per_channel) + ", got " + text(w_count));

  Geometry& geometry = attributes.geometry;
  const int64_t one = 1;
  geometry.groups = op.is_conv ? reader.integer("group", &one) : 1;
  geometry.out_channels = w_shape[0];
  if (geometry.groups < 1 || __builtin_mul_overflow(w_shape[1], geometry.groups, &geometry.in_channels)) {
    refuse("group: expected an integer from 1, got " + std::to_string(geometry.groups));
  }
  if (op.is_conv) {
    const Shape kernel = {w_shape[2], w_shape[3]}, kernel_shape = reader.integers("kernel_shape", &kernel);
    if (kernel_shape != kernel) refuse("kernel_shape: expected " + text(kernel) + ", got " + text(kernel_shape));
    read_windows(reader, kernel, &geometry);
  }
  return attributes;
}

Layer make_layer(const Operator& op, const Attributes& attributes, const Tensors& inputs, std::vector<uint8_t>* rows) {
  Layer layer;
  layer.geometry = attributes.geometry;
  layer.weight_bits = static_cast<int>(attributes.weight_bits);
  const int64_t channels = layer.geometry.out_channels;
  take_weights(inputs[kW], &layer, rows);
  layer.x_zero_point = scalar<uint8_t>("x_zp", inputs[kXZp], kUint8);
  if (attributes.act_bits < 8) {
    layer.x_max = scalar<uint8_t>("x_max", inputs[kXMax], kUint8);
    // where the two cross, Clip gives x_max for all
    layer.x_min = std::min(scalar<uint8_t>("x_min", inputs[kXMin], kUint8), layer.x_max);
  }
  expect("bias", inputs[kBias], kInt32, {channels});
  layer.bias.assign(inputs[kBias].as<int32_t>(), inputs[kBias].as<int32_t>() + channels);
  layer.output = make_output(op, inputs, channels);
  return layer;
}

}  // namespace dqmq::ort
