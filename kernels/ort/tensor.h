// A tensor as its reader sees it: type, shape and bytes that somebody else owns.
#pragma once

#include <string>

#include "api.h"
#include "shape.h"

namespace dqmq::ort {

struct Tensor {
  int type = 0;
  Shape shape;
  const void* data = nullptr;

  template <typename Value>
  const Value* as() const {
    return static_cast<const Value*>(data);
  }
};

// Type, shape and data of `value`; of no type where `value` is null, an input left out.
Tensor read(const Api& api, const OrtValue* value);

// Input `index` of a call; the memory of its only output, of `shape`.
Tensor input_of(const Api& api, const OrtKernelContext* context, size_t index);
void* output_of(const Api& api, OrtKernelContext* context, const Shape& shape);

// Input `index` where it is a constant of the graph, else of no type.
Tensor constant_of(const Api& api, const OrtKernelInfo* info, size_t index);

// Product of `shape`; throws std::invalid_argument where it is negative or no int64.
int64_t count(const Shape& shape);

// "uint8 [3, 4]", "no tensor".
std::string describe(int type, const Shape& shape);

// `tensor` of that type and shape, or std::invalid_argument: "w: expected uint8 [3, 4], got float32 [3]".
void expect(const char* name, const Tensor& tensor, int type, const Shape& shape);

// The value of a tensor with one element, whatever its rank.
template <typename Value>
Value scalar(const char* name, const Tensor& tensor, int type) {
  if (tensor.type != type || count(tensor.shape) != 1) expect(name, tensor, type, {});
  return *tensor.as<Value>();
}

}  // namespace dqmq::ort
