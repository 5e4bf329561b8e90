// What a quantized layer is, independent of any runtime and any instruction set.
//
// A convolution on unsigned 8-bit codes [N, H, W, C]; a linear layer is the 1x1 convolution of an N x 1 x 1 x C tensor.
// With round half to even, and + - * / in float32:
//
//     xc  = clamp(x, x_min, x_max)
//     w   = code * 2^(8 - weight_bits)
//     acc = sum (xc - x_zero_point) * w + bias            int32, modulo 2^32; padding adds nothing
//
//     codes     y = clamp(round(acc * factor) + zero_point, 0, 255)
//     residual  c = clamp(round(acc * factor) + zero_point, 0, 255)
//               y = clamp(round(fma(c, own_ratio, fma(r, residual_ratio, offset))), 0, 255)
//     numbers   y = acc * factor                           float32
//
// Every implementation gives these results bit for bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "pages.h"

namespace dqmq {

// Attributes of the convolution. Channels are totals over all groups.
struct Geometry {
  int64_t in_channels = 1, out_channels = 1, groups = 1;
  int64_t kernel_h = 1, kernel_w = 1;
  int64_t stride_h = 1, stride_w = 1;
  int64_t dilation_h = 1, dilation_w = 1;
  int64_t pad_top = 0, pad_left = 0, pad_bottom = 0, pad_right = 0;

  int64_t in_per_group() const { return in_channels / groups; }
  int64_t out_per_group() const { return out_channels / groups; }
  // Codes of one output channel: in_per_group x kernel_h x kernel_w, in that order.
  int64_t codes_per_channel() const { return in_per_group() * kernel_h * kernel_w; }
  // Rows or columns of the output; zero or less where the kernel does not fit.
  int64_t out_h(int64_t h) const {
    const int64_t room = h + pad_top + pad_bottom - dilation_h * (kernel_h - 1) - 1;
    return room < 0 ? 0 : room / stride_h + 1;
  }
  int64_t out_w(int64_t w) const {
    const int64_t room = w + pad_left + pad_right - dilation_w * (kernel_w - 1) - 1;
    return room < 0 ? 0 : room / stride_w + 1;
  }
};

enum class OutputKind { kCodes, kResidual, kNumbers };

// From int32 sums to what the layer gives; the formulas stand on top of this file.
struct Output {
  OutputKind kind = OutputKind::kCodes;
  std::vector<float> factor;  // [out_channels], either sign
  int32_t zero_point = 0;     // of y, or of c where there is a residual
  float own_ratio = 0, residual_ratio = 0, offset = 0;

  size_t element_size() const { return kind == OutputKind::kNumbers ? sizeof(float) : 1; }
};

// A layer as a session knows it once and for all.
struct Layer {
  Geometry geometry;
  int weight_bits = 8;               // 2, 4 or 8
  const uint8_t* weights = nullptr;  // packed, [out_channels, row_bytes]; read while a Conv is made, not after
  size_t weights_size = 0;           // bytes
  uint8_t x_min = 0, x_max = 255, x_zero_point = 0;
  std::vector<int32_t> bias;  // [out_channels]
  Output output;
};

// Bytes of one output channel's packed codes: each channel starts on a byte.
inline int64_t row_bytes(int64_t codes, int bits) { return (codes * bits + 7) / 8; }

// Throw std::invalid_argument, in one line that says what was expected and what came, unless `layer` can be computed, or
// windows make sense.
void check(const Layer& layer);
void check_windows(const Geometry& geometry);

using Codes = std::vector<int8_t, PageAllocator<int8_t>>;

// Signed codes [out_channels, codes_per_channel], each within -2^(bits-1) .. 2^(bits-1) - 1, of a checked layer.
//
//     bits    byte: bit 7          bit 0       an unsigned field f holds the code f - 2^(bits-1)
//     8       | c0 c0 c0 c0 c0 c0 c0 c0 |
//     4       | c1 c1 c1 c1 c0 c0 c0 c0 |
//     2       | c3 c3 c2 c2 c1 c1 c0 c0 |
Codes unpack_codes(const Layer& layer);

}  // namespace dqmq
