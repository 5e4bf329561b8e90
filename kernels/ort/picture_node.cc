#include "picture_node.h"

#include "attributes.h"

namespace dqmq::ort {
namespace {

using Parameters = std::array<Tensor, kPictureFormals.size()>;  // the first, x, is none

Areas areas(const char* name, const Tensor& weights) {
  const bool is_matrix = weights.type == kInt32 && weights.shape.size() == 2;
  if (!is_matrix || weights.shape[0] < 1 || weights.shape[1] < 1) {
    refuse(std::string(name) + ": expected int32 [parts, pixels], got " + describe(weights.type, weights.shape));
  }
  return Areas(weights.as<int32_t>(), weights.shape[0], weights.shape[1]);
}

Resize resize_of(const Parameters& parameters) {
  Resize how{areas("rows", parameters[1]), areas("columns", parameters[2]), scalar<float>("area", parameters[3], kFloat)};
  check(how);
  return how;
}

}  // namespace

PictureNode::PictureNode(const Api& api, const OrtKernelInfo* info, const PictureOperator& op)
    : api_(api), is_median_(op.inputs == 1) {
  Parameters parameters;
  for (size_t index = 1; index < op.inputs; ++index) {
    parameters[index] = constant_of(api_, info, index);
    if (parameters[index].type == 0) return;
  }
  if (!is_median_) resize_ = resize_of(parameters);
  is_ready_ = true;
}

void PictureNode::compute(OrtKernelContext* context) const {
  const Tensor x = input_of(api_, context, 0);
  if (x.type != kUint8 || x.shape.size() != 4) refuse("x: expected uint8 [N, H, W, C], got " + describe(x.type, x.shape));
  const dqmq::Input pictures{x.as<uint8_t>(), x.shape[0], x.shape[1], x.shape[2]};
  if (is_median_) {
    void* const y = output_of(api_, context, x.shape);
    if (count(x.shape) != 0) median(pictures, x.shape[3], static_cast<uint8_t*>(y));
    return;
  }

  Resize fresh;
  if (!is_ready_) {
    fresh = resize_of({Tensor(), input_of(api_, context, 1), input_of(api_, context, 2), input_of(api_, context, 3)});
  }
  const Resize& how = is_ready_ ? resize_ : fresh;
  if (pictures.h != how.rows.size() || pictures.w != how.columns.size()) {
    expect("x", x, kUint8, {pictures.n, how.rows.size(), how.columns.size(), x.shape[3]});
  }
  const Shape shape = {pictures.n, how.rows.fewer(), how.columns.fewer(), x.shape[3]};
  void* const y = output_of(api_, context, shape);
  if (count(shape) != 0) resize(how, pictures, x.shape[3], static_cast<uint8_t*>(y));
}

OrtStatus* PictureNode::guarded_compute(OrtKernelContext* context) const noexcept {
  return api_.guarded([&] { compute(context); });
}

}  // namespace dqmq::ort
