// A test harness in a page. Tests register themselves; `kernel_tests exact guard` runs two suites, without names all.
//
//   --share 0.1    run one case in ten of the sweeps, evenly spread: for emulators
//   --seed 7       other random cases
#pragma once

#include <cstdint>
#include <random>
#include <string>

namespace dqmq::test {

bool register_test(const char* suite, const char* name, void (*body)());

#define DQMQ_TEST(suite, name)                                                                            \
  static void suite##_##name();                                                                           \
  static const bool suite##_##name##_registered = ::dqmq::test::register_test(#suite, #name, suite##_##name); \
  static void suite##_##name()

// Says what went wrong and goes on, except that a test with many failures ends.
void fail(const std::string& message);
void expect(bool holds, const std::string& message);

// Whether to run the next case of a sweep; counts those that are run.
bool drawn();

// `count` times the share, at least one.
int scaled(int count);

// What the thread works on now, for the line that is printed when the process dies of a signal.
void now_case(const std::string& what);
void now_path(const std::string& path);

// Numbers that are the same on every machine.
class Random {
 public:
  explicit Random(uint32_t stream);  // of the run's seed

  uint32_t bits() { return static_cast<uint32_t>(engine_()); }
  int64_t from(int64_t lowest, int64_t highest) {
    return lowest + static_cast<int64_t>(bits() % static_cast<uint64_t>(highest - lowest + 1));
  }
  bool once_in(int times) { return from(1, times) == 1; }
  template <typename Value, size_t count>
  Value one_of(const Value (&values)[count]) {
    return values[from(0, static_cast<int64_t>(count) - 1)];
  }

 private:
  std::mt19937 engine_;
};

}  // namespace dqmq::test
