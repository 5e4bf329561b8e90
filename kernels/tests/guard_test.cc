// Nothing is read outside what goes in, nothing written outside what comes out. A breach dies of a signal, which names
// the path and the layer.
#include <cstring>

#include "guarded.h"
#include "paths.h"
#include "random_layer.h"

namespace dqmq::test {
namespace {

constexpr Side kSides[] = {Side::kStart, Side::kEnd};

void run_between_guards(Case& c, Side side) {
  const std::vector<uint8_t> expected = reference(c);
  Guarded weights(c.weights, side);
  const Guarded x(c.x, side), residual(c.residual, side), y(expected.size(), side);
  Layer layer = c.layer;
  layer.weights = weights.data();
  each_conv(layer, [&](const Conv& conv) {
    note(conv);
    if (y.size() != 0) std::memset(y.data(), 0xa5, y.size());
    conv.run({x.data(), c.n, c.h, c.w}, c.residual.empty() ? nullptr : residual.data(), y.data(), Serial());
    const bool is_equal = y.size() == 0 || std::memcmp(y.data(), expected.data(), y.size()) == 0;
    expect(is_equal, conv.path() + " differs where memory is guarded: " + describe(c));
  });
}

DQMQ_TEST(guard, pictures_residuals_outputs_and_weights) {
  Random random(30);
  for (int i = 0; i < 1200; ++i) {
    Case c;
    draw(c, random, random.once_in(10) ? 200 : 40);
    if (!drawn()) continue;
    for (Side side : kSides) run_between_guards(c, side);
  }
}

DQMQ_TEST(guard, weights_are_not_read_after_a_conv_is_made) {
  Random random(31);
  for (int i = 0; i < 60; ++i) {
    Case c;
    draw(c, random, 30);
    if (!drawn()) continue;
    const std::vector<uint8_t> expected = reference(c);
    for (Isa isa : levels()) {
      Guarded weights(c.weights, Side::kEnd);
      Layer layer = c.layer;
      layer.weights = weights.data();
      const auto conv = Conv::make(layer, isa);
      weights.forbid();
      expect_equal(c, *conv, expected, Serial());
    }
  }
}

DQMQ_TEST(guard, paths_covered) { expect_all_covered(); }

}  // namespace
}  // namespace dqmq::test
