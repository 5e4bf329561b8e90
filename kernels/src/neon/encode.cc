// Encodes codes; the last vector of a run overlaps the one before, so that nothing beyond the run is touched.
#include <arm_neon.h>

#include "../each.h"
#include "../portable/kernels.h"
#include "kernels.h"

namespace dqmq::neon {
namespace {

// Less 128, where `flip` is 0x80.
void copy_clamped(const Encoder& e, const uint8_t* x, int64_t count, uint8_t flip, uint8_t* out) {
  const uint8x16_t lowest = vdupq_n_u8(e.x_min), highest = vdupq_n_u8(e.x_max), flips = vdupq_n_u8(flip);
  each(
      count,
      [&](int64_t i) { vst1q_u8(out + i, veorq_u8(vminq_u8(vmaxq_u8(vld1q_u8(x + i), lowest), highest), flips)); },
      [&](int64_t i) { out[i] = clamp(x[i], e.x_min, e.x_max) ^ flip; });
}

// Of one group of a pixel. A row of the table is 16 bytes: its offset is the pair's number times 16.
void to_pairs(const Encoder& e, const uint8_t* x, int64_t units, uint8_t* out) {
  const uint8x16_t lowest = vdupq_n_u8(e.x_min);
  const uint8x16_t range = vdupq_n_u8(static_cast<uint8_t>(e.x_max - e.x_min));
  const uint8_t* second = x + units;
  const int64_t full = e.channels - units;  // the last unit of an odd number of channels holds one code only
  each(
      full,
      [&](int64_t i) {
        const uint8x16_t a = vminq_u8(vqsubq_u8(vld1q_u8(x + i), lowest), range);
        const uint8x16_t b = vminq_u8(vqsubq_u8(vld1q_u8(second + i), lowest), range);
        const uint8x16x2_t offsets = {{vsliq_n_u8(vshlq_n_u8(a, 4), b, 6), vdupq_n_u8(0)}};
        vst2q_u8(out + 2 * i, offsets);
      },
      [&](int64_t i) {
        const int a = clamp(x[i], e.x_min, e.x_max) - e.x_min, b = clamp(second[i], e.x_min, e.x_max) - e.x_min;
        out[2 * i] = static_cast<uint8_t>(a << 4 | b << 6), out[2 * i + 1] = 0;
      });
  if (full < units) {
    out[2 * full] = static_cast<uint8_t>((clamp(x[full], e.x_min, e.x_max) - e.x_min) << 4), out[2 * full + 1] = 0;
  }
}

}  // namespace

void encode(const Encoder& e, const uint8_t* x, int64_t x_step, int64_t pixels, uint8_t* encoded) {
  const int64_t channels = e.groups * e.channels;
  const bool is_signed = e.encoding == Encoding::kSigned;
  if (e.encoding == Encoding::kPairs && e.table_row == 16) {
    const int64_t units = e.units();
    for (; pixels > 0; --pixels, x += x_step) {
      for (int64_t group = 0; group < e.groups; ++group, encoded += 2 * units) {
        to_pairs(e, x + group * e.channels, units, encoded);
      }
    }
  } else if (is_signed || e.encoding == Encoding::kBytes || e.encoding == Encoding::kDepthwise) {
    const uint8_t flip = is_signed ? 0x80 : 0;
    if (x_step == channels) return copy_clamped(e, x, channels * pixels, flip, encoded);
    for (; pixels > 0; --pixels, x += x_step, encoded += channels) copy_clamped(e, x, channels, flip, encoded);
  } else {
    portable::encode(e, x, x_step, pixels, encoded);
  }
}

}  // namespace dqmq::neon
