// Not for the folders of instruction sets: an inline function may be linked as whichever of them compiled it last.
#pragma once

#include <cstdint>

namespace dqmq {

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace dqmq
