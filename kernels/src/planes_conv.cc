#include "planes_conv.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <mutex>

#include "arithmetic.h"
#include "constants.h"
#include "packed.h"
#include "scratch.h"
#include "table.h"

namespace dqmq {
namespace {

constexpr int kDepth = 3;
// Bits are read up to so far beyond a row's ends, though not used there.
constexpr int64_t kMargin = 64;
// Rows that are joined at a time: enough for whole vectors, few enough for the first-level cache.
constexpr int64_t kJoinedPixels = 256;
constexpr int64_t kTaskCodes = 1 << 14;

// What follows from the size of the pictures.
struct Map {
  Map(const Geometry& g, int64_t height, int64_t width)
      : h(height), w(width), out_h(g.out_h(height)), out_w(g.out_w(width)), padded_h(h + g.pad_top + g.pad_bottom),
        plane_bytes(padded_h * out_w) {
    if (out_w == w) joined_rows = std::max<int64_t>(1, kJoinedPixels / w);
    pitch = ceil_div(joined_rows * w, 64) * 16 + 2 * kMargin;
    for (int64_t plane = 0; plane < g.in_channels; ++plane) {
      for (int64_t row = 0; row < g.kernel_h; ++row) {
        steps.push_back(plane * plane_bytes + row * g.dilation_h * out_w);
      }
    }
    steps.resize(static_cast<size_t>(ceil_div(static_cast<int64_t>(steps.size()), kRunUnit) * kRunUnit));
    for (std::vector<uint64_t>& bits : inside) {
      const int64_t column = &bits - inside;
      bits.resize(static_cast<size_t>(ceil_div(joined_rows * out_w, 64)));
      for (int64_t i = 0; i < joined_rows * out_w; ++i) {
        const int64_t at = i % out_w + column - g.pad_left;
        if (at >= 0 && at < w) bits[static_cast<size_t>(i / 64)] |= uint64_t{1} << i % 64;
      }
    }
  }

  int64_t h, w, out_h, out_w, padded_h, plane_bytes;
  int64_t joined_rows = 1;               // rows that are split and joined as one
  int64_t pitch;                         // bytes from one channel's bits to the next
  std::vector<int64_t> steps;            // of PlanesTile; those that fill up have weights of zero
  std::vector<uint64_t> inside[kDepth];  // of PlanesJoin
};

class PlanesConv final : public Conv {
 public:
  PlanesConv(const Layer& layer, const KernelSet& set)
      : isa_(set.isa), kernel_(*set.planes), geometry_(layer.geometry), x_min_(layer.x_min), x_max_(layer.x_max),
        padding_(static_cast<uint8_t>(layer.x_zero_point - layer.x_min)) {
    channel_groups_ = ceil_div(geometry_.out_channels, kPlaneChannels);
    step_count_ = ceil_div(geometry_.in_channels * geometry_.kernel_h, kRunUnit) * kRunUnit;
    const Codes codes = unpack_codes(layer);
    weights_ = packed_weights(layer, path(), [&] { return pack(codes); });
    constants_ = Constants(layer, codes, {layer.x_min + kCentre, true}, channel_groups_ * kPlaneChannels,
                           [](int64_t channel) { return channel; });
    finishes_ = constants_.panels(kPlaneChannels);
  }

  std::string path() const override { return std::string(name(isa_)) + " planes"; }

  void run(const Input& x, const uint8_t* residual, void* y, const Parallel& parallel) const override {
    check(geometry_, x);
    if (x.n == 0 || geometry_.out_h(x.h) == 0 || geometry_.out_w(x.w) == 0) return;
    const std::shared_ptr<const Map> map = map_of(x.h, x.w);
    uint8_t* planes = scratch(Slot::kEncoded, static_cast<size_t>(geometry_.in_channels * map->plane_bytes));
    const int64_t image_codes = x.h * x.w * geometry_.in_channels;
    const int64_t image_outputs = map->out_h * map->out_w * geometry_.out_channels;
    for (int64_t image = 0; image < x.n; ++image) {
      split(*map, x.data + image * image_codes, planes, parallel);
      multiply(*map, planes, residual ? residual + image * image_outputs : nullptr,
               static_cast<uint8_t*>(y) + image * image_outputs, parallel);
    }
  }

