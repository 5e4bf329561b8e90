// Loops that the folders of instruction sets share. In an unnamed namespace: each compiles copies of its own.
#pragma once

#include <cstdint>

namespace dqmq {
namespace {

// 16 at a time, the last of them over again where they do not come out even; one by one where there are fewer.
template <class Vector, class Single>
inline __attribute__((always_inline)) void each(int64_t count, const Vector& vector, const Single& single) {
  if (count < 16) {
    for (int64_t i = 0; i < count; ++i) single(i);
    return;
  }
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) vector(i);
  if (i < count) vector(count - 16);
}

inline __attribute__((always_inline)) uint8_t clamp(uint8_t code, uint8_t lowest, uint8_t highest) {
  const uint8_t raised = code < lowest ? lowest : code;
  return raised < highest ? raised : highest;
}

}  // namespace
}  // namespace dqmq
