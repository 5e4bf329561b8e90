#include "random_layer.h"

namespace dqmq::test {
namespace {

// What the reference computes in a few milliseconds.
constexpr int64_t kMostMacs = 1 << 20;

void bound_work(Case& c) {
  while ((c.h > 1 || c.w > 1) && c.outputs() * c.layer.geometry.codes_per_channel() > kMostMacs) {
    int64_t& longer = c.h > c.w ? c.h : c.w;
    longer = (longer + 1) / 2;
  }
}

// What planes compute, which few layers would be by chance.
void suit_planes(Case& c) {
  Geometry& g = c.layer.geometry;
  g.groups = g.stride_h = g.stride_w = g.dilation_w = 1;
  g.kernel_w = 3, g.pad_left = g.pad_left % 3;
  c.layer.weight_bits = 2;
  set_range(c.layer, 2, false);
}

}  // namespace

void draw(Case& c, Random& random, int64_t most) {
  Geometry& g = c.layer.geometry;
  const int64_t kind = random.from(0, 9);
  const int64_t in = random.from(1, most), out = random.from(1, most);
  if (kind == 0) {  // few channels in each of some groups
    g.groups = random.from(2, 6);
    g.in_channels = g.groups * (1 + in / 8), g.out_channels = g.groups * (1 + out / 8);
  } else if (kind <= 2) {
    g.groups = g.in_channels = g.out_channels = in;
  } else {
    g.in_channels = in, g.out_channels = kind == 3 ? 2 * out : out;
  }
  constexpr int64_t kKernels[] = {1, 1, 1, 3, 3, 3, 2, 4, 5};
  g.kernel_h = random.one_of(kKernels), g.kernel_w = random.once_in(3) ? random.one_of(kKernels) : g.kernel_h;
  if (random.once_in(3)) {
    g.stride_h = random.from(1, 3);
    g.stride_w = random.once_in(3) ? random.from(1, 3) : g.stride_h;
  }
  if (random.once_in(5)) g.dilation_h = random.from(1, 3), g.dilation_w = random.from(1, 3);
  if (random.once_in(2)) {
    g.pad_top = g.pad_bottom = g.kernel_h / 2, g.pad_left = g.pad_right = g.kernel_w / 2;
  } else if (random.once_in(2)) {
    g.pad_top = random.from(0, 3), g.pad_left = random.from(0, 3);
    g.pad_bottom = random.from(0, 3), g.pad_right = random.from(0, 3);
  }
  c.n = random.from(1, 3), c.h = random.from(1, most / 4 + 2), c.w = random.from(1, most / 4 + 2);
  c.layer.weight_bits = 1 << random.from(1, 3);
  set_range(c.layer, random.once_in(2) ? c.layer.weight_bits : static_cast<int>(random.from(2, 8)), random.once_in(2));
  if (random.once_in(10)) c.layer.x_zero_point = static_cast<uint8_t>(random.bits());
  if (random.once_in(6)) suit_planes(c);
  bound_work(c);
  constexpr OutputKind kKinds[] = {OutputKind::kCodes, OutputKind::kResidual, OutputKind::kNumbers};
  c.layer.output.kind = random.one_of(kKinds);
  fill(c, random);
}

}  // namespace dqmq::test
