// What is true of any node: it gives an error or a result, and the same one at every level.
#pragma once

#include <string>

#include "fake_runtime.h"

namespace dqmq::test {

// What comes of the node at each of `levels`; `difference` says where one does not give what the first gives.
Outcome run_at_levels(const FakeNode& node, const std::vector<std::string>& levels, std::string* difference);

// Those of the library up to DQMQ_MAX_ISA.
std::vector<std::string> levels_to_run();

}  // namespace dqmq::test
