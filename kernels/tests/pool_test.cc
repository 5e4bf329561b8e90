// Average pools against one value at a time, with guard pages around every buffer.
#include "pool.h"

#include <stdexcept>

#include "guarded.h"
#include "harness.h"
#include "rounding.h"

namespace dqmq::test {
namespace {

uint8_t one_value(const Pool& pool, const Input& x, int64_t image, int64_t row, int64_t column, int64_t channel) {
  const Geometry& g = pool.geometry;
  const int64_t kernel_h = pool.is_global ? x.h : g.kernel_h, kernel_w = pool.is_global ? x.w : g.kernel_w;
  int64_t total = 0;
  for (int64_t ky = 0; ky < kernel_h; ++ky) {
    for (int64_t kx = 0; kx < kernel_w; ++kx) {
      const int64_t at_y = row * g.stride_h - g.pad_top + ky, at_x = column * g.stride_w - g.pad_left + kx;
      if (at_y < 0 || at_y >= x.h || at_x < 0 || at_x >= x.w) continue;
      total += x.data[((image * x.h + at_y) * x.w + at_x) * g.in_channels + channel] - pool.x_zero_point;
    }
  }
  const float factor = pool.x_scale / static_cast<float>(kernel_h * kernel_w) / pool.y_scale;
  return to_code(static_cast<float>(total) * factor, pool.y_zero_point);
}

DQMQ_TEST(pool, every_value) {
  Random random(80);
  for (int round = 0; round < scaled(400); ++round) {
    Pool pool;
    Geometry& g = pool.geometry;
    pool.is_global = random.once_in(4);
    const int64_t channel_counts[] = {1, 2, 3, 8, 17, 64, 515};
    g.in_channels = g.out_channels = g.groups = random.one_of(channel_counts);
    if (!pool.is_global) {
      g.kernel_h = random.from(1, 4), g.kernel_w = random.from(1, 4);
      g.stride_h = random.from(1, 3), g.stride_w = random.from(1, 3);
      g.pad_top = random.from(0, 2), g.pad_left = random.from(0, 2);
      g.pad_bottom = random.from(0, 2), g.pad_right = random.from(0, 2);
    }
    const int64_t n = random.from(1, 2);
    const int64_t h = pool.is_global && random.once_in(8) ? 300 : random.from(g.kernel_h, 9);  // beyond 257 rows, too
    const int64_t w = random.from(g.kernel_w, 9);
    pool.x_scale = 0.02f, pool.y_scale = static_cast<float>(random.from(1, 40)) / 1000;
    pool.x_zero_point = static_cast<int32_t>(random.from(0, 255));
    pool.y_zero_point = static_cast<int32_t>(random.from(0, 255));
    now_case("pool " + std::to_string(round));

    const int64_t out_h = pool.out_h(h), out_w = pool.out_w(w), channels = g.in_channels;
    const Side side = random.once_in(2) ? Side::kStart : Side::kEnd;
    const Guarded x(static_cast<size_t>(n * h * w * channels), side);
    const Guarded y(static_cast<size_t>(n * out_h * out_w * channels), side);
    for (size_t at = 0; at < x.size(); ++at) x.data()[at] = static_cast<uint8_t>(random.bits());
    const Input input{x.data(), n, h, w};
    average(pool, input, y.data());
    size_t wrong = 0;
    const uint8_t* found = y.data();
    for (int64_t image = 0; image < n; ++image) {
      for (int64_t row = 0; row < out_h; ++row) {
        for (int64_t column = 0; column < out_w; ++column) {
          for (int64_t c = 0; c < channels; ++c) wrong += *found++ != one_value(pool, input, image, row, column, c);
        }
      }
    }
    expect(wrong == 0, std::to_string(wrong) + " of " + std::to_string(y.size()) + " values differ");
  }
}

DQMQ_TEST(pool, refuses_sums_beyond_int32) {
  Pool pool;
  pool.is_global = true;
  uint8_t x = 0, y = 0;
  bool is_refused = false;
  try {
    average(pool, Input{&x, 1, int64_t{1} << 12, (int64_t{1} << 11) + 1}, &y);
  } catch (const std::invalid_argument&) {
    is_refused = true;
  }
  expect(is_refused, "expected a window of more than 2^23 codes to be refused");
}

}  // namespace
}  // namespace dqmq::test
