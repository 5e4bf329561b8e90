// Whether a session that registers the library gets its kernels.
#pragma once

#include "api.h"

namespace dqmq::ort {

// The environment's DQMQ_KERNELS and the session's entry "ai.dqmq.kernels" say it, the stronger word of the two:
//   off     no
//   always  yes
//   on      as where neither is set: unless onnxruntime's own kernels have a lead over ours on this CPU
// Throws std::invalid_argument where one of them, or DQMQ_MAX_ISA, has a value that means nothing.
bool is_switched_on(const Api& api, const OrtSessionOptions* options);

}  // namespace dqmq::ort
