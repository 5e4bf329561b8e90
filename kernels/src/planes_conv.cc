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
// Pixels that are split at a time: few enough for the first-level cache, whole blocks of 64.
constexpr int64_t kSplitPixels = 1024;
constexpr int64_t kTaskCodes = 1 << 14;

// What follows from the size of the pictures.
struct Map {
  Map(const Geometry& g, int64_t height, int64_t width)
      : h(height), w(width), out_h(g.out_h(height)), out_w(g.out_w(width)), is_one(out_w == w) {
    lines = is_one ? 1 : h, line = is_one ? h * w : w;
    pieces = ceil_div(line, kSplitPixels), line_bytes = ceil_div(line, 64) * 16;
    // bits of padding are read, too, though not used
    before = is_one ? ceil_div(g.pad_top * w / 4 + 8, 64) * 64 : 64;
    pitch = before + lines * line_bytes + (is_one ? ceil_div(g.pad_bottom * w / 4, 64) * 64 : 0) + 128;
    if (!is_one) return;
    const int64_t words = ceil_div(out_h * out_w, kBlockPositions * kMostBlocks) * kMostBlocks;
    inside.assign(static_cast<size_t>(words * kDepth), ~uint64_t{0});
    for (int64_t k = 0; k < kDepth; ++k) {
      const int64_t from = std::clamp<int64_t>(g.pad_left - k, 0, w), to = std::min(w, w + g.pad_left - k);
      for (int64_t start = 0; start < out_h * out_w; start += out_w) {
        for (int64_t x = 0; x < from; ++x) clear(start + x, k);
        for (int64_t x = std::max(from, to); x < out_w; ++x) clear(start + x, k);
      }
    }
  }

  void clear(int64_t position, int64_t k) {
    inside[static_cast<size_t>(position / 64 * kDepth + k)] &= ~(uint64_t{1} << position % 64);
  }

