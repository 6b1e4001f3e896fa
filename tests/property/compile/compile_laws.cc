// Claim: the laws of topology and compile hold for any mesh: order of input changes no byte, both
// ends of a link agree, a removed node moves only what hung on it. Method: rapidcheck; a failure
// prints the recipe and the seed.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "eventstore/model/compile.h"
#include "eventstore/model/overlay.h"
#include "eventstore/model/topology.h"
#include "tests/property/compile/random_mesh.h"

namespace mesh {
namespace {

using namespace testing;

MeshRecipe any_mesh() { return *rc::gen::container<MeshRecipe>(any_node()); }

std::map<NodeId, NodeConfig> compile_all(const MeshState& state) {
  auto candidates = compile_candidates(state, Scope{}, false);
  RC_ASSERT(candidates.has_value());
  return candidates->configs;
}

const LinkConfig* link_to(const NodeConfig& config, NodeId peer) {
  auto at = std::ranges::find(config.links, peer, &LinkConfig::peer);
  return at == config.links.end() ? nullptr : &*at;
}

RC_GTEST_PROP(CompileLaws, OrderOfInputChangesNoByte, ()) {
  MeshRecipe recipe = any_mesh();
  MeshState one = make_state(recipe), other = make_state_reversed(recipe);
  MeshState inserted_backwards = one;
  inserted_backwards.nodes.clear();
  for (auto at = one.nodes.rbegin(); at != one.nodes.rend(); ++at)
    inserted_backwards.nodes.insert(*at);
  auto configs = compile_all(one);
  for (const auto& [id, config] : compile_all(other))
    RC_ASSERT(config_text(config) == config_text(configs.at(id)));
  for (const auto& [id, config] : compile_all(inserted_backwards))
    RC_ASSERT(config == configs.at(id));
  for (const auto& [id, config] : configs) RC_ASSERT(*compile(one, id) == config);
}

RC_GTEST_PROP(CompileLaws, BothEndsOfALinkAgree, ()) {
  MeshState state = make_state(any_mesh());
  auto configs = compile_all(state);
  std::set<Link> found;
  for (const auto& [id, config] : configs) {
    for (const auto& link : config.links) {
      const LinkConfig* back = link_to(configs.at(link.peer), id);
      RC_ASSERT(back != nullptr);
      RC_ASSERT(link.mtu == back->mtu);
      RC_ASSERT(link.address == back->peer_address);
      RC_ASSERT(link.bfd_interval_ms == back->bfd_interval_ms);
      RC_ASSERT(link.peer_as == configs.at(link.peer).as_number);
      RC_ASSERT(!link.endpoint_host.empty() || !back->endpoint_host.empty());
      if (link.endpoint_port != 0 && link.endpoint_port >= 51'820)
        RC_ASSERT(link.endpoint_port == back->listen_port);
      found.insert({std::min(id, link.peer), std::max(id, link.peer)});
    }
    std::vector<NodeId> peers;
    for (const auto& link : config.links) peers.push_back(link.peer);
    RC_ASSERT(peers == peers_of(state, *state.nodes.at(id)));
  }
  auto all = links(state);
  RC_ASSERT(std::set<Link>(all.begin(), all.end()) == found);
  RC_ASSERT(std::ranges::is_sorted(all));
}

RC_GTEST_PROP(CompileLaws, ARemovedNodeMovesOnlyWhatHungOnIt, ()) {
  MeshState state = make_state(any_mesh());
  RC_PRE(!state.nodes.empty());
  auto before = links(state);
  NodeId gone = std::next(state.nodes.begin(),
                          *rc::gen::inRange<int>(0, static_cast<int>(state.nodes.size())))
                    ->first;
  bool was_public = state.nodes.at(gone)->attributes.contains("endpoint");
  state.nodes.erase(gone);
  auto after = links(state);
  std::vector<Link> lost, won;
  std::ranges::set_difference(before, after, std::back_inserter(lost));
  std::ranges::set_difference(after, before, std::back_inserter(won));
  for (const auto& link : lost) RC_ASSERT(link.low == gone || link.high == gone);
  if (!was_public) RC_ASSERT(won.empty());
  for (const auto& link : won) {
    auto hung = [&](NodeId node) {
      return std::ranges::count(before, Link{std::min(node, gone), std::max(node, gone)});
    };
    RC_ASSERT(hung(link.low) + hung(link.high) > 0);
  }
  RC_ASSERT(won.size() <= lost.size());
}

RC_GTEST_PROP(CompileLaws, BothEndsBindTheSameLanes, ()) {
  MeshState state = make_state(any_mesh());
  std::map<NodeId, Desired> routers;
  for (const auto& [id, config] : compile_all(state))
    routers[id] = bind(config, make_overlay(state, id));
  for (const auto& [id, router] : routers) {
    std::set<uint16_t> ports;
    for (const auto& tunnel : router.tunnels) {
      RC_ASSERT(ports.insert(tunnel.listen_port).second);
      bool second = tunnel.name.ends_with('b');
      std::string name = "tlwg_" + std::to_string(id.value()) + (second ? "b" : "");
      auto back = std::ranges::find(routers.at(tunnel.peer).tunnels, name, &Tunnel::name);
      RC_ASSERT(back != routers.at(tunnel.peer).tunnels.end());
      const auto& keys = state.nodes.at(id)->keys;
      auto own = std::ranges::find(keys, tunnel.own_generation, &KeyGeneration::generation);
      RC_ASSERT(own != keys.end() && own->key == back->peer_key);
    }
  }
}

std::string find_bird() {
  for (auto path : {"/usr/sbin/bird", "/usr/local/sbin/bird", "/usr/bin/bird"})
    if (std::filesystem::exists(path)) return path;
  return "";
}

TEST(CompileLaws, BirdAcceptsWhatIsRendered) {
  std::string bird = find_bird();
  if (bird.empty()) GTEST_SKIP() << "bird is not installed: apt install bird2";
  std::string folder = (std::filesystem::temp_directory_path() / "mesh_bird_XXXXXX").string();
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  int checked = 0;
  bool good = rc::check("bird -p accepts every node's text", [&] {
    MeshState state = make_state(any_mesh());
    for (const auto& [id, config] : compile_all(state)) {
      if (++checked > 60) return;  // a process each
      std::ofstream(folder + "/bird.conf") << bind(config, make_overlay(state, id)).bird;
      RC_ASSERT(std::system((bird + " -p -c " + folder + "/bird.conf").c_str()) == 0);
    }
  });
  std::filesystem::remove_all(folder);
  EXPECT_TRUE(good);
}

}  // namespace
}  // namespace mesh
