#include "node_bytes.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "../ort/node.h"

namespace dqmq::test {
namespace {

using namespace dqmq::ort;

// Sound nodes do this much at most: an input is tried at every level, in a few milliseconds.
constexpr int64_t kMostMacs = 1 << 18;
constexpr int64_t kMostTensorBytes = 1 << 18;

class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : data_(data), left_(size) {}

  uint8_t byte() {
    if (left_ == 0) return 0;
    --left_;
    return *data_++;
  }
  int64_t below(int64_t count) { return byte() % count; }
  template <typename Value, size_t count>
  Value one_of(const Value (&values)[count]) {
    return values[byte() % count];
  }
  uint64_t rest() {
    uint64_t hash = 0xcbf29ce484222325u;
    while (left_ != 0) hash = (hash ^ byte()) * 0x100000001b3u;
    return hash;
  }

 private:
  const uint8_t* data_;
  size_t left_;
};

struct Shapes {
  int64_t out, in, groups, kernel[2], n, h, w;
};

// Attributes in the order in which exporters write them.
struct Parts {
  const Operator* op;
  std::vector<Attribute> attributes;
  std::vector<TensorData> tensors;
};

int64_t positions(const Shapes& s) { return s.n * s.h * s.w; }

Shapes read_shapes(Bytes& bytes, bool is_conv) {
  constexpr int64_t kGroups[] = {1, 1, 1, 2, 3, 0};
  Shapes s{};
  s.groups = is_conv ? bytes.one_of(kGroups) : 1;
  s.out = 1 + bytes.below(140), s.in = 1 + bytes.below(70);
  if (s.groups == 0) s.groups = s.out, s.in = 1;  // depthwise
  s.out = std::max<int64_t>(1, s.out / s.groups) * s.groups;
  const uint8_t kernel = bytes.byte();
  s.kernel[0] = is_conv ? 1 + kernel % 16 % 9 : 1, s.kernel[1] = is_conv ? 1 + kernel / 16 % 9 : 1;
  return s;
}

void bound_work(Shapes& s) {
  const auto macs = [&] { return positions(s) * s.out * s.in * s.kernel[0] * s.kernel[1]; };
  while (macs() > kMostMacs && positions(s) > 1) s.h = (s.h + 1) / 2, s.w = (s.w + 1) / 2, s.n = (s.n + 1) / 2;
}

std::vector<int64_t> two(uint8_t byte, int64_t most) { return {1 + byte % 16 % most, 1 + byte / 16 % most}; }

Parts read_sound(Bytes& bytes) {
  constexpr int64_t kBits[] = {2, 4, 8};
  Parts parts;
  parts.op = &kOperators[static_cast<size_t>(bytes.below(4))];
  const bool is_conv = parts.op->is_conv;
  const uint8_t bits = bytes.byte();
  const int64_t weight_bits = kBits[bits % 3], act_bits = 2 + bits / 3 % 7;
  Shapes s = read_shapes(bytes, is_conv);
  const std::vector<int64_t> strides = two(bytes.byte(), 3), dilations = two(bytes.byte(), 3);
  const uint8_t pads = bytes.byte();
  s.n = bytes.below(4), s.h = is_conv ? 1 + bytes.below(24) : 1, s.w = is_conv ? 1 + bytes.below(80) : 1;
  bound_work(s);

  const int64_t codes = s.in * s.kernel[0] * s.kernel[1];
  auto& attributes = parts.attributes;
  attributes = {{"weight_bits", weight_bits}, {"act_bits", act_bits}};
  std::vector<int64_t> w_shape = {s.out, s.in};
  Geometry g;
  if (is_conv) {
    w_shape.insert(w_shape.end(), {s.kernel[0], s.kernel[1]});
    const std::vector<int64_t> four = {pads & 3, pads >> 2 & 3, pads >> 4 & 3, pads >> 6};
    attributes.insert(attributes.end(), {{"kernel_shape", std::vector<int64_t>{s.kernel[0], s.kernel[1]}},
                                         {"strides", strides},
                                         {"dilations", dilations},
                                         {"pads", four},
                                         {"group", s.groups}});
    g.kernel_h = s.kernel[0], g.kernel_w = s.kernel[1], g.stride_h = strides[0], g.stride_w = strides[1];
    g.dilation_h = dilations[0], g.dilation_w = dilations[1];
    g.pad_top = four[0], g.pad_left = four[1], g.pad_bottom = four[2], g.pad_right = four[3];
  }
  attributes.push_back({"w_shape", w_shape});
  attributes.push_back({"w_count", std::vector<int64_t>{codes}});

  parts.tensors.resize(parts.op->inputs);
  for (size_t index = 0; index < parts.tensors.size(); ++index) parts.tensors[index].type = kFormals[index].type;
  const auto shape = [&](size_t index, std::vector<int64_t> sizes) {
    if (index < parts.tensors.size()) parts.tensors[index].shape = std::move(sizes);
  };
  const int64_t in = s.in * s.groups;
  shape(kX, is_conv ? std::vector<int64_t>{s.n, s.h, s.w, in} : std::vector<int64_t>{s.n, in});
  shape(kW, {s.out, row_bytes(codes, static_cast<int>(weight_bits))});
  shape(kWScale, {s.out});
  shape(kBias, {s.out});
  shape(kR, {s.n, g.out_h(s.h), g.out_w(s.w), s.out});
  return parts;
}

void set(Parts& parts, size_t index, uint8_t value) {
  if (index < parts.tensors.size()) parts.tensors[index].bytes.assign(1, value);
}

void set(Parts& parts, size_t index, float value) {
  if (index >= parts.tensors.size()) return;
  parts.tensors[index].bytes.resize(sizeof(value));
  std::memcpy(parts.tensors[index].bytes.data(), &value, sizeof(value));
}

// Ranges, zero points and scales, as an exporter writes them or any at all.
void read_scalars(Bytes& bytes, Parts& parts) {
  const int64_t act_bits = std::get<int64_t>(parts.attributes[1].value);
  const uint8_t kind = bytes.byte(), x_min = bytes.byte(), x_max = bytes.byte(), x_zp = bytes.byte();
  const uint8_t lowest = static_cast<uint8_t>(kind % 4 == 1 ? 128 - (1 << (act_bits - 1)) : 0);
  const uint8_t highest = static_cast<uint8_t>(lowest + (1 << act_bits) - 1);
  const bool is_any = kind % 4 == 3;
  set(parts, kXMin, is_any ? x_min : lowest);
  set(parts, kXMax, is_any ? x_max : highest);
  set(parts, kXZp, kind % 4 >= 2 ? x_zp : kind % 4 == 1 ? uint8_t{128} : uint8_t{0});
  set(parts, kYZp, bytes.byte());
  set(parts, kCZp, bytes.byte());
  set(parts, kRZp, bytes.byte());
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kScales[] = {0.02f, 0.1f,   1.0f, 0.5f,  7.0f, -0.3f,      1e-30f,
                               1e30f, 1e-42f, 0.0f, -0.0f, 3e38f, kInfinity, std::numeric_limits<float>::quiet_NaN()};
  for (size_t index : {kXScale, kYScale, kCScale, kRScale}) {
    // sound scales are the more frequent ones
    const uint8_t byte = bytes.byte();
    set(parts, index, byte < 200 ? kScales[byte % 5] : kScales[byte % std::size(kScales)]);
  }
}

constexpr int64_t kMost = std::numeric_limits<int64_t>::max(), kLeast = std::numeric_limits<int64_t>::min();
constexpr int64_t kNumbers[] = {0,       1,       2,      3,  5,  8,       16,      -1,    -2,
                                1 << 10, 1 << 20, 1 << 24, (1 << 20) + 1, int64_t{1} << 31, int64_t{1} << 32,
                                int64_t{1} << 62, kMost, kLeast, kMost / 8, 4096, 255, 256};

void bend(std::vector<Attribute>& attributes, size_t index, Bytes& bytes) {
  Attribute& attribute = attributes[index];
  const uint8_t how = bytes.byte(), much = bytes.byte();
  const int64_t number = kNumbers[much % std::size(kNumbers)];
  auto* many = std::get_if<std::vector<int64_t>>(&attribute.value);
  switch (how % 8) {
    case 0: attributes.erase(attributes.begin() + static_cast<std::ptrdiff_t>(index)); return;
    case 1: attribute.value = static_cast<float>(number); return;
    case 2: attribute.value = std::string(much % 4, 'x'); return;
    case 3: attribute.value = std::vector<float>(much % 5, 1.0f); return;
    case 4:
      if (many) attribute.value = number;
      else attribute.value = std::vector<int64_t>(much % 5, 1);
      return;
    case 5:
      if (many) many->push_back(number);
      return;
    case 6:
      if (many && !many->empty()) many->pop_back();
      return;
    default:
      if (!many) attribute.value = number;
      else if (!many->empty()) (*many)[how / 8 % many->size()] = number;
  }
}

void bend(TensorData& tensor, Bytes& bytes) {
  constexpr int kTypes[] = {0, kFloat, kUint8, 3, kInt32};
  const uint8_t how = bytes.byte(), much = bytes.byte();
  auto& shape = tensor.shape;
  const size_t axis = shape.empty() ? 0 : how / 8 % shape.size();
  switch (how % 8) {
    case 0: tensor.type = kTypes[much % std::size(kTypes)]; return;
    case 1: shape.clear(); return;
    case 2: shape.push_back(much % 4); return;
    case 3: shape.insert(shape.begin(), 1); return;
    case 4:
      if (!shape.empty()) shape.pop_back();
      return;
    case 5:
      if (!shape.empty()) shape[axis] += much % 9;
      return;
    case 6:
      if (!shape.empty()) shape[axis] = std::max<int64_t>(0, shape[axis] - 1 - much % 9);
      return;
    default:
      // as large as it likes where there are no elements
      if (!shape.empty()) shape[axis] = much % 2 ? kNumbers[much / 2 % 10] : much / 2;
      for (int64_t& size : shape) size = std::max<int64_t>(0, size);
  }
}

// Data for the shape that bends have left; more than fits is cut off.
void fill(TensorData& tensor, uint8_t kind, uint64_t& state) {
  if (tensor.type == 0) return;
  int64_t elements = 1;
  for (int64_t& size : tensor.shape) {
    size = std::min(size, kMostTensorBytes / 4 / std::max<int64_t>(1, elements));
    elements *= size;
  }
  const bool is_byte = tensor.type == kUint8 || tensor.type == 3;
  const size_t wanted = static_cast<size_t>(is_byte ? elements : elements * 4), given = tensor.bytes.size();
  tensor.bytes.resize(wanted);
  const auto next = [&] {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>(state >> 33);
  };
  if (is_byte) {
    for (size_t at = given; at < wanted; ++at) {
      tensor.bytes[at] = static_cast<uint8_t>(kind == 1 ? 0 : kind == 2 ? 255 : next());
    }
    return;
  }
  for (size_t at = given / 4 * 4; at + 4 <= wanted; at += 4) {
    const int32_t whole = static_cast<int32_t>(next()) - (1 << 30);
    const float number = static_cast<float>(whole) * 1e-11f;
    const int32_t bias = kind == 3 ? whole * 2 : whole >> 15;
    if (tensor.type == kFloat) std::memcpy(&tensor.bytes[at], &number, 4);
    else std::memcpy(&tensor.bytes[at], &bias, 4);
  }
}

}  // namespace

