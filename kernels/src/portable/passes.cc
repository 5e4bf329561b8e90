#include <algorithm>

#include "../rounding.h"
#include "kernels.h"

namespace dqmq::portable {
namespace {

uint8_t clamp(uint8_t code, const Encoder& e) { return std::clamp(code, e.x_min, e.x_max); }

// Rows of the table for one pixel's group.
void encode_table(const Encoder& e, const uint8_t* x, int64_t units, int depth, uint8_t* encoded) {
  for (int64_t unit = 0; unit < units; ++unit) {
    int row = 0;
    for (int i = 0; i < depth; ++i) {
      const int64_t channel = unit + i * units;
      if (channel < e.channels) row |= (clamp(x[channel], e) - e.x_min) << (2 * i);
    }
    const int offset = row * e.table_row;
    encoded[2 * unit] = static_cast<uint8_t>(offset);
    encoded[2 * unit + 1] = static_cast<uint8_t>(offset >> 8);
  }
}

}  // namespace

void encode(const Encoder& e, const uint8_t* x, int64_t x_step, int64_t pixels, uint8_t* encoded) {
  const int64_t channels = e.groups * e.channels, bytes = e.pixel_bytes();
  const EncodingFacts f = facts(e.encoding);
  const int64_t units = e.units();
  for (int64_t pixel = 0; pixel < pixels; ++pixel, x += x_step, encoded += bytes) {
    switch (e.encoding) {
      case Encoding::kBytes:
      case Encoding::kDepthwise:
        for (int64_t c = 0; c < channels; ++c) encoded[c] = clamp(x[c], e);
        break;
      case Encoding::kSigned:
        for (int64_t c = 0; c < channels; ++c) encoded[c] = clamp(x[c], e) ^ 0x80;
        break;
      case Encoding::kWords:
        for (int64_t c = 0; c < channels; ++c) encoded[2 * c] = clamp(x[c], e), encoded[2 * c + 1] = 0;
        break;
      case Encoding::kPairs:
      case Encoding::kTriples:
        for (int64_t group = 0; group < e.groups; ++group) {
          encode_table(e, x + group * e.channels, units, f.depth, encoded + group * units * 2);
        }
        break;
    }
  }
}

void finish(const Finish& f, const int32_t* sums, int lanes, int rows, int channels, const uint8_t* residual, void* y,
            int64_t pitch) {
  for (int row = 0; row < rows; ++row, sums += lanes) {
    for (int c = 0; c < channels; ++c) {
      const int64_t at = row * pitch + c;
      const uint32_t acc = (static_cast<uint32_t>(sums[c]) << f.shift) + static_cast<uint32_t>(f.bias[c]);
      const float value = static_cast<float>(static_cast<int32_t>(acc)) * f.factor[c];
      if (f.kind == OutputKind::kNumbers) {
        static_cast<float*>(y)[at] = value;
      } else if (f.kind == OutputKind::kCodes) {
        static_cast<uint8_t*>(y)[at] = to_code(value, f.zero_point);
      } else {
        static_cast<uint8_t*>(y)[at] = add_residual(to_code(value, f.zero_point), residual[at], f.own_ratio,
                                                    f.residual_ratio, f.offset);
      }
    }
  }
}

void widen(const uint8_t* halves, int64_t count, bool at_top, uint8_t* __restrict bytes) {
  const int down = at_top ? 0 : 4;
  for (int64_t at = 0; at < count; at += 64, bytes += 64, halves += 32) {
    for (int i = 0; i < 32; ++i) {
      bytes[i] = static_cast<uint8_t>(static_cast<int8_t>(halves[i] << 4) >> down);
      bytes[i + 32] = static_cast<uint8_t>(static_cast<int8_t>(halves[i] & 0xf0) >> down);
    }
  }
}

}  // namespace dqmq::portable
