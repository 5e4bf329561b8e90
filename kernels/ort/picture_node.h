// What is done to a picture before a network sees it, made ready to run in a session.
#pragma once

#include <array>

#include "../src/picture.h"
#include "node.h"

namespace dqmq::ort {

enum class PictureKind { kMedian, kResize, kStandard };

constexpr size_t kMostPictureInputs = 4;

struct PictureOperator {
  const char* name;
  PictureKind kind;
  size_t inputs;
  std::array<Formal, kMostPictureInputs> formals;
};

constexpr std::array<PictureOperator, 3> kPictureOperators = {{
    {"MedianFilter", PictureKind::kMedian, 1, {{{"x", kUint8}}}},
    {"AreaResize", PictureKind::kResize, 4, {{{"x", kUint8}, {"rows", kInt32}, {"columns", kInt32}, {"area", kFloat}}}},
    {"Standardize", PictureKind::kStandard, 3, {{{"x", kUint8}, {"spread", kFloat}, {"most_gain", kFloat}}}},
}};

class PictureNode {
 public:
  // Throws std::invalid_argument where parameters that are constants of the graph make no sense.
  PictureNode(const Api& api, const OrtKernelInfo* info, const PictureOperator& op);

  // May be called from several threads at once.
  OrtStatus* guarded_compute(OrtKernelContext* context) const noexcept;

 private:
  // What the parameters say; those of the operator's kind.
  struct How {
    Resize resize;
    Standard standard{};
  };
  using Parameters = std::array<Tensor, kMostPictureInputs>;  // the first, x, is none

  How how_of(const Parameters& parameters) const;
  void compute(OrtKernelContext* context) const;
  void run(const How& how, const Tensor& x, OrtKernelContext* context) const;

  Api api_;
  const PictureOperator& op_;
  bool is_ready_ = false;  // parameters are constants of the graph, and in how_
  How how_;
};

}  // namespace dqmq::ort
