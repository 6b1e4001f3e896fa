#include "eventstore/model/change_list.h"

#include <algorithm>

namespace mesh {

namespace {

/// FNV-1a. Who makes names that collide slows down only the search among his own uncommitted
/// changes.
uint64_t hash_of(Change::Kind kind, const Scope& scope, std::string_view name) {
  uint64_t hash = 14'695'981'039'346'656'037ULL;
  auto add = [&](uint64_t value) { hash = (hash ^ value) * 1'099'511'628'211ULL; };
  add(static_cast<uint64_t>(kind) << 8 | static_cast<uint64_t>(scope.level));
  add(scope.node.value());
  for (char c : scope.site) add(static_cast<uint8_t>(c));
  add(256);  // no byte: what ends the site is not part of the name
  for (char c : name) add(static_cast<uint8_t>(c));
  return hash;
}

}  // namespace

bool ChangeList::operator==(const ChangeList& other) const {
  return size() == other.size() && std::equal(begin(), end(), other.begin());
}

std::optional<uint64_t> ChangeList::place_of(Change::Kind kind, const Scope& scope,
                                             std::string_view name) const {
  uint64_t hash = hash_of(kind, scope, name);
  for (auto it = index_.lower_bound(Key(hash, 0)); it != index_.end() && it->first.first == hash;
       ++it) {
    const Change& change = *ordered_.at(it->first.second);
    if (change.kind == kind && change.scope == scope && change.name == name)
      return it->first.second;
  }
  return std::nullopt;
}

const Change* ChangeList::find(Change::Kind kind, const Scope& scope, std::string_view name) const {
  auto place = place_of(kind, scope, name);
  return place ? &*ordered_.at(*place) : nullptr;
}

Change* ChangeList::edit(Change::Kind kind, const Scope& scope, std::string_view name) {
  auto place = place_of(kind, scope, name);
  return place ? &ordered_.edit(*place)->edit() : nullptr;
}

void ChangeList::push_back(Change change) {
  uint64_t place = ordered_.empty() ? 0 : ordered_.rbegin()->first + 1;
  index_.emplace(Key(hash_of(change.kind, change.scope, change.name), place), 0);
  ordered_.emplace(place, Cow(std::move(change)));
}

void ChangeList::erase(Change::Kind kind, const Scope& scope, std::string_view name) {
  if (auto place = place_of(kind, scope, name)) remove(*place);
}

void ChangeList::remove(uint64_t place) {
  auto change = ordered_.extract(place)->second;
  index_.erase(Key(hash_of(change->kind, change->scope, change->name), place));
}

void ChangeList::move_scope(const Scope& from, const Scope& to) {
  if (from == to) return;
  std::vector<uint64_t> places;
  for (const auto& [place, change] : ordered_)
    if (change->scope == from) places.push_back(place);
  for (uint64_t place : places) {
    Change moved = *ordered_.at(place);
    index_.erase(Key(hash_of(moved.kind, moved.scope, moved.name), place));
    moved.scope = to;
    index_.emplace(Key(hash_of(moved.kind, moved.scope, moved.name), place), 0);
    *ordered_.edit(place) = Cow(std::move(moved));
  }
}

}  // namespace mesh
