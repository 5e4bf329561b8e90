#include "tiled_conv.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "aligned.h"
#include "packed.h"
#include "scratch.h"
#include "table.h"
#include "tile_weights.h"

namespace dqmq {
namespace {

// Encoded images that are worked on together; more would only drive each other out of the caches.
constexpr int64_t kEncodedBytes = 1 << 20;
// Panels whose weights stay in the second-level cache may change at every tile; larger ones change last.
constexpr int64_t kCachedWeights = 256 << 10;
// What it costs a position to begin and end a segment of table look-ups: short ones are better multiplied.
constexpr double kRunCycles = 11;
// Tasks of a call: enough to keep many threads busy to the end, few enough to cost nothing on one.
constexpr int64_t kMostTasks = 16, kTaskMacs = 1 << 18, kTaskBytes = 1 << 14;

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

class TiledConv final : public Conv {
 public:
  TiledConv(const Layer& layer, const KernelSet& set, const TileKernel& kernel)
      : set_(set), kernel_(kernel), geometry_(layer.geometry), output_(layer.output), steps_(layer, kernel) {
    const Geometry& g = geometry_;
    const EncodingFacts f = facts(kernel.encoding);
    encoder_ = {kernel.encoding, g.groups, g.in_per_group(), layer.x_min, layer.x_max, kernel.table_row};
    if (steps_.depthwise) encoder_ = {kernel.encoding, 1, g.in_channels, layer.x_min, layer.x_max, 0};
    groups_ = steps_.depthwise ? 1 : g.groups;
    group_channels_ = g.out_channels / groups_;
    group_bytes_ = encoder_.pixel_bytes() / groups_;
    panels_ = ceil_div(group_channels_, kernel.lanes);
    shift_ = 8 - layer.weight_bits;
    const std::vector<int8_t> codes = unpack_codes(layer);
    weights_ = packed_weights(layer, path(), [&] { return pack_tiles(layer, kernel, steps_, codes); });
    fold(layer, codes, f);
    // The picture as it comes will do where no code changes and no step reads beyond the last pixel.
    const bool pads = g.pad_top != 0 || g.pad_left != 0 || g.pad_bottom != 0 || g.pad_right != 0;
    compact_ = !pads && g.kernel_h == 1 && g.kernel_w == 1;
    const bool ends_on_a_step = !steps_.depthwise && steps_.codes % f.depth == 0;
    reads_in_place_ = kernel.encoding == Encoding::kBytes && !pads && layer.x_min == 0 && layer.x_max == 255 &&
                      ends_on_a_step;
    halo_.resize(static_cast<size_t>(encoder_.pixel_bytes()));
    const std::vector<uint8_t> zeros(static_cast<size_t>(g.in_channels), layer.x_zero_point);
    // padding counts as the zero point, whatever the range of codes is; tables have rows up to x_min + 3
    Encoder unclipped = encoder_;
    unclipped.x_min = f.is_table ? layer.x_min : 0;
    unclipped.x_max = f.is_table ? std::max(layer.x_max, layer.x_zero_point) : 255;
    set_.encode(unclipped, zeros.data(), g.in_channels, 1, halo_.data());
  }

  std::string path() const override { return std::string(name(set_.isa)) + " " + kernel_.name; }

  void run(const Input& x, const uint8_t* residual, void* y, const Parallel& parallel) const override {
    check(geometry_, x);
    if (x.n == 0 || geometry_.out_h(x.h) == 0 || geometry_.out_w(x.w) == 0) return;
    Call call(*this, x, residual, y);
    const int64_t image_bytes = std::max<int64_t>(1, call.encoded_h * call.encoded_w * encoder_.pixel_bytes());
    const int64_t most = std::clamp<int64_t>(kEncodedBytes / image_bytes, 1, std::max<int64_t>(x.n, 1));
    if (!reads_in_place_) call.encoded = scratch(Slot::kEncoded, static_cast<size_t>(most * image_bytes));
    for (int64_t first = 0; first < x.n; first += most) {
      call.first_image = first;
      call.images = std::min(most, x.n - first);
      if (!reads_in_place_) encode(call, parallel);
      multiply(call, parallel);
    }
  }

