#include "tests/bench/author.h"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace mesh::bench {

namespace {

struct Key {
  const char* name;
  int64_t lowest, count;  // of its values; without a count, text
};
constexpr std::array kKeys = {
    Key{"wg_mtu", 1'280, 7'000},
    Key{"wg_keepalive", 1, 60'000},
    Key{"bfd_interval_ms", 10, 50'000},
    Key{"bench.rack", 0, 0},
    Key{"bench.owner", 0, 0},
    Key{"bench.note", 0, 0},
    Key{"bench.power", 1, 1'000'000},
    Key{"bench.capacity", 1, 1'000'000},
    Key{"bench.priority", 1, 1'000'000},
    Key{"bench.slot", 1, 1'000'000},
    Key{"bench.contract", 0, 0},
    Key{"bench.window", 0, 0},
};
constexpr size_t kTags = 40;
// What leaves a tombstone is rare, as in a real network.
constexpr size_t kTokensMax = 500;
constexpr size_t kExtraNodesMax = 200;
constexpr size_t kCommandsOfALongRequest = 8;

AttributeValue value_of(const Key& key, int64_t counter) {
  if (key.count > 0) return AttributeValue(key.lowest + counter % key.count);
  return AttributeValue(fmt::format("{} {} of row {}", key.name + 6, counter, counter % 17));
}

}  // namespace

Author::Author(uint64_t seed, size_t sites, size_t per_site, NodeId first, TokenId next_token,
               NodeId next_node)
    : random_(seed),
      sites_(sites),
      per_site_(per_site),
      first_(first),
      next_token_(next_token),
      next_node_(next_node),
      values_((1 + sites + sites * per_site) * kKeys.size()) {}

Target Author::target_of(size_t target) const {
  if (target == 0) return {Level::global, {}};
  if (target <= sites_) return {Level::site, fmt::format("s{}", target - 1)};
  return {Level::node, std::to_string(first_.value() + target - 1 - sites_)};
}

Command Author::set_or_unset(size_t target, size_t key, bool may_unset) {
  int64_t& value = values_[target * kKeys.size() + key];
  const Key& spec = kKeys[key];
  if (may_unset && value != 0) {
    value = 0;
    return UnsetAttribute{target_of(target), spec.name};
  }
  // Counts on from what it is, so that it never is what it was.
  value = value + 1 + static_cast<int64_t>(pick(16));
  return SetAttribute{target_of(target), spec.name, value_of(spec, value)};
}

Command Author::set_something(size_t target) {
  return set_or_unset(target, pick(kKeys.size()), false);
}

Command Author::toggle_tag() {
  std::string name = fmt::format("mark-{}", pick(kTags));
  if (tags_.erase(name) > 0) return RemoveTag{name};
  tags_.insert(name);
  return AddTag{name, {}};
}

Command Author::toggle_name() {
  const size_t which = pick(sites_ * per_site_);
  std::string plain = fmt::format("r{}", which % per_site_), other = plain + "-spare";
  if (renamed_.erase(which) == 0) {
    renamed_.insert(which);
    std::swap(plain, other);
  }
  return RenameNode{std::to_string(first_.value() + which), plain};
}

Command Author::toggle_site() {
  site_there_ = !site_there_;
  return site_there_ ? Command(AddSite{"pop-up"}) : Command(RemoveSite{"pop-up", false});
}

Command Author::toggle_role() {
  guest_views_ = !guest_views_;
  return SetRole{"guest", guest_views_ ? Role::viewer : Role::operator_, {}};
}

Command Author::token() {
  token_open_ = !token_open_;
  if (!token_open_) return RevokeToken{TokenId(next_token_.value() - 1)};
  ++tokens_;
  next_token_ = TokenId(next_token_.value() + 1);
  SignKey key;
  for (size_t i = 0; i < key.bytes.size(); ++i) key.bytes[i] = static_cast<uint8_t>(random_() | 1);
  return CreateToken{key, target_of(1 + pick(sites_)), 1, {}, false};
}

Command Author::node() {
  node_there_ = !node_there_;
  if (!node_there_) return RemoveNode{std::to_string(next_node_.value() - 1), false};
  ++nodes_;
  next_node_ = NodeId(next_node_.value() + 1);
  return AddNode{fmt::format("extra.s{}", pick(sites_))};
}

Deed Author::next() {
  Deed deed;
  const size_t dice = pick(1'000), targets = 1 + sites_ + sites_ * per_site_;
  const size_t any_node = 1 + sites_ + pick(sites_ * per_site_);
  if (++count_ % 7 == 0) deed.message = fmt::format("ticket {}: as agreed", count_ / 7);
  auto& out = deed.commands;
  if (dice < 80) {
    out = {set_something(1 + pick(sites_))};
  } else if (dice < 100) {
    out = {set_something(0)};
  } else if (dice < 150) {
    out = {set_or_unset(pick(targets), pick(kKeys.size()), true)};
  } else if (dice < 180) {
    out = {toggle_tag()};
  } else if (dice < 200) {
    out = {toggle_name()};
  } else if (dice < 220) {
    out = {toggle_site()};
  } else if (dice < 225) {
    deed.administrator = true;
    out = {toggle_role()};
  } else if (dice < 235) {
    for (size_t i = 0; i < kCommandsOfALongRequest; ++i)
      out.push_back(set_or_unset(any_node, i, false));
  } else if (dice < 237 && (token_open_ || tokens_ < kTokensMax)) {
    out = {token()};
  } else if (dice < 238 && (node_there_ || nodes_ < kExtraNodesMax)) {
    out = {node()};
  } else {
    out = {set_something(any_node)};
  }
  return deed;
}

}  // namespace mesh::bench
