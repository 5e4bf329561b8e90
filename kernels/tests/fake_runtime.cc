#include "fake_runtime.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <sstream>

#include "../ort/node.h"

// What the declarations of abi.h stand for here.
struct OrtStatus {
  int code;
  std::string message;
};
struct OrtTensorTypeAndShapeInfo {
  int type;
  std::vector<int64_t> shape;
};
struct OrtValue {
  int type = 0;
  std::vector<int64_t> shape;
  std::unique_ptr<dqmq::test::Guarded> memory;
  bool is_constant = false;
};
struct OrtKernelInfo {
  const dqmq::test::FakeNode* node;
  const std::vector<OrtValue>* values;
};
struct OrtKernelContext {
  const std::vector<OrtValue>* values;
  dqmq::test::Side side;
  OrtValue y;
};
struct OrtCustomOpDomain {
  std::map<std::string, const OrtCustomOp*> ops;
};
struct OrtSessionOptions {
  const OrtCustomOpDomain* domain = nullptr;
};

extern "C" OrtStatus* RegisterCustomOps(OrtSessionOptions* options, const OrtApiBase* base);
extern "C" const char* dqmq_available_isas();

namespace dqmq::test {
namespace {

using namespace dqmq::ort;

constexpr int64_t kMostOutputBytes = 1 << 18;  // more is more than this machine has, says the fake
constexpr size_t kPlaces = 420;
constexpr int kSomeError = 6;

// The operator broke a rule of its runtime: no exception, which it could take for one of its own.
[[noreturn]] void stop(const char* why) {
  std::fprintf(stderr, "%s\n", why);
  std::abort();
}

int alive = 0;  // statuses and descriptions of shapes that nobody has released

OrtStatus* error(const std::string& message) {
  ++alive;
  return new OrtStatus{kSomeError, message};
}

// The value of an attribute, or null where it is absent or of another type.
template <typename Value>
const Value* find(const OrtKernelInfo* info, const char* name) {
  for (const Attribute& each : info->node->attributes) {
    if (each.name == name) return std::get_if<Value>(&each.value);
  }
  return nullptr;
}

template <typename Value>
OrtStatus* get_one(const OrtKernelInfo* info, const char* name, Value* out) {
  const Value* value = find<Value>(info, name);
  if (value == nullptr) return error(std::string("no attribute ") + name);
  *out = *value;
  return nullptr;
}

// Several of them: how many where `out` is null, else all, for which there must be room.
template <typename Values, typename Value>
OrtStatus* get_many(const OrtKernelInfo* info, const char* name, Value* out, size_t* size) {
  const Values* values = find<Values>(info, name);
  if (values == nullptr) return error(std::string("no attribute ") + name);
  const size_t wanted = *size;
  *size = values->size();
  if (out == nullptr) return nullptr;
  if (wanted < values->size()) return error("not enough room");
  if (!values->empty()) std::memcpy(out, values->data(), values->size() * sizeof(Value));
  return nullptr;
}

int64_t element_size(int type) { return type == kUint8 || type == 3 ? 1 : 4; }

// The bytes of a tensor, unless they are more than there are.
bool fits(const std::vector<int64_t>& shape, int type, int64_t* bytes) {
  *bytes = element_size(type);
  for (int64_t size : shape) {
    if (size < 0 || __builtin_mul_overflow(*bytes, size, bytes)) return false;
  }
  return *bytes <= kMostOutputBytes;
}

OrtStatus* get_output(OrtKernelContext* context, size_t index, const int64_t* shape, size_t rank, OrtValue** out) {
  OrtValue& y = context->y;
  if (index != 0 || y.memory) stop("the output is asked for twice");
  y.shape.assign(shape, shape + rank);
  int64_t bytes = 0;
  if (!fits(y.shape, y.type, &bytes)) return error("out of memory");
  y.memory = std::make_unique<Guarded>(static_cast<size_t>(bytes), context->side);
  std::memset(y.memory->data(), 0xa5, static_cast<size_t>(bytes));
  *out = &y;
  return nullptr;
}

OrtStatus* get_constant_input(const OrtKernelInfo* info, size_t index, int* is_constant, const OrtValue** out) {
  const OrtValue& value = (*info->values).at(index);
  *is_constant = value.is_constant;
  *out = value.is_constant ? &value : nullptr;
  return nullptr;
}

OrtStatus* get_input(const OrtKernelContext* context, size_t index, const OrtValue** out) {
  const OrtValue& value = (*context->values).at(index);
  *out = value.memory ? &value : nullptr;
  return nullptr;
}

// Last task first: no order is promised.
OrtStatus* parallel_for(const OrtKernelContext*, void (*task)(void*, size_t), size_t total, size_t, void* argument) {
  for (size_t index = total; index-- > 0;) task(argument, index);
  return nullptr;
}

// The interface of onnxruntime 1.17, or of 1.24, which must not be asked for copies of shapes.
class Table {
 public:
  explicit Table(bool has_references) {
    for (auto& place : places_) place = [] { stop("a function is called that is not declared"); };
    put<CreateStatus>([](int code, const char* message) {
      ++alive;
      return new OrtStatus{code, message};
    });
    put<ReleaseStatus>([](OrtStatus* status) { --alive, delete status; });
    put<CreateCustomOpDomain>([](const char*, OrtCustomOpDomain** out) -> OrtStatus* {
      *out = new OrtCustomOpDomain;
      return nullptr;
    });
    put<AddToDomain>([](OrtCustomOpDomain* domain, const OrtCustomOp* op) -> OrtStatus* {
      domain->ops[op->GetName(op)] = op;
      return nullptr;
    });
    put<AddDomainToOptions>([](OrtSessionOptions* options, OrtCustomOpDomain* domain) -> OrtStatus* {
      options->domain = domain;
      return nullptr;
    });
    // whatever the level: ai.dqmq.kernels=always
    put<HasSessionEntry>([](const OrtSessionOptions*, const char*, int* is_there) -> OrtStatus* {
      *is_there = 1;
      return nullptr;
    });
    put<GetSessionEntry>([](const OrtSessionOptions*, const char*, char* value, size_t* size) -> OrtStatus* {
      *size = static_cast<size_t>(std::snprintf(value, *size, "always")) + 1;
      return nullptr;
    });
    put<GetTensorMutableData>([](OrtValue* value, void** out) -> OrtStatus* {
      *out = value->memory->data();
      return nullptr;
    });
    has_references ? put_references() : put_copies();
    put<GetInt>(get_one<int64_t>);
    put<GetFloat>(get_one<float>);
    put<GetString>(get_many<std::string, char>);
    put<GetInts>(get_many<std::vector<int64_t>, int64_t>);
    put<GetFloats>(get_many<std::vector<float>, float>);
    put<GetConstantInput>(get_constant_input);
    put<GetInput>(get_input);
    put<GetOutput>(get_output);
    put<ParallelFor>(parallel_for);
  }

