#include "unit_runs.h"

#include <algorithm>
#include <string>
#include <vector>

#include "harness.h"

namespace dqmq::test {
namespace {

// Each unit of a segment once, and no sum of a run above a byte.
void expect_runs(const std::vector<uint8_t>& highest, int64_t segments, int64_t units, int lanes) {
  const UnitRuns runs = unit_runs(highest, segments, units, lanes);
  const std::string what = std::to_string(segments) + " segments, " + std::to_string(units) + " units";
  if (static_cast<int64_t>(runs.order.size()) != segments * units) return fail("unit_runs: wrong order, " + what);
  for (int64_t segment = 0; segment < segments; ++segment) {
    std::vector<uint32_t> seen(runs.order.begin() + segment * units, runs.order.begin() + (segment + 1) * units);
    std::sort(seen.begin(), seen.end());
    for (size_t unit = 0; unit < seen.size(); ++unit) {
      if (seen[unit] != unit) return fail("unit_runs: no permutation, " + what);
    }
  }
  int64_t at = 0;
  for (uint32_t length : runs.lengths) {
    if (length == 0) return fail("unit_runs: an empty run, " + what);
    std::vector<int> sums(static_cast<size_t>(lanes));
    for (const int64_t end = at + length; at < end && at < segments * units; ++at) {
      const int64_t unit = at / units * units + runs.order[static_cast<size_t>(at)];
      for (int lane = 0; lane < lanes; ++lane) {
        sums[static_cast<size_t>(lane)] += highest[static_cast<size_t>(unit * lanes + lane)];
      }
    }
    if (*std::max_element(sums.begin(), sums.end()) > 255) return fail("unit_runs: a run too long, " + what);
  }
  if (at != segments * units) fail("unit_runs: lengths do not add up, " + what);
}

DQMQ_TEST(passes, runs_of_units) {
  Random random(44);
  for (int64_t segments : {1, 3}) {
    for (int64_t units : {1, 2, 15, 16, 17, 60}) {
      for (int most : {0, 9, 54}) {
        if (!drawn()) continue;
        constexpr int kLanes = 64;
        std::vector<uint8_t> highest(static_cast<size_t>(segments * units * kLanes));
        for (uint8_t& unit : highest) unit = static_cast<uint8_t>(random.from(0, most));
        expect_runs(highest, segments, units, kLanes);
        std::fill(highest.begin(), highest.end(), static_cast<uint8_t>(most));
        expect_runs(highest, segments, units, kLanes);
      }
    }
  }
}

}  // namespace
}  // namespace dqmq::test
