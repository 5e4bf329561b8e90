#include "pool_node.h"

#include <cmath>

#include "attributes.h"

namespace dqmq::ort {

namespace {

using Parameters = std::array<Tensor, kPoolFormals.size()>;  // the first, x, is none

void take(const Parameters& parameters, Pool* pool) {
  pool->x_scale = scalar<float>("x_scale", parameters[1], kFloat);
  pool->x_zero_point = scalar<uint8_t>("x_zp", parameters[2], kUint8);
  pool->y_scale = scalar<float>("y_scale", parameters[3], kFloat);
  pool->y_zero_point = scalar<uint8_t>("y_zp", parameters[4], kUint8);
  if (!std::isfinite(pool->x_scale / pool->y_scale)) refuse("expected scales with a finite ratio, got others");
}

void read_pool_windows(const Reader& reader, Geometry* geometry) {
  const Shape kernel = reader.integers("kernel_shape", nullptr);
  expect_size("kernel_shape", kernel, 2);
  read_windows(reader, kernel, geometry);
  if (geometry->dilation_h != 1 || geometry->dilation_w != 1) refuse("dilations: expected [1, 1], got others");
  check_windows(*geometry);
}

}  // namespace

PoolNode::PoolNode(const Api& api, const OrtKernelInfo* info, const PoolOperator& op) : api_(api) {
  pool_.is_global = op.is_global;
  if (!op.is_global) read_pool_windows(Reader(api_, info), &pool_.geometry);
  Parameters parameters;
  for (size_t index = 1; index < parameters.size(); ++index) {
    parameters[index] = constant_of(api_, info, index);
    if (parameters[index].type == 0) return;
  }
  take(parameters, &pool_);
  is_ready_ = true;
}

void PoolNode::compute(OrtKernelContext* context) const {
  const auto input = [&](size_t index) { return input_of(api_, context, index); };
  Pool pool = pool_;
  if (!is_ready_) take({Tensor(), input(1), input(2), input(3), input(4)}, &pool);

  const Tensor x = input(0);
  if (x.type != kUint8 || x.shape.size() != 4) refuse("x: expected uint8 [N, H, W, C], got " + describe(x.type, x.shape));
  pool.geometry.in_channels = pool.geometry.out_channels = pool.geometry.groups = x.shape[3];
  const dqmq::Input pictures{x.as<uint8_t>(), x.shape[0], x.shape[1], x.shape[2]};
  check(pool.geometry, pictures);
  const bool has_pixels = pictures.h > 0 && pictures.w > 0;
  if (!has_pixels || pool.out_h(pictures.h) < 1 || pool.out_w(pictures.w) < 1) {
    refuse("x: expected pictures that the window fits into, got " + describe(x.type, x.shape));
  }

  const Shape shape = {pictures.n, pool.out_h(pictures.h), pool.out_w(pictures.w), x.shape[3]};
  void* const y = output_of(api_, context, shape);
  if (count(shape) != 0) average(pool, pictures, static_cast<uint8_t*>(y));
}

OrtStatus* PoolNode::guarded_compute(OrtKernelContext* context) const noexcept {
  return api_.guarded([&] { compute(context); });
}

}  // namespace dqmq::ort
