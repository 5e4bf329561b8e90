// Tables whose byte sums come as near to what a byte holds as weights allow.
#include <algorithm>
#include <vector>

#include "paths.h"

namespace dqmq::test {
namespace {

// The first channel's heavy weights lie in two runs of the longest length that it allows, and in one of the shorter runs
// that the last channel leaves: what fitted once may no longer fit.
DQMQ_TEST(exact, runs_that_a_later_channel_shortens) {
  constexpr int64_t kSteps = 48, kDepth = 3, kHeavy[] = {18, 38};
  Random random(10);
  for (int64_t kernel : {1, 3}) {
    if (!drawn()) continue;
    Case c;
    Geometry& g = c.layer.geometry;
    g.kernel_h = g.kernel_w = kernel;
    g.in_channels = kernel == 1 ? kSteps * kDepth : kSteps / kernel, g.out_channels = 256;
    c.layer.weight_bits = 2;
    set_range(c.layer, 2, false);
    c.n = 1, c.h = c.w = 16;
    fill(c, random);
    std::fill(c.layer.output.factor.begin(), c.layer.output.factor.end(), 1.0f / 256);
    std::fill(c.x.begin(), c.x.end(), uint8_t{0});
    // a step has three channels of a table with triples, or the three columns of a kernel row
    const int64_t codes = g.codes_per_channel();
    for (int64_t channel = 0; channel < g.out_channels; ++channel) {
      uint8_t* row = c.weights.data() + channel * row_bytes(codes, 2);
      for (int64_t code = 0; code < codes; ++code) {
        const int64_t step = kernel == 1 ? code % kSteps : code / kDepth;
        const int64_t place = kernel == 1 ? code / kSteps : code % kDepth;
        const int heavy = step >= kHeavy[0] && step < kHeavy[1] ? -2 : 0;
        const int last = place == 0 && step % 3 != 0 ? -2 : -1;  // allows runs of 20 steps, but not of 24
        const int field = 2 + (channel == 0 ? heavy : channel == g.out_channels - 1 ? last : 0);
        uint8_t& byte = row[code / 4];
        byte = static_cast<uint8_t>((byte & ~(3 << code % 4 * 2)) | field << code % 4 * 2);
      }
    }
    expect_all_equal(c);
  }
}

// Weights of -2 and -1 with the lowest activations: every sum is as high as the weights allow, up to the end of its run.
// A run that is too long saturates or wraps; of the most channels there are more runs than 16-bit sums hold.
DQMQ_TEST(exact, sums_as_high_as_runs_allow) {
  Random random(12);
  for (int64_t in_channels : {20, 64, 130, 600}) {
    for (int64_t out_channels : {16, 64, 128, 192}) {
      for (int64_t kernel : {1, 3}) {
        if (!drawn()) continue;
        Case c;
        Geometry& g = c.layer.geometry;
        g.kernel_h = g.kernel_w = kernel, g.pad_left = g.pad_right = kernel / 2;
        g.in_channels = in_channels, g.out_channels = out_channels;
        c.layer.weight_bits = 2;
        set_range(c.layer, 2, false);
        c.n = 1, c.h = 4, c.w = random.from(7, 9);
        fill(c, random);
        std::fill(c.layer.output.factor.begin(), c.layer.output.factor.end(), 1.0f / 256);
        std::fill(c.x.begin(), c.x.end(), uint8_t{0});
        const int often = static_cast<int>(random.from(2, 30));
        for (uint8_t& byte : c.weights) {
          byte = 0;
          for (int field = 0; field < 4; ++field) byte |= static_cast<uint8_t>(random.once_in(often) << (2 * field));
        }
        expect_all_equal(c);
      }
    }
  }
}

}  // namespace
}  // namespace dqmq::test
