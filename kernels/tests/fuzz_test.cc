// Nodes that no exporter would write, through the interface onnxruntime has: an error or the reference's result, no
// crash. The corpus is what a fuzzer found worth keeping (CMakeLists.txt tells how to run it); here it is replayed, and
// mutated.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include "fuzz_target.h"
#include "harness.h"
#include "node_bytes.h"

namespace dqmq::test {
namespace {

using Content = std::vector<uint8_t>;

// In the order of their names.
std::map<std::string, Content> corpus() {
  std::map<std::string, Content> files;
  for (const auto& entry : std::filesystem::directory_iterator(DQMQ_CORPUS)) {
    std::ifstream file(entry.path(), std::ios::binary);
    files[entry.path().filename()] = Content(std::istreambuf_iterator<char>(file), {});
  }
  return files;
}

struct Counts {
  int results = 0, refusals = 0;
};

void run(const Content& content, const std::string& what, std::map<std::string, Counts>* counts) {
  static const std::vector<std::string> levels = levels_to_run();
  const FakeNode node = decode(content.data(), content.size());
  const std::string words = what + ": " + describe(node);
  now_path("fuzz");
  now_case(words);
  std::string difference;
  const Outcome outcome = run_at_levels(node, levels, &difference);
  expect(difference.empty(), difference + ": " + words);
  ++(outcome.error.empty() ? (*counts)[node.op].results : (*counts)[node.op].refusals);
}

// Every operator must have given results and refusals, or the bytes have lost their meaning.
void expect_both(const std::map<std::string, Counts>& counts) {
  for (const char* op : {"QConv", "QConvAdd", "QLinear", "QLinearCodes"}) {
    const auto found = counts.find(op);
    const Counts count = found == counts.end() ? Counts{} : found->second;
    std::printf("  %s: %d results, %d refusals\n", op, count.results, count.refusals);
    expect(count.results > 0 && count.refusals > 0, std::string(op) + ": expected results and refusals");
  }
}

DQMQ_TEST(fuzz, the_corpus) {
  std::map<std::string, Counts> counts;
  for (const auto& [name, content] : corpus()) run(content, name, &counts);
  expect_both(counts);
}

DQMQ_TEST(fuzz, mutations_of_the_corpus) {
  const std::map<std::string, Content> files = corpus();
  std::map<std::string, Counts> counts;
  Random random(70);
  for (int i = 0; i < 6000; ++i) {
    auto file = files.begin();
    std::advance(file, random.from(0, static_cast<int64_t>(files.size()) - 1));
    Content content = file->second;
    for (int64_t changes = random.from(1, 4); changes > 0 && !content.empty(); --changes) {
      const auto at = random.from(0, static_cast<int64_t>(content.size()) - 1);
      switch (random.from(0, 3)) {
        case 0: content[static_cast<size_t>(at)] = static_cast<uint8_t>(random.bits()); break;
        case 1: content.insert(content.begin() + at, static_cast<uint8_t>(random.bits())); break;
        case 2: content.erase(content.begin() + at); break;
        default: content[static_cast<size_t>(at)] ^= static_cast<uint8_t>(1 << random.from(0, 7));
      }
    }
    if (drawn()) run(content, file->first + ", mutation " + std::to_string(i), &counts);
  }
}

DQMQ_TEST(fuzz, any_bytes) {
  std::map<std::string, Counts> counts;
  Random random(71);
  for (int i = 0; i < 2000; ++i) {
    Content content(static_cast<size_t>(random.from(0, 60)));
    for (uint8_t& byte : content) byte = static_cast<uint8_t>(random.bits());
    if (drawn()) run(content, "random bytes " + std::to_string(i), &counts);
  }
}

}  // namespace
}  // namespace dqmq::test
