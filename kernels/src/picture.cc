#include "picture.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "rounding.h"

namespace dqmq {
namespace {

constexpr int64_t kMostSum = (int64_t{1} << 24) / 255;  // of weights: sums of codes are exact in float32 below 2^24

struct Sorted {
  uint8_t low, middle, high;
};

inline Sorted sorted(uint8_t a, uint8_t b, uint8_t c) {
  const uint8_t below = std::min(a, b), above = std::max(a, b);
  const uint8_t low = std::min(below, c), rest = std::max(below, c);
  return {low, std::min(rest, above), std::max(rest, above)};
}

// The three codes above each other of every column, sorted.
void sort_columns(const uint8_t* above, const uint8_t* at, const uint8_t* below, int64_t count, uint8_t* __restrict low,
                  uint8_t* __restrict middle, uint8_t* __restrict high) {
  for (int64_t i = 0; i < count; ++i) {
    const Sorted three = sorted(above[i], at[i], below[i]);
    low[i] = three.low, middle[i] = three.middle, high[i] = three.high;
  }
}

// The median of nine is that of the largest low, the middle middle and the smallest high of three sorted columns.
void take_medians(const uint8_t* low, const uint8_t* middle, const uint8_t* high, int64_t channels, int64_t count,
                  uint8_t* __restrict y) {
  for (int64_t i = 0; i < count; ++i) {
    const int64_t j = i + channels, k = j + channels;
    const uint8_t largest = std::max(std::max(low[i], low[j]), low[k]);
    const uint8_t smallest = std::min(std::min(high[i], high[j]), high[k]);
    y[i] = sorted(largest, sorted(middle[i], middle[j], middle[k]).middle, smallest).middle;
  }
}

// Weighted sums of rows. Where they fit into 16 bits a vector holds twice as many, and multiplies them at once.
template <typename Sum>
void add_rows(const Areas::Part& part, const uint8_t* picture, int64_t width, Sum* __restrict sums) {
  std::fill(sums, sums + width, Sum{0});
  for (int64_t tap = 0; tap < part.count; ++tap) {
    const uint8_t* row = picture + (part.first + tap) * width;
    const Sum weight = static_cast<Sum>(part.weights[tap]);
    for (int64_t at = 0; at < width; ++at) sums[at] = static_cast<Sum>(sums[at] + weight * row[at]);
  }
}

// Weighted sums along a row.
template <typename Sum>
void add_columns(const Areas& columns, const Sum* sums, int64_t channels, int32_t* __restrict totals) {
  std::fill(totals, totals + columns.fewer() * channels, 0);
  for (int64_t column = 0; column < columns.fewer(); ++column, totals += channels) {
    const Areas::Part part = columns.part(column);
    const Sum* from = sums + part.first * channels;
    for (int64_t tap = 0; tap < part.count; ++tap) {
      for (int64_t channel = 0; channel < channels; ++channel) {
        totals[channel] += part.weights[tap] * static_cast<int32_t>(*from++);
      }
    }
  }
}

// The same for a picture's three colours, in half of the time.
template <typename Sum>
void add_colours(const Areas& columns, const Sum* sums, int32_t* __restrict totals) {
  for (int64_t column = 0; column < columns.fewer(); ++column, totals += 3) {
    const Areas::Part part = columns.part(column);
    const Sum* from = sums + part.first * 3;
    int32_t red = 0, green = 0, blue = 0;
    for (int64_t tap = 0; tap < part.count; ++tap, from += 3) {
      const int32_t weight = part.weights[tap];
      red += weight * from[0], green += weight * from[1], blue += weight * from[2];
    }
    totals[0] = red, totals[1] = green, totals[2] = blue;
  }
}

template <typename Sum>
void resize_with(const Resize& how, const Input& x, int64_t channels, uint8_t* y) {
  const int64_t in_row = x.w * channels, out_row = how.columns.fewer() * channels;
  std::vector<Sum> sums(static_cast<size_t>(in_row));
  std::vector<int32_t> totals(static_cast<size_t>(out_row));
  for (int64_t image = 0; image < x.n; ++image) {
    for (int64_t row = 0; row < how.rows.fewer(); ++row, y += out_row) {
      add_rows(how.rows.part(row), x.data + image * x.h * in_row, in_row, sums.data());
      if (channels == 3) {
        add_colours(how.columns, sums.data(), totals.data());
      } else {
        add_columns(how.columns, sums.data(), channels, totals.data());
      }
      for (int64_t at = 0; at < out_row; ++at) y[at] = to_code(static_cast<float>(totals[at]) / how.area, 0);
    }
  }
}

}  // namespace

Areas::Areas(const int32_t* weights, int64_t fewer, int64_t size) : size_(size) {
  for (int64_t at = 0; at < fewer; ++at, weights += size) {
    int64_t first = 0, last = size, sum = 0;
    while (first < last && weights[first] == 0) ++first;
    while (last > first && weights[last - 1] == 0) --last;
    first_.push_back(first);
    from_.push_back(static_cast<int64_t>(weights_.size()));
    weights_.insert(weights_.end(), weights + first, weights + last);
    for (int64_t pixel = first; pixel < last; ++pixel) {
      if (weights[pixel] < 0) throw std::invalid_argument("weights: expected whole numbers from 0, got a negative one");
      sum += weights[pixel];
    }
    highest_sum_ = std::max(highest_sum_, sum);
  }
  from_.push_back(static_cast<int64_t>(weights_.size()));
}

Areas::Part Areas::part(int64_t at) const {
  const auto index = static_cast<size_t>(at);
  return {first_[index], from_[index + 1] - from_[index], weights_.data() + from_[index]};
}

void check(const Resize& how) {
  int64_t sum = 0;
  const bool is_exact =
      !__builtin_mul_overflow(how.rows.highest_sum(), how.columns.highest_sum(), &sum) && sum <= kMostSum;
  if (!is_exact) throw std::invalid_argument("weights: expected an area of at most 65793 units, got more");
  if (!(how.area >= 1 && how.area >= static_cast<float>(sum))) {
    throw std::invalid_argument("area: expected the sum of weights or more, got " + std::to_string(how.area));
  }
}

void resize(const Resize& how, const Input& x, int64_t channels, uint8_t* y) {
  if (how.rows.highest_sum() <= 257) {
    resize_with<uint16_t>(how, x, channels, y);
  } else {
    resize_with<int32_t>(how, x, channels, y);
  }
}

void median(const Input& x, int64_t channels, uint8_t* y) {
  const int64_t width = x.w * channels, wide = width + 2 * channels;
  std::vector<uint8_t> scratch(static_cast<size_t>(3 * wide));
  uint8_t* const columns[3] = {scratch.data(), scratch.data() + wide, scratch.data() + 2 * wide};
  for (int64_t image = 0; image < x.n; ++image) {
    const uint8_t* picture = x.data + image * x.h * width;
    for (int64_t row = 0; row < x.h; ++row, y += width) {
      const auto line = [&](int64_t at) { return picture + std::min(std::max<int64_t>(at, 0), x.h - 1) * width; };
      sort_columns(line(row - 1), line(row), line(row + 1), width, columns[0] + channels, columns[1] + channels,
                   columns[2] + channels);
      for (uint8_t* column : columns) {  // the edges, once more
        std::copy(column + channels, column + 2 * channels, column);
        std::copy(column + width, column + width + channels, column + width + channels);
      }
      take_medians(columns[0], columns[1], columns[2], channels, width, y);
    }
  }
}

}  // namespace dqmq
