// Input: index:u64 size:u64 old_size:u64 (little-endian), leaf, root and old root, then the proof, 32 bytes each.
#include <algorithm>
#include <cstring>

#include "eventstore/model/merkle.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace mesh;

constexpr uint64_t kLeaves = 300;

/// A tree whose leaves are known, with every perfect subtree.
struct Tree {
  Tree() {
    for (uint64_t i = 0; i < kLeaves; ++i) {
      const std::string text = "leaf " + std::to_string(i);
      frontier.append(leaf_hash(as_bytes(text)), [this](unsigned level, uint64_t, const Digest& hash) {
        levels.resize(std::max<size_t>(levels.size(), level + 1));
        levels[level].push_back(hash);
      });
    }
  }
  HashReader reader() const {
    return [this](unsigned level, uint64_t index) -> Result<Digest> { return levels[level][index]; };
  }
  MerkleFrontier frontier;
  std::vector<std::vector<Digest>> levels;
};

uint64_t number_at(ByteView input, size_t at) {
  uint64_t out = 0;
  std::memcpy(&out, input.data() + at, sizeof out);
  return out;
}

/// What was proved honestly is believed, and nothing else: no other digest in its place, none left out, none more.
template <class Verify>
void expect_only(std::vector<Digest> proof, const Digest& other, uint64_t place, const Verify& verify) {
  MESH_ASSERT(verify(proof));
  auto longer = proof;
  longer.push_back(other);
  MESH_ASSERT(!verify(longer));
  if (proof.empty()) return;
  Digest& replaced = proof[place % proof.size()];
  if (replaced == other) return;
  replaced = other;
  MESH_ASSERT(!verify(proof));
  proof.pop_back();
  MESH_ASSERT(!verify(proof));
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Tree kTree;
  const ByteView input(data, size);
  constexpr size_t kNumbers = 3 * sizeof(uint64_t), kHead = kNumbers + 3 * Digest::kSize;
  if (input.size() < kHead) return 0;
  const uint64_t index = number_at(input, 0), tree_size = number_at(input, 8), old_size = number_at(input, 16);
  std::vector<Digest> digests;
  for (size_t at = kNumbers; at + Digest::kSize <= input.size(); at += Digest::kSize)
    digests.push_back(Digest::from(input.subspan(at, Digest::kSize)).value());
  const std::vector<Digest> proof(digests.begin() + 3, digests.end());
  (void)verify_inclusion(digests[0], index, tree_size, proof, digests[1]);
  (void)verify_consistency(old_size, digests[2], tree_size, digests[1], proof);

  const uint64_t whole = 2 + tree_size % (kLeaves - 1), part = 1 + old_size % (whole - 1), leaf = index % whole;
  const Digest root = root_at(whole, kTree.reader()).value(), old_root = root_at(part, kTree.reader()).value();
  expect_only(inclusion_proof(leaf, whole, kTree.reader()).value(), digests[0], old_size, [&](const auto& path) {
    return verify_inclusion(kTree.levels[0][leaf], leaf, whole, path, root).has_value();
  });
  expect_only(consistency_proof(part, whole, kTree.reader()).value(), digests[0], index, [&](const auto& path) {
    return verify_consistency(part, old_root, whole, root, path).has_value();
  });
  return 0;
}
