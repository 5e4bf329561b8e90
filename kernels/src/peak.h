// How fast this core multiplies bytes at best: what benchmarks hold kernels against.
#pragma once

#include "isa.h"

namespace dqmq {

// Thousand million 8-bit multiply-accumulates a second on the calling thread with the instructions of `isa`, nothing
// but multiplications on registers; 0 where no loop is written for it. Takes about 20 ms.
double int8_peak_gmacs(Isa isa);

}  // namespace dqmq
