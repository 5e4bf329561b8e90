#include "tiled_conv.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "arithmetic.h"
#include "constants.h"
#include "packed.h"
#include "panel.h"
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
constexpr double kRunCycles = 16;
// The same for tiles along rows, above what it costs planes, with which alone they compete.
constexpr double kLineCycles = 6;
constexpr int64_t kTaskBytes = 1 << 14;
// Rows of the output that are worth strips of their own: in shorter ones tiles of odd heights lose more.
constexpr int64_t kShortestLine = 24;
// What several panels read and write of a strip before it is left.
constexpr int64_t kStripBytes = 512 << 10;
// As many lie in a call itself, without memory of their own.
constexpr int64_t kFewSegments = 16;

class TiledConv final : public Conv {
 public:
  TiledConv(const Layer& layer, const KernelSet& set, const TileKernel& kernel)
      : set_(set), kernel_(kernel), geometry_(layer.geometry),
        element_size_(static_cast<int64_t>(layer.output.element_size())), steps_(layer, kernel) {
    const Geometry& g = geometry_;
    const EncodingFacts f = facts(kernel.encoding);
    encoder_ = {kernel.encoding, g.groups, g.in_per_group(), layer.x_min, layer.x_max, kernel.table_row};
    if (steps_.depthwise) encoder_ = {kernel.encoding, 1, g.in_channels, layer.x_min, layer.x_max, 0};
    groups_ = steps_.depthwise ? 1 : g.groups;
    group_channels_ = g.out_channels / groups_;
    group_bytes_ = encoder_.pixel_bytes() / groups_;
    panels_ = ceil_div(group_channels_, kernel.lanes);
    const Codes codes = unpack_codes(layer);
    weights_ = packed_weights(layer, path(), [&] { return pack_tiles(layer, kernel, steps_, codes); });
    const int counted_from = f.is_table ? layer.x_min + kCentre : kernel.encoding == Encoding::kSigned ? 128 : 0;
    constants_ = Constants(layer, codes, {counted_from, f.is_table, has_weights_at_top(kernel)},
                           groups_ * panels_ * kernel.lanes, [&](int64_t channel) {
                             const int64_t group = channel / group_channels_;
                             return group * panels_ * kernel.lanes + channel % group_channels_;
                           });
    finishes_ = constants_.panels(kernel.lanes);
    // The picture as it comes will do where no code changes and no step reads beyond the last pixel.
    const bool pads = g.pad_top != 0 || g.pad_left != 0 || g.pad_bottom != 0 || g.pad_right != 0;
    compact_ = !pads && g.kernel_h == 1 && g.kernel_w == 1;
    const bool ends_on_a_step = !steps_.depthwise && steps_.codes % f.depth == 0;
    reads_in_place_ = kernel.encoding == Encoding::kBytes && !pads && layer.x_min == 0 && layer.x_max == 255 &&
                      ends_on_a_step;
    is_even_ = compact_ && (!reads_in_place_ || (g.stride_h == 1 && g.stride_w == 1));
    const bool fits_lanes = group_channels_ % kernel.lanes == 0 || (groups_ == 1 && panels_ == 1);
    strips_ = fits_lanes && kernel.strip != nullptr && finishes_itself(finishes_[0]);
    halo_.resize(static_cast<size_t>(encoder_.pixel_bytes()));
    const std::vector<uint8_t> zeros(static_cast<size_t>(g.in_channels), layer.x_zero_point);
    // padding counts as the zero point, whatever the range of codes is; tables have rows up to x_min + 3
    Encoder unclipped = encoder_;
    unclipped.x_min = f.is_table ? layer.x_min : 0;
    unclipped.x_max = f.is_table ? std::max(layer.x_max, layer.x_zero_point) : 255;
    set_.encode(unclipped, zeros.data(), g.in_channels, 1, halo_.data());
    halo_is_even_ = std::all_of(halo_.begin(), halo_.end(), [&](uint8_t byte) { return byte == halo_[0]; });
  }

