// A node made ready to run in a session.
#pragma once

#include <memory>

#include "../src/conv.h"
#include "node.h"

namespace dqmq::ort {

class Kernel {
 public:
  // Packs the weights, if they and all other parameters are constants of the graph. Throws std::invalid_argument where
  // the node makes no sense.
  Kernel(const Api& api, const OrtKernelInfo* info, const Operator& op);

  // May be called from several threads at once.
  void compute(OrtKernelContext* context) const;
  OrtStatus* guarded_compute(OrtKernelContext* context) const noexcept;

 private:
  Api api_;
  const Operator& op_;
  Attributes attributes_;
  std::unique_ptr<const Conv> conv_;  // null: parameters come with every call
};

}  // namespace dqmq::ort
