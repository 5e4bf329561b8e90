// What the shared library offers: its operators to onnxruntime, and a few facts to whoever asks.
#include <array>
#include <climits>
#include <cstdio>
#include <map>
#include <mutex>
#include <string>

#include "../src/isa.h"
#include "../src/peak.h"
#include "kernel.h"
#include "picture_node.h"
#include "pool_node.h"
#include "switch.h"

#define DQMQ_EXPORT extern "C" __attribute__((visibility("default")))

namespace dqmq::ort {
namespace {

// onnxruntime's view of an operator: the struct it knows, and behind it what the operator is.
template <typename Op>
struct Registered : OrtCustomOp {
  const Op* op;
  bool has_references;  // of the onnxruntime that it is registered with

  static const Registered& self(const OrtCustomOp* op) { return *static_cast<const Registered*>(op); }
  static const Op& of(const OrtCustomOp* op) { return *self(op).op; }
};

// What all operators answer alike; `Node` is what runs.
template <typename Op, typename Node>
Registered<Op> registered(const Op& op, bool has_references) {
  using Self = Registered<Op>;
  Self made{};
  made.version = kApiVersion;
  made.op = &op;
  made.has_references = has_references;
  made.GetName = [](const OrtCustomOp* self) { return Self::of(self).name; };
  made.GetExecutionProviderType = [](const OrtCustomOp*) -> const char* { return nullptr; };
  made.GetOutputTypeCount = [](const OrtCustomOp*) -> size_t { return 1; };
  made.KernelDestroy = [](void* node) { delete static_cast<Node*>(node); };
  made.GetInputCharacteristic = [](const OrtCustomOp*, size_t) { return 0; };  // required
  made.GetOutputCharacteristic = made.GetInputCharacteristic;
  made.GetInputMemoryType = [](const OrtCustomOp*, size_t) { return 0; };  // memory of the CPU
  made.GetVariadicInputMinArity = [](const OrtCustomOp*) { return 0; };
  made.GetVariadicInputHomogeneity = made.GetVariadicInputMinArity;
  made.GetVariadicOutputMinArity = made.GetVariadicInputMinArity;
  made.GetVariadicOutputHomogeneity = made.GetVariadicInputMinArity;
  made.CreateKernelV2 = [](const OrtCustomOp* self, const OrtApi* table, const OrtKernelInfo* info, void** node) {
    const Op& op = Self::of(self);
    const Api api(table, Self::self(self).has_references);
    return api.guarded([&] {
      try {
        *node = new Node(api, info, op);
      } catch (const std::invalid_argument& error) {
        throw std::invalid_argument(std::string(op.name) + ": " + error.what());
      }
    });
  };
  made.KernelComputeV2 = [](void* node, OrtKernelContext* context) {
    return static_cast<const Node*>(node)->guarded_compute(context);
  };
  made.GetStartVersion = [](const OrtCustomOp*) { return 1; };
  made.GetEndVersion = [](const OrtCustomOp*) { return INT_MAX; };
  return made;
}

Registered<Operator> describe(const Operator& op, bool has_references) {
  Registered<Operator> made = registered<Operator, Kernel>(op, has_references);
  made.GetInputType = [](const OrtCustomOp*, size_t index) { return kFormals[index].type; };
  made.GetInputTypeCount = [](const OrtCustomOp* self) { return Registered<Operator>::of(self).inputs; };
  made.GetOutputType = [](const OrtCustomOp* self, size_t) {
    return Registered<Operator>::of(self).kind == OutputKind::kNumbers ? kFloat : kUint8;
  };
  return made;
}

Registered<PoolOperator> describe(const PoolOperator& op, bool has_references) {
  Registered<PoolOperator> made = registered<PoolOperator, PoolNode>(op, has_references);
  made.GetInputType = [](const OrtCustomOp*, size_t index) { return kPoolFormals[index].type; };
  made.GetInputTypeCount = [](const OrtCustomOp*) { return kPoolFormals.size(); };
  made.GetOutputType = [](const OrtCustomOp*, size_t) { return kUint8; };
  return made;
}

Registered<PictureOperator> describe(const PictureOperator& op, bool has_references) {
  Registered<PictureOperator> made = registered<PictureOperator, PictureNode>(op, has_references);
  made.GetInputType = [](const OrtCustomOp*, size_t index) { return kPictureFormals[index].type; };
  made.GetInputTypeCount = [](const OrtCustomOp* self) { return Registered<PictureOperator>::of(self).inputs; };
  made.GetOutputType = [](const OrtCustomOp*, size_t) { return kUint8; };
  return made;
}

// The 32 of onnxruntime 1.32.0. To ask for an interface that a release lacks would make it complain on standard error.
uint32_t minor_version(const OrtApiBase* base) {
  unsigned major = 0, minor = 0;
  return std::sscanf(base->GetVersionString(), "%u.%u", &major, &minor) == 2 && major == 1 ? minor : 0;
}

struct Operators {
  explicit Operators(bool has_references) {
    for (size_t i = 0; i < layers.size(); ++i) layers[i] = describe(kOperators[i], has_references);
    for (size_t i = 0; i < pools.size(); ++i) pools[i] = describe(kPoolOperators[i], has_references);
    for (size_t i = 0; i < pictures.size(); ++i) pictures[i] = describe(kPictureOperators[i], has_references);
  }

