// The formulas of layer.h for 4 sums at a time; 16 where codes fill a register.
#include <arm_neon.h>

#include "kernels.h"

namespace dqmq::neon {
namespace {

struct Requantize {
  explicit Requantize(const Finish& f)
      : finish(f),
        shift(vdupq_n_s32(f.shift)),
        zero_point(vdupq_n_s16(static_cast<int16_t>(f.zero_point))),
        own_ratio(vdupq_n_f32(f.own_ratio)),
        residual_ratio(vdupq_n_f32(f.residual_ratio)),
        offset(vdupq_n_f32(f.offset)) {}

  // Of channels c .. c + 3.
  inline __attribute__((always_inline)) float32x4_t scaled(const int32_t* sums, int c) const {
    const int32x4_t acc = vaddq_s32(vshlq_s32(vld1q_s32(sums + c), shift), vld1q_s32(finish.bias + c));
    return vmulq_f32(vcvtq_f32_s32(acc), vld1q_f32(finish.factor + c));
  }

  // Of channels c .. c + 7. fcvtns rounds half to even, and all that follows saturates: no clamps are needed.
  inline __attribute__((always_inline)) uint8x8_t codes(const int32_t* sums, int c) const {
    const int32x4_t low = vcvtnq_s32_f32(scaled(sums, c)), high = vcvtnq_s32_f32(scaled(sums, c + 4));
    return vqmovun_s16(vqaddq_s16(vqmovn_high_s32(vqmovn_s32(low), high), zero_point));
  }

  // What is no number becomes 0, as it should.
  inline __attribute__((always_inline)) uint8x8_t with_residual(uint8x8_t own, uint8x8_t residual) const {
    const uint16x8_t mine = vmovl_u8(own), other = vmovl_u8(residual);
    const int32x4_t low = added(vmovl_u16(vget_low_u16(mine)), vmovl_u16(vget_low_u16(other)));
    const int32x4_t high = added(vmovl_high_u16(mine), vmovl_high_u16(other));
    return vqmovun_s16(vqmovn_high_s32(vqmovn_s32(low), high));
  }

  inline __attribute__((always_inline)) int32x4_t added(uint32x4_t own, uint32x4_t residual) const {
    const float32x4_t inner = vfmaq_f32(offset, vcvtq_f32_u32(residual), residual_ratio);
    return vcvtnq_s32_f32(vfmaq_f32(inner, vcvtq_f32_u32(own), own_ratio));
  }

  Finish finish;
  int32x4_t shift;
  int16x8_t zero_point;
  float32x4_t own_ratio, residual_ratio, offset;
};

// Codes c .. c + 7 of a row; `adds`: with 8 codes at `residual`.
template <bool adds>
inline __attribute__((always_inline)) uint8x8_t eight(const Requantize& requantize, const int32_t* sums, int c,
                                                      const uint8_t* residual) {
  const uint8x8_t own = requantize.codes(sums, c);
  if constexpr (!adds) return own;
  return requantize.with_residual(own, vld1_u8(residual));
}

template <bool adds>
void finish_codes(const Requantize& requantize, const int32_t* sums, int lanes, int rows, int channels,
                  const uint8_t* residual, uint8_t* y, int64_t pitch) {
  for (int row = 0; row < rows; ++row, sums += lanes, y += pitch, residual += adds ? pitch : 0) {
    int c = 0;
    for (; c + 16 <= channels; c += 16) {
      const uint8x8_t low = eight<adds>(requantize, sums, c, adds ? residual + c : nullptr);
      vst1q_u8(y + c, vcombine_u8(low, eight<adds>(requantize, sums, c + 8, adds ? residual + c + 8 : nullptr)));
    }
    for (; c + 8 <= channels; c += 8) vst1_u8(y + c, eight<adds>(requantize, sums, c, adds ? residual + c : nullptr));
    if (c == channels) continue;
    // what is left goes through memory of our own: sums, bias and factor are padded, codes are not
    uint8_t codes[8], others[8] = {};
    if constexpr (adds) {
      for (int i = 0; i < channels - c; ++i) others[i] = residual[c + i];
    }
    vst1_u8(codes, eight<adds>(requantize, sums, c, others));
    for (int i = 0; i < channels - c; ++i) y[c + i] = codes[i];
  }
}

void finish_numbers(const Requantize& requantize, const int32_t* sums, int lanes, int rows, int channels, float* y,
                    int64_t pitch) {
  for (int row = 0; row < rows; ++row, sums += lanes, y += pitch) {
    int c = 0;
    for (; c + 4 <= channels; c += 4) vst1q_f32(y + c, requantize.scaled(sums, c));
    if (c == channels) continue;
    float values[4];
    vst1q_f32(values, requantize.scaled(sums, c));
    for (int i = 0; i < channels - c; ++i) y[c + i] = values[i];
  }
}

}  // namespace

void finish(const Finish& f, const int32_t* sums, int lanes, int rows, int channels, const uint8_t* residual, void* y,
            int64_t pitch) {
  const Requantize requantize(f);
  switch (f.kind) {
    case OutputKind::kCodes:
      return finish_codes<false>(requantize, sums, lanes, rows, channels, residual, static_cast<uint8_t*>(y), pitch);
    case OutputKind::kResidual:
      return finish_codes<true>(requantize, sums, lanes, rows, channels, residual, static_cast<uint8_t*>(y), pitch);
    case OutputKind::kNumbers:
      return finish_numbers(requantize, sums, lanes, rows, channels, static_cast<float*>(y), pitch);
  }
}

}  // namespace dqmq::neon
