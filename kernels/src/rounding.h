// From real numbers to codes, in plain C++.
#pragma once

#include <cmath>
#include <cstdint>

namespace dqmq {

// clamp(round(value) + zero_point, 0, 255), half to even; 0 for what is no number.
//
// Clamped before it is rounded, which gives the same since both ends are whole numbers; then adding and taking away
// 1.5 * 2^23 rounds as the addition itself does, without a call to the C library.
inline uint8_t to_code(float value, int32_t zero_point) {
  const float lowest = static_cast<float>(-zero_point), highest = static_cast<float>(255 - zero_point);
  float v = value > lowest ? value : lowest;
  v = v < highest ? v : highest;
  const float shifted = v + 12582912.0f;
  return static_cast<uint8_t>(static_cast<int32_t>(shifted - 12582912.0f) + zero_point);
}

// A code and a residual's code, each in units of its own, added and requantized with two fused multiply-adds.
inline uint8_t add_residual(uint8_t own, uint8_t residual, float own_ratio, float residual_ratio, float offset) {
  const float inner = std::fma(static_cast<float>(residual), residual_ratio, offset);
  return to_code(std::fma(static_cast<float>(own), own_ratio, inner), 0);
}

}  // namespace dqmq
