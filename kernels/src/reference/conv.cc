#include "conv.h"

#include <algorithm>
#include <cmath>

#include "../rounding.h"

namespace dqmq {
namespace {

class ReferenceConv final : public Conv {
 public:
  explicit ReferenceConv(const Layer& layer) : layer_(layer), codes_(unpack_codes(layer)) {
    layer_.weights = nullptr;  // the codes are kept; the packed bytes belong to the caller
  }

  std::string path() const override { return "reference"; }

  void run(const Input& x, const uint8_t* residual, void* y, const Parallel& parallel) const override {
    const Geometry& g = layer_.geometry;
    check(g, x);
    const int64_t out_h = g.out_h(x.h), out_w = g.out_w(x.w);
    if (x.n == 0 || out_h == 0 || out_w == 0) return;
    const int64_t rows = x.n * out_h;
    parallel.each(static_cast<size_t>(rows), [&](size_t index) {
      const int64_t row = static_cast<int64_t>(index);
      for (int64_t column = 0; column < out_w; ++column) {
        const int64_t at = (row * out_w + column) * g.out_channels;
        for (int64_t channel = 0; channel < g.out_channels; ++channel) {
          const int32_t acc = accumulate(x, row / out_h, row % out_h, column, channel);
          store(acc, channel, at + channel, residual, y);
        }
      }
    });
  }

 private:
  int32_t accumulate(const Input& x, int64_t image, int64_t out_y, int64_t out_x, int64_t channel) const {
    const Geometry& g = layer_.geometry;
    const int64_t in = g.in_per_group(), first = channel / g.out_per_group() * in;
    const int8_t* code = codes_.data() + channel * g.codes_per_channel();
    uint32_t acc = static_cast<uint32_t>(layer_.bias[static_cast<size_t>(channel)]);  // wraps as int32 does
    for (int64_t c = 0; c < in; ++c) {
      for (int64_t ky = 0; ky < g.kernel_h; ++ky) {
        for (int64_t kx = 0; kx < g.kernel_w; ++kx, ++code) {
          const int64_t row = out_y * g.stride_h + ky * g.dilation_h - g.pad_top;
          const int64_t column = out_x * g.stride_w + kx * g.dilation_w - g.pad_left;
          if (row < 0 || row >= x.h || column < 0 || column >= x.w) continue;
          const uint8_t value = x.data[((image * x.h + row) * x.w + column) * g.in_channels + first + c];
          const int centred = std::clamp(value, layer_.x_min, layer_.x_max) - layer_.x_zero_point;
          const int weight = *code * (1 << (8 - layer_.weight_bits));
          acc += static_cast<uint32_t>(centred * weight);
        }
      }
    }
    return static_cast<int32_t>(acc);
  }

  void store(int32_t acc, int64_t channel, int64_t at, const uint8_t* residual, void* y) const {
    const Output& out = layer_.output;
    const float value = static_cast<float>(acc) * out.factor[static_cast<size_t>(channel)];
    if (out.kind == OutputKind::kNumbers) {
      static_cast<float*>(y)[at] = value;
      return;
    }
    const uint8_t code = to_code(value, out.zero_point);
    static_cast<uint8_t*>(y)[at] =
        out.kind == OutputKind::kCodes
            ? code
            : add_residual(code, residual[at], out.own_ratio, out.residual_ratio, out.offset);
  }

  Layer layer_;
  Codes codes_;
};

}  // namespace

std::unique_ptr<Conv> make_reference(const Layer& layer) { return std::make_unique<ReferenceConv>(layer); }

}  // namespace dqmq
