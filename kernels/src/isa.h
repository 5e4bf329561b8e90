// Instruction sets, and which of them this CPU has.
#pragma once

#include <string>
#include <vector>

namespace dqmq {

// From plain to fast. A level includes those before it on the same architecture.
//   kReference  the formulas of layer.h, written down as loops
//   kPortable   C++ without intrinsics
//   kAvx2       AVX2 and FMA
//   kAvxVnni    kAvx2 and AVX-VNNI
//   kAvx512     AVX-512 F, BW, DQ, VL, VBMI and VNNI
//   kNeon       aarch64 Advanced SIMD
//   kDotProd    kNeon and the dot product instructions (sdot)
enum class Isa { kReference, kPortable, kAvx2, kAvxVnni, kAvx512, kNeon, kDotProd };

// "reference", "portable", "avx2", "avxvnni", "avx512", "neon", "dotprod".
const char* name(Isa isa);

// The levels that this CPU has and this library was built with, from plain to fast.
std::vector<Isa> available();

// The fastest of available(), or the one DQMQ_MAX_ISA names if it is slower. A cap that is no level of this
// architecture throws std::invalid_argument, which names those that are.
Isa best();

// The instructions that this CPU has, onnxruntime's own int8 kernels use and those of `isa` do not, such as "AVX-512
// VNNI"; null where there are none.
const char* onnxruntimes_lead(Isa isa);

}  // namespace dqmq