  std::string path() const override { return std::string(name(set_.isa)) + " " + kernel_.name; }

  void run(const Input& x, const uint8_t* residual, void* y, const Parallel& parallel) const override {
    check(geometry_, x);
    if (x.n == 0 || geometry_.out_h(x.h) == 0 || geometry_.out_w(x.w) == 0) return;
    Call call(*this, x, residual, y);
    const int64_t image_bytes = std::max<int64_t>(1, call.encoded_h * call.encoded_w * encoder_.pixel_bytes());
    const int64_t most = std::clamp<int64_t>(kEncodedBytes / image_bytes, 1, std::max<int64_t>(x.n, 1));
    uint8_t* const encoded =
        reads_in_place_ ? nullptr : scratch(Slot::kEncoded, static_cast<size_t>(most * image_bytes));
    for (int64_t first = 0; first < x.n; first += most) {
      call.first_image = first;
      call.images = std::min(most, x.n - first);
      if (reads_in_place_) {
        call.encoded = x.data + first * x.h * x.w * geometry_.in_channels;
      } else {
        encode(call, encoded, parallel), call.encoded = encoded;
      }
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
      if (conv.steps_.segment_count > kFewSegments) {
        many_segments.resize(static_cast<size_t>(conv.steps_.segment_count));
        segments = many_segments.data();
      }
      conv.steps_.offsets(g, encoded_w, conv.encoder_.pixel_bytes(), segments);
    }
    Call(const Call&) = delete;  // segments points into it
    Call& operator=(const Call&) = delete;

    const Input& input;
    const uint8_t* residual;
    uint8_t* y;
    int64_t out_h, out_w, encoded_h, encoded_w, step_h, step_w;
    int64_t few_segments[kFewSegments], *segments = few_segments;
    std::vector<int64_t> many_segments;
    const uint8_t* encoded = nullptr;
    int64_t first_image = 0, images = 0;
  };

  void encode(const Call& call, uint8_t* encoded, const Parallel& parallel) const {
    const int64_t rows = call.images * call.encoded_h;
    const int64_t row_bytes = call.encoded_w * encoder_.pixel_bytes();
    const int64_t tasks = std::clamp<int64_t>(rows * row_bytes / kTaskBytes, 1, std::min(kMostTasks, rows));
    parallel.each(static_cast<size_t>(tasks), [&](size_t task) {
      const int64_t t = static_cast<int64_t>(task), first = t * rows / tasks;
      encode_rows(call, first, (t + 1) * rows / tasks, encoded + first * row_bytes);
    });
  }

  // Padding at the right end of a row and before the next one is filled in together.
  void encode_rows(const Call& call, int64_t first, int64_t last, uint8_t* out) const {
    const Geometry& g = geometry_;
    const bool skips = compact_;
    const int64_t c = g.in_channels, width = skips ? call.encoded_w : call.input.w;
    int64_t image = call.first_image + first / call.encoded_h, row = first % call.encoded_h, padding = 0;
    for (int64_t left = last - first; left > 0; --left) {
      const int64_t y = skips ? row * g.stride_h : row - g.pad_top;
      if (y < 0 || y >= call.input.h) {
        padding += call.encoded_w;
      } else {
        out = fill(out, padding + g.pad_left);
        const uint8_t* x = call.input.data + (image * call.input.h + y) * call.input.w * c;
        set_.encode(encoder_, x, c * (skips ? g.stride_w : 1), width, out);
        out += width * encoder_.pixel_bytes();
        padding = g.pad_right;
      }
      if (++row == call.encoded_h) row = 0, ++image;
    }
    fill(out, padding);
  }

  // Padding from `out` on; where it ends.
  uint8_t* fill(uint8_t* out, int64_t pixels) const {
    if (halo_is_even_) {
      const size_t bytes = static_cast<size_t>(pixels) * halo_.size();
      std::memset(out, halo_[0], bytes);
      return out + bytes;
    }
    for (; pixels > 0; --pixels, out += halo_.size()) std::memcpy(out, halo_.data(), halo_.size());
    return out;
  }

