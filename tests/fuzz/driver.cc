// Runs a fuzz target without libFuzzer: every file of a folder, each cut short, and mutations of it that are the
// same on every machine and in every run. Usage: fuzz_NAME FOLDER | FILE...
// On a crash the input is in fuzz-crash.bin in the working directory.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

#include "tests/fuzz/fuzz.h"

namespace {

namespace fs = std::filesystem;
using Input = std::vector<uint8_t>;

constexpr size_t kMutationsPerSeed = 10'000;
constexpr size_t kCutsPerSeed = 300;

Input current;
size_t runs = 0;

extern "C" void save_current(int signal) {
  const int file = open("fuzz-crash.bin", O_CREAT | O_TRUNC | O_WRONLY, 0600);
  if (file >= 0 && write(file, current.data(), current.size()) >= 0) close(file);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void run(Input input) {
  current = std::move(input);
  // A copy of the exact size on the heap: reading past it is seen by the address sanitizer.
  const Input exact(current.begin(), current.end());
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
  ++runs;
}

class Mutator {
 public:
  Mutator(const std::vector<Input>& seeds, uint64_t seed) : seeds_(seeds), random_(seed) {}

  Input mutate(Input input) {
    for (uint64_t left = 1 + below(4); left > 0; --left) step(input);
    return input;
  }

 private:
  uint64_t below(uint64_t bound) { return bound == 0 ? 0 : random_() % bound; }
  size_t place(const Input& input) { return static_cast<size_t>(below(input.size())); }

  void step(Input& input) {
    if (input.empty()) input.push_back(0);
    switch (below(6)) {
      case 0: input[place(input)] ^= static_cast<uint8_t>(1u << below(8)); break;
      case 1: input[place(input)] = static_cast<uint8_t>(random_()); break;
      case 2: overwrite(input); break;
      case 3: input.insert(input.begin() + static_cast<ptrdiff_t>(place(input)), 0); break;
      case 4: input.erase(input.begin() + static_cast<ptrdiff_t>(place(input))); break;
      case 5: splice(input); break;
    }
  }

  /// Offsets and lengths are 32 bits at multiples of four.
  void overwrite(Input& input) {
    static constexpr uint32_t kNumbers[] = {0,          1,          4,          8,         0x7f,
                                            0xffff,     0x7fffffff, 0x80000000, 0xfffffffc, 0xffffffff};
    const size_t at = place(input) & ~size_t{3};
    const uint32_t number = flag() ? kNumbers[below(std::size(kNumbers))] : static_cast<uint32_t>(below(input.size()));
    for (size_t i = 0; i < 4 && at + i < input.size(); ++i) input[at + i] = static_cast<uint8_t>(number >> (8 * i));
  }

  void splice(Input& input) {
    const Input& other = seeds_[below(seeds_.size())];
    const size_t from = place(other), to = place(input);
    const size_t length = std::min({static_cast<size_t>(below(64)), other.size() - from, input.size() - to});
    std::copy_n(other.begin() + static_cast<ptrdiff_t>(from), length, input.begin() + static_cast<ptrdiff_t>(to));
  }

  bool flag() { return below(2) == 1; }

  const std::vector<Input>& seeds_;
  std::mt19937_64 random_;
};

std::vector<fs::path> files_of(int count, char** arguments) {
  std::vector<fs::path> files;
  for (int i = 1; i < count; ++i) {
    if (fs::is_directory(arguments[i]))
      for (const auto& entry : fs::directory_iterator(arguments[i])) files.push_back(entry.path());
    else
      files.emplace_back(arguments[i]);
  }
  std::ranges::sort(files);
  return files;
}

}  // namespace

int main(int count, char** arguments) {
  for (int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) std::signal(signal, save_current);
  std::vector<Input> seeds;
  for (const fs::path& file : files_of(count, arguments)) {
    std::ifstream in(file, std::ios::binary);
    seeds.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  if (seeds.empty()) {
    std::fprintf(stderr, "usage: %s FOLDER | FILE...\n", arguments[0]);
    return 2;
  }
  for (size_t i = 0; i < seeds.size(); ++i) {
    run(seeds[i]);
    const size_t step = std::max<size_t>(1, seeds[i].size() / kCutsPerSeed);
    for (size_t size = 0; size < seeds[i].size(); size += step)
      run(Input(seeds[i].begin(), seeds[i].begin() + static_cast<ptrdiff_t>(size)));
    Mutator mutator(seeds, i);
    for (size_t n = 0; n < kMutationsPerSeed; ++n) run(mutator.mutate(seeds[i]));
  }
  std::printf("%zu seeds, %zu inputs\n", seeds.size(), runs);
  return 0;
}
