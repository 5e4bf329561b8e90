#include "case.h"

#include <cmath>
#include <cstdio>
#include <limits>

namespace dqmq::test {
namespace {

// Bytes of one of four kinds: random, all the lowest, all the highest, few different.
void fill_bytes(std::vector<uint8_t>& bytes, Random& random) {
  const int64_t kind = random.from(0, 9);
  for (uint8_t& byte : bytes) {
    const uint8_t any = static_cast<uint8_t>(random.bits() >> 7);
    byte = kind == 0 ? 0 : kind == 1 ? 255 : kind == 2 ? any & 3 : any;
  }
}

int32_t a_bias(Random& random, bool is_extreme) {
  constexpr int32_t kHighest = std::numeric_limits<int32_t>::max(), kLowest = std::numeric_limits<int32_t>::min();
  constexpr int32_t kEnds[] = {kHighest, kLowest, kHighest - 1000, kLowest + 1000};
  return is_extreme ? random.one_of(kEnds) : static_cast<int32_t>(random.from(-20000, 20000));
}

// Powers of two give sums that lie half way between two codes.
float a_factor(Random& random, double usual) {
  constexpr float kEnds[] = {0.0f, 3e38f, 1e-45f, 1e30f, 0.5f};
  float factor = static_cast<float>(usual * static_cast<double>(random.from(1, 2000)) / 1000);
  if (random.once_in(3)) factor = std::exp2(std::floor(std::log2(factor)));
  if (random.once_in(40)) factor = random.one_of(kEnds);
  return random.once_in(3) ? -factor : factor;
}

}  // namespace

int64_t Case::outputs() const {
  return n * layer.geometry.out_h(h) * layer.geometry.out_w(w) * layer.geometry.out_channels;
}

void set_range(Layer& layer, int bits, bool is_signed) {
  const int levels = 1 << bits;
  layer.x_zero_point = is_signed ? 128 : 0;
  layer.x_min = static_cast<uint8_t>(is_signed ? 128 - levels / 2 : 0);
  layer.x_max = static_cast<uint8_t>(layer.x_min + levels - 1);
}

void fill(Case& c, Random& random) {
  Layer& layer = c.layer;
  const Geometry& g = layer.geometry;
  const int64_t codes = g.codes_per_channel();
  c.weights.resize(static_cast<size_t>(g.out_channels * row_bytes(codes, layer.weight_bits)));
  fill_bytes(c.weights, random);
  layer.weights = c.weights.data();
  layer.weights_size = c.weights.size();

  // sums spread over a few hundred steps
  const double spread = std::sqrt(static_cast<double>(codes)) * 75 * (layer.x_max - layer.x_min + 1) / 4;
  const bool is_extreme = random.once_in(20);
  layer.bias.clear(), layer.output.factor.clear();
  for (int64_t channel = 0; channel < g.out_channels; ++channel) {
    layer.bias.push_back(a_bias(random, is_extreme));
    layer.output.factor.push_back(a_factor(random, 80 / spread));
  }
  constexpr int32_t kZeroPoints[] = {0, 128, 255, 3};
  layer.output.zero_point = random.one_of(kZeroPoints);
  layer.output.own_ratio = a_factor(random, 0.7);
  layer.output.residual_ratio = a_factor(random, 0.7);
  layer.output.offset = static_cast<float>(random.from(-300, 300)) / 3;

  c.x.resize(static_cast<size_t>(c.n * c.h * c.w * g.in_channels));
  fill_bytes(c.x, random);
  for (uint8_t& code : c.x) {  // most codes within the range, or barely outside
    if (code % 8 != 0) code = static_cast<uint8_t>(layer.x_min + code % (layer.x_max - layer.x_min + 2));
  }
  c.residual.resize(layer.output.kind == OutputKind::kResidual ? static_cast<size_t>(c.outputs()) : 0);
  fill_bytes(c.residual, random);
}

std::string describe(const Case& c) {
  const Geometry& g = c.layer.geometry;
  const auto number = [](int64_t value) { return std::to_string(value); };
  const auto pair = [&](int64_t a, int64_t b) { return number(a) + "x" + number(b); };
  constexpr const char* kKinds[] = {"codes", "residual", "numbers"};
  return "channels " + number(g.in_channels) + " to " + number(g.out_channels) + ", groups " + number(g.groups) +
         ", kernel " + pair(g.kernel_h, g.kernel_w) + ", stride " + pair(g.stride_h, g.stride_w) + ", dilation " +
         pair(g.dilation_h, g.dilation_w) + ", pads " + number(g.pad_top) + " " + number(g.pad_left) + " " +
         number(g.pad_bottom) + " " + number(g.pad_right) + ", weight bits " + number(c.layer.weight_bits) + ", x " +
         number(c.layer.x_min) + ".." + number(c.layer.x_max) + " zero " + number(c.layer.x_zero_point) + ", to " +
         kKinds[static_cast<int>(c.layer.output.kind)] + " zero " + number(c.layer.output.zero_point) + ", picture " +
         number(c.n) + "x" + pair(c.h, c.w);
}

}  // namespace dqmq::test
