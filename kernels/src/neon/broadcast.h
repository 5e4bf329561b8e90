// What NEON's dot products share with those that have sdot.
#pragma once

#include <arm_neon.h>

#include <cstdint>

namespace dqmq::neon {
namespace {

// A step's codes, for every four lanes.
inline __attribute__((always_inline)) int8x16_t broadcast(const uint8_t* x) {
  int32_t codes;
  __builtin_memcpy(&codes, x, sizeof(codes));
  return vreinterpretq_s8_s32(vdupq_n_s32(codes));
}

}  // namespace
}  // namespace dqmq::neon
