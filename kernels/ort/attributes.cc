#include "attributes.h"

namespace dqmq::ort {

void refuse(const std::string& message) { throw std::invalid_argument(message); }

std::string text(const Shape& numbers) {
  std::string all = "[";
  for (size_t i = 0; i < numbers.size(); ++i) all += (i ? ", " : "") + std::to_string(numbers[i]);
  return all + "]";
}

int64_t Reader::integer(const char* name, const int64_t* otherwise) const {
  int64_t value = 0;
  if (api_.succeeds<GetInt>(info_, name, &value)) return value;
  expect_absent(name, "an integer", otherwise != nullptr);
  return *otherwise;
}

Shape Reader::integers(const char* name, const Shape* otherwise) const {
  size_t size = 0;
  if (!api_.succeeds<GetInts>(info_, name, static_cast<int64_t*>(nullptr), &size)) {
    expect_absent(name, "integers", otherwise != nullptr);
    return *otherwise;
  }
  Shape values(size);
  if (size) api_.call<GetInts>(info_, name, values.data(), &size);
  return values;
}

void Reader::expect_absent(const char* name, const char* what, bool has_default) const {
  float number = 0;
  int64_t integer = 0;
  size_t sizes[3] = {};
  const bool is_there = api_.succeeds<GetInt>(info_, name, &integer) ||
                        api_.succeeds<GetFloat>(info_, name, &number) ||
                        api_.succeeds<GetString>(info_, name, static_cast<char*>(nullptr), &sizes[0]) ||
                        api_.succeeds<GetFloats>(info_, name, static_cast<float*>(nullptr), &sizes[1]) ||
                        api_.succeeds<GetInts>(info_, name, static_cast<int64_t*>(nullptr), &sizes[2]);
  if (is_there || !has_default) {
    refuse(std::string(name) + ": expected " + what + ", got " + (is_there ? "another type" : "none"));
  }
}

void expect_size(const char* name, const Shape& values, size_t size) {
  if (values.size() == size) return;
  refuse(std::string(name) + ": expected " + std::to_string(size) + " integers, got " + text(values));
}

void read_windows(const Reader& reader, const Shape& kernel, Geometry* geometry) {
  const Shape ones(2, 1), zeros(4, 0);
  const Shape strides = reader.integers("strides", &ones), dilations = reader.integers("dilations", &ones);
  const Shape pads = reader.integers("pads", &zeros);
  expect_size("strides", strides, 2);
  expect_size("dilations", dilations, 2);
  expect_size("pads", pads, 4);
  geometry->kernel_h = kernel[0], geometry->kernel_w = kernel[1];
  geometry->stride_h = strides[0], geometry->stride_w = strides[1];
  geometry->dilation_h = dilations[0], geometry->dilation_w = dilations[1];
  geometry->pad_top = pads[0], geometry->pad_left = pads[1];
  geometry->pad_bottom = pads[2], geometry->pad_right = pads[3];
}

}  // namespace dqmq::ort