 private:
  // What one call adds to the layer.
  struct Call {
    Call(const TiledConv& conv, const Input& x, const uint8_t* residual, void* y)
        : input(x), residual(residual), y(static_cast<uint8_t*>(y)) {
      const Geometry& g = conv.geometry_;
      out_h = g.out_h(x.h), out_w = g.out_w(x.w);
      // A 1x1 kernel reads only the pixels at its strides: only these are encoded.
      const bool skips = conv.compact_ && !conv.reads_in_place_;
      encoded_h = skips ? out_h : x.h + g.pad_top + g.pad_bottom;
      encoded_w = skips ? out_w : x.w + g.pad_left + g.pad_right;
      step_h = skips ? 1 : g.stride_h, step_w = skips ? 1 : g.stride_w;
      segments = conv.steps_.segments(g, encoded_w, conv.encoder_.pixel_bytes());
    }
    const Input& input;
    const uint8_t* residual;
    uint8_t* y;
    int64_t out_h, out_w, encoded_h, encoded_w, step_h, step_w;
    std::vector<int64_t> segments;
    uint8_t* encoded = nullptr;
    int64_t first_image = 0, images = 0;
  };

  // A constant for each channel makes up for what the encoding leaves out: the zero point and, in tables, the centre and
  // what runs start from.
  void fold(const Layer& layer, const std::vector<int8_t>& codes, const EncodingFacts& f) {
    const size_t lanes = static_cast<size_t>(groups_ * panels_ * kernel_.lanes);
    bias_.assign(lanes, 0);
    factor_.assign(lanes, 0.0f);
    // In unsigned arithmetic, which wraps as int32 sums do.
    const int codes_less = f.is_table ? layer.x_zero_point - layer.x_min - kCentre
                                      : layer.x_zero_point - (kernel_.encoding == Encoding::kSigned ? 128 : 0);
    const int64_t count = geometry_.codes_per_channel();
    const int8_t* code = codes.data();
    for (int64_t channel = 0; channel < geometry_.out_channels; ++channel) {
      const int64_t group = channel / group_channels_, within = channel % group_channels_;
      const size_t lane = static_cast<size_t>(group * panels_ * kernel_.lanes + within);
      const size_t c = static_cast<size_t>(channel);
      uint32_t correction = 0;
      for (int64_t i = 0; i < count; ++i, ++code) {
        correction += static_cast<uint32_t>((f.is_table ? lowest_product(*code) : 0) - codes_less * *code);
      }
      bias_[lane] = static_cast<int32_t>(static_cast<uint32_t>(layer.bias[c]) + (correction << shift_));
      factor_[lane] = layer.output.factor[c];
    }
  }

  void encode(const Call& call, const Parallel& parallel) const {
    const int64_t rows = call.images * call.encoded_h;
    const int64_t row_bytes = call.encoded_w * encoder_.pixel_bytes();
    const int64_t tasks = std::clamp<int64_t>(rows * row_bytes / kTaskBytes, 1, std::min(kMostTasks, rows));
    parallel.each(static_cast<size_t>(tasks), [&](size_t task) {
      const int64_t t = static_cast<int64_t>(task);
      for (int64_t row = t * rows / tasks; row < (t + 1) * rows / tasks; ++row) {
        encode_row(call, row / call.encoded_h, row % call.encoded_h, call.encoded + row * row_bytes);
      }
    });
  }

  void encode_row(const Call& call, int64_t image, int64_t row, uint8_t* out) const {
    const Geometry& g = geometry_;
    const bool skips = compact_;
    const int64_t y = skips ? row * g.stride_h : row - g.pad_top;
    if (y < 0 || y >= call.input.h) {
      fill(out, call.encoded_w);
      return;
    }
    const int64_t pixel = encoder_.pixel_bytes(), c = g.in_channels;
    const uint8_t* x = call.input.data + ((call.first_image + image) * call.input.h + y) * call.input.w * c;
    const int64_t width = skips ? call.encoded_w : call.input.w;
    out = fill(out, g.pad_left);
    set_.encode(encoder_, x, c * (skips ? g.stride_w : 1), width, out);
    fill(out + width * pixel, g.pad_right);
  }

  // Padding from `out` on; where it ends.
  uint8_t* fill(uint8_t* out, int64_t pixels) const {
    for (; pixels > 0; --pixels, out += halo_.size()) std::memcpy(out, halo_.data(), halo_.size());
    return out;
  }

  void multiply(const Call& call, const Parallel& parallel) const {
    const int64_t positions = call.images * call.out_h * call.out_w;
    const int64_t tiles = ceil_div(positions, kernel_.rows);
    const int64_t panels = groups_ * panels_, work = tiles * panels;
    const int64_t macs = positions * geometry_.out_channels * geometry_.codes_per_channel();
    const int64_t tasks = std::clamp<int64_t>(macs / kTaskMacs, 1, std::min(kMostTasks, work));
    const bool panels_inside = panels * weights_->panel_bytes <= kCachedWeights;
    parallel.each(static_cast<size_t>(tasks), [&](size_t task) {
      const int64_t t = static_cast<int64_t>(task);
      for (int64_t item = t * work / tasks; item < (t + 1) * work / tasks; ++item) {
        const int64_t tile = panels_inside ? item / panels : item % tiles;
        const int64_t panel = panels_inside ? item % panels : item / tiles;
        // tiles of even heights: 49 positions by 6 are 4 x 6 + 5 x 5, and no row is wasted
        multiply_tile(call, panel, tile * positions / tiles, (tile + 1) * positions / tiles);
      }
    });
  }

