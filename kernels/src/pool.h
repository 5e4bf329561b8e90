// Averages over windows of codes, requantized: what shrinks a picture, and what stands before a network's head.
//
//     total = sum over the window of (x - x_zero_point)                padding adds nothing
//     y     = clamp(round(total * (x_scale / size of the window / y_scale)) + y_zero_point, 0, 255)
//
// with round half to even, * and / in float32. Plain C++ for every instruction set: a pool is a thousandth of the work.
#pragma once

#include "conv.h"

namespace dqmq {

struct Pool {
  Geometry geometry;       // windows, strides, pads and channels, of which there are as many out as in
  bool is_global = false;  // one window, the whole picture, whatever its size
  float x_scale = 1, y_scale = 1;
  int32_t x_zero_point = 0, y_zero_point = 0;

  int64_t out_h(int64_t h) const { return is_global ? 1 : geometry.out_h(h); }
  int64_t out_w(int64_t w) const { return is_global ? 1 : geometry.out_w(w); }
};

// y: [n, out_h, out_w, channels]. Throws std::invalid_argument where a window holds more codes than an int32 can sum up.
void average(const Pool& pool, const Input& x, uint8_t* y);

}  // namespace dqmq
