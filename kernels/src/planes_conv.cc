#include "planes_conv.h"
#include <limits>
namespace dqmq {
double planes_cost(const PlanesKernel&, const Layer&) { return std::numeric_limits<double>::infinity(); }
std::unique_ptr<Conv> make_planes(const Layer&, const KernelSet&) { return nullptr; }
}  // namespace dqmq
