// RFC 6962 Merkle tree over entry headers, SHA-256: leaf = H(0x00 || header), node = H(0x01 || left || right).
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "eventstore/model/ids.h"
#include "eventstore/model/result.h"

namespace mesh {

Digest leaf_hash(ByteView header);
Digest node_hash(const Digest& left, const Digest& right);

/// Receives the hash of a perfect subtree of height `level` at `index` of that level.
using HashSink = std::function<void(unsigned level, uint64_t index, const Digest& hash)>;

/// The right edge of the tree: enough to append and to know the root, O(log n) memory.
class MerkleFrontier {
 public:
  MerkleFrontier() = default;
  /// A frontier read back from a snapshot. Errors: corrupt when `peaks` does not fit `size`.
  static Result<MerkleFrontier> restore(uint64_t size, std::vector<Digest> peaks);

  void append(const Digest& leaf);
  /// The same, telling `created` every perfect subtree that the leaf completes, the leaf itself first.
  void append(const Digest& leaf, const HashSink& created);
  uint64_t size() const { return size_; }
  /// The root; of an empty tree it is SHA-256 of nothing (RFC 6962, 2.1).
  Digest root() const;
  /// Roots of the perfect subtrees, largest first: one for each bit that is set in size().
  const std::vector<Digest>& peaks() const { return peaks_; }
  bool operator==(const MerkleFrontier&) const = default;

 private:
  uint64_t size_ = 0;
  std::vector<Digest> peaks_;
};

/// Reads the hash of the perfect subtree of height `level` (leaves are level 0) at `index` of that level.
using HashReader = std::function<Result<Digest>(unsigned level, uint64_t index)>;

/// The root of the first `size` leaves of a stored tree. Errors: those of `read`.
Result<Digest> root_at(uint64_t size, const HashReader& read);
/// RFC 6962, 2.1.1: the audit path of leaf `index` (from 0) in the tree of `size` leaves.
/// Errors: usage (index is not in the tree), and those of `read`, which is called O(log size) times.
Result<std::vector<Digest>> inclusion_proof(uint64_t index, uint64_t size, const HashReader& read);
/// RFC 6962, 2.1.2: proof that the tree of `old_size` is a prefix of the tree of `size`; empty when
/// there is nothing to prove (0, or equal sizes). Errors: usage (old_size > size), and those of `read`.
Result<std::vector<Digest>> consistency_proof(uint64_t old_size, uint64_t size, const HashReader& read);

/// RFC 9162, 2.1.3.2 and 2.1.4.2. Errors: corrupt.
Status verify_inclusion(const Digest& leaf, uint64_t index, uint64_t size, const std::vector<Digest>& proof,
                        const Digest& root);
Status verify_consistency(uint64_t old_size, const Digest& old_root, uint64_t size, const Digest& root,
                          const std::vector<Digest>& proof);

/// Root over a list of leaves at once; for small lists (commit rows).
Digest merkle_root(const std::vector<Digest>& leaves);

}  // namespace mesh
