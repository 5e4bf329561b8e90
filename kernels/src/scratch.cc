#include "scratch.h"

#include "pages.h"

namespace dqmq {
namespace {

struct Buffer {
  uint8_t* data = nullptr;
  size_t size = 0;
  ~Buffer() { free_pages(data, size); }
};

}  // namespace

uint8_t* scratch(Slot slot, size_t bytes) {
  thread_local Buffer buffers[static_cast<size_t>(Slot::kCount)];
  Buffer& buffer = buffers[static_cast<size_t>(slot)];
  const size_t needed = (bytes + kSlack + 63) / 64 * 64;
  if (buffer.size < needed) {
    free_pages(buffer.data, buffer.size);
    buffer = {};
    buffer.data = allocate_pages(needed);
    buffer.size = needed;
  }
  return buffer.data;
}

}  // namespace dqmq
