#include "depthwise_conv.h"

#include <algorithm>
#include <cstring>

#include "aligned.h"
#include "arithmetic.h"
#include "constants.h"
#include "packed.h"
#include "scratch.h"

namespace dqmq {
namespace {

constexpr int64_t kTaskDepthwiseMacs = 1 << 16;

// Channels that are worked on together.
struct Block {
  int64_t channel, lane;  // the first of each
  int lanes, channels;
};

class DepthwiseConv final : public Conv {
 public:
  DepthwiseConv(const Layer& layer, const KernelSet& set)
      : isa_(set.isa), kernel_(*set.depthwise), geometry_(layer.geometry),
        element_size_(static_cast<int64_t>(layer.output.element_size())), x_min_(layer.x_min), x_max_(layer.x_max) {
    const int64_t channels = geometry_.out_channels;
    for (int64_t channel = 0; channel < channels;) {
      const int lanes = kernel_.lanes(channels - channel);
      blocks_.push_back({channel, lanes_, lanes, static_cast<int>(std::min<int64_t>(lanes, channels - channel))});
      channel += lanes, lanes_ += lanes;
    }
    row_groups_ = ceil_div(geometry_.kernel_h, kRowGroup);
    padding_.assign(static_cast<size_t>(lanes_), layer.x_zero_point);
    const Codes codes = unpack_codes(layer);
    weights_ = packed_weights(layer, path(), [&] { return pack(codes, 1 << (8 - layer.weight_bits)); });
    // the zero point stays in the codes, padding and all
    constants_ = Constants(layer, codes, {0, false, true}, lanes_, [&](int64_t channel) {
      const Block& block = *std::find_if(blocks_.begin(), blocks_.end(), [&](const Block& each) {
        return channel < each.channel + each.channels;
      });
      return block.lane + kernel_.lane_of(block.lanes, static_cast<int>(channel - block.channel));
    });
    for (const Block& block : blocks_) finishes_.push_back(constants_.from(block.lane));
  }

  // also the name of the weights' layout: no tile kernel may have the same
  std::string path() const override { return std::string(name(isa_)) + " depthwise rows"; }

  void run(const Input& x, const uint8_t* residual, void* y, const Parallel& parallel) const override {
    check(geometry_, x);
    const Geometry& g = geometry_;
    const int64_t out_h = g.out_h(x.h), out_w = g.out_w(x.w), rows = x.n * out_h;
    if (rows == 0 || out_w == 0) return;
    const int64_t macs = rows * out_w * g.out_channels * g.kernel_h * g.kernel_w;
    const int64_t tasks = std::clamp<int64_t>(macs / kTaskDepthwiseMacs, 1, std::min(kMostTasks, rows));
    parallel.each(static_cast<size_t>(tasks), [&](size_t task) {
      const int64_t t = static_cast<int64_t>(task);
      for (int64_t row = t * rows / tasks; row < (t + 1) * rows / tasks; ++row) {
        const int64_t at = row * out_w * g.out_channels;
        run_row(x, row / out_h, row % out_h, residual ? residual + at : nullptr,
                static_cast<uint8_t*>(y) + at * element_size_);
      }
    });
  }

 private:
  void run_row(const Input& x, int64_t image, int64_t out_row, const uint8_t* residual, uint8_t* y) const {
    const Geometry& g = geometry_;
    DepthwiseRow row{};
    row.width = x.w, row.pixel = g.in_channels, row.first_column = -g.pad_left;
    row.kernel_h = g.kernel_h, row.row_groups = row_groups_, row.kernel_w = g.kernel_w, row.stride_w = g.stride_w, row.dilation_w = g.dilation_w;
    row.out_w = g.out_w(x.w), row.x_min = x_min_, row.x_max = x_max_;
    const uint8_t* inputs[kMostRowGroups * kRowGroup];
    for (int64_t i = 0; i < row_groups_ * kRowGroup; ++i) {
      const int64_t at = out_row * g.stride_h + i * g.dilation_h - g.pad_top;
      const bool inside = i < g.kernel_h && at >= 0 && at < x.h;
      inputs[i] = x.data + (inside ? (image * x.h + at) * x.w * g.in_channels : 0);
      row.inside[i] = -static_cast<int64_t>(inside);
    }
    for (size_t i = 0; i < blocks_.size(); ++i) {
      const Block& block = blocks_[i];
      row.padding = padding_.data() + block.lane;
      row.weights = weights_->data() + block.lane * row_groups_ * g.kernel_w * kRowGroup;
      row.channels = block.channels;
      for (int64_t k = 0; k < row_groups_ * kRowGroup; ++k) row.rows[k] = inputs[k] + block.channel;
      kernel_.run(row, block.lanes, finishes_[i], residual ? residual + block.channel : nullptr,
                  y + block.channel * element_size_, g.out_channels);
    }
  }

  // [blocks] of [row_groups][kernel_w][lanes][kRowGroup], codes times `unit`.
  std::shared_ptr<Packed> pack(const Codes& codes, int unit) const {
    const Geometry& g = geometry_;
    auto packed = std::make_shared<Packed>(static_cast<size_t>(lanes_ * row_groups_ * g.kernel_w * kRowGroup));
    for (const Block& block : blocks_) {
      uint8_t* to = packed->data() + block.lane * row_groups_ * g.kernel_w * kRowGroup;
      for (int c = 0; c < block.channels; ++c) {
        const int64_t lane = kernel_.lane_of(block.lanes, c);
        for (int64_t y = 0; y < g.kernel_h; ++y) {
          for (int64_t x = 0; x < g.kernel_w; ++x) {
            const int8_t code = codes[static_cast<size_t>(((block.channel + c) * g.kernel_h + y) * g.kernel_w + x)];
            to[((y / kRowGroup * g.kernel_w + x) * block.lanes + lane) * kRowGroup + y % kRowGroup] =
                static_cast<uint8_t>(code * unit);
          }
        }
      }
    }
    return packed;
  }

  Isa isa_;
  const DepthwiseKernel& kernel_;
  Geometry geometry_;
  int64_t element_size_;
  uint8_t x_min_, x_max_;
  std::vector<Block> blocks_;
  int64_t lanes_ = 0, row_groups_ = 0;
  AlignedVector<uint8_t> padding_;  // [lanes]
  std::shared_ptr<const Packed> weights_;
  Constants constants_;
  std::vector<Finish> finishes_;  // of each block
};

}  // namespace

bool is_depthwise(const KernelSet& set, const Layer& layer) {
  const Geometry& g = layer.geometry;
  const bool one_to_one = g.groups == g.in_channels && g.groups == g.out_channels && g.groups > 1;
  // padding passes through the same clamp as codes do
  const bool padding_fits = layer.x_zero_point >= layer.x_min && layer.x_zero_point <= layer.x_max;
  return set.depthwise != nullptr && one_to_one && padding_fits && g.kernel_h <= kMostRowGroups * kRowGroup;
}

std::unique_ptr<Conv> make_depthwise(const Layer& layer, const KernelSet& set) {
  return std::make_unique<DepthwiseConv>(layer, set);
}

}  // namespace dqmq
