#include "kernel.h"

#include <atomic>
#include <string>

#include "../src/isa.h"
#include "file_pages.h"

namespace dqmq::ort {
namespace {

// Work on the session's own threads. What a task throws is kept, and thrown on the calling thread.
class SessionThreads final : public Parallel {
 public:
  SessionThreads(const Api& api, const OrtKernelContext* context) : api_(api), context_(context) {}

  void operator()(size_t count, Task task, void* argument) const override {
    Shared shared{task, argument, ATOMIC_FLAG_INIT, {}};
    api_.call<ParallelFor>(context_, &Shared::run, count, size_t{0}, static_cast<void*>(&shared));
    if (shared.error) std::rethrow_exception(shared.error);
  }

 private:
  struct Shared {
    Task task;
    void* argument;
    std::atomic_flag has_failed;
    std::exception_ptr error;

    static void run(void* shared, size_t index) noexcept {
      auto* self = static_cast<Shared*>(shared);
      try {
        self->task(self->argument, index);
      } catch (...) {
        if (!self->has_failed.test_and_set()) self->error = std::current_exception();
      }
    }
  };

  const Api& api_;
  const OrtKernelContext* context_;
};

std::unique_ptr<const Conv> make_conv(const Operator& op, const Attributes& attributes, const Tensors& inputs) {
  std::vector<uint8_t> rows;
  return Conv::make(make_layer(op, attributes, inputs, &rows), best());
}

// Pictures of a call, checked. A vector is a picture of one pixel.
dqmq::Input pictures(const Operator& op, const Geometry& geometry, const Tensor& x) {
  const size_t rank = op.is_conv ? 4 : 2;
  const bool fits = x.type == kUint8 && x.shape.size() == rank && x.shape.back() == geometry.in_channels;
  if (!fits) {
    const std::string channels = std::to_string(geometry.in_channels);
    throw std::invalid_argument("x: expected uint8 " + (op.is_conv ? "[N, H, W, " + channels : "[N, " + channels) +
                                "], got " + describe(x.type, x.shape));
  }
  if (!op.is_conv) return {x.as<uint8_t>(), x.shape[0], 1, 1};
  const dqmq::Input input{x.as<uint8_t>(), x.shape[0], x.shape[1], x.shape[2]};
  if (input.h < 1 || input.w < 1 || geometry.out_h(input.h) < 1 || geometry.out_w(input.w) < 1) {
    throw std::invalid_argument("x: expected pictures that the kernel fits into, got " + describe(x.type, x.shape));
  }
  return input;
}

}  // namespace

Kernel::Kernel(const Api& api, const OrtKernelInfo* info, const Operator& op)
    : api_(api), op_(op), attributes_(read_attributes(api_, info, op)) {
  Tensors inputs;
  for (size_t index = 0; index < op.inputs; ++index) {
    if (!is_parameter(index)) continue;
    inputs[index] = constant_of(api_, info, index);
    if (inputs[index].type == 0) return;
  }
  conv_ = make_conv(op, attributes_, inputs);
  drop_file_pages(inputs[kW].data, static_cast<size_t>(count(inputs[kW].shape)));
}

void Kernel::compute(OrtKernelContext* context) const {
  Tensors inputs;
  for (size_t index = 0; index < op_.inputs; ++index) {
    if (conv_ && is_parameter(index)) continue;
    inputs[index] = input_of(api_, context, index);
  }
  const std::unique_ptr<const Conv> made = conv_ ? nullptr : make_conv(op_, attributes_, inputs);
  const Conv& conv = conv_ ? *conv_ : *made;

  const Geometry& geometry = attributes_.geometry;
  const dqmq::Input x = pictures(op_, geometry, inputs[kX]);
  Shape shape = {x.n, geometry.out_channels};
  if (op_.is_conv) shape = {x.n, geometry.out_h(x.h), geometry.out_w(x.w), geometry.out_channels};
  const bool is_empty = count(shape) == 0;
  const bool has_residual = op_.kind == OutputKind::kResidual;
  if (has_residual) expect("r", inputs[kR], kUint8, shape);

  void* const y = output_of(api_, context, shape);
  if (is_empty) return;
  conv.run(x, has_residual ? inputs[kR].as<uint8_t>() : nullptr, y, SessionThreads(api_, context));
}

OrtStatus* Kernel::guarded_compute(OrtKernelContext* context) const noexcept {
  return api_.guarded([&] { compute(context); });
}

}  // namespace dqmq::ort
