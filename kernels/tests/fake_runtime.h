// As much of onnxruntime as a library of operators calls, and nothing that would stop a senseless node on its way: what
// no checker has seen reaches our operators here.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "guarded.h"

namespace dqmq::test {

struct Attribute {
  std::string name;
  std::variant<int64_t, std::vector<int64_t>, float, std::vector<float>, std::string> value;
};

struct TensorData {
  int type = 0;  // of onnxruntime; 0: no tensor
  std::vector<int64_t> shape;
  std::vector<uint8_t> bytes;
  bool is_constant = false;
};

struct FakeNode {
  std::string op;
  std::vector<Attribute> attributes;
  std::vector<TensorData> inputs;
  Side side = Side::kEnd;  // of each tensor, the end that lies flush against forbidden memory
};

// An error's text, or a tensor.
struct Outcome {
  std::string error;
  std::vector<int64_t> shape;
  std::vector<uint8_t> y;

  bool operator==(const Outcome& other) const {
    return error == other.error && shape == other.shape && y == other.y;
  }
};

// Makes the node with the registered operator, and runs it. Aborts where the operator breaks the rules: it leaks what
// it was given, or calls what it may not.
Outcome run(const FakeNode& node);

// Names of the instruction sets the library has, from plain to fast.
std::vector<std::string> library_levels();

}  // namespace dqmq::test
