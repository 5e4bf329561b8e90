// Runs of kernels `along_rows`: which units of a panel share a run, and in what order.
#pragma once

#include <cstdint>
#include <vector>

namespace dqmq {

struct UnitRuns {
  std::vector<uint32_t> order;    // [segments][units]: a unit of the segment, each of them once
  std::vector<uint32_t> lengths;  // of the runs, in units; one may go on in the next segment
};

// As few runs as are easily found. `highest`: [segments][units][lanes], the most that a unit adds to a byte sum.
UnitRuns unit_runs(const std::vector<uint8_t>& highest, int64_t segments, int64_t units, int lanes);

}  // namespace dqmq