  std::array<Registered<Operator>, kOperators.size()> layers;
  std::array<Registered<PoolOperator>, kPoolOperators.size()> pools;
  std::array<Registered<PictureOperator>, kPictureOperators.size()> pictures;
};

// The domain ai.dqmq, made once for each onnxruntime in the process and never taken down: sessions refer to it, and the
// library stays loaded.
OrtCustomOpDomain* domain(const OrtApi* table, bool has_references) {
  static std::mutex mutex;
  static std::map<const OrtApi*, OrtCustomOpDomain*> domains;
  static const Operators with_references(true), without(false);
  const Operators& operators = has_references ? with_references : without;

  const std::lock_guard<std::mutex> lock(mutex);
  OrtCustomOpDomain*& made = domains[table];
  if (made == nullptr) {
    const Api api(table);
    OrtCustomOpDomain* fresh = nullptr;
    api.call<CreateCustomOpDomain>("ai.dqmq", &fresh);
    const auto add = [&](const OrtCustomOp& op) { api.call<AddToDomain>(fresh, &op); };
    for (const auto& each : operators.layers) add(each);
    for (const auto& each : operators.pools) add(each);
    for (const auto& each : operators.pictures) add(each);
    made = fresh;
  }
  return made;
}

}  // namespace
}  // namespace dqmq::ort

// The entry point by which every binding of onnxruntime registers a library of operators. Where it adds none, sessions
// run the functions that graphs bring along, on onnxruntime's own kernels.
DQMQ_EXPORT OrtStatus* RegisterCustomOps(OrtSessionOptions* options, const OrtApiBase* base) {
  using namespace dqmq::ort;
  const OrtApi* table = base->GetApi(kApiVersion);
  if (table == nullptr) {
    // a status can only be made by the interface that this release lacks; version 1 has stood there since the first
    return Api(base->GetApi(1)).plain<CreateStatus>(kFail, "the kernels of ai.dqmq need onnxruntime 1.17 or later");
  }
  return Api(table).guarded([&] {
    if (!is_switched_on(Api(table), options)) return;
    Api(table).call<AddDomainToOptions>(options, domain(table, minor_version(base) >= kReferencesVersion));
  });
}

// The instruction set that graphs run with, by its name in DQMQ_MAX_ISA; null where that variable names none.
DQMQ_EXPORT const char* dqmq_isa() {
  try {
    return dqmq::name(dqmq::best());
  } catch (...) {
    return nullptr;
  }
}

// What onnxruntime's own kernels use here and those of dqmq_isa() do not; null where there is no such thing. Then graphs
// are left to it, unless DQMQ_KERNELS=always.
DQMQ_EXPORT const char* dqmq_onnxruntimes_lead() {
  try {
    return dqmq::onnxruntimes_lead(dqmq::best());
  } catch (...) {
    return nullptr;
  }
}

// Names of the instruction sets that this CPU and this build have, from plain to fast, with spaces between them.
DQMQ_EXPORT const char* dqmq_available_isas() {
  try {
    static const std::string names = [] {
      std::string all;
      for (dqmq::Isa isa : dqmq::available()) all += (all.empty() ? "" : " ") + std::string(dqmq::name(isa));
      return all;
    }();
    return names.c_str();
  } catch (...) {
    return "";
  }
}

// What this core can do with 8-bit products at best, in GMAC/s, whatever the cap; 0 where no loop is written for it.
DQMQ_EXPORT double dqmq_int8_peak_gmacs() {
  try {
    return dqmq::int8_peak_gmacs(dqmq::available().back());
  } catch (...) {
    return 0;
  }
}

// The version of the package that this library was built for.
DQMQ_EXPORT const char* dqmq_version() { return DQMQ_VERSION; }
