// Which pages may be taken out of memory: those of files that nobody here can have changed.
#include "../ort/file_pages.h"

#ifdef __linux__

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "harness.h"

namespace dqmq::test {
namespace {

constexpr size_t kPages = 5;
const size_t kPage = static_cast<size_t>(sysconf(_SC_PAGESIZE));

// A mapping of a file of kPages pages, all of them 7 and in memory.
class Mapping {
 public:
  Mapping(int protection, int flags) {
    char name[] = "/tmp/dqmq-pages-XXXXXX";  // mkstemp fills in the X
    const int file = mkstemp(name);
    unlink(name);
    const std::vector<uint8_t> content(kPages * kPage, 7);
    if (file < 0 || write(file, content.data(), content.size()) != static_cast<ssize_t>(content.size())) {
      fail("cannot write a file in /tmp");
    }
    fsync(file);
    const bool has_file = (flags & MAP_ANONYMOUS) == 0;
    data_ = static_cast<uint8_t*>(mmap(nullptr, content.size(), protection, flags, has_file ? file : -1, 0));
    close(file);
    if (data_ == MAP_FAILED) std::abort();
    if (!has_file) std::fill(data_, data_ + content.size(), uint8_t{7});
    for (size_t page = 0; page < kPages; ++page) touch(page);
  }
  ~Mapping() { munmap(data_, kPages * kPage); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  uint8_t* page(size_t index) const { return data_ + index * kPage; }

  // Pages of this process' page table, as 0 and 1: "01110".
  std::string resident() const {
    std::string all;
    const int pagemap = open("/proc/self/pagemap", O_RDONLY);
    for (size_t index = 0; index < kPages; ++index) {
      uint64_t entry = 0;
      const off_t at = static_cast<off_t>(reinterpret_cast<uintptr_t>(page(index)) / kPage * sizeof entry);
      if (pread(pagemap, &entry, sizeof entry, at) != sizeof entry) fail("cannot read /proc/self/pagemap");
      all += entry >> 63 ? '1' : '0';
    }
    close(pagemap);
    return all;
  }

  void expect_content(uint8_t first_byte) const {
    for (size_t at = 0; at < kPages * kPage; ++at) {
      const uint8_t wanted = at == kPage * 2 ? first_byte : uint8_t{7};
      if (data_[at] != wanted) return fail("byte " + std::to_string(at) + " is " + std::to_string(data_[at]));
    }
  }

 private:
  void touch(size_t index) const {
    volatile uint8_t seen = *page(index);
    (void)seen;
  }

  uint8_t* data_;
};

void expect_resident(const Mapping& mapping, const std::string& wanted) {
  const std::string got = mapping.resident();
  expect(got == wanted, "expected pages " + wanted + " in memory, got " + got);
}

DQMQ_TEST(file_pages, of_a_read_only_file_go_and_come_back) {
  const Mapping mapping(PROT_READ, MAP_PRIVATE);
  expect_resident(mapping, "11111");
  ort::drop_file_pages(mapping.page(1) + 10, 2 * kPage);  // parts of three pages
  expect_resident(mapping, "10001");
  mapping.expect_content(7);
  ort::drop_file_pages(mapping.page(0), kPages * kPage);
  expect_resident(mapping, "00000");
  mapping.expect_content(7);
}

DQMQ_TEST(file_pages, that_were_changed_stay) {
  const Mapping mapping(PROT_READ | PROT_WRITE, MAP_PRIVATE);
  *mapping.page(2) = 9;
  mprotect(mapping.page(0), kPages * kPage, PROT_READ);
  ort::drop_file_pages(mapping.page(0), kPages * kPage);
  expect_resident(mapping, "11111");
  mapping.expect_content(9);
}

DQMQ_TEST(file_pages, of_a_writable_file_go_if_they_are_all_of_it) {
  const Mapping mapping(PROT_READ | PROT_WRITE, MAP_PRIVATE);
  ort::drop_file_pages(mapping.page(0), (kPages - 1) * kPage);
  expect_resident(mapping, "11111");
  ort::drop_file_pages(mapping.page(0) + 10, kPages * kPage - 20);
  expect_resident(mapping, "00000");
  mapping.expect_content(7);
  *mapping.page(2) = 9;
  ort::drop_file_pages(mapping.page(0), kPages * kPage);
  mapping.expect_content(9);
}

DQMQ_TEST(file_pages, of_other_mappings_stay) {
  for (const auto& [protection, flags] : {std::pair{PROT_READ, MAP_SHARED},
                                          {PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS}}) {
    const Mapping mapping(protection, flags);
    ort::drop_file_pages(mapping.page(0), kPages * kPage);
    expect_resident(mapping, "11111");
    mapping.expect_content(7);
  }
}

DQMQ_TEST(file_pages, beyond_the_mapping_or_none_at_all) {
  const Mapping mapping(PROT_READ, MAP_PRIVATE);
  ort::drop_file_pages(mapping.page(1), kPages * kPage);  // more than there is
  ort::drop_file_pages(mapping.page(1), SIZE_MAX);
  ort::drop_file_pages(mapping.page(1), 0);
  ort::drop_file_pages(nullptr, 100);
  expect_resident(mapping, "11111");
}

}  // namespace
}  // namespace dqmq::test

#endif
