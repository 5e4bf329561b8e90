// Memory that goes back to the system the moment it is freed. The heap would keep what packing needs for a moment, and
// what lives on among it would hold it there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

namespace dqmq {

// `bytes` bytes of zeros on a 64-byte boundary; large blocks are pages of their own. Throws std::bad_alloc.
uint8_t* allocate_pages(size_t bytes);
// `bytes`: as allocated. Null is let be.
void free_pages(uint8_t* data, size_t bytes) noexcept;

// For vectors that are large and short-lived.
template <typename T>
struct PageAllocator {
  using value_type = T;

  PageAllocator() = default;
  template <typename U>
  PageAllocator(const PageAllocator<U>&) {}

  T* allocate(size_t count) {
    if (count > SIZE_MAX / sizeof(T)) throw std::bad_alloc();
    return reinterpret_cast<T*>(allocate_pages(count * sizeof(T)));
  }
  void deallocate(T* data, size_t count) { free_pages(reinterpret_cast<uint8_t*>(data), count * sizeof(T)); }

  bool operator==(const PageAllocator&) const { return true; }
  bool operator!=(const PageAllocator&) const { return false; }
};

}  // namespace dqmq
