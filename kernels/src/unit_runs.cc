#include "unit_runs.h"

#include <algorithm>

namespace dqmq {
namespace {

constexpr int kMost = 255;
// Units that come into question next. More of them make hardly fewer runs: of 128 channels with random weights 17 instead
// of 18 that follow from the given order, of 512 channels 65 instead of 72.
constexpr size_t kWindow = 16;

// The highest byte sum once a unit has been added.
int highest_sum(const std::vector<int>& sums, const uint8_t* unit) {
  int most = 0;
  for (size_t lane = 0; lane < sums.size(); ++lane) most = std::max(most, sums[lane] + unit[lane]);
  return most;
}

}  // namespace

// Channels differ in which units weigh much, and the first one whose sum would overflow ends the run: so the next unit is
// always the one that leaves the highest sum lowest.
UnitRuns unit_runs(const std::vector<uint8_t>& highest, int64_t segments, int64_t units, int lanes) {
  UnitRuns runs;
  std::vector<int> sums(static_cast<size_t>(lanes));
  std::vector<uint32_t> left(static_cast<size_t>(units));
  for (int64_t segment = 0; segment < segments; ++segment) {
    const auto unit_at = [&](uint32_t unit) { return highest.data() + (segment * units + unit) * lanes; };
    left.resize(static_cast<size_t>(units));
    for (size_t unit = 0; unit < left.size(); ++unit) left[unit] = static_cast<uint32_t>(unit);
    while (!left.empty()) {
      size_t best = 0;
      int lowest = kMost + 1;
      for (size_t i = 0; i < std::min(kWindow, left.size()); ++i) {
        const int sum = highest_sum(sums, unit_at(left[i]));
        if (sum < lowest) lowest = sum, best = i;
      }
      if (runs.lengths.empty() || lowest > kMost) {
        std::fill(sums.begin(), sums.end(), 0);
        runs.lengths.push_back(0);
        if (lowest > kMost) continue;
      }
      for (int lane = 0; lane < lanes; ++lane) sums[static_cast<size_t>(lane)] += unit_at(left[best])[lane];
      ++runs.lengths.back();
      runs.order.push_back(left[best]);
      left.erase(left.begin() + static_cast<std::ptrdiff_t>(best));
    }
  }
  return runs;
}

}  // namespace dqmq
