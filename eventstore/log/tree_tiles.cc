#include "eventstore/log/tree_tiles.h"

#include <bit>

namespace mesh {

namespace {

/// How many hashes of a tile stand before those of `height` above its lowest.
constexpr size_t row_begin(unsigned height) { return 2 * kTileWidth - (2 * kTileWidth >> height); }

}  // namespace

TilePlace TilePlace::of(unsigned height, uint64_t index) {
  const unsigned row = height % kTileHeight;
  const uint64_t width = kTileWidth >> row;
  return {height / kTileHeight, index / width, row_begin(row) + index % width};
}

Digest tile_root(const Tile& tile) {
  return node_hash(tile[tile.size() - 2], tile[tile.size() - 1]);
}

Result<TreeTiles> TreeTiles::restore(uint64_t size, const LeafReader& leaf,
                                     const TileReader& tile) {
  TreeTiles out;
  for (unsigned level = 0; level * kTileHeight < 64 && size >> (level * kTileHeight) > 0; ++level) {
    const uint64_t nodes = size >> (level * kTileHeight);  // subtrees of the level's lowest height
    const uint64_t begin = nodes - nodes % kTileWidth;
    Tile& hashes = out.unfinished_.emplace_back();
    for (uint64_t i = 0; i < nodes % kTileWidth; ++i) {
      if (level == 0) {
        auto hash = leaf(begin + i);
        if (!hash) return std::unexpected(std::move(hash).error());
        hashes[i] = *hash;
      } else {
        auto below = tile(level - 1, begin + i);
        if (!below) return std::unexpected(std::move(below).error());
        hashes[i] = tile_root(*below);
      }
    }
    for (unsigned row = 1; row < kTileHeight; ++row)
      for (uint64_t i = 0; i < nodes % kTileWidth >> row; ++i)
        hashes[row_begin(row) + i] =
            node_hash(hashes[row_begin(row - 1) + 2 * i], hashes[row_begin(row - 1) + 2 * i + 1]);
  }
  std::vector<Digest> peaks;
  for (unsigned height = 64; height-- > 0;)
    if (size >> height & 1) peaks.push_back(out.at(TilePlace::of(height, (size >> height) - 1)));
  auto frontier = MerkleFrontier::restore(size, std::move(peaks));
  if (!frontier) return std::unexpected(std::move(frontier).error());
  out.frontier_ = std::move(*frontier);
  return out;
}

void TreeTiles::append(const Digest& leaf, const TileSink& completed) {
  frontier_.append(leaf, [&](unsigned height, uint64_t index, const Digest& hash) {
    const TilePlace place = TilePlace::of(height, index);
    if (unfinished_.size() <= place.level) unfinished_.resize(place.level + 1);
    Tile& tile = unfinished_[place.level];
    tile[place.offset] = hash;
    if (place.offset + 1 == tile.size()) completed(place.level, place.index, tile);
  });
}

bool TreeTiles::fills(unsigned height, uint64_t index) const {
  return height < 64 && index < frontier_.size() >> height;
}

bool TreeTiles::whole(unsigned level, uint64_t index) const {
  return fills((level + 1) * kTileHeight, index);
}

const Digest& TreeTiles::at(const TilePlace& place) const {
  MESH_ASSERT(place.level < unfinished_.size() && place.offset < unfinished_[place.level].size());
  return unfinished_[place.level][place.offset];
}

}  // namespace mesh
