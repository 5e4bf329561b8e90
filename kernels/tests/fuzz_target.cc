#include "fuzz_target.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "node_bytes.h"

namespace dqmq::test {
namespace {

constexpr const char* kCap = "DQMQ_MAX_ISA";

// DQMQ_MAX_ISA while it lives.
class Cap {
 public:
  Cap() {
    const char* value = std::getenv(kCap);
    is_set_ = value != nullptr;
    if (is_set_) before_ = value;
  }
  ~Cap() { is_set_ ? setenv(kCap, before_.c_str(), 1) : unsetenv(kCap); }
  Cap(const Cap&) = delete;
  Cap& operator=(const Cap&) = delete;

  void set(const std::string& level) { setenv(kCap, level.c_str(), 1); }

 private:
  bool is_set_;
  std::string before_;
};

std::string in_words(const Outcome& outcome) {
  return outcome.error.empty() ? std::to_string(outcome.y.size()) + " bytes" : "'" + outcome.error + "'";
}

}  // namespace

Outcome run_at_levels(const FakeNode& node, const std::vector<std::string>& levels, std::string* difference) {
  Cap cap;
  Outcome first;
  for (const std::string& level : levels) {
    cap.set(level);
    Outcome outcome = run(node);
    if (level == levels.front()) {
      first = std::move(outcome);
    } else if (!(outcome == first)) {
      *difference = level + " gives " + in_words(outcome) + ", " + levels.front() + " " + in_words(first);
    }
  }
  return first;
}

std::vector<std::string> levels_to_run() {
  std::vector<std::string> levels = library_levels();
  const char* cap = std::getenv(kCap);
  const auto last = std::find(levels.begin(), levels.end(), cap == nullptr ? "" : cap);
  if (last != levels.end()) levels.erase(last + 1, levels.end());
  return levels;
}

}  // namespace dqmq::test

// For libFuzzer and whoever else brings bytes.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace dqmq::test;
  static const std::vector<std::string> levels = levels_to_run();
  const FakeNode node = decode(data, size);
  std::string difference;
  run_at_levels(node, levels, &difference);
  if (difference.empty()) return 0;
  std::fprintf(stderr, "%s: %s\n", difference.c_str(), describe(node).c_str());
  std::abort();
}
