#include "scratch.h"

#include <cstdlib>
#include <new>

namespace dqmq {
namespace {

struct Buffer {
  uint8_t* data = nullptr;
  size_t size = 0;
  ~Buffer() { std::free(data); }
};

}  // namespace

uint8_t* scratch(Slot slot, size_t bytes) {
  thread_local Buffer buffers[static_cast<size_t>(Slot::kCount)];
  Buffer& buffer = buffers[static_cast<size_t>(slot)];
  const size_t needed = (bytes + kSlack + 63) / 64 * 64;
  if (buffer.size < needed) {
    std::free(buffer.data);
    buffer.size = 0;
    buffer.data = static_cast<uint8_t*>(std::aligned_alloc(64, needed));
    if (buffer.data == nullptr) throw std::bad_alloc();
    buffer.size = needed;
  }
  return buffer.data;
}

}  // namespace dqmq
