// The growing edge of the Merkle tree, in pieces that can be stored: only it is kept in memory.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <vector>

#include "eventstore/model/merkle.h"

namespace mesh {

inline constexpr unsigned kTileHeight = 6;
inline constexpr uint64_t kTileWidth = 1 << kTileHeight;

/// All hashes below one node of height kTileHeight * (level + 1): 64 lowest ones, then 32, ... 2.
using Tile = std::array<Digest, 2 * kTileWidth - 2>;
/// Receives a tile that has just been completed.
using TileSink = std::function<void(unsigned level, uint64_t index, const Tile& tile)>;

/// Where the hash of a perfect subtree is kept.
struct TilePlace {
  unsigned level;  // of the tile
  uint64_t index;  // of the tile among those of its level
  size_t offset;   // in the tile
  static TilePlace of(unsigned height, uint64_t index);
};

/// The hash of the node above a whole tile.
Digest tile_root(const Tile& tile);

/// The frontier, and every tile that is not whole yet: at most 4 KiB for each factor of 64 in size.
/// A value; not thread-safe.
class TreeTiles {
 public:
  using LeafReader = std::function<Result<Digest>(uint64_t index)>;
  using TileReader = std::function<Result<Tile>(unsigned level, uint64_t index)>;

  TreeTiles() = default;
  /// The edge of a tree of `size` leaves, from its last leaves (at most 63) and whole tiles (at
  /// most 63 for each level). Errors: those of the readers.
  static Result<TreeTiles> restore(uint64_t size, const LeafReader& leaf, const TileReader& tile);

  void append(const Digest& leaf, const TileSink& completed);
  const MerkleFrontier& frontier() const { return frontier_; }

  /// Whether the tree fills that subtree.
  bool fills(unsigned height, uint64_t index) const;
  /// Whether that tile is whole, so that its hashes are with the sink's owner and not here.
  bool whole(unsigned level, uint64_t index) const;
  /// A hash of an unfinished tile. Requires fills() and not whole().
  const Digest& at(const TilePlace& place) const;

 private:
  MerkleFrontier frontier_;
  std::vector<Tile>
      unfinished_;  // by level; what lies beyond the size is left over and meaningless
};

}  // namespace mesh
