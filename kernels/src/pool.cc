#include "pool.h"

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "rounding.h"

namespace dqmq {
namespace {

constexpr int64_t kMostCodes = int64_t{1} << 23;  // 2^23 codes of 8 bits: their sum is an int32
constexpr int64_t kBlock = 512;                   // sums that stay in the first cache

// Sums of `count` rows, none where it is negative, of `width` codes, `stride` apart. Up to 257 of them fit into 16 bits, which add twice as fast.
void sum_rows(const uint8_t* rows, int64_t count, int64_t stride, int64_t width, int32_t* sums) {
  uint16_t part[kBlock];
  for (int64_t first = 0; first < width; first += kBlock) {
    const int64_t size = std::min(kBlock, width - first);
    std::fill(sums + first, sums + first + size, 0);
    for (int64_t row = 0; row < count; row += 257) {
      std::fill(part, part + size, uint16_t{0});
      for (int64_t step = row; step < std::min(count, row + 257); ++step) {
        const uint8_t* codes = rows + step * stride + first;
        for (int64_t at = 0; at < size; ++at) part[at] = static_cast<uint16_t>(part[at] + codes[at]);
      }
      for (int64_t at = 0; at < size; ++at) sums[first + at] += part[at];
    }
  }
}

// Sums along a row of every window's columns.
void add_windows(const Geometry& g, const int32_t* sums, int64_t w, int64_t out_w, int64_t kernel_w, int32_t* totals) {
  const int64_t channels = g.in_channels;
  std::fill(totals, totals + out_w * channels, 0);
  for (int64_t tap = 0; tap < kernel_w; ++tap) {
    for (int64_t column = 0; column < out_w; ++column) {
      const int64_t from = column * g.stride_w - g.pad_left + tap;
      if (from < 0 || from >= w) continue;
      for (int64_t channel = 0; channel < channels; ++channel) {
        totals[column * channels + channel] += sums[from * channels + channel];
      }
    }
  }
}

// The same for windows of two columns side by side: how a network's picture is halved, in a quarter of the time.
template <int kChannels>
void add_pairs(const int32_t* sums, int64_t out_w, int32_t* totals) {
  for (int64_t column = 0; column < out_w; ++column, sums += 2 * kChannels, totals += kChannels) {
    for (int channel = 0; channel < kChannels; ++channel) totals[channel] = sums[channel] + sums[kChannels + channel];
  }
}

}  // namespace

void average(const Pool& pool, const Input& x, uint8_t* y) {
  const Geometry& g = pool.geometry;
  const int64_t channels = g.in_channels, out_h = pool.out_h(x.h), out_w = pool.out_w(x.w);
  const int64_t kernel_h = pool.is_global ? x.h : g.kernel_h, kernel_w = pool.is_global ? x.w : g.kernel_w;
  const int64_t size = kernel_h * kernel_w;
  if (size > kMostCodes) throw std::invalid_argument("expected windows of at most 2^23 codes, got more");
  const float factor = pool.x_scale / static_cast<float>(size) / pool.y_scale;

  const bool is_halved = kernel_w == 2 && g.stride_w == 2 && g.pad_left == 0 && 2 * out_w <= x.w;
  const int64_t in_row = x.w * channels, out_row = out_w * channels;
  std::vector<int32_t> scratch(static_cast<size_t>(in_row + out_row));
  int32_t* const sums = scratch.data();
  int32_t* const totals = sums + in_row;
  for (int64_t image = 0; image < x.n; ++image) {
    const uint8_t* picture = x.data + image * x.h * in_row;
    for (int64_t row = 0; row < out_h; ++row, y += out_row) {
      // first down the window, over whole rows of the picture, then across
      const int64_t top = row * g.stride_h - g.pad_top;
      const int64_t first_y = std::max<int64_t>(top, 0), last_y = std::min(top + kernel_h, x.h);
      sum_rows(picture + first_y * in_row, last_y - first_y, in_row, in_row, sums);
      const int32_t zeros = static_cast<int32_t>(std::max<int64_t>(last_y - first_y, 0)) * pool.x_zero_point;
      for (int64_t at = 0; at < in_row; ++at) sums[at] -= zeros;
      if (is_halved && channels == 3) {
        add_pairs<3>(sums, out_w, totals);
      } else {
        add_windows(g, sums, x.w, out_w, kernel_w, totals);
      }
      for (int64_t at = 0; at < out_row; ++at) {
        y[at] = to_code(static_cast<float>(totals[at]) * factor, pool.y_zero_point);
      }
    }
  }
}

}  // namespace dqmq
