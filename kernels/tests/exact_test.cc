// Every kernel equals the reference: sweeps over what decides which loops run how often.
#include <algorithm>
#include <memory>
#include <vector>

#include "paths.h"

namespace dqmq::test {
namespace {

constexpr OutputKind kKinds[] = {OutputKind::kCodes, OutputKind::kResidual, OutputKind::kNumbers};
constexpr int kWeightBits[] = {2, 4, 8};

// Bits that `kernel` can take, drawn anew for every case.
void suit(Layer& layer, const TileKernel& kernel, Random& random) {
  if (kernel.encoding == Encoding::kDepthwise) layer.geometry.groups = layer.geometry.in_channels;
  if (kernel.along_rows) {
    Geometry& g = layer.geometry;
    g.kernel_w = 3, g.stride_w = g.dilation_w = g.groups = 1, g.pad_left = g.pad_right = 1;
  }
  do {
    layer.weight_bits = random.one_of(kWeightBits);
    set_range(layer, static_cast<int>(random.from(2, 8)), random.once_in(2));
  } while (!computes(kernel, layer));
}

void each_kernel(const std::function<void(const KernelSet&, const TileKernel&)>& body) {
  for (const KernelSet* set : kernel_sets()) {
    for (const TileKernel& kernel : set->tiles) body(*set, kernel);
  }
}

// The geometry of `c`, with anything else drawn.
void expect_all_equal_at_any_bits(Case& c, Random& random) {
  c.layer.weight_bits = random.one_of(kWeightBits);
  set_range(c.layer, random.once_in(2) ? c.layer.weight_bits : 8, random.once_in(2));
  c.layer.output.kind = random.one_of(kKinds);
  fill(c, random);
  expect_all_equal(c);
}

void set_pads(Geometry& g, int64_t top, int64_t left, int64_t bottom, int64_t right) {
  g.pad_top = top, g.pad_left = left, g.pad_bottom = bottom, g.pad_right = right;
}

// Wide pictures of several rows, which kernels may take in strips.
DQMQ_TEST(exact, rows_of_many_tiles) {
  Random random(14);
  each_kernel([&](const KernelSet& set, const TileKernel& kernel) {
    const bool is_depthwise = kernel.encoding == Encoding::kDepthwise;
    for (int64_t w = 20; w <= 80; ++w) {
      if (!drawn()) continue;
      Case c;
      Geometry& g = c.layer.geometry;
      g.groups = random.once_in(4) && !is_depthwise ? 2 : 1;
      const bool is_full = random.once_in(2);
      g.out_channels = g.groups * (is_full ? kernel.lanes * random.from(1, 2) : random.from(2, 2 * kernel.lanes));
      g.in_channels = is_depthwise ? g.out_channels : g.groups * random.from(1, 9);
      g.kernel_w = random.from(1, 3), g.kernel_h = random.once_in(2) ? g.kernel_w : 1;
      g.stride_w = random.from(1, 2), g.stride_h = random.from(1, 2);
      if (random.once_in(2)) set_pads(g, g.kernel_h / 2, g.kernel_w / 2, g.kernel_h / 2, g.kernel_w / 2);
      c.n = random.from(1, 2), c.h = random.from(3, 5), c.w = w;
      c.layer.output.kind = random.one_of(kKinds);
      suit(c.layer, kernel, random);
      fill(c, random);
      expect_equal(c, set, kernel);
    }
  });
}

// So many positions that panels take them in pieces.
DQMQ_TEST(exact, pictures_beyond_a_cache) {
  Random random(15);
  for (int64_t out : {24, 48, 192, 320}) {
    if (!drawn()) continue;
    Case c;
    Geometry& g = c.layer.geometry;
    g.in_channels = random.from(1, 6), g.out_channels = out;
    c.h = 2300000 / (out + g.in_channels) / 100, c.w = 100;
    c.layer.output.kind = random.once_in(2) ? OutputKind::kCodes : OutputKind::kResidual;
    fill(c, random);
    expect_all_equal(c);
  }
}

DQMQ_TEST(exact, positions_and_channels_up_to_two_tiles_plus_one) {
  Random random(1);
  each_kernel([&](const KernelSet& set, const TileKernel& kernel) {
    const bool is_depthwise = kernel.encoding == Encoding::kDepthwise;
    for (int64_t positions = 1; positions <= 2 * kernel.rows + 1; ++positions) {
      for (int64_t channels = is_depthwise ? 2 : 1; channels <= 2 * kernel.lanes + 1; ++channels) {
        if (!drawn()) continue;
        Case c;
        Geometry& g = c.layer.geometry;
        g.in_channels = is_depthwise ? channels : random.from(1, 9);
        g.out_channels = channels;
        if (random.once_in(3)) g.kernel_w = 3, g.pad_left = g.pad_right = 1;
        // in one row, or in as many as there are divisors
        c.h = positions % 3 == 0 && random.once_in(2) ? 3 : positions % 2 == 0 && random.once_in(2) ? 2 : 1;
        c.w = positions / c.h;
        c.layer.output.kind = random.one_of(kKinds);
        suit(c.layer, kernel, random);
        fill(c, random);
        expect_equal(c, set, kernel);
      }
    }
  });
}

DQMQ_TEST(exact, every_remainder_of_input_channels) {
  constexpr int64_t kLarger[] = {94, 95, 96, 97, 98, 127, 128, 129, 190, 191, 192, 193, 255, 256, 257, 384, 385};
  Random random(2);
  std::vector<int64_t> counts;
  for (int64_t channels = 1; channels <= 70; ++channels) counts.push_back(channels);
  counts.insert(counts.end(), std::begin(kLarger), std::end(kLarger));
  for (int64_t channels : counts) {
    for (int64_t kernel_h : {1, 3}) {
      for (int64_t kernel_w : {1, 3}) {
        for (int weight_bits : kWeightBits) {
          if (!drawn()) continue;
          Case c;
          Geometry& g = c.layer.geometry;
          g.in_channels = channels, g.out_channels = random.from(1, 5);
          g.kernel_h = kernel_h, g.kernel_w = kernel_w;
          if (random.once_in(2)) set_pads(g, kernel_h / 2, kernel_w / 2, kernel_h / 2, kernel_w / 2);
          g.dilation_w = random.once_in(4) ? 2 : 1;
          c.h = random.from(3, 5), c.w = random.from(5, 7);
          c.layer.weight_bits = weight_bits;
          set_range(c.layer, random.once_in(3) ? 8 : weight_bits, random.once_in(2));
          c.layer.output.kind = random.one_of(kKinds);
          fill(c, random);
          expect_all_equal(c);
        }
      }
    }
  }
}

DQMQ_TEST(exact, kernels_strides_dilations_and_pads) {
  constexpr int64_t kKernels[][2] = {{1, 1}, {1, 3}, {3, 1}, {3, 3}, {5, 5}, {7, 7}, {2, 3}};
  constexpr int64_t kPads[][4] = {{0, 0, 0, 0}, {1, 1, 1, 1}, {0, 1, 2, 3}, {3, 0, 1, 0}};
  Random random(3);
  for (const auto& [kernel_h, kernel_w] : kKernels) {
    for (int64_t strides = 0; strides < 9; ++strides) {
      for (int64_t dilations = 0; dilations < 4; ++dilations) {
        for (const auto& pads : kPads) {
          for (int64_t is_depthwise : {0, 1}) {
            if (!drawn()) continue;
            Case c;
            Geometry& g = c.layer.geometry;
            g.in_channels = random.from(2, 7), g.out_channels = is_depthwise ? g.in_channels : random.from(1, 20);
            g.groups = is_depthwise ? g.in_channels : 1;
            g.kernel_h = kernel_h, g.kernel_w = kernel_w;
            g.stride_h = 1 + strides / 3, g.stride_w = 1 + strides % 3;
            g.dilation_h = 1 + dilations / 2, g.dilation_w = 1 + dilations % 2;
            set_pads(g, pads[0], pads[1], pads[2], pads[3]);
            c.n = random.from(1, 2), c.h = random.from(1, 14), c.w = random.from(1, 14);  // too small for some
            expect_all_equal_at_any_bits(c, random);
          }
        }
      }
    }
  }
}

DQMQ_TEST(exact, groups) {
  Random random(4);
  for (int64_t groups = 2; groups <= 5; ++groups) {
    for (int64_t in = 1; in <= 9; ++in) {
      for (int64_t out = 1; out <= 5; ++out) {
        for (int64_t kernel : {1, 3}) {
          if (!drawn()) continue;
          Case c;
          Geometry& g = c.layer.geometry;
          g.groups = groups, g.in_channels = groups * in, g.out_channels = groups * out;
          if (random.once_in(10)) g.out_channels = groups * random.from(15, 70);
          g.kernel_h = g.kernel_w = kernel;
          if (random.once_in(2)) set_pads(g, 1, 1, 1, 1);
          c.h = random.from(3, 5), c.w = random.from(3, 6);
          expect_all_equal_at_any_bits(c, random);
        }
      }
    }
  }
}

DQMQ_TEST(exact, bits_zero_points_and_kinds) {
  Random random(5);
  for (int weight_bits : kWeightBits) {
    for (int act_bits = 2; act_bits <= 8; ++act_bits) {
      for (int zero = 0; zero < 9; ++zero) {
        for (OutputKind kind : kKinds) {
          for (int64_t kernel : {1, 3}) {
            if (!drawn()) continue;
            Case c;
            Layer& layer = c.layer;
            set_range(layer, act_bits, zero % 2 == 1);
            if (zero >= 2) {  // a range anywhere, its zero point within, at its ends, or beyond them
              const int64_t levels = 1 << act_bits;
              layer.x_min = static_cast<uint8_t>(random.from(0, 256 - levels));
              layer.x_max = static_cast<uint8_t>(layer.x_min + levels - 1 - random.from(0, levels / 2));
              const int64_t points[] = {layer.x_min, layer.x_max, layer.x_min - 1, layer.x_max + 1, layer.x_max + 2,
                                        random.from(0, 255), 255};
              layer.x_zero_point = static_cast<uint8_t>(points[zero - 2]);
            }
            Geometry& g = layer.geometry;
            g.in_channels = random.from(1, 12), g.out_channels = random.from(1, 40);
            if (random.once_in(4)) g.groups = g.out_channels = g.in_channels;
            g.kernel_h = g.kernel_w = kernel;
            if (!random.once_in(3)) set_pads(g, 1, 0, 1, 2);
            c.h = random.from(3, 5), c.w = random.from(3, 6);
            layer.weight_bits = weight_bits;
            layer.output.kind = kind;
            fill(c, random);
            expect_all_equal(c);
          }
        }
      }
    }
  }
}

DQMQ_TEST(exact, sums_too_long_for_sixteen_bits) {
  Random random(6);
  for (int64_t channels : {1213, 3640, 3641, 10920, 10921, 21841, 22500}) {
    for (int style = 0; style < 4; ++style) {
      if (!drawn()) continue;
      Case c;
      c.layer.geometry.in_channels = channels, c.layer.geometry.out_channels = 2;
      c.n = 2;
      c.layer.weight_bits = style == 3 ? 8 : 2;
      set_range(c.layer, style == 3 ? 8 : 2, style == 1);
      fill(c, random);
      // the largest entries of a table, and the largest products
      if (style != 1) std::fill(c.weights.begin(), c.weights.end(), uint8_t{0});
      if (style != 1) std::fill(c.x.begin(), c.x.end(), style == 2 ? uint8_t{0} : uint8_t{255});
      expect_all_equal(c);
    }
  }
}

DQMQ_TEST(exact, batches_and_empty_outputs) {
  Random random(7);
  for (int64_t n : {0, 1, 3}) {
    for (int64_t h : {0, 1, 2, 3, 5}) {
      for (int64_t w : {0, 1, 2, 3, 5}) {
        for (int64_t pad : {0, 1, 2}) {
          if (!drawn()) continue;
          Case c;
          Geometry& g = c.layer.geometry;
          g.in_channels = random.from(1, 8), g.out_channels = random.from(1, 20);
          if (random.once_in(3)) g.groups = g.out_channels = g.in_channels;
          g.kernel_h = g.kernel_w = random.once_in(4) ? 1 : 3;
          set_pads(g, pad, pad, pad, pad);
          c.n = n, c.h = h, c.w = w;
          c.layer.weight_bits = random.one_of(kWeightBits);
          set_range(c.layer, c.layer.weight_bits, false);
          c.layer.output.kind = random.one_of(kKinds);
          fill(c, random);
          expect_all_equal(c);
        }
      }
    }
  }
}

// Weights that lie two to a byte, and some just too few for that.
DQMQ_TEST(exact, large_layers_of_four_bits) {
  Random random(9);
  for (int64_t kernel : {1, 3}) {
    for (int64_t groups : {1, 2}) {
      for (int64_t channels : {64, 70, 90, 260, 384}) {
        for (OutputKind kind : kKinds) {
          if (!drawn()) continue;
          Case c;
          Geometry& g = c.layer.geometry;
          g.groups = groups, g.in_channels = groups * channels / 2 * 2, g.out_channels = groups * random.from(60, 300);
          g.kernel_h = g.kernel_w = kernel;
          if (!random.once_in(3)) set_pads(g, 1, 1, 0, 1);
          c.n = random.from(1, 2), c.h = random.from(3, 6), c.w = random.from(3, 7);
          c.layer.weight_bits = 4;
          set_range(c.layer, random.once_in(2) ? 8 : 4, random.once_in(2));
          c.layer.output.kind = kind;
          fill(c, random);
          expect_all_equal(c);
        }
      }
    }
  }
}

// Pictures that are encoded one by one, weights that no cache holds.
DQMQ_TEST(exact, large_pictures_and_large_weights) {
  Random random(8);
  for (int weight_bits : kWeightBits) {
    for (int64_t is_wide : {0, 1}) {
      if (!drawn()) continue;
      Case c;
      Geometry& g = c.layer.geometry;
      c.n = 3, c.h = c.w = is_wide ? 2 : 150;
      g.in_channels = is_wide ? 420 : 24, g.out_channels = is_wide ? 650 : 3;
      g.stride_h = g.stride_w = is_wide ? 1 : 11;
      set_pads(g, 0, 1, 1, 0);
      c.layer.weight_bits = weight_bits;
      set_range(c.layer, weight_bits, false);
      fill(c, random);
      expect_all_equal(c);
    }
  }
}

// One layer on maps of any size, on which other kernels are the fastest; its weights are gone by then.
DQMQ_TEST(exact, a_layer_on_small_and_large_maps) {
  constexpr int64_t kSizes[] = {4, 12, 3, 8, 9};
  Random random(9);
  for (int64_t channels : {16, 32, 64, 96}) {
    for (OutputKind kind : {OutputKind::kCodes, OutputKind::kResidual}) {
      if (!drawn()) continue;
      Case c;
      Geometry& g = c.layer.geometry;
      g.in_channels = g.out_channels = channels, g.kernel_h = g.kernel_w = 3;
      set_pads(g, 1, 1, 1, 1);
      c.layer.weight_bits = 2, c.layer.output.kind = kind;
      set_range(c.layer, 2, false);
      c.n = 2, c.h = c.w = 12;
      fill(c, random);
      std::vector<std::vector<uint8_t>> expected;
      for (int64_t size : kSizes) c.h = c.w = size, expected.push_back(reference(c));
      std::vector<std::unique_ptr<Conv>> convs;
      for (Isa isa : levels()) convs.push_back(Conv::make(c.layer, isa));
      std::fill(c.weights.begin(), c.weights.end(), uint8_t{0});
      for (const auto& conv : convs) {
        for (size_t i = 0; i < expected.size(); ++i) {
          c.h = c.w = kSizes[i];
          expect_equal(c, *conv, expected[i], Serial());
        }
      }
    }
  }
}

DQMQ_TEST(exact, paths_covered) { expect_all_covered(); }

}  // namespace
}  // namespace dqmq::test
