#include "harness.h"

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <vector>

namespace dqmq::test {
namespace {

struct Test {
  const char *suite, *name;
  void (*body)();
};
struct TooManyFailures {};

constexpr int kMostFailures = 5;  // of a test: the first few say it all
std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}
int failures = 0;
int64_t cases = 0;
double share = 1, drawn_so_far = 0;
uint32_t seed = 1;
thread_local char current_path[64], current_case[1024];

void on_signal(int number) {
  std::fprintf(stderr, "died of signal %d in %s: %s\n", number, current_path, current_case);
  std::signal(number, SIG_DFL);
  std::raise(number);
}

bool run(const Test& test) {
  const auto start = std::chrono::steady_clock::now();
  failures = 0, cases = 0;
  try {
    test.body();
  } catch (const TooManyFailures&) {
  } catch (const std::exception& error) {
    std::printf("  unexpected exception in %s: %s: %s\n", current_path, current_case, error.what());
    ++failures;
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::printf("%s %s: %s, %lld cases, %.1f s\n", failures ? "FAILED" : "passed", test.suite, test.name,
              static_cast<long long>(cases), seconds);
  std::fflush(stdout);
  return failures == 0;
}

}  // namespace

bool register_test(const char* suite, const char* name, void (*body)()) {
  tests().push_back({suite, name, body});
  return true;
}

void fail(const std::string& message) {
  std::printf("  %s\n", message.c_str());
  if (++failures == kMostFailures) throw TooManyFailures();
}

void expect(bool holds, const std::string& message) {
  if (!holds) fail(message);
}

bool drawn() {
  drawn_so_far += share;
  if (drawn_so_far < 1) return false;
  drawn_so_far -= 1;
  ++cases;
  return true;
}

int scaled(int count) { return count * share < 1 ? 1 : static_cast<int>(count * share); }

void now_case(const std::string& what) { std::snprintf(current_case, sizeof(current_case), "%s", what.c_str()); }
void now_path(const std::string& path) { std::snprintf(current_path, sizeof(current_path), "%s", path.c_str()); }

Random::Random(uint32_t stream) : engine_(seed * 1000003u + stream) {}

}  // namespace dqmq::test

int main(int count, char** arguments) {
  using namespace dqmq::test;
  std::vector<const char*> suites;
  for (int i = 1; i < count; ++i) {
    const bool is_last = i + 1 == count;
    if (std::strcmp(arguments[i], "--share") == 0 && !is_last) {
      share = std::atof(arguments[++i]);
    } else if (std::strcmp(arguments[i], "--seed") == 0 && !is_last) {
      seed = static_cast<uint32_t>(std::atoll(arguments[++i]));
    } else {
      suites.push_back(arguments[i]);
    }
  }
  for (int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) std::signal(number, on_signal);
  std::printf("seed %u, share %g\n", seed, share);
  int failed = 0, ran = 0;
  for (const Test& test : tests()) {
    bool is_chosen = suites.empty();
    for (const char* suite : suites) is_chosen = is_chosen || std::strcmp(suite, test.suite) == 0;
    if (!is_chosen) continue;
    ++ran;
    if (!run(test)) ++failed;
  }
  if (ran == 0) std::printf("no test of that name\n");
  if (failed) std::printf("%d of %d tests failed; seed %u\n", failed, ran, seed);
  return failed || ran == 0;
}