  void multiply_tile(const Call& call, int64_t panel, int64_t first, int64_t end) const {
    alignas(64) int32_t sums[kMostTileSums];
    const uint8_t* positions[kMostRows];
    const int64_t group = panel / panels_, lane = panel % panels_ * kernel_.lanes;
    const int64_t pixel = encoder_.pixel_bytes();
    const int64_t per_image = call.out_h * call.out_w;
    int64_t image = first / per_image, oy = first % per_image / call.out_w, ox = first % call.out_w;
    const uint8_t* base = reads_in_place_ ? call.input.data + call.first_image * call.input.h * call.input.w * pixel
                                          : call.encoded;
    base += steps_.depthwise ? lane : group * group_bytes_;
    const int rows = static_cast<int>(end - first);
    const int64_t step = call.step_w * pixel;
    for (int row = 0; row < rows; ++oy) {
      if (oy == call.out_h) oy = 0, ++image;
      const uint8_t* at =
          base + (image * call.encoded_h + oy * call.step_h) * call.encoded_w * pixel + ox * step;
      for (; ox < call.out_w && row < rows; ++ox, ++row, at += step) positions[row] = at;
      ox = 0;
    }
    const uint8_t* weights = weights_->data() + panel * weights_->panel_bytes;
    kernel_.run(rows, {positions, call.segments.data(), steps_.segment_count, steps_.steps,
                       weights, weights_->run_steps, weights + weights_->starts_at, sums});
    const int64_t channel = group * group_channels_ + lane;
    const int channels = static_cast<int>(std::min<int64_t>(kernel_.lanes, group_channels_ - lane));
    const int64_t at = (call.first_image * per_image + first) * geometry_.out_channels + channel;
    const size_t constants = static_cast<size_t>(panel * kernel_.lanes);
    const Finish finish{output_.kind,       shift_,          bias_.data() + constants, factor_.data() + constants,
                        output_.zero_point, output_.own_ratio, output_.residual_ratio,  output_.offset};
    set_.finish(finish, sums, kernel_.lanes, rows, channels, call.residual ? call.residual + at : nullptr,
                call.y + at * static_cast<int64_t>(output_.element_size()), geometry_.out_channels);
  }

  const KernelSet& set_;
  const TileKernel& kernel_;
  Geometry geometry_;
  Output output_;
  TileSteps steps_;
  Encoder encoder_{};
  int64_t groups_ = 1, group_channels_ = 1, group_bytes_ = 0, panels_ = 1;
  int shift_ = 0;
  bool compact_ = false, reads_in_place_ = false;
  std::shared_ptr<const Packed> weights_;
  AlignedVector<int32_t> bias_;  // [groups][panels][lanes]
  AlignedVector<float> factor_;  // likewise
  std::vector<uint8_t> halo_;   // an encoded pixel of padding
};

}  // namespace

double tile_cost(const TileKernel& kernel, const Layer& layer) {
  constexpr double kImpossible = std::numeric_limits<double>::infinity();
  const Geometry& g = layer.geometry;
  const EncodingFacts f = facts(kernel.encoding);
  const bool is_depthwise = g.groups == g.in_channels && g.groups == g.out_channels && g.groups > 1;
  if (f.is_table) {
    const int padding = layer.x_zero_point - layer.x_min;
    if (layer.weight_bits != 2 || layer.x_max - layer.x_min > 3 || padding < 0 || padding > 3) return kImpossible;
  } else {
    const int highest = std::max<int>(layer.x_max, layer.x_zero_point);
    if (highest << (layer.weight_bits - 1) > kernel.most_product) return kImpossible;
  }
  if (kernel.encoding == Encoding::kDepthwise && !is_depthwise) return kImpossible;
  const TileSteps steps(layer, kernel);
  const int64_t groups = steps.depthwise ? 1 : g.groups;
  const int64_t panels = groups * ceil_div(g.out_channels / groups, kernel.lanes);
  const int64_t codes = steps.segment_count * steps.steps * f.depth;
  const double per_panel = static_cast<double>(kernel.lanes * codes) / kernel.speed;
  const double between_runs = f.is_table ? kRunCycles * static_cast<double>(steps.segment_count) : 0;
  return static_cast<double>(panels) * (per_panel + between_runs);
}

std::unique_ptr<Conv> make_tiled(const Layer& layer, const KernelSet& set, const TileKernel& kernel) {
  return std::make_unique<TiledConv>(layer, set, kernel);
}

}  // namespace dqmq
