// The formulas of layer.h, written down as loops: what every faster path must equal, and the last resort.
#pragma once

#include <memory>

#include "../conv.h"

namespace dqmq {

std::unique_ptr<Conv> make_reference(const Layer& layer);

}  // namespace dqmq
