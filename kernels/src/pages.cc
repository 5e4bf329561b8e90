#include "pages.h"

#include <cstdlib>
#include <cstring>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#endif

#if defined(__has_feature)
#define DQMQ_HAS_FEATURE(feature) __has_feature(feature)
#else
#define DQMQ_HAS_FEATURE(feature) 0
#endif

namespace dqmq {
namespace {

// A block rounded up to whole pages wastes at most a sixteenth.
constexpr size_t kOwnPages = 64 << 10;

bool has_own_pages(size_t bytes) {
#if !defined(MAP_ANONYMOUS) || defined(__SANITIZE_ADDRESS__) || DQMQ_HAS_FEATURE(address_sanitizer)
  (void)bytes;
  return false;  // the sanitizer sees the ends of heap blocks only
#else
  return bytes >= kOwnPages;
#endif
}

}  // namespace

uint8_t* allocate_pages(size_t bytes) {
#ifdef MAP_ANONYMOUS
  if (has_own_pages(bytes)) {
    void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) throw std::bad_alloc();
    return static_cast<uint8_t*>(data);
  }
#endif
  if (bytes > SIZE_MAX - 63) throw std::bad_alloc();
  const size_t size = bytes == 0 ? 64 : (bytes + 63) / 64 * 64;
  auto* data = static_cast<uint8_t*>(std::aligned_alloc(64, size));
  if (data == nullptr) throw std::bad_alloc();
  std::memset(data, 0, size);
  return data;
}

void free_pages(uint8_t* data, size_t bytes) noexcept {
#ifdef MAP_ANONYMOUS
  if (data != nullptr && has_own_pages(bytes)) {
    munmap(data, bytes);
    return;
  }
#endif
  (void)bytes;
  std::free(data);
}

}  // namespace dqmq
