#include "constants.h"

#include "table.h"

namespace dqmq {

Constants::Constants(const Layer& layer, const Codes& codes, Sums sums, int64_t lanes,
                     const std::function<int64_t(int64_t channel)>& lane_of)
    : finish_(make_finish(layer.output, sums.from_aligned ? 0 : 8 - layer.weight_bits)), bias_(static_cast<size_t>(lanes), 0),
      factor_(static_cast<size_t>(lanes), 0.0f) {
  const int less = layer.x_zero_point - sums.counted_from;
  const int64_t count = layer.geometry.codes_per_channel();
  const int8_t* code = codes.data();
  for (size_t channel = 0; channel < layer.bias.size(); ++channel) {
    uint32_t correction = 0;  // unsigned arithmetic wraps as int32 sums do
    for (int64_t i = 0; i < count; ++i, ++code) {
      correction += static_cast<uint32_t>((sums.from_tables ? lowest_product(*code) : 0) - less * *code);
    }
    const size_t lane = static_cast<size_t>(lane_of(static_cast<int64_t>(channel)));
    bias_[lane] = static_cast<int32_t>(static_cast<uint32_t>(layer.bias[channel]) + (correction << (8 - layer.weight_bits)));
    factor_[lane] = layer.output.factor[channel];
  }
}

Finish Constants::from(int64_t lane) const {
  Finish finish = finish_;
  finish.bias = bias_.data() + lane, finish.factor = factor_.data() + lane;
  return finish;
}

std::vector<Finish> Constants::panels(int64_t lanes) const {
  std::vector<Finish> all;
  for (int64_t lane = 0; lane < static_cast<int64_t>(bias_.size()); lane += lanes) all.push_back(from(lane));
  return all;
}

}  // namespace dqmq
