// What stands before and after the inner loops, and the inner loops themselves, each between guards.
#include <cstring>

#include "guarded.h"
#include "paths.h"
#include "tile_weights.h"

namespace dqmq::test {
namespace {

constexpr Side kSides[] = {Side::kStart, Side::kEnd};
constexpr uint8_t kUntouched = 0xa5;

Guarded random_bytes(size_t bytes, Side side, Random& random) {
  std::vector<uint8_t> content(bytes);
  for (uint8_t& byte : content) byte = static_cast<uint8_t>(random.bits());
  return Guarded(content, side);
}

// Each set's encoder equals the portable one for the encoding of each of its kernels.
void expect_same_encoding(const KernelSet& set, const Encoder& encoder, int64_t pixels, int64_t x_step, Side side,
                          Random& random) {
  const int64_t channels = encoder.groups * encoder.channels;
  const size_t size = static_cast<size_t>(pixels * encoder.pixel_bytes());
  const Guarded x = random_bytes(static_cast<size_t>((pixels - 1) * x_step + channels), side, random);
  const Guarded encoded(size, side);
  std::vector<uint8_t> expected(size);
  kernel_set(Isa::kPortable).encode(encoder, x.data(), x_step, pixels, expected.data());
  set.encode(encoder, x.data(), x_step, pixels, encoded.data());
  expect(std::memcmp(encoded.data(), expected.data(), size) == 0,
         std::string(name(set.isa)) + " encodes otherwise than portable: encoding " +
             std::to_string(static_cast<int>(encoder.encoding)) + ", groups " + std::to_string(encoder.groups) +
             ", channels " + std::to_string(encoder.channels) + ", pixels " + std::to_string(pixels) + ", x_step " +
             std::to_string(x_step));
}

DQMQ_TEST(passes, encode) {
  Random random(40);
  for (const KernelSet* set : kernel_sets()) {
    for (const TileKernel& kernel : set->tiles) {
      now_path(std::string(name(set->isa)) + " encode for " + kernel.name);
      for (int64_t channels = 1; channels <= 200; channels += channels < 70 ? 1 : 13) {
        if (!drawn()) continue;
        for (Side side : kSides) {
          const int64_t groups = random.once_in(3) ? random.from(2, 3) : 1, pixels = random.from(1, 9);
          const uint8_t x_min = static_cast<uint8_t>(random.from(0, 250));
          const int64_t levels = facts(kernel.encoding).is_table ? 3 : 255 - x_min;
          const uint8_t x_max = static_cast<uint8_t>(x_min + random.from(0, levels));
          const int64_t x_step = groups * channels * (random.once_in(3) ? random.from(2, 3) : 1);
          const Encoder encoder{kernel.encoding, groups, channels, x_min, x_max, kernel.table_row};
          expect_same_encoding(*set, encoder, pixels, x_step, side, random);
        }
      }
    }
  }
}

// Each set's finish equals the portable one, and leaves alone what lies between the rows of y.
void expect_same_finish(const KernelSet& set, Finish f, int lanes, int rows, int channels, Side side, Random& random) {
  const size_t sums_size = static_cast<size_t>(rows * lanes) * 4, lane_size = static_cast<size_t>(lanes) * 4;
  const int64_t pitch = channels + random.from(0, 3) * random.from(0, 20);
  const size_t element = f.kind == OutputKind::kNumbers ? 4 : 1;
  const size_t size = static_cast<size_t>((rows - 1) * pitch + channels) * element;
  const Guarded sums = random_bytes(sums_size, side, random), bias = random_bytes(lane_size, side, random);
  const Guarded residual = random_bytes(size / element, side, random), factor(lane_size, side);
  for (int lane = 0; lane < lanes; ++lane) {
    const float value = static_cast<float>(random.from(-1000, 1000)) * (random.once_in(4) ? 1e-3f : 2e-10f);
    std::memcpy(factor.data() + 4 * lane, &value, 4);
  }
  f.bias = reinterpret_cast<const int32_t*>(bias.data());
  f.factor = reinterpret_cast<const float*>(factor.data());
  const auto* at_sums = reinterpret_cast<const int32_t*>(sums.data());
  const uint8_t* at_residual = f.kind == OutputKind::kResidual ? residual.data() : nullptr;
  const Guarded y(std::vector<uint8_t>(size, kUntouched), side), expected(std::vector<uint8_t>(size, kUntouched), side);
  kernel_set(Isa::kPortable).finish(f, at_sums, lanes, rows, channels, at_residual, expected.data(), pitch);
  set.finish(f, at_sums, lanes, rows, channels, at_residual, y.data(), pitch);
  expect(std::memcmp(y.data(), expected.data(), size) == 0,
         std::string(name(set.isa)) + " finishes otherwise than portable: kind " +
             std::to_string(static_cast<int>(f.kind)) + ", lanes " + std::to_string(lanes) + ", rows " +
             std::to_string(rows) + ", channels " + std::to_string(channels) + ", pitch " + std::to_string(pitch));
}

DQMQ_TEST(passes, finish) {
  Random random(41);
  for (const KernelSet* set : kernel_sets()) {
    for (const TileKernel& kernel : set->tiles) {
      now_path(std::string(name(set->isa)) + " finish for " + kernel.name);
      for (int channels = 1; channels <= kernel.lanes; ++channels) {
        for (OutputKind kind : {OutputKind::kCodes, OutputKind::kResidual, OutputKind::kNumbers}) {
          if (!drawn()) continue;
          const int rows = static_cast<int>(random.from(1, kernel.rows));
          const int shift = static_cast<int>(random.from(0, 3)) * 2;
          const int32_t zero_point = static_cast<int32_t>(random.from(0, 255));
          const float ratio = static_cast<float>(random.from(-3000, 3000)) / 1000;
          const Finish f{kind, shift, nullptr, nullptr, zero_point, ratio, 1 - ratio / 3, ratio * 40};
          for (Side side : kSides) expect_same_finish(*set, f, kernel.lanes, rows, channels, side, random);
        }
      }
    }
  }
}

// A kernel's tile with every buffer as long as tile.h says, and no longer.
void run_tile(const TileKernel& kernel, const Layer& layer, int rows, int64_t line, Side side, Random& random) {
  const Geometry& g = layer.geometry;
  const TileSteps steps(layer, kernel);
  const EncodingFacts f = facts(kernel.encoding);
  const int64_t units = (g.in_per_group() + f.depth - 1) / f.depth;
  const int64_t pixel = f.is_table ? units * 2 : g.in_channels * (kernel.encoding == Encoding::kWords ? 2 : 1);
  const std::vector<int64_t> segments = steps.segments(g, g.kernel_w + rows, pixel);
  const int64_t read = steps.depthwise ? kernel.lanes : steps.steps * f.step_bytes;
  const size_t size = static_cast<size_t>((rows - 1) * pixel + segments.back() + read);
  Guarded encoded = random_bytes(size, side, random);
  // any code is one that may come; of a table, only offsets of its rows are
  if (f.is_table) std::memset(encoded.data(), 0, size);
  const uint8_t* positions[kMostRows];
  for (int row = 0; row < rows; ++row) positions[row] = encoded.data() + row * pixel;
  const auto packed = pack_tiles(layer, kernel, steps, unpack_codes(layer));
  const Guarded panel(std::vector<uint8_t>(packed->data(), packed->data() + packed->panel_bytes), side);
  const Guarded sums(static_cast<size_t>(rows * kernel.lanes) * 4, side);
  Tile tile{positions, segments.data(), steps.segment_count, steps.steps, panel.data(), packed->run_steps,
            reinterpret_cast<int32_t*>(sums.data())};
  tile.line = line;
  tile.offsets = reinterpret_cast<const uint32_t*>(panel.data() + packed->offsets_at);
  tile.runs = reinterpret_cast<const uint32_t*>(panel.data() + packed->runs_at);
  kernel.run(rows, tile);
}

// Of every set, the inverse of what packing does.
DQMQ_TEST(passes, widen) {
  Random random(43);
  for (const KernelSet* set : kernel_sets()) {
    for (Side side : kSides) {
      for (int64_t count : {0, 64, 128, 192, 4096 + 64}) {
        for (bool at_top : {false, true}) {
          std::vector<uint8_t> bytes(static_cast<size_t>(count));
          for (uint8_t& byte : bytes) {
            const int code = static_cast<int>(random.from(-8, 7));
            byte = static_cast<uint8_t>(at_top ? code * 16 : code);
          }
          const Guarded halves(static_cast<size_t>(count / 2), side), wide(static_cast<size_t>(count), side);
          halve(bytes.data(), count, at_top, halves.data());
          set->widen(halves.data(), count, at_top, wide.data());
          expect(count == 0 || std::memcmp(wide.data(), bytes.data(), bytes.size()) == 0,
                 std::string(name(set->isa)) + " widens " + std::to_string(count) + " bytes to others than were halved");
        }
      }
    }
  }
}

DQMQ_TEST(passes, tiles) {
  Random random(42);
  for (const KernelSet* set : kernel_sets()) {
    for (const TileKernel& kernel : set->tiles) {
      now_path(std::string(name(set->isa)) + " " + kernel.name);
      for (int rows = 1; rows <= kernel.rows; ++rows) {
        for (int64_t channels = 1; channels <= 13; ++channels) {
          if (!drawn()) continue;
          Case c;
          Geometry& g = c.layer.geometry;
          g.in_channels = g.out_channels = channels;
          if (kernel.encoding == Encoding::kDepthwise) g.groups = ++g.in_channels, g.out_channels = g.groups;
          g.kernel_h = random.from(1, 3), g.kernel_w = random.from(1, 3), g.dilation_w = random.from(1, 2);
          if (kernel.along_rows) g.kernel_w = 3, g.dilation_w = 1;
          c.layer.weight_bits = 2;
          set_range(c.layer, 2, false);
          fill(c, random);
          now_case(describe(c));
          for (int64_t line = 1; line <= (kernel.any_line ? 10 : 8); ++line) {
            if (line > 1 && (!kernel.along_rows || rows % line != 0)) continue;
            for (Side side : kSides) run_tile(kernel, c.layer, rows, line, side, random);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace dqmq::test
