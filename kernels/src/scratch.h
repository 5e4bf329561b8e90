// Memory that a thread keeps from call to call: a network's layers reuse the largest one's.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dqmq {

// At least `bytes` bytes, 64-byte aligned, the thread's own until its next call with the same `slot`. kSlack bytes
// behind them may be read, and written, too. Throws std::bad_alloc.
enum class Slot { kEncoded, kRows, kPanel, kCount };
uint8_t* scratch(Slot slot, size_t bytes);

constexpr size_t kSlack = 128;  // the longest read of any kernel past what it uses

}  // namespace dqmq