  int64_t h, w, out_h, out_w;
  bool is_one;                        // all rows are one line: the output is as wide as the input
  int64_t lines, line;                // of so many pixels; each begins on a byte
  int64_t pieces;                     // of a line
  int64_t line_bytes, before;         // bits of a line; bytes before the first
  int64_t pitch;                      // bytes from one channel's bits to the next
  std::vector<uint64_t> inside;       // of lines that are one: columns that are within the picture, [words][kDepth]
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
    uint8_t* bits = scratch(Slot::kEncoded, static_cast<size_t>(geometry_.in_channels * map->pitch)) + map->before;
    const int64_t image_codes = x.h * x.w * geometry_.in_channels;
    const int64_t image_outputs = map->out_h * map->out_w * geometry_.out_channels;
    for (int64_t image = 0; image < x.n; ++image) {
      split(*map, x.data + image * image_codes, bits, parallel);
      multiply(*map, bits, residual ? residual + image * image_outputs : nullptr,
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

  // [groups of channels] of row offsets, as PlanesTile wants them.
  std::shared_ptr<Packed> pack(const Codes& codes) const {
    const Geometry& g = geometry_;
    const int64_t weight_bytes = ceil_div(step_count_ * kPlaneChannels * 2, 64) * 64;
    auto packed = std::make_shared<Packed>(static_cast<size_t>(channel_groups_ * weight_bytes));
    packed->run_steps = longest_run(codes);
    packed->panel_bytes = weight_bytes;
    for (int64_t channel = 0; channel < channel_groups_ * kPlaneChannels; ++channel) {
      uint8_t* panel = packed->data() + channel / kPlaneChannels * packed->panel_bytes;
      const int64_t lane = channel % kPlaneChannels;
      for (int64_t step = 0; step < step_count_; ++step) {
        int row = 0;
        for (int i = 0; i < kDepth; ++i) {
          const int code = channel < g.out_channels ? code_of(codes, channel, step, i) : 0;
          row |= (code + 2) << (2 * i);
        }
        const uint16_t offset = static_cast<uint16_t>(row * kernel_.table_row);
        std::memcpy(panel + ((step / kRunUnit * kPlaneChannels + lane) * kRunUnit + step % kRunUnit) * 2, &offset, 2);
      }
    }
    return packed;
  }

  // Code i of a step: steps are rows of the kernel of one input channel after the other.
  int code_of(const Codes& codes, int64_t channel, int64_t step, int64_t i) const {
    const int64_t steps = geometry_.in_channels * geometry_.kernel_h;
    return step < steps ? codes[static_cast<size_t>((channel * steps + step) * kDepth + i)] : 0;
  }

  // A channel that fits is looked at again after any change: runs that begin elsewhere may be too long although they
  // have become shorter.
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

  void split(const Map& map, const uint8_t* x, uint8_t* bits, const Parallel& parallel) const {
    const int64_t codes = map.h * map.w * geometry_.in_channels, pieces = map.lines * map.pieces;
    const int64_t tasks = std::max<int64_t>(1, std::min({codes / kTaskCodes, kMostTasks, pieces}));
    parallel.each(static_cast<size_t>(tasks), [&](size_t task) {
      const int64_t t = static_cast<int64_t>(task);
      for (int64_t piece = t * pieces / tasks; piece < (t + 1) * pieces / tasks; ++piece) {
        const int64_t row = piece / map.pieces, from = piece % map.pieces * kSplitPixels;
        kernel_.split(x + (row * map.line + from) * geometry_.in_channels, std::min(kSplitPixels, map.line - from),
                      geometry_.in_channels, x_min_, x_max_, bits + row * map.line_bytes + from / 4, map.pitch);
      }
    });
  }

  // The columns of a chunk of positions.
  void join(const Map& map, const uint8_t* bits, int64_t first, int64_t positions, int blocks, uint8_t* columns) const {
    const Geometry& g = geometry_;
    const int64_t step_bytes = blocks * kBlockPositions;
    for (int64_t row = 0; row < g.kernel_h; ++row, columns += step_bytes) {
      const int64_t down = row * g.dilation_h - g.pad_top;
      PlanesJoin some{nullptr, g.in_channels, map.pitch, 0, {}, padding_, 0, g.kernel_h * step_bytes};
      const auto join_some = [&](int64_t pixel, int64_t at, int64_t count) {
        const int64_t byte = (pixel + 3) >> 2;  // no pixel of it lies before
        some.bits = bits + byte, some.first = static_cast<int>(pixel - 4 * byte), some.count = static_cast<int>(count);
        kernel_.join(some, columns + at);
      };
      if (map.is_one) {
        const uint64_t* columns_inside = map.inside.data() + first / kBlockPositions * kDepth;
        for (int block = 0; block < blocks; ++block) {
          const int64_t position = first + block * kBlockPositions;
          const uint64_t rows = first_of((map.h - down) * map.w - position) & ~first_of(-down * map.w - position);
          for (int k = 0; k < kDepth; ++k) some.inside[block][k] = rows & *columns_inside++;
        }
        join_some(first + down * map.w - g.pad_left, 0, step_bytes);
        continue;
      }
      for (int64_t at = 0, count; at < positions; at += count) {
        const int64_t y = (first + at) / map.out_w + down, ox = (first + at) % map.out_w;
        count = std::min<int64_t>({map.out_w - ox, positions - at, kBlockPositions});
        const bool is_row = y >= 0 && y < map.h;
        for (int k = 0; k < kDepth; ++k) {
          const int64_t x = ox + k - g.pad_left;
          some.inside[0][k] = is_row ? first_of(map.w - x) & ~first_of(-x) : 0;
        }
        join_some((is_row ? y : 0) * map.line_bytes * 4 + ox - g.pad_left, at, count);
      }
    }
  }

  // That many of 64 bits.
  static uint64_t first_of(int64_t count) {
    return count <= 0 ? 0 : count >= 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
  }

  void multiply(const Map& map, const uint8_t* bits, const uint8_t* residual, uint8_t* y,
                const Parallel& parallel) const {
    const int64_t positions = map.out_h * map.out_w, chunk = kBlockPositions * kMostBlocks;
    const int64_t chunks = ceil_div(positions, chunk);
    const int64_t macs = positions * geometry_.out_channels * geometry_.codes_per_channel();
    const int64_t tasks = tasks_for(macs, chunks);
    parallel.each(static_cast<size_t>(tasks), [&](size_t task) {
      const int64_t t = static_cast<int64_t>(task);
      for (int64_t c = t * chunks / tasks; c < (t + 1) * chunks / tasks; ++c) {
        const int64_t first = c * chunk;
        multiply_chunk(map, bits, first, std::min(chunk, positions - first), residual, y);
      }
    });
  }

  void multiply_chunk(const Map& map, const uint8_t* bits, int64_t first, int64_t positions, const uint8_t* residual,
                      uint8_t* y) const {
    PlaneSums sums;
    const int blocks = positions > kBlockPositions ? 2 : 1;
    uint8_t* columns = scratch(Slot::kRows, static_cast<size_t>(step_count_ * blocks * kBlockPositions));
    join(map, bits, first, positions, blocks, columns);
    for (int64_t group = 0; group < channel_groups_; ++group) {
      const uint8_t* weights = weights_->data() + group * weights_->panel_bytes;
      kernel_.run({columns, step_count_, weights_->run_steps, reinterpret_cast<const uint16_t*>(weights)}, blocks, sums);
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
