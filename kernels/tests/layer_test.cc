// What a layer may be, and what is refused in a line that says why.
#include <cmath>
#include <limits>
#include <stdexcept>

#include "paths.h"
#include "random_layer.h"

namespace dqmq::test {
namespace {

constexpr int64_t kMost64 = std::numeric_limits<int64_t>::max(), kLeast64 = std::numeric_limits<int64_t>::min();
constexpr float kInfinity = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();

// The error of `body`; empty where there is none.
template <typename Body>
std::string error_of(Body&& body) {
  try {
    body();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

void expect_error(const std::string& error, const std::string& wanted) {
  expect(error.find(wanted) != std::string::npos && error.find('\n') == std::string::npos,
         "expected an error with '" + wanted + "', got '" + error + "'");
}

// A sound layer: 3x3, two groups.
void draw_sound(Case& c) {
  Random random(60);
  Geometry& g = c.layer.geometry;
  g.in_channels = 6, g.out_channels = 10, g.groups = 2, g.kernel_h = g.kernel_w = 3;
  c.layer.weight_bits = 2;
  set_range(c.layer, 2, false);
  c.h = c.w = 4;
  fill(c, random);
  c.layer.output.own_ratio = c.layer.output.residual_ratio = 1;
}

// Refused by check(), and by Conv::make at every level.
void expect_refused(const std::string& wanted, void (*bend)(Layer&)) {
  Case c;
  draw_sound(c);
  check(c.layer);
  bend(c.layer);
  now_case(wanted);
  expect_error(error_of([&] { check(c.layer); }), wanted);
  for (Isa isa : levels()) expect_error(error_of([&] { Conv::make(c.layer, isa); }), wanted);
}

DQMQ_TEST(layer, refuses_shapes) {
  expect_refused("input channels from 1", [](Layer& l) { l.geometry.in_channels = 0; });
  expect_refused("input channels from 1 to 1048576, got -6", [](Layer& l) { l.geometry.in_channels = -6; });
  expect_refused("input channels", [](Layer& l) { l.geometry.in_channels = kMost64; });
  expect_refused("output channels from 1", [](Layer& l) { l.geometry.out_channels = 0; });
  expect_refused("output channels", [](Layer& l) { l.geometry.out_channels = kLeast64; });
  expect_refused("groups from 1 to 6, got 0", [](Layer& l) { l.geometry.groups = 0; });
  expect_refused("groups from 1 to 6, got -2", [](Layer& l) { l.geometry.groups = -2; });
  expect_refused("groups from 1 to 6, got 12", [](Layer& l) { l.geometry.groups = 12; });
  expect_refused("groups that divide 6 input and 10 output channels, got 3", [](Layer& l) { l.geometry.groups = 3; });
  expect_refused("groups that divide", [](Layer& l) { l.geometry.groups = 5; });
  expect_refused("kernel height from 1 to 4096, got 0", [](Layer& l) { l.geometry.kernel_h = 0; });
  expect_refused("kernel height", [](Layer& l) { l.geometry.kernel_h = 4097; });
  expect_refused("kernel width from 1 to 4096, got -3", [](Layer& l) { l.geometry.kernel_w = -3; });
  expect_refused("kernel width", [](Layer& l) { l.geometry.kernel_w = kMost64; });
  expect_refused("strides from 1", [](Layer& l) { l.geometry.stride_h = 0; });
  expect_refused("strides from 1", [](Layer& l) { l.geometry.stride_w = kLeast64; });
  expect_refused("dilations from 1", [](Layer& l) { l.geometry.dilation_h = -1; });
  expect_refused("dilations from 1", [](Layer& l) { l.geometry.dilation_w = kMost64; });
  expect_refused("pads from 0", [](Layer& l) { l.geometry.pad_top = -1; });
  expect_refused("pads from 0", [](Layer& l) { l.geometry.pad_left = kLeast64; });
  expect_refused("pads from 0", [](Layer& l) { l.geometry.pad_bottom = kMost64; });
  expect_refused("pads from 0", [](Layer& l) { l.geometry.pad_right = (1 << 20) + 1; });
}

DQMQ_TEST(layer, refuses_weights_of_another_size) {
  // 27 codes of 2 bits are 7 bytes a channel
  expect_refused("10 times 7 bytes of packed weights, got 0", [](Layer& l) {
    l.weights = nullptr, l.weights_size = 0;
  });
  expect_refused("of packed weights, got 70", [](Layer& l) { l.weights = nullptr; });
  expect_refused("10 times 7 bytes of packed weights, got 69", [](Layer& l) { l.weights_size = 69; });
  expect_refused("of packed weights, got 71", [](Layer& l) { l.weights_size = 71; });
  expect_refused("of packed weights, got 77", [](Layer& l) { l.weights_size = 77; });
  expect_refused("10 times 14 bytes of packed weights, got 70", [](Layer& l) { l.weight_bits = 4; });
  expect_refused("of packed weights", [](Layer& l) { l.geometry.kernel_h = 2; });
  // bytes that would overflow if they were multiplied
  expect_refused("of packed weights", [](Layer& l) {
    l.geometry.in_channels = l.geometry.out_channels = 1 << 20, l.geometry.groups = 1;
    l.geometry.kernel_h = l.geometry.kernel_w = 4096, l.weight_bits = 8;
    l.weights_size = 0;
  });
  for (int bits : {-8, 0, 1, 3, 5, 6, 7, 9, 16, 32}) {
    Case c;
    draw_sound(c);
    c.layer.weight_bits = bits;
    expect_error(error_of([&] { check(c.layer); }), "expected weight_bits of 2, 4 or 8, got " + std::to_string(bits));
  }
}

DQMQ_TEST(layer, refuses_ranges_and_constants) {
  expect_refused("expected x_min <= x_max, got 4 > 3", [](Layer& l) { l.x_min = 4, l.x_max = 3; });
  expect_refused("expected 10 biases, got 9", [](Layer& l) { l.bias.pop_back(); });
  expect_refused("expected 10 biases, got 11", [](Layer& l) { l.bias.push_back(0); });
  expect_refused("expected 10 biases, got 0", [](Layer& l) { l.bias.clear(); });
  expect_refused("expected 10 factors, got 9", [](Layer& l) { l.output.factor.pop_back(); });
  expect_refused("expected 10 factors, got 1", [](Layer& l) { l.output.factor.resize(1); });
  expect_refused("output zero point from 0 to 255, got -1", [](Layer& l) { l.output.zero_point = -1; });
  expect_refused("output zero point from 0 to 255, got 256", [](Layer& l) { l.output.zero_point = 256; });
  expect_refused("finite factors", [](Layer& l) { l.output.factor.back() = kNan; });
  expect_refused("finite factors", [](Layer& l) { l.output.factor.front() = -kInfinity; });
  expect_refused("finite ratios and offset", [](Layer& l) { l.output.own_ratio = kInfinity; });
  expect_refused("finite ratios and offset", [](Layer& l) { l.output.residual_ratio = kNan; });
  expect_refused("finite ratios and offset", [](Layer& l) { l.output.offset = kNan; });
}

void expect_accepted(void (*bend)(Case&, Random&)) {
  Random random(61);
  Case c;
  draw_sound(c);
  bend(c, random);
  fill(c, random);
  expect_all_equal(c);
}

DQMQ_TEST(layer, accepts_what_is_odd_but_sound) {
  expect_accepted([](Case& c, Random&) { c.layer.x_min = c.layer.x_max = c.layer.x_zero_point = 200; });
  expect_accepted([](Case& c, Random&) { c.layer.x_zero_point = 255; });  // far outside the range of codes
  expect_accepted([](Case& c, Random&) { c.layer.x_max = 1; });           // fewer codes than two bits have
  expect_accepted([](Case& c, Random&) { c.layer.geometry.stride_h = c.layer.geometry.stride_w = 1 << 20; });
  expect_accepted([](Case& c, Random&) { c.layer.geometry.dilation_h = 1 << 20; });  // does not fit: no output
  expect_accepted([](Case& c, Random&) { c.layer.geometry.dilation_h = 3, c.layer.geometry.pad_bottom = 7; });
  expect_accepted([](Case& c, Random&) {  // a kernel that sees nothing but padding
    c.layer.geometry.pad_top = c.layer.geometry.pad_left = 9;
    c.layer.geometry.stride_h = c.layer.geometry.stride_w = 99;
  });
  expect_accepted([](Case& c, Random&) {
    c.layer.geometry.kernel_h = 4096, c.layer.geometry.kernel_w = 1, c.layer.geometry.pad_top = 4095;
    c.h = 1;
  });
  expect_accepted([](Case& c, Random&) { c.layer.geometry.groups = 1, c.layer.geometry.out_channels = 1; });
  expect_accepted([](Case& c, Random&) { c.layer.geometry.groups = 6, c.layer.geometry.out_channels = 12; });
  expect_accepted([](Case& c, Random&) { c.n = 0; });
  expect_accepted([](Case& c, Random&) { c.h = 0; });
  expect_accepted([](Case& c, Random&) {  // all of the picture is padding
    c.h = c.w = 0;
    c.layer.geometry.pad_top = c.layer.geometry.pad_left = 2;
    c.layer.geometry.pad_bottom = c.layer.geometry.pad_right = 2;
  });
}

DQMQ_TEST(layer, codes_lie_in_bits_as_drawn) {
  Layer layer;
  layer.geometry.out_channels = 2;
  const auto expect_codes = [&](int bits, int64_t count, std::vector<uint8_t> bytes, Codes wanted) {
    layer.weight_bits = bits, layer.geometry.in_channels = count;
    layer.weights = bytes.data(), layer.weights_size = bytes.size();
    expect(unpack_codes(layer) == wanted, std::to_string(bits) + " bits are unpacked into other codes");
  };
  expect_codes(8, 2, {0, 127, 128, 255}, {-128, -1, 0, 127});
  // what stands behind the last code of a channel is not used
  expect_codes(4, 3, {0x80, 0xff, 0x1f, 0xa2}, {-8, 0, 7, 7, -7, -6});
  expect_codes(2, 5, {0b11100100, 0b11111101, 0b00011011, 0}, {-2, -1, 0, 1, -1, 1, 0, -1, -2, -2});
}

DQMQ_TEST(layer, refuses_pictures) {
  const auto error = [](const Geometry& g, const Input& x) { return error_of([&] { check(g, x); }); };
  Geometry g;
  constexpr int64_t kMostSize = 0x7fffffff;
  for (int64_t wrong : {int64_t{-1}, kMostSize + 1, kLeast64, kMost64}) {
    expect_error(error(g, {nullptr, wrong, 1, 1}), "sizes from 0 to 2147483647, got " + std::to_string(wrong));
    expect_error(error(g, {nullptr, 1, wrong, 1}), "sizes from 0");
    expect_error(error(g, {nullptr, 1, 1, wrong}), "sizes from 0");
  }
  expect(error(g, {nullptr, kMostSize, kMostSize, kMostSize}).empty(), "the largest sizes are sizes");
  // up to 64 MiB any padding will do, above it may make pictures 16 times as large
  g.pad_top = (1 << 20) - 1, g.in_channels = 64;
  expect(error(g, {nullptr, 1, 1, 1}).empty(), "64 MiB were refused");
  expect_error(error(g, {nullptr, 1, 2, 1}), "padding that makes pictures at most 16 times as large");
  g.pad_top = (1 << 20), g.in_channels = 1;
  expect(error(g, {nullptr, 1, 1 << 20, 1 << 10}).empty(), "twice as large was refused");
}

DQMQ_TEST(layer, refuses_pictures_on_every_path) {
  Random random(62);
  for (int i = 0; i < 40; ++i) {
    Case c;
    draw(c, random, 40);
    if (!drawn()) continue;
    c.layer.geometry.pad_top = 1 << 20, c.layer.geometry.pad_left = 1 << 10;
    each_conv(c.layer, [&](const Conv& conv) {
      note(conv);
      expect_error(error_of([&] { conv.run(c.input(), c.residual.data(), nullptr, Serial()); }), "expected padding");
      const Input negative = {c.x.data(), 1, -1, 1};
      expect_error(error_of([&] { conv.run(negative, c.residual.data(), nullptr, Serial()); }), "sizes from 0");
    });
  }
}

DQMQ_TEST(layer, a_level_without_kernels_of_its_own_takes_those_below) {
  const Isa all[] = {Isa::kPortable, Isa::kAvx2, Isa::kAvxVnni, Isa::kAvx512, Isa::kNeon, Isa::kDotProd};
  for (Isa isa : available()) {
    if (isa == Isa::kReference) continue;
    expect(kernel_set(isa).isa <= isa, std::string(name(isa)) + " takes kernels of a higher level");
  }
  for (Isa isa : all) {
    expect(!kernel_set(isa).tiles.empty(), std::string(name(isa)) + " has no kernels");
  }
#if defined(__x86_64__)
  const Isa vnni = kernel_set(Isa::kAvxVnni).isa;
  expect(vnni == Isa::kAvxVnni || vnni == Isa::kAvx2, "avxvnni falls below avx2");
#endif
}

}  // namespace
}  // namespace dqmq::test
