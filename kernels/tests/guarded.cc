#include "guarded.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <new>

namespace dqmq::test {

Guarded::Guarded(size_t bytes, Side side) : size_(bytes) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t inner = (bytes + page - 1) / page * page;
  mapped_ = inner + 2 * page;
  void* pages = mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) throw std::bad_alloc();
  pages_ = static_cast<uint8_t*>(pages);
  if (inner != 0 && mprotect(pages_ + page, inner, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
  data_ = pages_ + page + (side == Side::kEnd ? inner - bytes : 0);
}

Guarded::Guarded(const std::vector<uint8_t>& content, Side side) : Guarded(content.size(), side) {
  if (!content.empty()) std::memcpy(data_, content.data(), content.size());
}

Guarded::~Guarded() { munmap(pages_, mapped_); }

void Guarded::forbid() { mprotect(pages_, mapped_, PROT_NONE); }

}  // namespace dqmq::test
