// Attributes of a node by name.
#pragma once

#include "../src/layer.h"
#include "tensor.h"

namespace dqmq::ort {

[[noreturn]] void refuse(const std::string& message);

// "[1, 2]".
std::string text(const Shape& numbers);

// Reads attributes. One that is absent takes its default; one of another type is an error, not an absent one.
class Reader {
 public:
  Reader(const Api& api, const OrtKernelInfo* info) : api_(api), info_(info) {}

  // Null for `otherwise`: the attribute must be there.
  int64_t integer(const char* name, const int64_t* otherwise) const;
  Shape integers(const char* name, const Shape* otherwise) const;

 private:
  void expect_absent(const char* name, const char* what, bool has_default) const;

  const Api& api_;
  const OrtKernelInfo* info_;
};

void expect_size(const char* name, const Shape& values, size_t size);

// Strides, dilations and pads, each with the usual default, of windows of `kernel` values.
void read_windows(const Reader& reader, const Shape& kernel, Geometry* geometry);

}  // namespace dqmq::ort
