// Claim: the tree, its proofs and their checks are those of RFC 6962 and RFC 9162, and no changed
// proof passes. Method: the reference vectors of Certificate Transparency (8 leaves), then every
// size up to 70 against a direct transcription of the RFC's recursive definitions, then every kind
// of damage to every proof.
#include "eventstore/model/merkle.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "eventstore/model/crypto.h"

namespace mesh {
namespace {

constexpr uint64_t kSizeMax = 70;

Digest hex(std::string_view text) { return array_from_hex<Digest>(text).value(); }

/// A tree that keeps every perfect subtree, as the log does on disk.
struct StoredTree {
  MerkleFrontier frontier;
  std::map<std::pair<unsigned, uint64_t>, Digest> hashes;

  void append(const Digest& leaf) {
    frontier.append(leaf, [this](unsigned level, uint64_t index, const Digest& hash) {
      EXPECT_TRUE(hashes.emplace(std::pair(level, index), hash).second) << "told twice";
    });
  }
  HashReader reader() const {
    return [this](unsigned level, uint64_t index) -> Result<Digest> {
      const auto found = hashes.find({level, index});
      if (found == hashes.end()) return fail(Errc::not_found, "no such subtree");
      return found->second;
    };
  }
};

/// RFC 6962, 2.1, word by word.
Digest reference_root(std::span<const Digest> leaves) {
  if (leaves.empty()) return sha256({});
  if (leaves.size() == 1) return leaves[0];
  size_t k = 1;
  while (k * 2 < leaves.size()) k *= 2;
  return node_hash(reference_root(leaves.first(k)), reference_root(leaves.subspan(k)));
}

const std::vector<Digest>& numbered_leaves() {
  static const std::vector<Digest> leaves = [] {
    std::vector<Digest> out;
    for (uint64_t i = 0; i < kSizeMax; ++i)
      out.push_back(leaf_hash(as_bytes("leaf " + std::to_string(i))));
    return out;
  }();
  return leaves;
}

std::span<const Digest> first_leaves(uint64_t count) {
  return std::span(numbered_leaves()).first(count);
}

const StoredTree& numbered_tree() {
  static const StoredTree tree = [] {
    StoredTree out;
    for (const Digest& leaf : numbered_leaves()) out.append(leaf);
    return out;
  }();
  return tree;
}

std::vector<Digest> reference_leaves() {
  std::vector<Digest> out;
  for (const char* leaf : {"", "00", "10", "2021", "3031", "40414243", "5051525354555657",
                           "606162636465666768696a6b6c6d6e6f"})
    out.push_back(leaf_hash(from_hex(leaf).value()));
  return out;
}

TEST(Merkle, RootsOfTheReferenceTree) {
  const char* const roots[] = {"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                               "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                               "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
                               "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
                               "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
                               "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
                               "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
                               "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
                               "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};
  const auto leaves = reference_leaves();
  MerkleFrontier frontier;
  for (size_t size = 0; size <= leaves.size(); ++size) {
    if (size > 0) frontier.append(leaves[size - 1]);
    EXPECT_EQ(frontier.root(), hex(roots[size])) << size;
    EXPECT_EQ(merkle_root({leaves.begin(), leaves.begin() + static_cast<ptrdiff_t>(size)}),
              hex(roots[size]));
  }
}

TEST(Merkle, ProofsOfTheReferenceTree) {
  StoredTree tree;
  for (const Digest& leaf : reference_leaves()) tree.append(leaf);
  const auto read = tree.reader();
  EXPECT_EQ(inclusion_proof(0, 1, read).value(), std::vector<Digest>{});
  EXPECT_EQ(inclusion_proof(5, 8, read).value(),
            (std::vector{hex("bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"),
                         hex("ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"),
                         hex("d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7")}));
  EXPECT_EQ(inclusion_proof(2, 3, read).value(),
            std::vector{hex("fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125")});
  EXPECT_EQ(consistency_proof(1, 1, read).value(), std::vector<Digest>{});
  EXPECT_EQ(consistency_proof(6, 8, read).value(),
            (std::vector{hex("0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"),
                         hex("ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"),
                         hex("d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7")}));
  EXPECT_EQ(consistency_proof(2, 5, read).value(),
            (std::vector{hex("5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"),
                         hex("bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b")}));
}

TEST(Merkle, EverySizeHasTheRootOfTheDefinition) {
  MerkleFrontier frontier;
  for (uint64_t size = 0; size <= kSizeMax; ++size) {
    if (size > 0) frontier.append(numbered_leaves()[size - 1]);
    ASSERT_EQ(frontier.root(), reference_root(first_leaves(size))) << size;
    ASSERT_EQ(root_at(size, numbered_tree().reader()).value(), frontier.root()) << size;
    const auto restored = MerkleFrontier::restore(size, frontier.peaks());
    ASSERT_TRUE(restored);
    ASSERT_EQ(*restored, frontier);
    auto wrong = frontier.peaks();
    wrong.push_back(Digest{});
    ASSERT_EQ(MerkleFrontier::restore(size, wrong).error().code, Errc::corrupt);
  }
}

std::vector<std::vector<Digest>> damaged(const std::vector<Digest>& proof) {
  std::vector<std::vector<Digest>> out;
  for (size_t i = 0; i < proof.size(); ++i) {
    auto flipped = proof;
    flipped[i].bytes[i % Digest::kSize] ^= 0x10;
    out.push_back(flipped);
    auto dropped = proof;
    dropped.erase(dropped.begin() + static_cast<ptrdiff_t>(i));
    out.push_back(dropped);
    if (i > 0) {
      auto swapped = proof;
      std::swap(swapped[i - 1], swapped[i]);
      out.push_back(swapped);
    }
  }
  auto longer = proof;
  longer.push_back(leaf_hash(as_bytes("more")));
  out.push_back(longer);
  return out;
}

TEST(Merkle, EveryInclusionProofHoldsAndNoDamagedOneDoes) {
  const auto read = numbered_tree().reader();
  for (uint64_t size = 1; size <= kSizeMax; ++size) {
    const Digest root = reference_root(first_leaves(size));
    for (uint64_t index = 0; index < size; ++index) {
      const Digest& leaf = numbered_leaves()[index];
      const auto proof = inclusion_proof(index, size, read);
      ASSERT_TRUE(proof) << proof.error().message;
      ASSERT_TRUE(verify_inclusion(leaf, index, size, *proof, root)) << index << " of " << size;
      for (const auto& wrong : damaged(*proof))
        ASSERT_EQ(verify_inclusion(leaf, index, size, wrong, root).error().code, Errc::corrupt);
      ASSERT_FALSE(verify_inclusion(node_hash(leaf, leaf), index, size, *proof, root));
      ASSERT_FALSE(verify_inclusion(leaf, index, size, *proof, node_hash(root, root)));
      ASSERT_FALSE(verify_inclusion(leaf, index + size, size, *proof, root));
      if (size > 1) {
        ASSERT_FALSE(verify_inclusion(leaf, (index + 1) % size, size, *proof, root));
      }
    }
  }
}

TEST(Merkle, EveryConsistencyProofHoldsAndNoDamagedOneDoes) {
  const auto read = numbered_tree().reader();
  for (uint64_t size = 0; size <= kSizeMax; ++size) {
    const Digest root = reference_root(first_leaves(size));
    for (uint64_t old_size = 0; old_size <= size; ++old_size) {
      const Digest old_root = reference_root(first_leaves(old_size));
      const auto proof = consistency_proof(old_size, size, read);
      ASSERT_TRUE(proof) << proof.error().message;
      ASSERT_TRUE(verify_consistency(old_size, old_root, size, root, *proof))
          << old_size << " of " << size;
      for (const auto& wrong : damaged(*proof))
        ASSERT_EQ(verify_consistency(old_size, old_root, size, root, wrong).error().code,
                  Errc::corrupt);
      ASSERT_FALSE(verify_consistency(old_size, node_hash(root, root), size, root, *proof));
      if (old_size > 0) {
        ASSERT_FALSE(verify_consistency(old_size, old_root, size, node_hash(root, root), *proof));
      }
      ASSERT_FALSE(verify_consistency(size + 1, root, size, root, *proof));
    }
  }
}

TEST(Merkle, AProofOutsideTheTreeIsRefusedAndAReadErrorIsPassedOn) {
  const auto read = numbered_tree().reader();
  EXPECT_EQ(inclusion_proof(7, 7, read).error().code, Errc::usage);
  EXPECT_EQ(consistency_proof(8, 7, read).error().code, Errc::usage);
  EXPECT_EQ(inclusion_proof(0, kSizeMax * 4, read).error().code, Errc::not_found);
  EXPECT_EQ(consistency_proof(3, kSizeMax * 4, read).error().code, Errc::not_found);
}

TEST(Merkle, TheFrontierOfALargeTreeStaysSmall) {
  MerkleFrontier frontier;
  const Digest leaf = leaf_hash({});
  for (int i = 0; i < 100'000; ++i) frontier.append(leaf);
  EXPECT_EQ(frontier.size(), 100'000u);
  EXPECT_LE(frontier.peaks().size(), 17u);
}

}  // namespace
}  // namespace mesh
