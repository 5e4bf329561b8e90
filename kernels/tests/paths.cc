#include "paths.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>

#include "depthwise_conv.h"
#include "planes_conv.h"
#include "tiled_conv.h"

namespace dqmq::test {
namespace {

std::map<std::string, int> times_gone, times_chosen;

std::string path_of(const KernelSet& set, const char* kernel) { return std::string(name(set.isa)) + " " + kernel; }

// Where y first differs, as text.
std::string difference(const Case& c, const std::vector<uint8_t>& expected, const uint8_t* y) {
  size_t at = 0;
  while (expected[at] == y[at]) ++at;
  size_t element = at;
  std::string text;
  if (c.layer.output.kind == OutputKind::kNumbers) {
    float wanted, got;
    element = at / sizeof(float);
    std::memcpy(&wanted, expected.data() + element * sizeof(float), sizeof(float));
    std::memcpy(&got, y + element * sizeof(float), sizeof(float));
    text = std::to_string(got) + ", not " + std::to_string(wanted);
  } else {
    text = std::to_string(y[at]) + ", not " + std::to_string(expected[at]);
  }
  return "y[" + std::to_string(element) + "] is " + text;
}

void expect_isas_of_environment(const std::set<std::string>& there) {
  const char* wanted = std::getenv("DQMQ_EXPECT_ISAS");
  std::string names = wanted == nullptr ? "" : wanted;
  for (size_t end; !names.empty(); names = end == std::string::npos ? "" : names.substr(end + 1)) {
    end = names.find(',');
    const std::string isa = names.substr(0, end);
    expect(there.count(isa) == 1, "DQMQ_EXPECT_ISAS: " + isa + " was not covered");
  }
}

}  // namespace

std::vector<Isa> levels() {
  std::vector<Isa> found;
  const Isa highest = best();
  for (Isa isa : available()) {
    if (isa <= highest) found.push_back(isa);
  }
  return found;
}

std::vector<const KernelSet*> kernel_sets() {
  std::vector<const KernelSet*> sets;
  for (Isa isa : levels()) {
    if (isa != Isa::kReference && kernel_set(isa).isa == isa) sets.push_back(&kernel_set(isa));
  }
  return sets;
}

bool computes(const TileKernel& kernel, const Layer& layer) { return std::isfinite(tile_cost(kernel, layer)); }

std::vector<std::unique_ptr<Conv>> all_convs(const Layer& layer) {
  std::vector<std::unique_ptr<Conv>> convs;
  for (const KernelSet* set : kernel_sets()) {
    for (const TileKernel& kernel : set->tiles) {
      now_path(path_of(*set, kernel.name) + ", being made");
      if (computes(kernel, layer)) convs.push_back(make_tiled(layer, *set, kernel));
    }
    now_path(path_of(*set, "planes or depthwise, being made"));
    if (set->planes != nullptr && std::isfinite(planes_cost(*set->planes, layer))) {
      convs.push_back(make_planes(layer, *set));
    }
    if (is_depthwise(*set, layer)) convs.push_back(make_depthwise(layer, *set));
  }
  for (Isa isa : levels()) {
    now_path(std::string(name(isa)) + ", being made");
    convs.push_back(Conv::make(layer, isa));
    ++times_chosen[convs.back()->path()];
  }
  return convs;
}

void each_conv(const Layer& layer, const std::function<void(const Conv&)>& body) {
  for (const auto& conv : all_convs(layer)) body(*conv);
}

void note(const Conv& conv) {
  const std::string path = conv.path();
  ++times_gone[path];
  now_path(path);
}

std::vector<uint8_t> reference(const Case& c) {
  std::vector<uint8_t> y(c.y_bytes());
  now_case(describe(c));
  now_path("reference");
  Conv::make(c.layer, Isa::kReference)
      ->run(c.input(), c.residual.empty() ? nullptr : c.residual.data(), y.data(), Serial());
  return y;
}

void expect_equal(const Case& c, const Conv& conv, const std::vector<uint8_t>& expected, const Parallel& parallel) {
  constexpr uint8_t kUntouched = 0xa5;
  constexpr size_t kBeyond = 64;
  const std::string path = conv.path();
  note(conv);
  std::vector<uint8_t> y(expected.size() + 2 * kBeyond, kUntouched);
  conv.run(c.input(), c.residual.empty() ? nullptr : c.residual.data(), y.data() + kBeyond, parallel);
  for (size_t i = 0; i < kBeyond; ++i) {
    if (y[i] == kUntouched && y[kBeyond + expected.size() + i] == kUntouched) continue;
    return fail(path + " writes outside y: " + describe(c));
  }
  if (expected.empty() || std::memcmp(y.data() + kBeyond, expected.data(), expected.size()) == 0) return;
  fail(path + ": " + difference(c, expected, y.data() + kBeyond) + ": " + describe(c));
}

void expect_all_equal(const Case& c, const Parallel& parallel) {
  const std::vector<uint8_t> expected = reference(c);
  each_conv(c.layer, [&](const Conv& conv) { expect_equal(c, conv, expected, parallel); });
}

void expect_equal(const Case& c, const KernelSet& set, const TileKernel& kernel) {
  expect_equal(c, *make_tiled(c.layer, set, kernel), reference(c), Serial());
}

void expect_all_covered() {
  std::set<std::string> there;
  for (Isa isa : levels()) {
    there.insert(name(isa));
    const KernelSet& set = kernel_set(isa);
    if (isa == Isa::kReference || set.isa != isa) continue;
    std::vector<std::string> kernels;
    for (const TileKernel& kernel : set.tiles) kernels.push_back(kernel.name);
    if (set.planes != nullptr) kernels.push_back("planes");
    if (set.depthwise != nullptr) kernels.push_back("depthwise rows");
    std::printf("  covered by %s:", name(isa));
    for (const std::string& kernel : kernels) {
      const std::string path = path_of(set, kernel.c_str());
      std::printf(" %s %d,", kernel.c_str(), times_gone[path]);
    }
    std::printf("\n");
    for (const std::string& kernel : kernels) {
      const std::string path = path_of(set, kernel.c_str());
      expect(times_gone[path] > 0, path + " was not covered");
    }
  }
  std::printf("  not covered:");
  for (Isa isa : {Isa::kAvx2, Isa::kAvxVnni, Isa::kAvx512, Isa::kNeon, Isa::kDotProd}) {
    if (there.count(name(isa)) == 0) std::printf(" %s", name(isa));
  }
  std::printf("\n  chosen by Conv::make:");
  for (const auto& [path, times] : times_chosen) std::printf(" %s %d,", path.c_str(), times);
  std::printf("\n");
  expect_isas_of_environment(there);
  times_gone.clear();
  times_chosen.clear();
}

}  // namespace dqmq::test
