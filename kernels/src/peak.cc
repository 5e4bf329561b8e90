#include "peak.h"

#include <algorithm>
#include <chrono>
#include <cstdint>

#if defined(__x86_64__)
#include "avx2/kernels.h"
#include "avx512/kernels.h"
#endif

namespace dqmq {
namespace {

constexpr int kRounds = 8;
constexpr int64_t kTurns = 20000;

// Best of several rounds: the core may sleep at first, and others may run beside.
[[maybe_unused]] double best_of(int64_t (*multiply)(int64_t turns)) {
  double best = 0;
  for (int round = 0; round < kRounds; ++round) {
    const auto start = std::chrono::steady_clock::now();
    const int64_t macs = multiply(kTurns);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    best = std::max(best, static_cast<double>(macs) / taken.count() / 1e9);
  }
  return best;
}

}  // namespace

double int8_peak_gmacs(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::kAvx512) return best_of(avx512::multiply_bytes);
  if (isa == Isa::kAvx2) return best_of(avx2::multiply_bytes);
#endif
  static_cast<void>(isa);
  return 0;
}

}  // namespace dqmq