 private:
  // Pictures of a session mostly have one size.
  std::shared_ptr<const Map> map_of(int64_t h, int64_t w) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!last_map_ || last_map_->h != h || last_map_->w != w) last_map_ = std::make_shared<Map>(geometry_, h, w);
    return last_map_;
  }

  // [groups of channels] of row offsets, as PlanesTile wants them, with the starts of runs behind them.
  std::shared_ptr<Packed> pack(const Codes& codes) const {
    const Geometry& g = geometry_;
    const int64_t run_steps = longest_run(codes), runs = ceil_div(step_count_, run_steps);
    const int64_t weight_bytes = ceil_div(step_count_ * kPlaneChannels * 2, 64) * 64;
    auto packed = std::make_shared<Packed>(
        static_cast<size_t>(channel_groups_ * (weight_bytes + ceil_div(runs * kPlaneChannels, 64) * 64)));
    packed->run_steps = run_steps;
    packed->starts_at = weight_bytes;
    packed->panel_bytes = static_cast<int64_t>(packed->size()) / channel_groups_;
    for (int64_t channel = 0; channel < channel_groups_ * kPlaneChannels; ++channel) {
      uint8_t* panel = packed->data() + channel / kPlaneChannels * packed->panel_bytes;
      const int64_t lane = channel % kPlaneChannels;
      for (int64_t step = 0; step < step_count_; ++step) {
        int row = 0, lowest = 0;
        for (int i = 0; i < kDepth; ++i) {
          const int code = channel < g.out_channels ? code_of(codes, channel, step, i) : 0;
          row |= (code + 2) << (2 * i);
          lowest += lowest_product(code);
        }
        const uint16_t offset = static_cast<uint16_t>(row * kernel_.table_row);
        std::memcpy(panel + ((step / kRunUnit * kPlaneChannels + lane) * kRunUnit + step % kRunUnit) * 2, &offset, 2);
        uint8_t& start = panel[weight_bytes + step / run_steps * kPlaneChannels + lane];
        start = static_cast<uint8_t>(start - lowest);
      }
    }
    return packed;
  }

  // Code i of a step: steps are rows of the kernel of one input channel after the other.
  int code_of(const Codes& codes, int64_t channel, int64_t step, int64_t i) const {
    const int64_t steps = geometry_.in_channels * geometry_.kernel_h;
    return step < steps ? codes[static_cast<size_t>((channel * steps + step) * kDepth + i)] : 0;
  }

  // A channel that fits is looked at again after any change: runs that begin elsewhere may be too long although they have
  // become shorter.
  int64_t longest_run(const Codes& codes) const {
    int64_t length = step_count_;
    for (int64_t channel = 0, fitting = 0; fitting < geometry_.out_channels;) {
      if (fits(codes, channel, length)) {
        ++fitting, channel = channel + 1 == geometry_.out_channels ? 0 : channel + 1;
      } else {
        length -= kRunUnit, fitting = 0;
      }
    }
    return length;
  }

  bool fits(const Codes& codes, int64_t channel, int64_t length) const {
    for (int64_t step = 0, range = 0; step < step_count_; ++step) {
      if (step % length == 0) range = 0;
      for (int i = 0; i < kDepth; ++i) range += product_range(code_of(codes, channel, step, i));
      if (range > 255) return false;
    }
    return true;
  }

  // Rows of input to rows of every plane. Where the output is as wide as the input, rows follow each other without a
  // gap in both, and several are worked on as one.
  void split(const Map& map, const uint8_t* x, uint8_t* planes, const Parallel& parallel) const {
    const int64_t codes = map.padded_h * map.w * geometry_.in_channels;
    const int64_t tasks = std::clamp<int64_t>(codes / kTaskCodes, 1, std::min(kMostTasks, map.padded_h));
    parallel.each(static_cast<size_t>(tasks), [&](size_t task) {
      const int64_t t = static_cast<int64_t>(task), end = (t + 1) * map.padded_h / tasks;
      uint8_t* bits = scratch(Slot::kRows, static_cast<size_t>(geometry_.in_channels * map.pitch)) + kMargin;
      for (int64_t row = t * map.padded_h / tasks; row < end;) {
        const int64_t y = row - geometry_.pad_top;
        uint8_t* to = planes + row * map.out_w;
        if (y < 0 || y >= map.h) {
          pad_row(map, to);
          ++row;
          continue;
        }
        const int64_t rows = std::min({map.joined_rows, end - row, map.h - y});
        kernel_.split(x + y * map.w * geometry_.in_channels, rows * map.w, geometry_.in_channels, x_min_, x_max_, bits,
                      map.pitch);
        kernel_.join({bits, geometry_.in_channels, map.pitch, -static_cast<int>(geometry_.pad_left),
                      {map.inside[0].data(), map.inside[1].data(), map.inside[2].data()},
                      padding_, rows * map.out_w, map.plane_bytes}, to);
        row += rows;
      }
    });
  }

