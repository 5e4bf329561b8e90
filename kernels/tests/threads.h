// Work in an order nobody would expect, on threads of its own.
#pragma once

#include <atomic>
#include <thread>
#include <vector>

#include "parallel.h"

namespace dqmq::test {

class OddThreads final : public Parallel {
 public:
  explicit OddThreads(size_t threads) : threads_(threads) {}

  void operator()(size_t count, Task task, void* argument) const override {
    // a step without a common divisor with `count` visits every index once
    size_t step = count / 2 + 1;
    while (!is_coprime(step, count)) ++step;
    std::atomic<size_t> next{0};
    std::vector<std::thread> running;
    for (size_t thread = 0; thread < threads_; ++thread) {
      running.emplace_back([&] {
        for (size_t i = next++; i < count; i = next++) task(argument, (i * step + count / 3) % count);
      });
    }
    for (std::thread& thread : running) thread.join();
  }

 private:
  static bool is_coprime(size_t a, size_t b) {
    while (b != 0) {
      const size_t rest = a % b;
      a = b, b = rest;
    }
    return a == 1;
  }

  size_t threads_;
};

}  // namespace dqmq::test
