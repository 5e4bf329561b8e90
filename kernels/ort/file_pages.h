// Weights that are packed are not read again where they came from. If that is a file, mapped into memory, its pages
// need not stay in this process; the system keeps them in its cache, and brings back what is read after all.
#pragma once

#include <cstddef>

namespace dqmq::ort {

// Takes the pages on which `bytes` bytes at `data` lie out of this process' memory, if they lie in one private
// mapping of a file and none of them was ever changed. Nobody may write to them meanwhile: where the mapping is writable,
// as onnxruntime's are, it must hold nothing else. Linux only; does nothing elsewhere, or else.
void drop_file_pages(const void* data, size_t bytes) noexcept;

}  // namespace dqmq::ort
