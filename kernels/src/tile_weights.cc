#include "tile_weights.h"

#include <algorithm>

#include "arithmetic.h"
#include "table.h"
#include "unit_runs.h"

namespace dqmq {
namespace {

// Weights of a layer that are worth halving: smaller ones are read faster than widened, and add up to little.
constexpr int64_t kHalved = 64 << 10;

// To whole cache lines.
int64_t round_up(int64_t bytes) { return ceil_div(bytes, 64) * 64; }

// Where code i of a step comes from: its channel within the group and its column of the kernel, or no place at all.
struct Source {
  int64_t channel = 0, column = 0;
  bool exists = false;
};

class StepSources {
 public:
  StepSources(const Layer& layer, const TileKernel& kernel, const TileSteps& steps)
      : geometry_(layer.geometry), steps_(steps), facts_(facts(kernel.encoding)),
        units_(ceil_div(layer.geometry.in_per_group(), facts_.depth)), along_rows_(kernel.along_rows) {}

  Source of(int64_t segment, int64_t step, int64_t i) const {
    const int64_t channels = geometry_.in_per_group();
    const int64_t first_column = steps_.row_segments ? 0 : segment % geometry_.kernel_w;
    Source source;
    if (facts_.is_table) {
      source.column = along_rows_ ? step % kUnitSteps : first_column + step / units_;
      source.channel = (along_rows_ ? step / kUnitSteps : step % units_) + i * units_;
      source.exists = source.channel < channels;
    } else {
      const int64_t code = step * facts_.depth + i;
      source.column = first_column + code / channels;
      source.channel = code % channels;
      source.exists = code < steps_.codes;
    }
    return source;
  }

  int64_t row_of(int64_t segment) const { return steps_.row_segments ? segment : segment / geometry_.kernel_w; }

 private:
  const Geometry& geometry_;
  const TileSteps& steps_;
  EncodingFacts facts_;
  int64_t units_;
  bool along_rows_;
};

void put(uint8_t* step, Encoding encoding, int64_t lane, int i, int8_t code) {
  switch (encoding) {
    case Encoding::kBytes:
    case Encoding::kSigned: step[lane * 4 + i] = static_cast<uint8_t>(code); break;
    case Encoding::kWords: step[lane * 2 + i] = static_cast<uint8_t>(code); break;
    case Encoding::kPairs:
    case Encoding::kTriples: {
      // the field of a code that is not there must be that of a zero: 2
      const uint8_t keep = static_cast<uint8_t>(~(3 << (2 * i)));
      step[lane] = static_cast<uint8_t>((step[lane] & keep) | ((code + 2) << (2 * i)));
      break;
    }
    case Encoding::kDepthwise: break;
  }
}

void pack_depthwise(const Layer& layer, const TileKernel& kernel, int64_t panel_bytes, const Codes& codes,
                    uint8_t* packed) {
  const int64_t taps = layer.geometry.kernel_h * layer.geometry.kernel_w, lanes = kernel.lanes;
  for (int64_t channel = 0; channel < layer.geometry.out_channels; ++channel) {
    uint8_t* panel = packed + channel / lanes * panel_bytes;
    for (int64_t tap = 0; tap < taps; ++tap) {
      panel[(tap / 4 * lanes + channel % lanes) * 4 + tap % 4] =
          static_cast<uint8_t>(codes[static_cast<size_t>(channel * taps + tap)]);
    }
  }
}

void pack_dense(const Layer& layer, const TileKernel& kernel, const TileSteps& steps, int64_t panel_bytes,
                const Codes& codes, uint8_t* packed) {
  const Geometry& g = layer.geometry;
  const EncodingFacts f = facts(kernel.encoding);
  const StepSources sources(layer, kernel, steps);
  const int64_t taps = g.kernel_h * g.kernel_w, per_channel = g.codes_per_channel();
  const int64_t per_group = g.out_per_group(), panels = ceil_div(per_group, kernel.lanes);
  const int64_t step_bytes = kernel.lanes * f.lane_bytes;
  const int unit = has_weights_at_top(kernel) ? 1 << (8 - layer.weight_bits) : 1;
  for (int64_t segment = 0; segment < steps.segment_count; ++segment) {
    for (int64_t step = 0; step < steps.steps; ++step) {
      for (int i = 0; i < f.depth; ++i) {
        const Source source = sources.of(segment, step, i);
        const int64_t tap = sources.row_of(segment) * g.kernel_w + source.column;
        for (int64_t channel = 0; channel < g.groups * panels * kernel.lanes; ++channel) {
          const int64_t panel = channel / kernel.lanes, group = panel / panels;
          const int64_t within = channel - group * panels * kernel.lanes, place = channel % kernel.lanes;
          const int64_t lane = kernel.lane_order == nullptr ? place : kernel.lane_order[place];
          const bool exists = source.exists && within < per_group;
          const int64_t from = (group * per_group + within) * per_channel + source.channel * taps + tap;
          put(packed + panel * panel_bytes + (segment * steps.steps + step) * step_bytes, kernel.encoding, lane, i,
              exists ? static_cast<int8_t>(codes[static_cast<size_t>(from)] * unit) : int8_t{0});
        }
      }
    }
  }
}

// The highest entry of each column of a table.
struct Highest {
  explicit Highest(int depth) {
    for (int column = 0; column < 1 << (2 * depth); ++column) {
      for (int i = 0; i < depth; ++i) of[column] += product_range((column >> 2 * i & 3) - 2);
    }
  }
  int of[64] = {};
};

// How segments divide into runs whose byte sums cannot overflow: the longest that all weights of the layer allow.
class Runs {
 public:
  Runs(const TileKernel& kernel, const TileSteps& steps, const uint8_t* weights, int64_t panels, int64_t panel_bytes)
      : lanes_(kernel.lanes), steps_(steps), highest_(facts(kernel.encoding).depth) {
    length = steps.steps;
    shorten(weights, panels, panel_bytes, 1);  // at the shortest, 12 steps of three codes or 20 of two always fit
    // as many runs of whole units, if that does
    const int64_t longest = length;
    length = ceil_div(ceil_div(steps.steps, count()), kRunUnit) * kRunUnit;
    if (length < longest) shorten(weights, panels, panel_bytes, length);
    if (length > longest || length == 0) length = longest;
  }

