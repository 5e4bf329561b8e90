// Packed weights: one copy for equal ones, however many Convs, none when the last is gone.
#include <atomic>
#include <set>
#include <stdexcept>
#include <thread>

#include "packed.h"
#include "paths.h"
#include "random_layer.h"

namespace dqmq::test {
namespace {

// A 3x3 layer with weights that no other test has.
void draw_layer(Case& c, Random& random) {
  c.layer.geometry.in_channels = 12, c.layer.geometry.out_channels = 20;
  c.layer.geometry.kernel_h = c.layer.geometry.kernel_w = 3;
  c.layer.weight_bits = 2;
  set_range(c.layer, 2, false);
  c.h = c.w = 5;
  fill(c, random);
  for (uint8_t& byte : c.weights) byte = static_cast<uint8_t>(random.bits() >> 5);
}

std::shared_ptr<const Packed> get(const Layer& layer, const std::string& layout, int* times_made) {
  return packed_weights(layer, layout, [&] {
    ++*times_made;
    return std::make_shared<Packed>(100);
  });
}

// Whether weights of `layer` in that layout live.
bool is_alive(const Layer& layer, const std::string& layout) {
  int made = 0;
  get(layer, layout, &made);
  return made == 0;
}

DQMQ_TEST(cache, equal_weights_are_made_once) {
  Random random(50);
  Case c;
  draw_layer(c, random);
  const std::vector<uint8_t> copy = c.weights;
  Layer other = c.layer;
  other.weights = copy.data();
  // what is not in the weights makes no difference
  other.geometry.stride_h = other.geometry.stride_w = 2, other.geometry.pad_top = 1;
  other.bias[0] += 1, other.output.factor[0] += 1, other.x_zero_point = 2;
  int made = 0;
  const auto first = get(c.layer, "a", &made), second = get(other, "a", &made);
  expect(first == second && made == 1, "equal weights are packed twice");
  expect(first->size() == 128 && reinterpret_cast<uintptr_t>(first->data()) % 64 == 0, "expected whole cache lines");
}

DQMQ_TEST(cache, what_differs_is_not_shared) {
  Random random(51);
  Case c;
  draw_layer(c, random);
  const auto expect_other = [&](const char* what, const Layer& layer, const std::string& layout) {
    int made = 0;
    const auto mine = get(c.layer, "a", &made), other = get(layer, layout, &made);
    expect(mine != other && made == 2, std::string("shared in spite of another ") + what);
  };
  expect_other("layout", c.layer, "b");
  for (size_t at : {size_t{0}, size_t{7}, size_t{8}, c.weights.size() / 2, c.weights.size() - 1}) {
    std::vector<uint8_t> weights = c.weights;
    weights[at] = static_cast<uint8_t>(weights[at] ^ 0x40);
    Layer layer = c.layer;
    layer.weights = weights.data();
    expect_other("byte", layer, "a");
  }
  Layer layer = c.layer;
  layer.weight_bits = 4;
  expect_other("precision", layer, "a");
  layer = c.layer, layer.geometry.dilation_w = 2;  // its rows are no segments
  expect_other("dilation", layer, "a");
  layer = c.layer, layer.geometry.kernel_h = 1, layer.geometry.kernel_w = 9;
  expect_other("kernel", layer, "a");
  layer = c.layer, layer.geometry.in_channels = 24, layer.geometry.groups = 2;
  expect_other("grouping", layer, "a");
}

DQMQ_TEST(cache, freed_with_the_last_user) {
  Random random(52);
  Case c;
  draw_layer(c, random);
  int made = 0;
  auto first = get(c.layer, "a", &made), second = get(c.layer, "a", &made);
  const std::weak_ptr<const Packed> watched = first;
  first.reset();
  expect(!watched.expired() && is_alive(c.layer, "a"), "freed while somebody uses them");
  second.reset();
  expect(watched.expired(), "kept when nobody uses them");
  expect(!is_alive(c.layer, "a"), "found again after they were freed");
}

DQMQ_TEST(cache, a_failure_leaves_nothing_behind) {
  Random random(53);
  Case c;
  draw_layer(c, random);
  bool is_thrown = false;
  try {
    packed_weights(c.layer, "a", []() -> std::shared_ptr<Packed> { throw std::bad_alloc(); });
  } catch (const std::bad_alloc&) {
    is_thrown = true;
  }
  expect(is_thrown, "expected the failure to come through");
  int made = 0;
  expect(get(c.layer, "a", &made) != nullptr && made == 1, "expected weights after a failure");
}

// Every way to compute a layer shares under a name of its own, and lets go.
DQMQ_TEST(cache, convs_share_weights_and_free_them) {
  Random random(54);
  for (int i = 0; i < 200; ++i) {
    Case c;
    draw(c, random, 40);
    if (!drawn()) continue;
    std::set<std::string> layouts;
    {
      const auto convs = all_convs(c.layer), again = all_convs(c.layer);
      for (const auto& conv : convs) {
        if (conv->path() != "reference") layouts.insert(conv->path());
      }
      for (const std::string& layout : layouts) expect(is_alive(c.layer, layout), layout + ": weights are not shared");
    }
    for (const std::string& layout : layouts) expect(!is_alive(c.layer, layout), layout + ": weights outlive Convs");
  }
}

DQMQ_TEST(cache, layouts_have_names_of_their_own) {
  for (const KernelSet* set : kernel_sets()) {
    std::multiset<std::string> names;
    for (const TileKernel& kernel : set->tiles) names.insert(kernel.name);
    if (set->planes != nullptr) names.insert("planes");
    if (set->depthwise != nullptr) names.insert("depthwise rows");
    for (const std::string& each : names) expect(names.count(each) == 1, "two kernels are called " + each);
  }
}

// Layers that come and go on many threads: weights are shared while others of them are made and freed.
DQMQ_TEST(cache, made_and_freed_on_many_threads) {
  constexpr int kThreads = 4, kLayers = 3;
  Random random(55);
  Case cases[kLayers];
  std::vector<uint8_t> expected[kLayers];
  for (int i = 0; i < kLayers; ++i) {
    draw(cases[i], random, 24);
    expected[i] = reference(cases[i]);
  }
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int round = 0; round < scaled(200); ++round) {
        const int i = (round + t) % kLayers;
        const Case& c = cases[i];
        const auto all = levels();
        const auto conv = Conv::make(c.layer, all[static_cast<size_t>(round) % all.size()]);
        std::vector<uint8_t> y(expected[i].size());
        conv->run(c.input(), c.residual.empty() ? nullptr : c.residual.data(), y.data(), Serial());
        if (y != expected[i]) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  expect(wrong == 0, std::to_string(wrong) + " wrong results");
}

}  // namespace
}  // namespace dqmq::test