FakeNode decode(const uint8_t* data, size_t size) {
  Bytes bytes(data, size);
  Parts parts = read_sound(bytes);
  read_scalars(bytes, parts);
  const uint8_t constants = bytes.byte(), kind = bytes.byte();
  for (int64_t bends = bytes.below(4); bends > 0; --bends) {
    const size_t what = bytes.byte() % (parts.attributes.size() + parts.tensors.size());
    if (what < parts.attributes.size()) bend(parts.attributes, what, bytes);
    else bend(parts.tensors[what - parts.attributes.size()], bytes);
  }
  uint64_t state = bytes.rest();
  for (size_t index = 0; index < parts.tensors.size(); ++index) {
    TensorData& tensor = parts.tensors[index];
    fill(tensor, kind % 8, state);
    // most nodes have all of their parameters as constants
    tensor.is_constant = is_parameter(index) && tensor.type != 0 && (constants < 128 || (constants >> index % 7 & 1));
  }
  return {parts.op->name, std::move(parts.attributes), std::move(parts.tensors),
          kind & 8 ? Side::kStart : Side::kEnd};
}

std::string describe(const FakeNode& node) {
  const auto text = [](const auto& numbers) {
    std::string all = "[";
    for (const auto& number : numbers) all += (all.size() > 1 ? " " : "") + std::to_string(number);
    return all + "]";
  };
  std::string all = node.op;
  for (const Attribute& each : node.attributes) {
    all += ", " + each.name + " ";
    if (const auto* one = std::get_if<int64_t>(&each.value)) all += std::to_string(*one);
    else if (const auto* many = std::get_if<std::vector<int64_t>>(&each.value)) all += text(*many);
    else all += "of another type";
  }
  for (size_t index = 0; index < node.inputs.size(); ++index) {
    const TensorData& tensor = node.inputs[index];
    const bool is_usual = tensor.type == kFormals[index].type && tensor.shape.empty();
    if (is_usual) continue;
    all += std::string(", ") + kFormals[index].name + " type " + std::to_string(tensor.type) + " " + text(tensor.shape);
  }
  return all;
}

}  // namespace dqmq::test