  void pad_row(const Map& map, uint8_t* planes) const {
    for (int64_t plane = 0; plane < geometry_.in_channels; ++plane, planes += map.plane_bytes) {
      std::memset(planes, padding_ * (1 + 4 + 16), static_cast<size_t>(map.out_w));
    }
  }

  void multiply(const Map& map, const uint8_t* planes, const uint8_t* residual, uint8_t* y,
                const Parallel& parallel) const {
    const int64_t positions = map.out_h * map.out_w, chunk = kBlockPositions * kMostBlocks;
    const int64_t chunks = ceil_div(positions, chunk);
    const int64_t macs = positions * geometry_.out_channels * geometry_.codes_per_channel();
    const int64_t tasks = tasks_for(macs, chunks);
    parallel.each(static_cast<size_t>(tasks), [&](size_t task) {
      const int64_t t = static_cast<int64_t>(task);
      for (int64_t c = t * chunks / tasks; c < (t + 1) * chunks / tasks; ++c) {
        const int64_t first = c * chunk;
        multiply_chunk(map, planes, first, std::min(chunk, positions - first), residual, y);
      }
    });
  }

  void multiply_chunk(const Map& map, const uint8_t* planes, int64_t first, int64_t positions, const uint8_t* residual,
                      uint8_t* y) const {
    PlaneSums sums;
    const int blocks = positions > kBlockPositions ? 2 : 1;
    for (int64_t group = 0; group < channel_groups_; ++group) {
      const uint8_t* weights = weights_->data() + group * weights_->panel_bytes;
      kernel_.run({planes + first, map.steps.data(), step_count_, weights_->run_steps,
                   reinterpret_cast<const uint16_t*>(weights), weights + weights_->starts_at},
                  blocks, sums);
      const int64_t channel = group * kPlaneChannels, at = first * geometry_.out_channels + channel;
      const int channels = static_cast<int>(std::min<int64_t>(kPlaneChannels, geometry_.out_channels - channel));
      kernel_.finish(finishes_[static_cast<size_t>(group)], sums, static_cast<int>(positions), channels,
                     residual ? residual + at : nullptr, y + at, geometry_.out_channels);
    }
  }

  Isa isa_;
  const PlanesKernel& kernel_;
  Geometry geometry_;
  uint8_t x_min_, x_max_, padding_;
  int64_t channel_groups_ = 0, step_count_ = 0;
  std::shared_ptr<const Packed> weights_;
  Constants constants_;
  std::vector<Finish> finishes_;  // of each group of channels
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const Map> last_map_;
};

}  // namespace

double planes_cost(const PlanesKernel& kernel, const Layer& layer) {
  const Geometry& g = layer.geometry;
  const int64_t codes = g.codes_per_channel();
  const int padding = layer.x_zero_point - layer.x_min;
  const bool codes_fit = layer.weight_bits == 2 && layer.x_max - layer.x_min <= 3 && padding >= 0 && padding <= 3;
  const bool shape_fits = g.groups == 1 && g.kernel_w == kDepth && g.stride_h == 1 && g.stride_w == 1 &&
                          g.dilation_w == 1 && g.pad_left <= 2;
  const bool sums_fit = 6 * codes < 1 << 15;
  if (!codes_fit || !shape_fits || !sums_fit || layer.output.kind == OutputKind::kNumbers) {
    return std::numeric_limits<double>::infinity();
  }
  return static_cast<double>(ceil_div(g.out_channels, kPlaneChannels) * kPlaneChannels * codes) / kernel.speed;
}

std::unique_ptr<Conv> make_planes(const Layer& layer, const KernelSet& set) {
  return std::make_unique<PlanesConv>(layer, set);
}

}  // namespace dqmq
