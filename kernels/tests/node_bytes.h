// Nodes from bytes: mostly sound ones, then bent. Few bytes decide much, so that a fuzzer finds its way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "fake_runtime.h"

namespace dqmq::test {

// Any bytes make a node; those that are missing count as 0. A byte each, in this order, unless said otherwise:
//
//     operator, weight bits | activation bits, groups, output channels, input channels,
//     kernel (height | width << 4), strides, dilations, pads (two bits each), N, H, W,
//     range of codes (kind, x_min, x_max, x_zp), output zero points (3), scales (4), what is constant, fill,
//     bends (count, then three bytes each: which attribute or tensor, how, by how much), a seed of the data (the rest)
FakeNode decode(const uint8_t* data, size_t size);

// One line.
std::string describe(const FakeNode& node);

}  // namespace dqmq::test
