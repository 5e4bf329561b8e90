// What makes a small picture of a large one, made ready to run in a session.
#pragma once

#include <array>

#include "../src/picture.h"
#include "node.h"

namespace dqmq::ort {

struct PictureOperator {
  const char* name;
  size_t inputs;  // the first of kPictureFormals
};

constexpr std::array<PictureOperator, 2> kPictureOperators = {{{"MedianFilter", 1}, {"AreaResize", 4}}};

constexpr std::array<Formal, 4> kPictureFormals = {
    {{"x", kUint8}, {"rows", kInt32}, {"columns", kInt32}, {"area", kFloat}}};

class PictureNode {
 public:
  // Throws std::invalid_argument where weights that are constants of the graph make no sense.
  PictureNode(const Api& api, const OrtKernelInfo* info, const PictureOperator& op);

  // May be called from several threads at once.
  OrtStatus* guarded_compute(OrtKernelContext* context) const noexcept;

 private:
  void compute(OrtKernelContext* context) const;

  Api api_;
  bool is_median_;
  bool is_ready_ = false;  // weights are constants of the graph, and in resize_
  Resize resize_;
};

}  // namespace dqmq::ort
