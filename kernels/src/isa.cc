#include "isa.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <stdexcept>

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace dqmq {
namespace {

#if defined(__x86_64__)

bool has_avxvnni() {
  // CPUID leaf 7, subleaf 1, EAX bit 4: GCC 12 has no name for it here
  unsigned a = 7, b = 0, c = 1, d = 0;
  __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  return (a >> 4 & 1) != 0;
}

bool has(Isa isa) {
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  switch (isa) {
    case Isa::kReference:
    case Isa::kPortable: return true;
    case Isa::kAvx2: return avx2;
#if defined(DQMQ_AVXVNNI)  // the compiler knows it: GCC from 11 on, Clang from 12 on
    case Isa::kAvxVnni: return avx2 && has_avxvnni();
#endif
    case Isa::kAvx512:
      return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni");
    default: return false;
  }
}

const char* lead(Isa isa) {
  __builtin_cpu_init();
  if (isa < Isa::kAvx512 && __builtin_cpu_supports("avx512vnni")) return "AVX-512 VNNI";
  if (isa < Isa::kAvxVnni && __builtin_cpu_supports("avx2") && has_avxvnni()) return "AVX-VNNI";
  return isa < Isa::kAvx2 ? "vector instructions" : nullptr;
}

#elif defined(__aarch64__)

bool has(Isa isa) {
  switch (isa) {
    case Isa::kReference:
    case Isa::kPortable:
    case Isa::kNeon: return true;
#if defined(__linux__)
    case Isa::kDotProd: return (getauxval(AT_HWCAP) >> 20 & 1) != 0;  // HWCAP_ASIMDDP
#elif defined(__APPLE__)
    case Isa::kDotProd: return true;
#endif
    default: return false;
  }
}

const char* lead(Isa isa) {
  if (isa < Isa::kDotProd && has(Isa::kDotProd)) return "dot product instructions";
  return isa < Isa::kNeon ? "vector instructions" : nullptr;
}

#else

bool has(Isa isa) { return isa == Isa::kReference || isa == Isa::kPortable; }

const char* lead(Isa isa) { return isa == Isa::kReference ? "optimised loops" : nullptr; }

#endif

constexpr Isa kAll[] = {Isa::kReference, Isa::kPortable, Isa::kAvx2,    Isa::kAvxVnni,
                        Isa::kAvx512,    Isa::kNeon,     Isa::kDotProd};

#if defined(__aarch64__)
constexpr Isa kOfThisKind[] = {Isa::kReference, Isa::kPortable, Isa::kNeon, Isa::kDotProd};
#elif defined(__x86_64__)
constexpr Isa kOfThisKind[] = {Isa::kReference, Isa::kPortable, Isa::kAvx2, Isa::kAvxVnni, Isa::kAvx512};
#else
constexpr Isa kOfThisKind[] = {Isa::kReference, Isa::kPortable};
#endif

Isa cap(const std::string& wanted) {
  std::string known;
  for (Isa isa : kOfThisKind) {
    if (wanted == name(isa)) return isa;
    known += std::string(known.empty() ? "" : ", ") + name(isa);
  }
  throw std::invalid_argument("DQMQ_MAX_ISA: expected one of " + known + ", got '" + wanted + "'");
}

}  // namespace

const char* name(Isa isa) {
  switch (isa) {
    case Isa::kReference: return "reference";
    case Isa::kPortable: return "portable";
    case Isa::kAvx2: return "avx2";
    case Isa::kAvxVnni: return "avxvnni";
    case Isa::kAvx512: return "avx512";
    case Isa::kNeon: return "neon";
    case Isa::kDotProd: return "dotprod";
  }
  return "unknown";
}

std::vector<Isa> available() {
  std::vector<Isa> found;
  std::copy_if(std::begin(kAll), std::end(kAll), std::back_inserter(found), has);
  return found;
}

Isa best() {
  const std::vector<Isa> found = available();
  const char* wanted = std::getenv("DQMQ_MAX_ISA");
  if (wanted == nullptr || *wanted == '\0') return found.back();
  const Isa highest = cap(wanted);
  Isa chosen = found.front();
  for (Isa isa : found) {
    if (isa <= highest) chosen = isa;
  }
  return chosen;
}

const char* onnxruntimes_lead(Isa isa) { return lead(isa); }

}  // namespace dqmq
