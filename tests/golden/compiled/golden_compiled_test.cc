// Claim: a state compiles to these very bytes, on every machine and in every later version with the
// same rules. Method: three meshes are compiled, bound to their keys and rendered, and compared
// with the files beside this one. MESH_GOLDEN_UPDATE=1 writes the files anew: look at the
// difference before you commit it.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "eventstore/model/compile.h"
#include "eventstore/model/overlay.h"
#include "tests/unit/compile/states.h"

namespace mesh {
namespace {

using namespace testing;
using Files = std::map<std::string, std::string>;  // by path below the case's folder

Files render(const MeshState& state) {
  Files out;
  for (const auto& [id, node] : state.nodes) {
    auto config = compile(state, id);
    if (!config) {
      ADD_FAILURE() << config.error().message;
      continue;
    }
    std::string folder = node->fullname() + "/";
    Desired desired = bind(*config, make_overlay(state, id));
    out[folder + "config.json"] = config_text(*config);
    out[folder + "bird.conf"] = desired.bird;
    for (const auto& tunnel : desired.tunnels)
      out[folder + tunnel.name + ".conf"] = render_wireguard(tunnel);
  }
  return out;
}

Files read_folder(const std::filesystem::path& folder) {
  Files out;
  if (!std::filesystem::exists(folder)) return out;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    std::ostringstream text;
    text << std::ifstream(entry.path(), std::ios::binary).rdbuf();
    out[entry.path().lexically_relative(folder).string()] = text.str();
  }
  return out;
}

void write_folder(const std::filesystem::path& folder, const Files& files) {
  std::filesystem::remove_all(folder);
  for (const auto& [name, text] : files) {
    std::filesystem::create_directories((folder / name).parent_path());
    std::ofstream(folder / name, std::ios::binary) << text;
  }
}

void expect_golden(const std::string& name, const MeshState& state) {
  auto folder = std::filesystem::path(MESH_SOURCE_DIR) / "tests/golden/compiled" / name;
  Files now = render(state);
  if (std::getenv("MESH_GOLDEN_UPDATE") != nullptr) write_folder(folder, now);
  Files golden = read_folder(folder);
  for (const auto& [file, text] : now) EXPECT_EQ(text, golden[file]) << name << "/" << file;
  for (const auto& [file, text] : golden) EXPECT_TRUE(now.contains(file)) << name << "/" << file;
}

TEST(GoldenCompiled, ThreeSitesDualStack) {
  MeshState state = three_sites();
  enrol_all(state);
  expect_golden("three_sites", state);
}

TEST(GoldenCompiled, HubAndSpokesWithOneBehindNat) {
  MeshState state = default_state();
  add_node(state, 11, "hub.dc",
           {{"endpoint", "hub.example.net:40000"}, {"groups", "['hub-b1', 'hub-b2', 'hub-b3']"}});
  add_node(state, 12, "r1.b1", {{"endpoint", "198.51.100.2"}, {"groups", "['hub-b1']"}});
  add_node(state, 13, "r1.b2", {{"groups", "['hub-b2']"}, {"wg_keepalive", "15"}});
  add_node(state, 14, "r1.b3", {{"endpoint", "198.51.100.4"}, {"groups", "['hub-b3']"}});
  add_site(state, "dc", {{"lans", "10.0.0.0/16"}});
  add_site(state, "b1", {{"lans", "10.101.0.0/24"}});
  add_site(state, "b2", {{"lans", "10.102.0.0/24"}, {"bfd_interval_ms", "1000"}});
  add_site(state, "b3", {{"lans", "[]"}});
  enrol(state, 11, {1, 2});  // its key is being rotated
  enrol(state, 12);
  enrol(state, 13);
  expect_golden("hub_and_spokes", state);  // r1.b3 is not enrolled yet
}

TEST(GoldenCompiled, TowalinksWorkedExample) {
  MeshState state = towalink_state();
  add_node(state, 11, "n1.site1", {{"node_hostname", "one.example.net"}});
  add_node(state, 12, "n1.site2", {{"node_hostname", "two.example.net"}});
  enrol_all(state);
  expect_golden("towalink", state);
}

}  // namespace
}  // namespace mesh