  void multiply(const Call& call, const Parallel& parallel) const {
    const int64_t positions = call.images * call.out_h * call.out_w;
    // rows that are long enough divide into lines of their own, else a tile has several lines
    const bool any_line = kernel_.any_line && call.out_w > kernel_.rows / 2;
    const int64_t line = kernel_.along_rows && !any_line ? line_of(call.out_w) : 1;
    const int64_t most = kernel_.rows / line * line, stretch = any_line ? call.out_w : positions;
    const int64_t in_stretch = ceil_div(stretch, most), tiles = positions / stretch * in_stretch;
    const int64_t panels = groups_ * panels_, work = tiles * panels;
    const int64_t macs = positions * geometry_.out_channels * geometry_.codes_per_channel();
    const int64_t tasks = tasks_for(macs, work);
    const bool panels_inside = !weights_->is_halved && panels * weights_->panel_bytes <= kCachedWeights;
    if (in_strips(call)) return multiply_strips(call, parallel, macs, panels_inside);
    // tiles of even heights: 49 positions by 6 are 4 x 6 + 5 x 5, and no row is wasted; but lines are whole
    const int64_t height = line > 1 ? most : stretch / in_stretch, higher = line > 1 ? 0 : stretch % in_stretch;
    parallel.each(static_cast<size_t>(tasks), [&](size_t task) {
      const int64_t t = static_cast<int64_t>(task), first = t * work / tasks;
      int64_t tile = panels_inside ? first / panels : first % tiles;
      int64_t panel = panels_inside ? first % panels : first / tiles;
      Positions at(*this, call);
      Panel weights(set_, *weights_, has_weights_at_top(kernel_));
      for (int64_t left = (t + 1) * work / tasks - first; left > 0; --left) {
        const int64_t row = any_line ? tile / in_stretch : 0, within = tile - row * in_stretch;
        const int64_t position = row * stretch + within * height + std::min(within, higher);
        at.move_to(position, std::min(height + (within < higher), positions - position), panel);
        multiply_tile(call, at, any_line ? at.rows : line, panel, weights.at(panel));
        if (panels_inside) {
          if (++panel == panels) panel = 0, ++tile;
        } else if (++tile == tiles) {
          tile = 0, ++panel;
        }
      }
    });
  }

  // Positions of a strip at most: all, or where they are no neighbours in the encoded input a row of the output.
  int64_t strip_line(const Call& call) const {
    return is_even_ ? call.images * call.out_h * call.out_w : call.out_w;
  }

  bool in_strips(const Call& call) const {
    return strips_ && (is_even_ || (group_channels_ % kernel_.lanes == 0 && call.out_w >= kShortestLine));
  }

  // The same in strips.
  void multiply_strips(const Call& call, const Parallel& parallel, int64_t macs, bool panels_inside) const {
    const int64_t line = strip_line(call), in_line = ceil_div(line, kernel_.rows);
    const int64_t positions = call.images * call.out_h * call.out_w, tiles = positions / line * in_line;
    const int64_t height = line / in_line, higher = line % in_line;
    const auto start = [&](int64_t tile) {
      const int64_t at = tile % in_line;
      return tile / in_line * line + at * height + std::min(at, higher);
    };
    const int64_t panels = groups_ * panels_, pixel = encoder_.pixel_bytes() + geometry_.out_channels;
    // several panels go over some positions each, which stay in the second-level cache, unless nearly all of them do
    if (panels_inside && positions * pixel > 2 * kStripBytes) {
      const int64_t some = std::max<int64_t>(1, kStripBytes / (pixel * kernel_.rows));
      const int64_t tasks = tasks_for(macs, tiles);
      return parallel.each(static_cast<size_t>(tasks), [&](size_t task) {
        const int64_t t = static_cast<int64_t>(task), last = (t + 1) * tiles / tasks;
        Panel weights(set_, *weights_, has_weights_at_top(kernel_));
        for (int64_t tile = t * tiles / tasks; tile < last; tile += some) {
          const int64_t from = start(tile), to = start(std::min(tile + some, last));
          for (int64_t panel = 0; panel < panels; ++panel) multiply_some(call, from, to, panel, weights.at(panel));
        }
      });
    }
    const int64_t work = tiles * panels, tasks = tasks_for(macs, work);
    parallel.each(static_cast<size_t>(tasks), [&](size_t task) {
      const int64_t t = static_cast<int64_t>(task), last = (t + 1) * work / tasks;
      Panel weights(set_, *weights_, has_weights_at_top(kernel_));
      for (int64_t at = t * work / tasks; at < last;) {
        const int64_t panel = at / tiles, tile = at % tiles, end = std::min(tiles, tile + last - at);
        multiply_some(call, start(tile), start(end), panel, weights.at(panel));
        at += end - tile;
      }
    });
  }

