// Sweeps over what decides the loops of planes and of depthwise rows, which work on whole rows of a picture.
#include "paths.h"

namespace dqmq::test {
namespace {

constexpr OutputKind kKinds[] = {OutputKind::kCodes, OutputKind::kResidual, OutputKind::kNumbers};

// A 3x3 layer of 2 bits, 1 or 2 channels wide where nothing else is said.
void set_planes(Case& c, Random& random) {
  Geometry& g = c.layer.geometry;
  g.in_channels = random.from(1, 2), g.out_channels = random.from(1, 2);
  g.kernel_h = g.kernel_w = 3;
  g.pad_top = g.pad_left = g.pad_bottom = g.pad_right = 1;
  c.h = c.w = 3;
  c.layer.weight_bits = 2;
  set_range(c.layer, 2, random.once_in(2));
  c.layer.output.kind = random.once_in(2) ? OutputKind::kCodes : OutputKind::kResidual;
}

void run(Case& c, Random& random) {
  fill(c, random);
  expect_all_equal(c);
}

DQMQ_TEST(exact, planes_of_every_width) {
  Random random(10);
  for (int64_t w = 1; w <= 2 * kBlockPositions + 1; ++w) {
    for (int64_t pad_left : {0, 1, 2}) {
      for (int64_t pad_right : {0, 1, 2, 5}) {
        if (!drawn()) continue;
        Case c;
        set_planes(c, random);
        c.layer.geometry.pad_left = pad_left, c.layer.geometry.pad_right = pad_right;
        c.n = random.from(1, 2), c.h = random.from(1, 4), c.w = w;
        run(c, random);
      }
    }
  }
}

// Rows of one line to three, and pictures of an odd number of them.
DQMQ_TEST(exact, lines_of_every_remainder_of_channels) {
  Random random(14);
  for (int64_t w : {2, 3, 4, 5, 7, 8, 10, 11, 12, 14, 16, 21, 24, 56}) {
    for (int64_t out : {1, 16, 63, 64, 65, 128, 192}) {
      for (int64_t in = 1; in <= 70; in += random.from(1, 5)) {
        if (!drawn()) continue;
        Case c;
        set_planes(c, random);
        Geometry& g = c.layer.geometry;
        g.in_channels = in, g.out_channels = out;
        g.kernel_h = random.from(1, 4), g.dilation_h = random.from(1, 2), g.stride_h = random.from(1, 2);
        c.layer.output.kind = random.one_of(kKinds);
        c.n = random.from(1, 2), c.h = random.from(3, 6), c.w = w;
        run(c, random);
      }
    }
  }
}

// Positions to two vectors of blocks plus one, in pictures of a few rows.
DQMQ_TEST(exact, planes_of_every_size) {
  Random random(11);
  for (int64_t h = 1; h <= 2 * kBlockPositions * kMostBlocks + 1; ++h) {
    for (int64_t w : {1, 2, 3, 5}) {
      if (!drawn()) continue;
      Case c;
      set_planes(c, random);
      Geometry& g = c.layer.geometry;
      g.pad_top = random.from(0, 3), g.pad_bottom = random.from(0, 3);
      g.kernel_h = random.from(1, 4), g.dilation_h = random.from(1, 3);
      c.h = h, c.w = w;
      run(c, random);
    }
  }
}

DQMQ_TEST(exact, planes_of_every_remainder_of_channels) {
  Random random(12);
  for (int64_t in = 1; in <= 34; ++in) {
    for (int64_t out = 1; out <= 2 * kPlaneChannels + 1; ++out) {
      if (!drawn()) continue;
      Case c;
      set_planes(c, random);
      c.layer.geometry.in_channels = in, c.layer.geometry.out_channels = out;
      c.w = random.from(1, 9);
      run(c, random);
    }
  }
}

// As many input channels as sums of 15 bits have room for, and one more.
DQMQ_TEST(exact, planes_of_the_longest_sums) {
  constexpr int64_t kMost = ((1 << 15) - 1) / 6 / 9;
  Random random(13);
  for (int64_t in : {kMost, kMost + 1}) {
    for (uint8_t weights : {0x00, 0x55, 0xff, 0x1b}) {
      for (uint8_t x : {0, 255}) {
        if (!drawn()) continue;
        Case c;
        set_planes(c, random);
        c.layer.geometry.in_channels = in;
        fill(c, random);
        std::fill(c.weights.begin(), c.weights.end(), weights);
        std::fill(c.x.begin(), c.x.end(), x);
        expect_all_equal(c);
      }
    }
  }
}

void set_depthwise(Case& c, int64_t channels, Random& random) {
  Geometry& g = c.layer.geometry;
  g.groups = g.in_channels = g.out_channels = channels;
  g.kernel_h = g.kernel_w = 3;
  g.pad_top = g.pad_left = g.pad_bottom = g.pad_right = random.from(0, 1);
  c.h = random.from(3, 5), c.w = random.from(3, 9);
  c.layer.weight_bits = 1 << random.from(1, 3);
  set_range(c.layer, static_cast<int>(random.from(2, 8)), random.once_in(2));
  if (random.once_in(4)) c.layer.x_zero_point = static_cast<uint8_t>(random.bits());
  c.layer.output.kind = random.one_of(kKinds);
}

DQMQ_TEST(exact, depthwise_of_every_remainder_of_channels) {
  Random random(14);
  for (int64_t channels = 2; channels <= 2 * kDepthwiseLanes + 1; ++channels) {
    for (int64_t stride : {1, 2, 3}) {
      if (!drawn()) continue;
      Case c;
      set_depthwise(c, channels, random);
      c.layer.geometry.stride_h = c.layer.geometry.stride_w = stride;
      run(c, random);
    }
  }
}

// Taller kernels than rows are interleaved, wider ones than any unrolled loop.
DQMQ_TEST(exact, depthwise_of_every_kernel) {
  Random random(15);
  for (int64_t kernel_h = 1; kernel_h <= kMostRowGroups * kRowGroup + 1; ++kernel_h) {
    for (int64_t kernel_w = 1; kernel_w <= 9; ++kernel_w) {
      for (int64_t stride_w : {1, 2, 3}) {
        for (int64_t dilation_w : {1, 2, 3}) {
          if (!drawn()) continue;
          Case c;
          set_depthwise(c, random.from(2, 40), random);
          Geometry& g = c.layer.geometry;
          g.kernel_h = kernel_h, g.kernel_w = kernel_w;
          g.stride_h = random.from(1, 3), g.stride_w = stride_w;
          g.dilation_h = random.from(1, 2), g.dilation_w = dilation_w;
          g.pad_top = random.from(0, kernel_h), g.pad_bottom = random.from(0, kernel_h);
          g.pad_left = random.from(0, kernel_w * dilation_w), g.pad_right = random.from(0, kernel_w * dilation_w);
          c.n = random.from(1, 2), c.h = random.from(1, 8), c.w = random.from(1, 20);
          run(c, random);
        }
      }
    }
  }
}

}  // namespace
}  // namespace dqmq::test