  int64_t length = 0;

 private:
  int64_t count() const { return length == 0 ? 0 : ceil_div(steps_.steps, length); }  // of a segment

  // Until every segment fits. A segment that has is looked at again after that: runs that begin elsewhere may be too
  // long although they have become shorter.
  void shorten(const uint8_t* weights, int64_t panels, int64_t panel_bytes, int64_t by) {
    const int64_t segments = panels * steps_.segment_count;
    for (int64_t at = 0, fitting = 0; length > 0 && fitting < segments;) {
      const int64_t panel = at / steps_.segment_count, segment = at % steps_.segment_count;
      if (fits(weights + panel * panel_bytes + segment * steps_.steps * lanes_)) {
        ++fitting, at = at + 1 == segments ? 0 : at + 1;
      } else {
        length -= by, fitting = 0;
      }
    }
  }

  bool fits(const uint8_t* segment) const {
    std::vector<int> sums(static_cast<size_t>(lanes_));
    for (int64_t step = 0; step < steps_.steps; ++step) {
      if (step % length == 0) std::fill(sums.begin(), sums.end(), 0);
      for (int lane = 0; lane < lanes_; ++lane) {
        int& sum = sums[static_cast<size_t>(lane)];
        sum += highest_.of[segment[step * lanes_ + lane]];
        if (sum > 255) return false;
      }
    }
    return true;
  }