  // A strip for each line that the positions from `from` to `to` are on.
  void multiply_some(const Call& call, int64_t from, int64_t to, int64_t panel, const uint8_t* weights) const {
    const int64_t group = group_of(panel), lane = (panel - group * panels_) * kernel_.lanes;
    const int64_t pixel = encoder_.pixel_bytes(), line = strip_line(call);
    Tile tile{nullptr, call.segments, steps_.segment_count, steps_.steps, weights, 0, nullptr};
    tile.finish = &finishes_[static_cast<size_t>(panel)];
    tile.pitch = geometry_.out_channels, tile.step = call.step_w * pixel;
    tile.channels = static_cast<int>(std::min<int64_t>(kernel_.lanes, group_channels_ - lane));
    while (from < to) {
      const int64_t row = from / line, image = row / call.out_h, end = std::min(to, (row + 1) * line);
      const int64_t input_row = image * call.encoded_h + (row - image * call.out_h) * call.step_h;
      tile.x = call.encoded + input_row * call.encoded_w * pixel + group * group_bytes_;
      tile.x += (from - row * line) * tile.step;
      const int64_t position = call.first_image * call.out_h * call.out_w + from;
      const int64_t output = position * geometry_.out_channels + group * group_channels_ + lane;
      tile.residual = call.residual ? call.residual + output : nullptr;
      tile.y = call.y + output;
      kernel_.strip(end - from, tile);
      from = end;
    }
  }

  // Where a tile's rows start in the encoded input. Panels of the same tile share them, and the next tile goes on where
  // this one ends: divisions would take as long as the multiplications of a small tile.
  class Positions {
   public:
    Positions(const TiledConv& conv, const Call& call)
        : conv_(conv), call_(call), pixel_(conv.encoder_.pixel_bytes()), step_(call.step_w * pixel_),
          row_(call.encoded_w * pixel_) {}

    void move_to(int64_t from, int64_t count, int64_t panel) {
      const int64_t start = conv_.steps_.depthwise ? panel * conv_.kernel_.lanes
                                                   : conv_.group_of(panel) * conv_.group_bytes_;
      if (from == first && start == start_) return;
      if (from != first + rows) find(from);
      first = from, start_ = start, rows = static_cast<int>(count);
      const uint8_t* base = call_.encoded + start;
      for (int row = 0; row < rows;) {
        const uint8_t* at = base + (image_ * call_.encoded_h + oy_ * call_.step_h) * row_ + ox_ * step_;
        const int64_t some = std::min<int64_t>(call_.out_w - ox_, rows - row);
        for (const int end = row + static_cast<int>(some); row < end; ++row, at += step_) rows_at[row] = at;
        ox_ += some;
        if (ox_ == call_.out_w) ox_ = 0, ++oy_;
        if (oy_ == call_.out_h) oy_ = 0, ++image_;
      }
    }

    int64_t first = 0;
    int rows = 0;
    const uint8_t* rows_at[kMostRows];

   private:
    void find(int64_t position) {
      const int64_t per_image = call_.out_h * call_.out_w, within = position % per_image;
      image_ = position / per_image, oy_ = within / call_.out_w, ox_ = within % call_.out_w;
    }

