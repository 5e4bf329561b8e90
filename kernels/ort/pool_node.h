// An average pool made ready to run in a session.
#pragma once

#include <array>

#include "../src/pool.h"
#include "node.h"

namespace dqmq::ort {

struct PoolOperator {
  const char* name;
  bool is_global;
};

constexpr std::array<PoolOperator, 2> kPoolOperators = {{{"QAveragePool", false}, {"QGlobalAveragePool", true}}};

constexpr std::array<Formal, 5> kPoolFormals = {
    {{"x", kUint8}, {"x_scale", kFloat}, {"x_zp", kUint8}, {"y_scale", kFloat}, {"y_zp", kUint8}}};

class PoolNode {
 public:
  // Throws std::invalid_argument where the node makes no sense.
  PoolNode(const Api& api, const OrtKernelInfo* info, const PoolOperator& op);

  // May be called from several threads at once.
  OrtStatus* guarded_compute(OrtKernelContext* context) const noexcept;

 private:
  void compute(OrtKernelContext* context) const;

  Api api_;
  Pool pool_;
  bool is_ready_ = false;  // scales and zero points are constants of the graph, and in pool_
};

}  // namespace dqmq::ort
