// Memory between two pages that must not be touched: one byte beyond either end stops the program.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace dqmq::test {

enum class Side { kStart, kEnd };  // which end lies flush against its forbidden page

class Guarded {
 public:
  Guarded(size_t bytes, Side side);
  Guarded(const std::vector<uint8_t>& content, Side side);
  ~Guarded();
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  void forbid();  // the rest of it, too

 private:
  size_t size_, mapped_;
  uint8_t *pages_, *data_;
};

}  // namespace dqmq::test
