// Memory that goes back at once: zeros on a cache line whatever the size, and vectors of it.
#include "pages.h"

#include <algorithm>
#include <vector>

#include "harness.h"
#include "layer.h"

namespace dqmq::test {
namespace {

DQMQ_TEST(pages, are_zeros_on_a_cache_line) {
  // around the size from which blocks are pages of their own, and twice so that what was freed is used again
  for (size_t size : {size_t{0}, size_t{1}, size_t{63}, size_t{65535}, size_t{65536}, size_t{65537}, size_t{1} << 20}) {
    for (int turn = 0; turn < 2; ++turn) {
      uint8_t* data = allocate_pages(size);
      expect(reinterpret_cast<uintptr_t>(data) % 64 == 0, "expected a 64-byte boundary");
      expect(std::all_of(data, data + size, [](uint8_t byte) { return byte == 0; }), "expected zeros");
      std::fill(data, data + size, uint8_t{0xff});
      free_pages(data, size);
    }
  }
  free_pages(nullptr, 0);
  free_pages(nullptr, 1 << 20);
}

DQMQ_TEST(pages, serve_vectors) {
  Codes codes;
  for (int i = 0; i < 1 << 17; ++i) codes.push_back(static_cast<int8_t>(i));
  const Codes copy = codes;
  codes.clear();
  codes.shrink_to_fit();
  for (int i = 0; i < 1 << 17; ++i) expect(copy[static_cast<size_t>(i)] == static_cast<int8_t>(i), "codes are lost");
}

DQMQ_TEST(pages, what_does_not_fit_is_no_crash) {
  try {
    free_pages(allocate_pages(SIZE_MAX), SIZE_MAX);
    fail("expected bad_alloc");
  } catch (const std::bad_alloc&) {
  }
}

}  // namespace
}  // namespace dqmq::test
