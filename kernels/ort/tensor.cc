#include "tensor.h"

#include <algorithm>
#include <memory>

namespace dqmq::ort {
namespace {

std::string type_name(int type) {
  switch (type) {
    case kFloat: return "float32";
    case kUint8: return "uint8";
    case kInt32: return "int32";
    default: return "element type " + std::to_string(type);
  }
}

void copy_shape(const Api& api, const OrtValue* value, Tensor* tensor) {
  OrtTensorTypeAndShapeInfo* info = nullptr;
  api.call<GetTensorTypeAndShape>(value, &info);
  const auto release = [&api](OrtTensorTypeAndShapeInfo* owned) { api.plain<ReleaseTypeAndShape>(owned); };
  const std::unique_ptr<OrtTensorTypeAndShapeInfo, decltype(release)> owner(info, release);
  api.call<GetElementType>(info, &tensor->type);
  size_t rank = 0;
  api.call<GetDimensionsCount>(info, &rank);
  tensor->shape = Shape(rank);
  api.call<GetDimensions>(info, tensor->shape.data(), rank);
}

// The same without memory that onnxruntime allocates for it: a quarter of what a node costs around its work.
void refer_to_shape(const Api& api, const OrtValue* value, Tensor* tensor) {
  const int64_t* shape = nullptr;
  size_t rank = 0;
  api.call<ReferToTypeAndShape>(value, &tensor->type, &shape, &rank);
  tensor->shape = Shape(rank);
  std::copy(shape, shape + rank, tensor->shape.begin());
}

}  // namespace

Tensor read(const Api& api, const OrtValue* value) {
  Tensor tensor;
  if (value == nullptr) return tensor;
  api.has_references() ? refer_to_shape(api, value, &tensor) : copy_shape(api, value, &tensor);
  void* data = nullptr;
  api.call<GetTensorMutableData>(const_cast<OrtValue*>(value), &data);
  tensor.data = data;
  return tensor;
}

Tensor input_of(const Api& api, const OrtKernelContext* context, size_t index) {
  const OrtValue* value = nullptr;
  api.call<GetInput>(context, index, &value);
  return read(api, value);
}

void* output_of(const Api& api, OrtKernelContext* context, const Shape& shape) {
  OrtValue* output = nullptr;
  api.call<GetOutput>(context, size_t{0}, shape.data(), shape.size(), &output);
  void* data = nullptr;
  api.call<GetTensorMutableData>(output, &data);
  return data;
}

Tensor constant_of(const Api& api, const OrtKernelInfo* info, size_t index) {
  int is_constant = 0;
  const OrtValue* value = nullptr;
  api.call<GetConstantInput>(info, index, &is_constant, &value);
  return is_constant ? read(api, value) : Tensor();
}

int64_t count(const Shape& shape) {
  int64_t product = 1;
  for (int64_t size : shape) {
    if (size < 0 || __builtin_mul_overflow(product, size, &product)) {
      throw std::invalid_argument("expected a shape that fits into memory, got " + describe(kUint8, shape));
    }
  }
  return product;
}

std::string describe(int type, const Shape& shape) {
  if (type == 0) return "no tensor";
  std::string text = type_name(type) + " [";
  for (size_t axis = 0; axis < shape.size(); ++axis) text += (axis ? ", " : "") + std::to_string(shape[axis]);
  return text + "]";
}

void expect(const char* name, const Tensor& tensor, int type, const Shape& shape) {
  if (tensor.type == type && tensor.shape == shape) return;
  throw std::invalid_argument(std::string(name) + ": expected " + describe(type, shape) + ", got " +
                              describe(tensor.type, tensor.shape));
}

}  // namespace dqmq::ort
