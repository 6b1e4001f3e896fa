// An ordered map that costs little to copy: a state of ten thousand nodes is copied for every job,
// and for every request of several commands.
#pragma once

#include <algorithm>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace mesh {

/// Entries ascend by key, in chunks of at most kChunkEntries that copies share: copying costs one
/// reference per chunk, a change clones one chunk when it is shared. Threads may hold copies of one
/// map while the owner changes its own. References and iterators hold until the map they came from
/// changes. K orders by < and, for lookups, with whatever find() is given.
template <class K, class V>
class SharedMap {
 public:
  using key_type = K;
  using mapped_type = V;
  using value_type = std::pair<K, V>;

  class const_iterator {
   public:
    using iterator_category = std::bidirectional_iterator_tag;
    using value_type = SharedMap::value_type;
    using difference_type = std::ptrdiff_t;
    using pointer = const value_type*;
    using reference = const value_type&;

    const_iterator() = default;
    reference operator*() const { return (*map_->chunks_[chunk_])[at_]; }
    pointer operator->() const { return &**this; }
    const_iterator& operator++() {
      if (++at_ == map_->chunks_[chunk_]->size()) ++chunk_, at_ = 0;
      return *this;
    }
    const_iterator& operator--() {
      if (at_ == 0) at_ = map_->chunks_[--chunk_]->size();
      --at_;
      return *this;
    }
    const_iterator operator++(int) { return std::exchange(*this, std::next(*this)); }
    const_iterator operator--(int) { return std::exchange(*this, std::prev(*this)); }
    bool operator==(const const_iterator&) const = default;

   private:
    friend class SharedMap;
    const_iterator(const SharedMap* map, size_t chunk, size_t at)
        : map_(map), chunk_(chunk), at_(at) {}
    const SharedMap* map_ = nullptr;
    size_t chunk_ = 0;  // one past the last chunk at the end
    size_t at_ = 0;
  };
  using iterator = const_iterator;
  using const_reverse_iterator = std::reverse_iterator<const_iterator>;

  SharedMap() = default;
  SharedMap(const SharedMap&) = default;
  SharedMap& operator=(const SharedMap&) = default;
  SharedMap(SharedMap&& other) noexcept
      : chunks_(std::move(other.chunks_)), size_(std::exchange(other.size_, 0)) {}
  SharedMap& operator=(SharedMap&& other) noexcept {
    chunks_ = std::exchange(other.chunks_, {});
    size_ = std::exchange(other.size_, 0);
    return *this;
  }

  const_iterator begin() const { return {this, 0, 0}; }
  const_iterator end() const { return {this, chunks_.size(), 0}; }
  const_reverse_iterator rbegin() const { return const_reverse_iterator(end()); }
  const_reverse_iterator rend() const { return const_reverse_iterator(begin()); }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  /// The first entry whose key is not less than `key`.
  template <class Key>
  const_iterator lower_bound(const Key& key) const {
    auto chunk = std::ranges::partition_point(
        chunks_, [&](const ChunkPointer& c) { return c->back().first < key; });
    if (chunk == chunks_.end()) return end();
    auto entry =
        std::ranges::partition_point(**chunk, [&](const value_type& e) { return e.first < key; });
    return {this, static_cast<size_t>(chunk - chunks_.begin()),
            static_cast<size_t>(entry - (*chunk)->begin())};
  }
  template <class Key>
  const_iterator find(const Key& key) const {
    auto it = lower_bound(key);
    return it == end() || key < it->first ? end() : it;
  }
  template <class Key>
  bool contains(const Key& key) const {
    return find(key) != end();
  }
  /// Requires that it is there.
  template <class Key>
  const V& at(const Key& key) const {
    return find(key)->second;
  }
  template <class Key>
  V& at(const Key& key) {
    return *edit(key);
  }

  /// For changing a value; null when there is none.
  template <class Key>
  V* edit(const Key& key) {
    auto it = find(key);
    return it == end() ? nullptr : &unshared(it.chunk_)[it.at_].second;
  }
  /// For changing a value, which is made first if there is none.
  V& operator[](const K& key) {
    if (V* value = edit(key)) return *value;
    return *insert_new(key, V());
  }
  /// False, changing nothing, when the key is there.
  bool emplace(K key, V value) {
    if (contains(key)) return false;
    insert_new(std::move(key), std::move(value));
    return true;
  }
  void insert_or_assign(K key, V value) {
    if (V* known = edit(key))
      *known = std::move(value);
    else
      insert_new(std::move(key), std::move(value));
  }
  /// What extract() gave; nothing is inserted from nothing, nor over an entry with that key.
  void insert(std::optional<value_type> entry) {
    if (entry) emplace(std::move(entry->first), std::move(entry->second));
  }
  template <class Key>
  std::optional<value_type> extract(const Key& key) {
    auto it = find(key);
    if (it == end()) return std::nullopt;
    Chunk& chunk = unshared(it.chunk_);
    value_type out = std::move(chunk[it.at_]);
    chunk.erase(chunk.begin() + static_cast<std::ptrdiff_t>(it.at_));
    if (chunk.empty()) chunks_.erase(chunks_.begin() + static_cast<std::ptrdiff_t>(it.chunk_));
    --size_;
    return out;
  }
  template <class Key>
  bool erase(const Key& key) {
    return extract(key).has_value();
  }
  void clear() { *this = SharedMap(); }

  bool operator==(const SharedMap& other) const {
    if (size_ != other.size_) return false;
    if (chunks_ == other.chunks_) return true;
    return std::equal(begin(), end(), other.begin());
  }

 private:
  static constexpr size_t kChunkEntries = 64;
  using Chunk = std::vector<value_type>;
  using ChunkPointer = std::shared_ptr<Chunk>;

  Chunk& unshared(size_t index) {
    ChunkPointer& chunk = chunks_[index];
    if (chunk.use_count() != 1) chunk = std::make_shared<Chunk>(*chunk);
    return *chunk;
  }

  V* insert_new(K key, V value) {
    if (chunks_.empty()) {
      chunks_.push_back(std::make_shared<Chunk>());
      chunks_[0]->emplace_back(std::move(key), std::move(value));
      size_ = 1;
      return &chunks_[0]->front().second;
    }
    auto it = lower_bound(key);
    size_t index = std::min(it.chunk_, chunks_.size() - 1);
    size_t at = it == end() ? chunks_[index]->size() : it.at_;
    if (chunks_[index]->size() >= kChunkEntries) {
      // A full chunk at the end stays full: keys that only grow fill every chunk.
      size_t keep = at == kChunkEntries ? kChunkEntries : kChunkEntries / 2;
      Chunk& full = unshared(index);
      auto rest = full.begin() + static_cast<std::ptrdiff_t>(keep);
      auto split = std::make_shared<Chunk>(std::make_move_iterator(rest),
                                           std::make_move_iterator(full.end()));
      full.erase(rest, full.end());
      chunks_.insert(chunks_.begin() + static_cast<std::ptrdiff_t>(index + 1), std::move(split));
      if (at >= keep) ++index, at -= keep;
    }
    Chunk& chunk = unshared(index);
    auto place = chunk.emplace(chunk.begin() + static_cast<std::ptrdiff_t>(at), std::move(key),
                               std::move(value));
    ++size_;
    return &place->second;
  }

  std::vector<ChunkPointer> chunks_;  // none is empty
  size_t size_ = 0;
};

}  // namespace mesh
