// Writes the requests of a long history: what operators of a network of a hundred nodes do, in
// every kind.
#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "eventstore/model/command.h"

namespace mesh::bench {

struct Deed {
  bool administrator = false;  // else any operator may sign it
  std::vector<Command> commands;
  std::string message;
};

/// Knows what the requests before made of the network, so that each is accepted and changes
/// something: n requests are n entries. What it makes and removes is bounded, so the state stays
/// that of a hundred nodes. The same seed gives the same history.
class Author {
 public:
  /// Sites "s0" ... with the nodes `first`, ... , `per_site` of each, named "r0.s0" ...; the
  /// operator "guest" exists as an operator, `next_token` is the next token's number and
  /// `next_node` the next node's.
  Author(uint64_t seed, size_t sites, size_t per_site, NodeId first, TokenId next_token,
         NodeId next_node);

  Deed next();

 private:
  Command set_or_unset(size_t target, size_t key, bool may_unset);
  Command set_something(size_t target);
  Target target_of(size_t target) const;
  Command toggle_tag();
  Command toggle_name();
  Command toggle_site();
  Command toggle_role();
  Command token();
  Command node();
  size_t pick(size_t count) { return random_() % count; }

  std::mt19937_64 random_;
  size_t sites_, per_site_;
  NodeId first_;
  TokenId next_token_;
  NodeId next_node_;
  std::vector<int64_t> values_;  // by target and key; 0 = not set
  std::set<std::string> tags_;
  std::set<size_t> renamed_;
  bool site_there_ = false, guest_views_ = false, token_open_ = false, node_there_ = false;
  size_t tokens_ = 0, nodes_ = 0;
  uint64_t count_ = 0;
};

}  // namespace mesh::bench