    const TiledConv& conv_;
    const Call& call_;
    int64_t pixel_, step_, row_, start_ = -1;
    int64_t image_ = 0, oy_ = 0, ox_ = 0;  // of the position behind the tile
  };

  // A division takes as long as the multiplications of a small tile, and mostly there is but one group.
  int64_t group_of(int64_t panel) const { return groups_ == 1 ? 0 : panel / panels_; }

  void multiply_tile(const Call& call, const Positions& at, int64_t line, int64_t panel,
                     const uint8_t* weights) const {
    alignas(64) int32_t sums[kMostTileSums];
    const int64_t group = group_of(panel), lane = (panel - group * panels_) * kernel_.lanes;
    const int64_t channel = group * group_channels_ + lane;
    const int channels = static_cast<int>(std::min<int64_t>(kernel_.lanes, group_channels_ - lane));
    const int64_t position = call.first_image * call.out_h * call.out_w + at.first;
    const int64_t output = position * geometry_.out_channels + channel;
    const Finish& finish = finishes_[static_cast<size_t>(panel)];
    const uint8_t* residual = call.residual ? call.residual + output : nullptr;
    uint8_t* y = call.y + output * element_size_;
    Tile tile{at.rows_at, call.segments, steps_.segment_count, steps_.steps, weights, weights_->run_steps, sums};
    if (kernel_.along_rows) {
      tile.line = line;
      tile.offsets = reinterpret_cast<const uint32_t*>(weights + weights_->offsets_at);
      tile.runs = reinterpret_cast<const uint32_t*>(weights + weights_->runs_at);
    }
    if (finishes_itself(finish) && channels == kernel_.lanes) {
      tile.finish = &finish, tile.residual = residual, tile.y = y, tile.pitch = geometry_.out_channels;
      kernel_.run(at.rows, tile);
      return;
    }
    kernel_.run(at.rows, tile);
    set_.finish(finish, sums, kernel_.lanes, at.rows, channels, residual, y, geometry_.out_channels);
  }

  bool finishes_itself(const Finish& finish) const {
    return kernel_.finishes && finish.is_tame && finish.kind != OutputKind::kNumbers;
  }

  const KernelSet& set_;
  const TileKernel& kernel_;
  Geometry geometry_;
  int64_t element_size_;
  TileSteps steps_;
  Encoder encoder_{};
  int64_t groups_ = 1, group_channels_ = 1, group_bytes_ = 0, panels_ = 1;
  bool compact_ = false, reads_in_place_ = false;
  bool is_even_ = false;  // positions are as far from each other in the encoded input everywhere
  bool strips_ = false;
  std::shared_ptr<const Packed> weights_;
  Constants constants_;
  std::vector<Finish> finishes_;  // of each panel
  std::vector<uint8_t> halo_;   // an encoded pixel of padding
  bool halo_is_even_ = false;   // of one byte, as it mostly is
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
  const bool is_for_rows = g.groups == 1 && g.kernel_w == 3 && g.stride_w == 1 && g.dilation_w == 1;
  if (kernel.along_rows && !is_for_rows) return kImpossible;
  const TileSteps steps(layer, kernel);
  const int64_t groups = steps.depthwise ? 1 : g.groups;
  const int64_t panels = groups * ceil_div(g.out_channels / groups, kernel.lanes);
  const int64_t codes = steps.segment_count * steps.steps * f.depth;
  const double per_panel = static_cast<double>(kernel.lanes * codes) / kernel.speed;
  double between_runs = f.is_table ? kRunCycles * static_cast<double>(steps.segment_count) : 0;
  if (kernel.along_rows) between_runs = kLineCycles;
  return static_cast<double>(panels) * (per_panel + between_runs);
}

std::unique_ptr<Conv> make_tiled(const Layer& layer, const KernelSet& set, const TileKernel& kernel) {
  return std::make_unique<TiledConv>(layer, set, kernel);
}

}  // namespace dqmq
