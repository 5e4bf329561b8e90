// Every way there is to compute a layer, and a record of those that tests went.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "case.h"
#include "kernel_set.h"

namespace dqmq::test {

// The instruction sets that this CPU has, up to DQMQ_MAX_ISA.
std::vector<Isa> levels();

// Their kernels, but for the reference.
std::vector<const KernelSet*> kernel_sets();

bool computes(const TileKernel& kernel, const Layer& layer);

// Each kernel of each set that can compute `layer`, whatever Conv::make prefers, then what Conv::make makes of it at
// each level.
std::vector<std::unique_ptr<Conv>> all_convs(const Layer& layer);

// Calls `body` for each of all_convs. All of them live meanwhile: none may take another's weights for its own.
void each_conv(const Layer& layer, const std::function<void(const Conv&)>& body);

// Counts the path of `conv`, and names it should the program die.
void note(const Conv& conv);

// What the formulas of layer.h give.
std::vector<uint8_t> reference(const Case& c);

// Runs `conv` and fails, naming the case, unless it gives `expected` and writes nothing else.
void expect_equal(const Case& c, const Conv& conv, const std::vector<uint8_t>& expected, const Parallel& parallel);

// All paths against the reference.
void expect_all_equal(const Case& c, const Parallel& parallel = Serial());

// One tile kernel against the reference.
void expect_equal(const Case& c, const KernelSet& set, const TileKernel& kernel);

// Prints how many cases went each path since the last call; fails where a kernel of levels() was never used. An
// instruction set that DQMQ_EXPECT_ISAS (names, commas between) lists must be among them.
void expect_all_covered();

}  // namespace dqmq::test
