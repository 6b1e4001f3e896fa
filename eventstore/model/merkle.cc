#include "eventstore/model/merkle.h"

#include <fmt/format.h>

#include <bit>

#include "eventstore/model/crypto.h"

namespace mesh {

namespace {

/// The hash of leaves [begin, begin + count). Requires a range of the tree's own recursion: begin
/// is a multiple of the smallest power of two that is at least count.
Result<Digest> range_hash(uint64_t begin, uint64_t count, const HashReader& read) {
  if (std::has_single_bit(count)) {
    const auto level = static_cast<unsigned>(std::countr_zero(count));
    return read(level, begin >> level);
  }
  const uint64_t left_count = std::bit_floor(count);
  auto left = read(static_cast<unsigned>(std::countr_zero(left_count)), begin / left_count);
  if (!left) return left;
  auto right = range_hash(begin + left_count, count - left_count, read);
  if (!right) return right;
  return node_hash(*left, *right);
}

/// RFC 6962's k: the largest power of two smaller than `count` (count > 1).
uint64_t split(uint64_t count) { return std::bit_floor(count - 1); }

/// The siblings met while descending from the whole tree towards the subtree that ends the descent,
/// nearest sibling first, as proofs list them.
Result<std::vector<Digest>> sibling_hashes(
    const std::vector<std::pair<uint64_t, uint64_t>>& siblings, const HashReader& read) {
  std::vector<Digest> proof;
  proof.reserve(siblings.size());
  for (auto it = siblings.rbegin(); it != siblings.rend(); ++it) {
    auto hash = range_hash(it->first, it->second, read);
    if (!hash) return std::unexpected(std::move(hash).error());
    proof.push_back(*hash);
  }
  return proof;
}

Digest empty_root() { return sha256({}); }

std::unexpected<Error> bad_proof(std::string what) { return fail(Errc::corrupt, std::move(what)); }

}  // namespace

Digest leaf_hash(ByteView header) { return Sha256().add(uint8_t{0}).add(header).finish(); }

Digest node_hash(const Digest& left, const Digest& right) {
  uint8_t joined[1 + 2 * Digest::kSize];
  joined[0] = 1;
  std::memcpy(joined + 1, left.bytes.data(), Digest::kSize);
  std::memcpy(joined + 1 + Digest::kSize, right.bytes.data(), Digest::kSize);
  return sha256(joined);
}

Result<MerkleFrontier> MerkleFrontier::restore(uint64_t size, std::vector<Digest> peaks) {
  if (peaks.size() != static_cast<size_t>(std::popcount(size)))
    return fail(Errc::corrupt,
                fmt::format("a Merkle frontier of {} leaves has {} peaks, expected {}", size,
                            peaks.size(), std::popcount(size)));
  MerkleFrontier out;
  out.size_ = size;
  out.peaks_ = std::move(peaks);
  return out;
}

void MerkleFrontier::append(const Digest& leaf) {
  append(leaf, [](unsigned, uint64_t, const Digest&) {});
}

void MerkleFrontier::append(const Digest& leaf, const HashSink& created) {
  Digest hash = leaf;
  unsigned level = 0;
  created(level, size_, hash);
  for (uint64_t rest = size_; rest & 1; rest >>= 1) {
    hash = node_hash(peaks_.back(), hash);
    peaks_.pop_back();
    created(++level, rest >> 1, hash);
  }
  peaks_.push_back(hash);
  ++size_;
}

Digest MerkleFrontier::root() const {
  if (peaks_.empty()) return empty_root();
  Digest hash = peaks_.back();
  for (size_t i = peaks_.size() - 1; i-- > 0;) hash = node_hash(peaks_[i], hash);
  return hash;
}

Result<Digest> root_at(uint64_t size, const HashReader& read) {
  if (size == 0) return empty_root();
  return range_hash(0, size, read);
}

Result<std::vector<Digest>> inclusion_proof(uint64_t index, uint64_t size, const HashReader& read) {
  if (index >= size)
    return fail(Errc::usage, fmt::format("there is no leaf {} in a tree of {}", index, size));
  std::vector<std::pair<uint64_t, uint64_t>> siblings;  // first leaf, number of leaves
  uint64_t begin = 0;
  for (uint64_t count = size; count > 1;) {
    const uint64_t left = split(count);
    if (index - begin < left) {
      siblings.emplace_back(begin + left, count - left);
      count = left;
    } else {
      siblings.emplace_back(begin, left);
      begin += left;
      count -= left;
    }
  }
  return sibling_hashes(siblings, read);
}

Result<std::vector<Digest>> consistency_proof(uint64_t old_size, uint64_t size,
                                              const HashReader& read) {
  if (old_size > size)
    return fail(Errc::usage,
                fmt::format("a tree of {} leaves has no prefix of {}", size, old_size));
  if (old_size == 0 || old_size == size) return std::vector<Digest>{};
  std::vector<std::pair<uint64_t, uint64_t>> siblings;
  uint64_t begin = 0;
  uint64_t count = size;
  bool at_left_edge = true;  // RFC 6962's b: the old root itself is known to the verifier
  while (old_size - begin != count) {
    const uint64_t left = split(count);
    if (old_size - begin <= left) {
      siblings.emplace_back(begin + left, count - left);
      count = left;
    } else {
      siblings.emplace_back(begin, left);
      begin += left;
      count -= left;
      at_left_edge = false;
    }
  }
  if (!at_left_edge) siblings.emplace_back(begin, count);
  return sibling_hashes(siblings, read);
}

Status verify_inclusion(const Digest& leaf, uint64_t index, uint64_t size,
                        const std::vector<Digest>& proof, const Digest& root) {
  if (index >= size)
    return bad_proof(fmt::format("inclusion proof for leaf {} of a tree of {}", index, size));
  uint64_t node = index;
  uint64_t last = size - 1;
  Digest hash = leaf;
  for (const Digest& sibling : proof) {
    if (last == 0) return bad_proof("inclusion proof is too long");
    if ((node & 1) || node == last) {
      hash = node_hash(sibling, hash);
      for (; !(node & 1) && node != 0; node >>= 1) last >>= 1;
    } else {
      hash = node_hash(hash, sibling);
    }
    node >>= 1;
    last >>= 1;
  }
  if (last != 0) return bad_proof("inclusion proof is too short");
  if (hash != root)
    return bad_proof(fmt::format("inclusion proof of leaf {} does not lead to the root", index));
  return {};
}

Status verify_consistency(uint64_t old_size, const Digest& old_root, uint64_t size,
                          const Digest& root, const std::vector<Digest>& proof) {
  if (old_size > size)
    return bad_proof(fmt::format("consistency proof from {} leaves down to {}", old_size, size));
  if (old_size == 0 || old_size == size) {
    if (!proof.empty()) return bad_proof("consistency proof is too long");
    if (old_root != (old_size == 0 ? empty_root() : root))
      return bad_proof(fmt::format("two different roots for {} leaves", old_size));
    return {};
  }
  uint64_t node = old_size - 1;
  uint64_t last = size - 1;
  for (; node & 1; node >>= 1) last >>= 1;
  auto next_hash = proof.begin();
  if (!std::has_single_bit(old_size) && next_hash == proof.end())
    return bad_proof("consistency proof is too short");
  Digest old_hash = std::has_single_bit(old_size) ? old_root : *next_hash++;
  Digest hash = old_hash;
  for (; next_hash != proof.end(); ++next_hash) {
    if (last == 0) return bad_proof("consistency proof is too long");
    if ((node & 1) || node == last) {
      old_hash = node_hash(*next_hash, old_hash);
      hash = node_hash(*next_hash, hash);
      for (; !(node & 1) && node != 0; node >>= 1) last >>= 1;
    } else {
      hash = node_hash(hash, *next_hash);
    }
    node >>= 1;
    last >>= 1;
  }
  if (last != 0) return bad_proof("consistency proof is too short");
  if (old_hash != old_root)
    return bad_proof(fmt::format("the first {} leaves are not those seen before", old_size));
  if (hash != root)
    return bad_proof(fmt::format("consistency proof does not lead to the root of {}", size));
  return {};
}

Digest merkle_root(const std::vector<Digest>& leaves) {
  MerkleFrontier frontier;
  for (const Digest& leaf : leaves) frontier.append(leaf);
  return frontier.root();
}

}  // namespace mesh
