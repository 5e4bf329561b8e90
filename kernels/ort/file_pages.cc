#include "file_pages.h"

#ifdef __linux__

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>

namespace dqmq::ort {
namespace {

struct Range {
  uintptr_t first = 0, end = 0;
  bool is_writable = false;
};

// The private mapping of a file that `address` lies in; empty where there is none.
Range private_file(uintptr_t address) {
  const std::unique_ptr<FILE, int (*)(FILE*)> maps(std::fopen("/proc/self/maps", "re"), std::fclose);
  char line[512];
  bool starts = true;  // `line` is the start of one: paths may be longer than it
  while (maps && std::fgets(line, sizeof line, maps.get())) {
    Range range;
    char access[5] = "";
    uint64_t inode = 0;
    const bool is_read = starts && std::sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %*x %*s %" SCNu64, &range.first,
                                               &range.end, access, &inode) == 4;
    starts = std::strchr(line, '\n') != nullptr;
    if (!is_read || address < range.first || address >= range.end) continue;
    range.is_writable = access[1] == 'w';
    return access[0] == 'r' && access[2] == '-' && access[3] == 'p' && inode != 0 ? range : Range{};
  }
  return {};
}

// Whether no page is this process' own copy: of a private mapping that is, or was, writable.
bool are_as_in_the_file(Range pages, size_t page) {
  constexpr uint64_t kPresent = uint64_t{1} << 63, kSwapped = uint64_t{1} << 62, kFile = uint64_t{1} << 61;
  const int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  if (pagemap < 0) return false;
  bool all = true;
  constexpr size_t kAtOnce = 512;
  uint64_t entries[kAtOnce];
  for (uintptr_t at = pages.first; all && at < pages.end;) {
    const size_t count = std::min((pages.end - at) / page, kAtOnce);
    const size_t size = count * sizeof entries[0];
    all = pread(pagemap, entries, size, static_cast<off_t>(at / page * sizeof entries[0])) == static_cast<ssize_t>(size);
    for (size_t i = 0; all && i < count; ++i) {
      all = (entries[i] & (kPresent | kSwapped)) == 0 || (entries[i] & kFile) != 0;
    }
    at += count * page;
  }
  close(pagemap);
  return all;
}

}  // namespace

void drop_file_pages(const void* data, size_t bytes) noexcept {
  const long page_size = sysconf(_SC_PAGESIZE);
  const uintptr_t address = reinterpret_cast<uintptr_t>(data);
  if (page_size <= 0 || bytes == 0) return;
  const size_t page = static_cast<size_t>(page_size);
  const Range mapping = private_file(address);
  if (mapping.end == 0 || bytes > mapping.end - address) return;
  // mappings begin and end on pages: those of the ends belong to it, too
  const Range pages = {address / page * page, (address + bytes + page - 1) / page * page, mapping.is_writable};
  if (mapping.is_writable && (pages.first != mapping.first || pages.end != mapping.end)) return;
  if (!are_as_in_the_file(pages, page)) return;
  madvise(reinterpret_cast<void*>(pages.first), pages.end - pages.first, MADV_DONTNEED);
}

}  // namespace dqmq::ort

#else

namespace dqmq::ort {
void drop_file_pages(const void*, size_t) noexcept {}
}  // namespace dqmq::ort

#endif
