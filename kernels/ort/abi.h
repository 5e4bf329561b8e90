// The part of onnxruntime's C interface that an operator library needs, declared by ourselves.
//
// The interface is stable: functions stand in a table to which releases only ever append, so that a function is known
// by its place. Places and types below hold for every onnxruntime from 1.17 on, one excepted that says so.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {
struct OrtStatus;
struct OrtSessionOptions;
struct OrtCustomOpDomain;
struct OrtKernelInfo;
struct OrtKernelContext;
struct OrtValue;
struct OrtTensorTypeAndShapeInfo;

struct OrtApi {
  void (*functions[1])();  // as many as the release has
};

struct OrtApiBase {
  const OrtApi* (*GetApi)(uint32_t version);  // null where this release is older than `version`
  const char* (*GetVersionString)();
};

// What onnxruntime asks of an operator; it keeps the pointer, and never writes.
struct OrtCustomOp {
  uint32_t version;  // of this struct
  void* (*CreateKernel)(const OrtCustomOp*, const OrtApi*, const OrtKernelInfo*);
  const char* (*GetName)(const OrtCustomOp*);
  const char* (*GetExecutionProviderType)(const OrtCustomOp*);  // null: the CPU
  int (*GetInputType)(const OrtCustomOp*, size_t index);
  size_t (*GetInputTypeCount)(const OrtCustomOp*);
  int (*GetOutputType)(const OrtCustomOp*, size_t index);
  size_t (*GetOutputTypeCount)(const OrtCustomOp*);
  void (*KernelCompute)(void* kernel, OrtKernelContext*);
  void (*KernelDestroy)(void* kernel);
  int (*GetInputCharacteristic)(const OrtCustomOp*, size_t index);
  int (*GetOutputCharacteristic)(const OrtCustomOp*, size_t index);
  int (*GetInputMemoryType)(const OrtCustomOp*, size_t index);
  int (*GetVariadicInputMinArity)(const OrtCustomOp*);
  int (*GetVariadicInputHomogeneity)(const OrtCustomOp*);
  int (*GetVariadicOutputMinArity)(const OrtCustomOp*);
  int (*GetVariadicOutputHomogeneity)(const OrtCustomOp*);
  OrtStatus* (*CreateKernelV2)(const OrtCustomOp*, const OrtApi*, const OrtKernelInfo*, void** kernel);
  OrtStatus* (*KernelComputeV2)(void* kernel, OrtKernelContext*);
  OrtStatus* (*InferOutputShape)(const OrtCustomOp*, void* context);
  int (*GetStartVersion)(const OrtCustomOp*);
  int (*GetEndVersion)(const OrtCustomOp*);
  size_t (*GetMayInplace)(int** inputs, int** outputs);
  void (*ReleaseMayInplace)(int* inputs, int* outputs);
  size_t (*GetAliasMap)(int** inputs, int** outputs);
  void (*ReleaseAliasMap)(int* inputs, int* outputs);
};
}

namespace dqmq::ort {

constexpr uint32_t kApiVersion = 17;         // onnxruntime 1.17
constexpr uint32_t kReferencesVersion = 24;  // 1.24: the first with ReferToTypeAndShape

// Element types of tensors.
constexpr int kFloat = 1, kUint8 = 2, kInt32 = 6;

// Codes of a status.
constexpr int kFail = 1, kInvalidArgument = 2;

// A function of the table: its place and its type.
template <size_t kPlace, typename Function>
struct Entry {
  static constexpr size_t place = kPlace;
  using Type = Function;
};

// clang-format off
using CreateStatus          = Entry<0, OrtStatus*(int code, const char* message)>;
using CreateCustomOpDomain  = Entry<26, OrtStatus*(const char* name, OrtCustomOpDomain**)>;
using AddToDomain           = Entry<27, OrtStatus*(OrtCustomOpDomain*, const OrtCustomOp*)>;
using AddDomainToOptions    = Entry<28, OrtStatus*(OrtSessionOptions*, OrtCustomOpDomain*)>;
using GetTensorMutableData  = Entry<51, OrtStatus*(OrtValue*, void**)>;
using GetElementType        = Entry<60, OrtStatus*(const OrtTensorTypeAndShapeInfo*, int*)>;
using GetDimensionsCount    = Entry<61, OrtStatus*(const OrtTensorTypeAndShapeInfo*, size_t*)>;
using GetDimensions         = Entry<62, OrtStatus*(const OrtTensorTypeAndShapeInfo*, int64_t*, size_t)>;
using GetTensorTypeAndShape = Entry<65, OrtStatus*(const OrtValue*, OrtTensorTypeAndShapeInfo**)>;
using GetFloat              = Entry<85, OrtStatus*(const OrtKernelInfo*, const char* name, float*)>;
using GetInt                = Entry<86, OrtStatus*(const OrtKernelInfo*, const char* name, int64_t*)>;
using GetString             = Entry<87, OrtStatus*(const OrtKernelInfo*, const char* name, char*, size_t*)>;
using GetInput              = Entry<90, OrtStatus*(const OrtKernelContext*, size_t index, const OrtValue**)>;
using GetOutput             = Entry<91, OrtStatus*(OrtKernelContext*, size_t, const int64_t*, size_t, OrtValue**)>;
using ReleaseStatus         = Entry<93, void(OrtStatus*)>;
using ReleaseTypeAndShape   = Entry<99, void(OrtTensorTypeAndShapeInfo*)>;
using GetFloats             = Entry<162, OrtStatus*(const OrtKernelInfo*, const char* name, float*, size_t*)>;
using GetInts               = Entry<163, OrtStatus*(const OrtKernelInfo*, const char* name, int64_t*, size_t*)>;
using HasSessionEntry       = Entry<237, OrtStatus*(const OrtSessionOptions*, const char* key, int* is_there)>;
using GetSessionEntry       = Entry<238, OrtStatus*(const OrtSessionOptions*, const char* key, char* value, size_t*)>;
using GetConstantInput      = Entry<249, OrtStatus*(const OrtKernelInfo*, size_t, int* is_constant, const OrtValue**)>;
using ParallelFor           = Entry<274, OrtStatus*(const OrtKernelContext*, void (*)(void*, size_t), size_t total,
                                                    size_t batches, void*)>;
using ReferToTypeAndShape   = Entry<414, OrtStatus*(const OrtValue*, int* type, const int64_t** shape, size_t* rank)>;
// clang-format on

}  // namespace dqmq::ort