  const OrtApi* api() const { return reinterpret_cast<const OrtApi*>(places_); }

 private:
  void put_references() {
    put<ReferToTypeAndShape>([](const OrtValue* value, int* type, const int64_t** shape, size_t* rank) -> OrtStatus* {
      *type = value->type, *shape = value->shape.data(), *rank = value->shape.size();
      return nullptr;
    });
  }

  void put_copies() {
    put<GetTensorTypeAndShape>([](const OrtValue* value, OrtTensorTypeAndShapeInfo** out) -> OrtStatus* {
      ++alive;
      *out = new OrtTensorTypeAndShapeInfo{value->type, value->shape};
      return nullptr;
    });
    put<ReleaseTypeAndShape>([](OrtTensorTypeAndShapeInfo* info) { --alive, delete info; });
    put<GetElementType>([](const OrtTensorTypeAndShapeInfo* info, int* out) -> OrtStatus* {
      *out = info->type;
      return nullptr;
    });
    put<GetDimensionsCount>([](const OrtTensorTypeAndShapeInfo* info, size_t* out) -> OrtStatus* {
      *out = info->shape.size();
      return nullptr;
    });
    put<GetDimensions>([](const OrtTensorTypeAndShapeInfo* info, int64_t* out, size_t rank) -> OrtStatus* {
      for (size_t axis = 0; axis < rank; ++axis) out[axis] = info->shape.at(axis);
      return nullptr;
    });
  }

