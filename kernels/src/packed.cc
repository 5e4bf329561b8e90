#include "packed.h"

#include <cstring>
#include <map>
#include <mutex>
#include <tuple>

#include "pages.h"

namespace dqmq {
namespace {

// Two independent 64-bit hashes: enough to tell weight tensors apart that are not made to collide.
std::pair<uint64_t, uint64_t> hash(const uint8_t* data, size_t size) {
  uint64_t a = 0x9e3779b97f4a7c15u ^ size, b = 0xc2b2ae3d27d4eb4fu + size;
  const auto mix = [&](uint64_t word) {
    a = (a ^ word) * 0xff51afd7ed558ccdu;
    a ^= a >> 32;
    b = (b + word) * 0xc4ceb9fe1a85ec53u;
    b ^= b >> 29;
  };
  for (; size >= 8; data += 8, size -= 8) {
    uint64_t word;
    std::memcpy(&word, data, 8);
    mix(word);
  }
  uint64_t last = 0;
  std::memcpy(&last, data, size);
  mix(last);
  return {a, b};
}

using Key = std::tuple<std::string, uint64_t, uint64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int>;

Key key_of(const Layer& layer, const std::string& layout) {
  const Geometry& g = layer.geometry;
  const auto [a, b] = hash(layer.weights, layer.weights_size);
  // dilated rows are not one segment: what kernels read lies in another order
  return {layout,     a,          b,          g.in_channels, g.out_channels,
          g.groups,   g.kernel_h, g.kernel_w, g.dilation_w,  layer.weight_bits};
}

}  // namespace

Packed::Packed(size_t size) : size_((size + 63) / 64 * 64) { data_ = allocate_pages(size_); }

Packed::~Packed() { free_pages(data_, size_); }

std::shared_ptr<const Packed> packed_weights(const Layer& layer, const std::string& layout,
                                             const std::function<std::shared_ptr<Packed>()>& make) {
  // Never destroyed: sessions may outlive static destructors.
  static auto& known = *new std::map<Key, std::weak_ptr<const Packed>>;
  static auto& lock = *new std::mutex;
  const Key key = key_of(layer, layout);
  const std::lock_guard<std::mutex> guard(lock);
  std::weak_ptr<const Packed>& entry = known[key];
  if (auto packed = entry.lock()) return packed;
  for (auto other = known.begin(); other != known.end();) {
    other = other->first != key && other->second.expired() ? known.erase(other) : std::next(other);
  }
  std::shared_ptr<const Packed> packed = make();
  entry = packed;
  return packed;
}

}  // namespace dqmq
