#include "switch.h"

#include <algorithm>
#include <cstdlib>
#include <string>

#include "../src/isa.h"

namespace dqmq::ort {
namespace {

constexpr const char* kVariable = "DQMQ_KERNELS";
constexpr const char* kSessionEntry = "ai.dqmq.kernels";

enum class Word { kOn, kAlways, kOff };  // from weak to strong

Word word(const char* where, const std::string& value) {
  if (value.empty() || value == "on") return Word::kOn;
  if (value == "always") return Word::kAlways;
  if (value == "off") return Word::kOff;
  throw std::invalid_argument(std::string(where) + ": expected on, off or always, got '" + value + "'");
}

Word word_of_environment() {
  const char* const value = std::getenv(kVariable);
  return word(kVariable, value == nullptr ? "" : value);
}

Word word_of_session(const Api& api, const OrtSessionOptions* options) {
  int is_there = 0;
  api.call<HasSessionEntry>(options, kSessionEntry, &is_there);
  if (!is_there) return Word::kOn;
  char value[64] = "";
  size_t size = sizeof value;
  const bool fits = api.succeeds<GetSessionEntry>(options, kSessionEntry, value, &size);
  return word(kSessionEntry, fits ? value : "a long text");
}

}  // namespace

bool is_switched_on(const Api& api, const OrtSessionOptions* options) {
  const Word strongest = std::max(word_of_environment(), word_of_session(api, options));
  if (strongest == Word::kOn) return onnxruntimes_lead(best()) == nullptr;
  return strongest == Word::kAlways;
}

}  // namespace dqmq::ort