  int lanes_;
  const TileSteps& steps_;
  Highest highest_;
};

// Panels of a kernel `along_rows`: their units in the order of their runs, and behind them what Tile calls offsets and
// runs.
std::shared_ptr<Packed> pack_units(const TileKernel& kernel, const TileSteps& steps, const uint8_t* weights,
                                   int64_t panels, int64_t panel_bytes) {
  const EncodingFacts f = facts(kernel.encoding);
  const Highest highest(f.depth);
  const int64_t units = steps.steps / kUnitSteps, all = steps.segment_count * units;
  const int64_t unit_bytes = kUnitSteps * kernel.lanes;
  std::vector<UnitRuns> runs;
  size_t most_runs = 0;
  for (int64_t panel = 0; panel < panels; ++panel) {
    std::vector<uint8_t> sums(static_cast<size_t>(all * kernel.lanes));
    for (int64_t at = 0; at < all * unit_bytes; ++at) {
      uint8_t& sum = sums[static_cast<size_t>(at / unit_bytes * kernel.lanes + at % kernel.lanes)];
      sum = static_cast<uint8_t>(sum + highest.of[weights[panel * panel_bytes + at]]);
    }
    runs.push_back(unit_runs(sums, steps.segment_count, units, kernel.lanes));
    most_runs = std::max(most_runs, runs.back().lengths.size());
  }
  const int64_t number = sizeof(uint32_t), runs_at = panel_bytes + all * number;
  const int64_t packed_bytes = round_up(runs_at + static_cast<int64_t>(most_runs) * number);
  auto packed = std::make_shared<Packed>(static_cast<size_t>(panels * packed_bytes));
  packed->panel_bytes = packed_bytes, packed->offsets_at = panel_bytes, packed->runs_at = runs_at;
  for (int64_t panel = 0; panel < panels; ++panel, weights += panel_bytes) {
    const UnitRuns& of_panel = runs[static_cast<size_t>(panel)];
    uint8_t* to = packed->data() + panel * packed_bytes;
    uint32_t* offsets = reinterpret_cast<uint32_t*>(to + panel_bytes);
    for (int64_t at = 0; at < all; ++at) {
      const uint32_t unit = of_panel.order[static_cast<size_t>(at)];
      std::copy_n(weights + (at / units * units + unit) * unit_bytes, unit_bytes, to + at * unit_bytes);
      offsets[at] = unit * static_cast<uint32_t>(f.step_bytes);
    }
    std::copy(of_panel.lengths.begin(), of_panel.lengths.end(), reinterpret_cast<uint32_t*>(to + runs_at));
  }
  return packed;
}

}  // namespace

TileSteps::TileSteps(const Layer& layer, const TileKernel& kernel) {
  const Geometry& g = layer.geometry;
  const EncodingFacts f = facts(kernel.encoding);
  depthwise = kernel.encoding == Encoding::kDepthwise;
  row_segments = !depthwise && g.groups == 1 && g.dilation_w == 1;
  const int64_t columns = row_segments ? g.kernel_w : 1;
  codes = depthwise ? 1 : columns * g.in_per_group();
  steps = f.is_table ? columns * ceil_div(g.in_per_group(), f.depth) : ceil_div(codes, f.depth);
  segment_count = row_segments ? g.kernel_h : g.kernel_h * g.kernel_w;
  if (depthwise) segment_count = ceil_div(segment_count, 4) * 4;
}

void TileSteps::offsets(const Geometry& g, int64_t width, int64_t pixel_bytes, int64_t* segments) const {
  int64_t* next = segments;
  for (int64_t row = 0; row < g.kernel_h; ++row) {
    for (int64_t column = 0; column < (row_segments ? 1 : g.kernel_w); ++column) {
      *next++ = (row * g.dilation_h * width + column * g.dilation_w) * pixel_bytes;
    }
  }
  for (const int64_t last = next[-1]; next < segments + segment_count; ++next) *next = last;
}

std::vector<int64_t> TileSteps::segments(const Geometry& g, int64_t width, int64_t pixel_bytes) const {
  std::vector<int64_t> segments(static_cast<size_t>(segment_count));
  offsets(g, width, pixel_bytes, segments.data());
  return segments;
}

void halve(const uint8_t* bytes, int64_t count, bool at_top, uint8_t* halves) {
  const int down = at_top ? 4 : 0;
  for (int64_t at = 0; at < count; at += 64, bytes += 64, halves += 32) {
    for (int i = 0; i < 32; ++i) {
      halves[i] = static_cast<uint8_t>((bytes[i] >> down & 0x0f) | (bytes[i + 32] >> down & 0x0f) << 4);
    }
  }
}

std::shared_ptr<Packed> pack_tiles(const Layer& layer, const TileKernel& kernel, const TileSteps& steps,
                                   const Codes& codes) {
  const Geometry& g = layer.geometry;
  const EncodingFacts f = facts(kernel.encoding);
  const int64_t groups = steps.depthwise ? 1 : g.groups;
  const int64_t panels = groups * ceil_div(g.out_channels / groups, kernel.lanes);
  const int64_t weight_bytes = round_up(steps.segment_count * steps.steps * kernel.lanes * f.lane_bytes);
  std::vector<uint8_t, PageAllocator<uint8_t>> weights(static_cast<size_t>(panels * weight_bytes));
  if (steps.depthwise) {
    pack_depthwise(layer, kernel, weight_bytes, codes, weights.data());
  } else {
    pack_dense(layer, kernel, steps, weight_bytes, codes, weights.data());
  }
  if (kernel.along_rows) return pack_units(kernel, steps, weights.data(), panels, weight_bytes);
  if (layer.weight_bits == 4 && !f.is_table && !steps.depthwise && panels * weight_bytes >= kHalved) {
    auto halved = std::make_shared<Packed>(static_cast<size_t>(panels * weight_bytes / 2));
    halved->panel_bytes = weight_bytes;
    halved->is_halved = true;
    halve(weights.data(), panels * weight_bytes, has_weights_at_top(kernel), halved->data());
    return halved;
  }
  auto packed = std::make_shared<Packed>(weights.size());
  packed->panel_bytes = weight_bytes;
  if (f.is_table) packed->run_steps = Runs(kernel, steps, weights.data(), panels, weight_bytes).length;
  std::copy(weights.begin(), weights.end(), packed->data());
  return packed;
}

}  // namespace dqmq
