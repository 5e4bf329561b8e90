// What no sweep thought of: random layers on every path, and from many threads.
#include <thread>

#include "paths.h"
#include "random_layer.h"
#include "threads.h"

namespace dqmq::test {
namespace {

DQMQ_TEST(random, layers_on_all_paths) {
  Random random(20);
  for (int i = 0; i < 2500; ++i) {
    Case c;
    draw(c, random, random.once_in(10) ? 200 : 40);
    if (drawn()) expect_all_equal(c);
  }
}

DQMQ_TEST(random, tasks_in_any_order_on_any_thread) {
  Random random(21);
  const OddThreads threads(3);
  for (int i = 0; i < 60; ++i) {
    Case c;
    draw(c, random, 90);
    c.h += 16, c.w += 16;  // enough work for many tasks
    fill(c, random);
    if (drawn()) expect_all_equal(c, threads);
  }
}

// Pictures of many sizes at once: scratch memory must be each thread's own.
DQMQ_TEST(random, one_conv_called_from_many_threads) {
  constexpr int kThreads = 4, kCalls = 30;
  Random random(22);
  for (int i = 0; i < 12; ++i) {
    Case cases[kThreads];
    std::vector<uint8_t> expected[kThreads];
    draw(cases[0], random, 60);
    for (int t = 0; t < kThreads; ++t) {
      Case& c = cases[t];
      c.layer = cases[0].layer;
      c.n = t, c.h = cases[0].h + 3 * t, c.w = cases[0].w + t;
      c.x.resize(static_cast<size_t>(c.n * c.h * c.w * c.layer.geometry.in_channels));
      for (uint8_t& code : c.x) code = static_cast<uint8_t>(random.bits());
      c.residual.assign(c.layer.output.kind == OutputKind::kResidual ? c.y_bytes() : 0, 77);
      expected[t] = reference(c);
    }
    if (!drawn()) continue;
    each_conv(cases[0].layer, [&](const Conv& conv) {
      note(conv);
      std::atomic<int> wrong{0};
      std::vector<std::thread> threads;
      for (int t = 0; t < kThreads; ++t) {
        threads.emplace_back([&, t] {
          const Case& c = cases[t];
          std::vector<uint8_t> y(expected[t].size());
          for (int call = 0; call < kCalls; ++call) {
            std::fill(y.begin(), y.end(), static_cast<uint8_t>(call));
            conv.run(c.input(), c.residual.empty() ? nullptr : c.residual.data(), y.data(), Serial());
            if (y != expected[t]) ++wrong;
          }
        });
      }
      for (std::thread& thread : threads) thread.join();
      expect(wrong == 0, conv.path() + ": " + std::to_string(wrong) + " wrong calls: " + describe(cases[0]));
    });
  }
}

DQMQ_TEST(random, paths_covered) { expect_all_covered(); }

}  // namespace
}  // namespace dqmq::test