  template <typename Entry>
  void put(typename Entry::Type* function) {
    static_assert(Entry::place < kPlaces);
    places_[Entry::place] = reinterpret_cast<void (*)()>(function);
  }

  void (*places_[kPlaces])();
};

template <bool has_references>
const OrtApi* api() {
  static const Table table(has_references);
  return table.api();
}

// An onnxruntime that has registered the library.
struct Runtime {
  const OrtApi* api;
  const OrtCustomOpDomain* domain;
};

Runtime registered(const OrtApiBase& base) {
  OrtSessionOptions options;
  if (RegisterCustomOps(&options, &base) != nullptr) stop("the library does not register");
  return {base.GetApi(kApiVersion), options.domain};
}

// An older one and a newer one by turns.
const Runtime& next_runtime() {
  static const Runtime runtimes[] = {registered({[](uint32_t) { return api<false>(); }, [] { return "1.17.3"; }}),
                                     registered({[](uint32_t) { return api<true>(); }, [] { return "1.24.0"; }})};
  static size_t runs = 0;
  return runtimes[runs++ % 2];
}

// The status of a call, released.
std::string message(OrtStatus* status) {
  if (status == nullptr) return "";
  const std::string text = status->message;
  if (text.empty()) stop("an error says nothing");
  --alive, delete status;
  return text;
}

std::vector<OrtValue> values_of(const FakeNode& node) {
  std::vector<OrtValue> values(node.inputs.size());
  for (size_t index = 0; index < values.size(); ++index) {
    const TensorData& data = node.inputs[index];
    if (data.type == 0) continue;
    values[index] = {data.type, data.shape, std::make_unique<Guarded>(data.bytes, node.side), data.is_constant};
  }
  return values;
}

// Parameters are not read after a kernel is made of them, which needs all of them.
void forbid_constants(std::vector<OrtValue>& values) {
  for (size_t index = 0; index < values.size(); ++index) {
    if (is_parameter(index) && !values[index].is_constant) return;
  }
  for (OrtValue& value : values) {
    if (value.is_constant) value.memory->forbid();
  }
}

}  // namespace

Outcome run(const FakeNode& node) {
  const Runtime& runtime = next_runtime();
  const OrtCustomOp* op = runtime.domain->ops.at(node.op);
  std::vector<OrtValue> values = values_of(node);
  alive = 0;
  Outcome outcome;
  void* kernel = nullptr;
  const OrtKernelInfo info{&node, &values};
  outcome.error = message(op->CreateKernelV2(op, runtime.api, &info, &kernel));
  if (outcome.error.empty()) {
    forbid_constants(values);
    OrtKernelContext context{&values, node.side, {}};
    context.y.type = op->GetOutputType(op, 0);
    outcome.error = message(op->KernelComputeV2(kernel, &context));
    if (outcome.error.empty()) {
      const OrtValue& y = context.y;
      if (!y.memory) stop("all is well, says the operator, but there is no output");
      outcome.shape = y.shape;
      outcome.y.assign(y.memory->data(), y.memory->data() + y.memory->size());
    }
    op->KernelDestroy(kernel);
  }
  if (alive != 0) stop("statuses or shapes are not released");
  return outcome;
}

std::vector<std::string> library_levels() {
  std::istringstream names(dqmq_available_isas());
  std::vector<std::string> levels;
  for (std::string name; names >> name;) levels.push_back(name);
  return levels;
}

}  // namespace dqmq::test
