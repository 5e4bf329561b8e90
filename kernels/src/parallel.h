// Work shared out over somebody else's threads: onnxruntime's pool in a session, plain loops in tests.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace dqmq {

// Tasks of a call: enough to keep many threads busy to the end, few enough to cost nothing on one.
constexpr int64_t kMostTasks = 16, kTaskMacs = 1 << 18;
// So much is done before another thread has woken up.
constexpr int64_t kOneTaskMacs = 1 << 20;

// In how many tasks to share out `macs` multiply-accumulates that come in `pieces`.
inline int64_t tasks_for(int64_t macs, int64_t pieces) {
  return macs < kOneTaskMacs ? 1 : std::clamp<int64_t>(macs / kTaskMacs, 1, std::min(kMostTasks, pieces));
}

// Calls task(argument, i) once for every i in 0 .. count - 1, in any order, and returns when all are done.
class Parallel {
 public:
  using Task = void (*)(void* argument, size_t index);

  virtual ~Parallel() = default;
  virtual void operator()(size_t count, Task task, void* argument) const = 0;

  // The same for a callable: parallel.each(count, [&](size_t index) { ... }).
  template <typename Body>
  void each(size_t count, Body&& body) const {
    using Plain = std::remove_reference_t<Body>;
    if (count == 1) return body(0);
    (*this)(count, [](void* argument, size_t index) { (*static_cast<Plain*>(argument))(index); },
            const_cast<void*>(static_cast<const void*>(&body)));
  }
};

// One after the other, on the calling thread.
class Serial final : public Parallel {
 public:
  void operator()(size_t count, Task task, void* argument) const override {
    for (size_t index = 0; index < count; ++index) task(argument, index);
  }
};

}  // namespace dqmq
