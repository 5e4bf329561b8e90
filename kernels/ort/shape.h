// A few integers: the shape of a tensor, or a list among a node's attributes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <string>

namespace dqmq::ort {

// At most eight of them, kept where they stand: every node makes some at every call, and the heap would cost more than
// the rest of what a node does around its work.
class Shape {
 public:
  static constexpr size_t kMost = 8;

  Shape() = default;
  explicit Shape(size_t size, int64_t value = 0) : size_(size) {
    if (size > kMost) throw std::invalid_argument("expected at most 8 integers, got " + std::to_string(size));
    std::fill(begin(), end(), value);
  }
  Shape(std::initializer_list<int64_t> values) : Shape(values.size()) {
    std::copy(values.begin(), values.end(), begin());
  }

  size_t size() const { return size_; }
  int64_t* data() { return values_; }
  const int64_t* data() const { return values_; }
  int64_t* begin() { return values_; }
  int64_t* end() { return values_ + size_; }
  const int64_t* begin() const { return values_; }
  const int64_t* end() const { return values_ + size_; }
  int64_t& operator[](size_t index) { return values_[index]; }
  int64_t operator[](size_t index) const { return values_[index]; }
  int64_t back() const { return values_[size_ - 1]; }

  bool operator==(const Shape& other) const { return std::equal(begin(), end(), other.begin(), other.end()); }
  bool operator!=(const Shape& other) const { return !(*this == other); }

 private:
  size_t size_ = 0;
  int64_t values_[kMost];
};

}  // namespace dqmq::ort
