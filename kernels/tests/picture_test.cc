// Small pictures against one value at a time, with guard pages around every buffer.
#include "picture.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <stdexcept>

#include "guarded.h"
#include "harness.h"

namespace dqmq::test {
namespace {

struct Pictures {
  Pictures(Random& random, int64_t most)
      : n(random.from(1, 2)), h(random.from(1, most)), w(random.from(1, most)), channels(random.from(1, 4)),
        x(static_cast<size_t>(n * h * w * channels), random.once_in(2) ? Side::kStart : Side::kEnd) {
    for (size_t at = 0; at < x.size(); ++at) x.data()[at] = static_cast<uint8_t>(random.bits());
  }
  uint8_t at(int64_t image, int64_t row, int64_t column, int64_t channel) const {
    return x.data()[((image * h + row) * w + column) * channels + channel];
  }
  Input input() const { return {x.data(), n, h, w}; }

  int64_t n, h, w, channels;
  Guarded x;
};

using Value = std::function<uint8_t(int64_t image, int64_t row, int64_t column, int64_t channel)>;

void expect_values(const Guarded& y, const Pictures& pictures, int64_t height, int64_t width, const Value& value) {
  size_t wrong = 0;
  const uint8_t* found = y.data();
  for (int64_t image = 0; image < pictures.n; ++image) {
    for (int64_t row = 0; row < height; ++row) {
      for (int64_t column = 0; column < width; ++column) {
        for (int64_t c = 0; c < pictures.channels; ++c) wrong += *found++ != value(image, row, column, c);
      }
    }
  }
  expect(wrong == 0, std::to_string(wrong) + " of " + std::to_string(y.size()) + " values differ");
}

std::vector<int32_t> random_weights(Random& random, int64_t fewer, int64_t size) {
  std::vector<int32_t> weights(static_cast<size_t>(fewer * size));
  for (int32_t& weight : weights) weight = random.once_in(3) ? static_cast<int32_t>(random.from(0, 9)) : 0;
  return weights;
}

DQMQ_TEST(picture, every_median) {
  Random random(90);
  for (int round = 0; round < scaled(300); ++round) {
    now_case("median " + std::to_string(round));
    const Pictures pictures(random, random.once_in(9) ? 90 : 7);
    const Guarded y(pictures.x.size(), random.once_in(2) ? Side::kStart : Side::kEnd);
    median(pictures.input(), pictures.channels, y.data());
    expect_values(y, pictures, pictures.h, pictures.w, [&](int64_t image, int64_t row, int64_t column, int64_t channel) {
      std::vector<uint8_t> nine;
      for (int64_t down = -1; down <= 1; ++down) {
        for (int64_t across = -1; across <= 1; ++across) {
          const int64_t at_y = std::clamp<int64_t>(row + down, 0, pictures.h - 1);
          const int64_t at_x = std::clamp<int64_t>(column + across, 0, pictures.w - 1);
          nine.push_back(pictures.at(image, at_y, at_x, channel));
        }
      }
      std::sort(nine.begin(), nine.end());
      return nine[4];
    });
  }
}

DQMQ_TEST(picture, every_mean) {
  Random random(91);
  for (int round = 0; round < scaled(300); ++round) {
    now_case("areas " + std::to_string(round));
    const Pictures pictures(random, random.once_in(9) ? 60 : 9);
    const int64_t height = random.from(1, 9), width = random.from(1, 9);
    const std::vector<int32_t> rows = random_weights(random, height, pictures.h);
    const std::vector<int32_t> columns = random_weights(random, width, pictures.w);
    Resize how{Areas(rows.data(), height, pictures.h), Areas(columns.data(), width, pictures.w), 0};
    const int64_t sum = how.rows.highest_sum() * how.columns.highest_sum();
    how.area = static_cast<float>(std::max<int64_t>(1, sum + random.from(0, 1)));
    if (sum > 65793) continue;
    check(how);
    const Guarded y(static_cast<size_t>(pictures.n * height * width * pictures.channels),
                    random.once_in(2) ? Side::kStart : Side::kEnd);
    resize(how, pictures.input(), pictures.channels, y.data());
    expect_values(y, pictures, height, width, [&](int64_t image, int64_t row, int64_t column, int64_t channel) {
      int64_t total = 0;
      for (int64_t at_y = 0; at_y < pictures.h; ++at_y) {
        for (int64_t at_x = 0; at_x < pictures.w; ++at_x) {
          const int64_t weight = int64_t{rows[static_cast<size_t>(row * pictures.h + at_y)]} *
                                 columns[static_cast<size_t>(column * pictures.w + at_x)];
          total += weight * pictures.at(image, at_y, at_x, channel);
        }
      }
      return static_cast<uint8_t>(std::nearbyint(static_cast<float>(total) / how.area));
    });
  }
}

DQMQ_TEST(picture, refuses_weights_that_make_no_sense) {
  const auto refused = [](std::vector<int32_t> weights, float area) {
    try {
      const auto size = static_cast<int64_t>(weights.size());
      check({Areas(weights.data(), 1, size), Areas(weights.data(), 1, size), area});
    } catch (const std::invalid_argument&) {
      return true;
    }
    return false;
  };
  expect(!refused({1, 2}, 9), "expected weights of 3 by 3 to be taken");
  expect(refused({1, -1}, 9), "expected a negative weight to be refused");
  expect(refused({257, 0}, 70000), "expected sums beyond 2^24 to be refused");
  expect(refused({2147483647, 2147483647}, 3e38f), "expected huge weights to be refused");
  expect(refused({1, 2}, 8), "expected codes beyond 255 to be refused");
  expect(refused({0, 0}, 0), "expected a division by zero to be refused");
  expect(refused({1, 2}, std::nanf("")), "expected an area that is no number to be refused");
}

}  // namespace
}  // namespace dqmq::test
