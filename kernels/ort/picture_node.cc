#include "picture_node.h"

#include "attributes.h"

namespace dqmq::ort {
namespace {

Areas areas(const char* name, const Tensor& weights) {
  const bool is_matrix = weights.type == kInt32 && weights.shape.size() == 2;
  if (!is_matrix || weights.shape[0] < 1 || weights.shape[1] < 1) {
    refuse(std::string(name) + ": expected int32 [parts, pixels], got " + describe(weights.type, weights.shape));
  }
  return Areas(weights.as<int32_t>(), weights.shape[0], weights.shape[1]);
}

}  // namespace

PictureNode::PictureNode(const Api& api, const OrtKernelInfo* info, const PictureOperator& op) : api_(api), op_(op) {
  Parameters parameters;
  for (size_t index = 1; index < op.inputs; ++index) {
    parameters[index] = constant_of(api_, info, index);
    if (parameters[index].type == 0) return;
  }
  how_ = how_of(parameters);
  is_ready_ = true;
}

PictureNode::How PictureNode::how_of(const Parameters& parameters) const {
  How how;
  const auto number = [&](size_t index) { return scalar<float>(op_.formals[index].name, parameters[index], kFloat); };
  if (op_.kind == PictureKind::kResize) {
    how.resize = {areas("rows", parameters[1]), areas("columns", parameters[2]), number(3)};
    check(how.resize);
  } else if (op_.kind == PictureKind::kStandard) {
    how.standard = {number(1), number(2)};
    check(how.standard);
  }
  return how;
}

void PictureNode::compute(OrtKernelContext* context) const {
  const Tensor x = input_of(api_, context, 0);
  if (x.type != kUint8 || x.shape.size() != 4) refuse("x: expected uint8 [N, H, W, C], got " + describe(x.type, x.shape));
  if (is_ready_) return run(how_, x, context);
  Parameters parameters;
  for (size_t index = 1; index < op_.inputs; ++index) parameters[index] = input_of(api_, context, index);
  run(how_of(parameters), x, context);
}

void PictureNode::run(const How& how, const Tensor& x, OrtKernelContext* context) const {
  const dqmq::Input pictures{x.as<uint8_t>(), x.shape[0], x.shape[1], x.shape[2]};
  const int64_t channels = x.shape[3];
  Shape shape = x.shape;
  if (op_.kind == PictureKind::kResize) {
    const Areas &rows = how.resize.rows, &columns = how.resize.columns;
    if (pictures.h != rows.size() || pictures.w != columns.size()) {
      expect("x", x, kUint8, {pictures.n, rows.size(), columns.size(), channels});
    }
    shape = {pictures.n, rows.fewer(), columns.fewer(), channels};
  } else if (op_.kind == PictureKind::kStandard && pictures.n != 0 && count(shape) / pictures.n > kMostStandardValues) {
    refuse("x: expected pictures of at most " + std::to_string(kMostStandardValues) + " values, got " +
           describe(x.type, x.shape));
  }
  auto* const y = static_cast<uint8_t*>(output_of(api_, context, shape));
  if (count(shape) == 0) return;
  switch (op_.kind) {
    case PictureKind::kMedian: return median(pictures, channels, y);
    case PictureKind::kResize: return resize(how.resize, pictures, channels, y);
    case PictureKind::kStandard: return standardize(how.standard, pictures, channels, y);
  }
}

OrtStatus* PictureNode::guarded_compute(OrtKernelContext* context) const noexcept {
  return api_.guarded([&] { compute(context); });
}

}  // namespace dqmq::ort
