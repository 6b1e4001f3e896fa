// The uncommitted changes of a state: in order of their first touch, and found by what they are
// about.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "eventstore/model/attribute_value.h"
#include "eventstore/model/cow.h"
#include "eventstore/model/principal.h"
#include "eventstore/model/shared_map.h"

namespace mesh {

/// One uncommitted change, for `discard`, `plan` and the others-check of a commit.
struct Change {
  enum class Kind : uint8_t {
    site_added = 1,
    site_removed,
    site_renamed,
    node_added,
    node_removed,
    node_renamed,
    attribute
  };
  Kind kind{};
  Scope scope;
  std::string name;                      // the attribute, or the former name of what was renamed
  std::optional<AttributeValue> before;  // the committed value
  std::string by;                        // principal, as text
  Sequence sequence;                     // newest entry that touched it
  bool operator==(const Change&) const = default;
};

/// A network of thousands of sites can have as many uncommitted changes, and every entry looks for
/// one: so they are found through an index, and a copy of the list shares what it does not change.
class ChangeList {
  using Ordered = SharedMap<uint64_t, Cow<Change>>;

 public:
  class const_iterator {
   public:
    using iterator_category = std::bidirectional_iterator_tag;
    using value_type = Change;
    using difference_type = std::ptrdiff_t;
    using pointer = const Change*;
    using reference = const Change&;

    const_iterator() = default;
    explicit const_iterator(Ordered::const_iterator at) : at_(at) {}
    reference operator*() const { return *at_->second; }
    pointer operator->() const { return &**this; }
    const_iterator& operator++() { return ++at_, *this; }
    const_iterator& operator--() { return --at_, *this; }
    const_iterator operator++(int) { return const_iterator(at_++); }
    const_iterator operator--(int) { return const_iterator(at_--); }
    bool operator==(const const_iterator&) const = default;

   private:
    Ordered::const_iterator at_;
  };
  using iterator = const_iterator;

  const_iterator begin() const { return const_iterator(ordered_.begin()); }
  const_iterator end() const { return const_iterator(ordered_.end()); }
  auto rbegin() const { return std::reverse_iterator(end()); }
  auto rend() const { return std::reverse_iterator(begin()); }
  size_t size() const { return ordered_.size(); }
  bool empty() const { return ordered_.empty(); }
  bool operator==(const ChangeList& other) const;

  /// The first about (kind, scope, name); null when there is none. It holds until the list changes.
  const Change* find(Change::Kind kind, const Scope& scope, std::string_view name) const;
  /// The same for changing what was before, who and when; null when there is none.
  Change* edit(Change::Kind kind, const Scope& scope, std::string_view name);
  void push_back(Change change);
  /// Removes the first about (kind, scope, name).
  void erase(Change::Kind kind, const Scope& scope, std::string_view name);
  void clear() { *this = ChangeList(); }

  template <class Predicate>
  void erase_if(const Predicate& unwanted) {
    std::vector<uint64_t> places;
    for (const auto& [place, change] : ordered_)
      if (unwanted(*change)) places.push_back(place);
    for (uint64_t place : places) remove(place);
  }
  /// What is about `from` is about `to` from now on, at its place.
  void move_scope(const Scope& from, const Scope& to);

 private:
  using Key = std::pair<uint64_t, uint64_t>;  // hash of (kind, scope, name), place

  std::optional<uint64_t> place_of(Change::Kind kind, const Scope& scope,
                                   std::string_view name) const;
  void remove(uint64_t place);

  Ordered ordered_;  // by place, which only grows
  SharedMap<Key, char> index_;
};

}  // namespace mesh
