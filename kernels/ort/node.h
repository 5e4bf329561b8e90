// A node of the graph: what its attributes and tensors say, checked, as a layer.
#pragma once

#include <array>
#include <vector>

#include "../src/layer.h"
#include "tensor.h"

namespace dqmq::ort {

// Inputs in the order of the nodes; an operator has the first few of them.
enum Input : size_t {
  kX, kXScale, kXZp, kW, kWScale, kBias, kXMin, kXMax, kYScale, kYZp, kCScale, kCZp, kR, kRScale, kRZp, kInputCount
};

struct Formal {
  const char* name;
  int type;
};

constexpr std::array<Formal, kInputCount> kFormals = {{
    {"x", kUint8}, {"x_scale", kFloat}, {"x_zp", kUint8}, {"w", kUint8}, {"w_scale", kFloat}, {"bias", kInt32},
    {"x_min", kUint8}, {"x_max", kUint8}, {"y_scale", kFloat}, {"y_zp", kUint8}, {"c_scale", kFloat},
    {"c_zp", kUint8}, {"r", kUint8}, {"r_scale", kFloat}, {"r_zp", kUint8},
}};

struct Operator {
  const char* name;
  size_t inputs;  // the first of kFormals
  bool is_conv;   // x is [N, H, W, C] and w_shape [out, C / group, KH, KW]; else [N, C] and [out, C]
  OutputKind kind;
};

constexpr std::array<Operator, 4> kOperators = {{
    {"QConv", 10, true, OutputKind::kCodes},
    {"QConvAdd", 15, true, OutputKind::kResidual},
    {"QLinear", 8, false, OutputKind::kNumbers},
    {"QLinearCodes", 10, false, OutputKind::kCodes},
}};

struct Attributes {
  int64_t weight_bits, act_bits;
  Geometry geometry;
};

// Throws std::invalid_argument where an attribute is missing that has no default, has another type, or fits no other.
Attributes read_attributes(const Api& api, const OrtKernelInfo* info, const Operator& op);

// All inputs but the pictures are parameters: mostly constants of the graph.
constexpr bool is_parameter(size_t input) { return input != kX && input != kR; }

using Tensors = std::array<Tensor, kInputCount>;

// The layer that attributes and parameters make. `rows` holds its weights where those of the tensor lie too far apart.
// Throws std::invalid_argument where a parameter has another type or shape than it should.
Layer make_layer(const Operator& op, const Attributes& attributes, const Tensors& inputs, std::vector<uint8_t>* rows);

}  // namespace dqmq::ort
