// Every way there is to compute a layer, and a record of those that tests went.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "case.h"
#include "kernel_set.h"

namespace dqmq::test {

// Of the instruction sets this CPU has, but for the reference.
std::vector<const KernelSet*> kernel_sets();

bool computes(const TileKernel& kernel, const Layer& layer);

// Calls `body` for each kernel of each set that can compute `layer`, whatever Conv::make prefers, then for what
// Conv::make makes of it at each level.
void each_conv(const Layer& layer, const std::function<void(const Conv&)>& body);

// Counts the path of `conv`, and names it should the program die.
void note(const Conv& conv);

// What the formulas of layer.h give.
std::vector<uint8_t> reference(const Case& c);

// Runs `conv` and fails, naming the case, unless it gives `expected` and writes nothing else.
void expect_equal(const Case& c, const Conv& conv, const std::vector<uint8_t>& expected, const Parallel& parallel);

// All paths against the reference.
void expect_all_equal(const Case& c, const Parallel& parallel = Serial());

// One kernel against the reference.
void expect_equal(const Case& c, const KernelSet& set, const TileKernel& kernel);

// Prints how many cases went each path since the last call; fails where a kernel of this CPU was never used. An
// instruction set that DQMQ_EXPECT_ISAS (names, commas between) lists must be there.
void expect_all_covered();

}  // namespace dqmq::test
