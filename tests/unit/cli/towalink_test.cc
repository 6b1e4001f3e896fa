// Claim: a Towalink folder becomes the commands that make the same network here, all that differs is told, and a
// folder that cannot be read as it is gives every mistake with its file and line and no commands. Method: the folder
// in tests/data/towalink, and small ones with one mistake each, against a log in memory; commands are decided by the
// core.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "cli/towalink/towalink_import.h"
#include "eventstore/model/compile.h"
#include "eventstore/model/crypto.h"
#include "eventstore/model/evolve.h"
#include "eventstore/model/topology.h"
#include "tests/support/world.h"

namespace mesh::cli::test {
namespace {

namespace fs = std::filesystem;

const fs::path kTree = std::string(MESH_SOURCE_DIR) + "/tests/data/towalink";

/// Contents stand for themselves: the digest is that of the content alone.
Result<FileRef> put(const std::string& content, const FileRef* stored) {
  FileRef out{sha256(as_bytes(content)), content.size()};
  return stored != nullptr && *stored == out ? *stored : out;
}

/// A copy of the tree, or an empty one with a config.toml, removed at the end.
class Folder {
 public:
  explicit Folder(bool whole) {
    std::string pattern = (fs::temp_directory_path() / "towalink-XXXXXX").string();
    MESH_ASSERT(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
    if (whole) fs::copy(kTree, path_, fs::copy_options::recursive | fs::copy_options::copy_symlinks);
    if (!whole) write("config.toml", "");
  }
  ~Folder() { fs::remove_all(path_); }
  void write(const std::string& where, const std::string& content) {
    fs::create_directories((path_ / where).parent_path());
    std::ofstream(path_ / where) << content;
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

TowalinkImport import_of(const fs::path& folder, const MeshState& now) {
  auto tree = read_towalink(folder);
  EXPECT_TRUE(tree.has_value()) << (tree ? "" : tree.error().message);
  auto out = import_towalink(*tree, now, put);
  EXPECT_TRUE(out.has_value()) << (out ? "" : out.error().message);
  return std::move(*out);
}

bool says(const std::vector<ImportNote>& notes, ImportTopic topic, std::string_view where, std::string_view text) {
  return std::ranges::any_of(notes, [&](const ImportNote& note) {
    return note.topic == topic && note.where == where && note.text.find(text) != std::string::npos;
  });
}

std::string all_of(const std::vector<ImportNote>& notes) {
  std::string out;
  for (const ImportNote& note : notes)
    out += std::string(topic_name(note.topic)) + " " + note.where + ": " + note.text + "\n";
  return out;
}

/// The log after the import, in a log of its own.
mesh::test::World imported(const fs::path& folder) {
  mesh::test::World world;
  TowalinkImport found = import_of(folder, world.state());
  EXPECT_TRUE(found.problems.empty());
  world.must(found.commands);
  return world;
}

TEST(Towalink, TheTreeBecomesTheSameNetwork) {
  mesh::test::World world;
  const TowalinkImport found = import_of(kTree, world.state());
  ASSERT_TRUE(found.problems.empty()) << found.problems.front().where << found.problems.front().error.message;
  EXPECT_EQ(found.sites, 3u);
  EXPECT_EQ(found.nodes, 5u);
  EXPECT_EQ(found.files, 9u);
  world.must(found.commands);
  const MeshState& state = world.state();
  for (const auto& [number, name] : std::map<uint32_t, std::string>{{11, "primary.berlin"},
                                                                    {12, "secondary.berlin"},
                                                                    {13, "hub.munich"},
                                                                    {15, "edge.paris"},
                                                                    {20, "branch.paris"}}) {
    const Node* node = state.find_node(NodeId(number));
    ASSERT_NE(node, nullptr) << name;
    EXPECT_EQ(node->fullname(), name);
  }
  EXPECT_EQ(state.next_node, NodeId(21));
  auto at = [&](std::string_view name) { return to_text(state.global.find(name)->second.value); };
  EXPECT_EQ(at("loopbacknet_ipv4"), "10.255.0.0/24");
  EXPECT_EQ(at("loopbacknet_ipv6"), "fd3e:970c:e7ec:edb5::/64");
  EXPECT_EQ(at("internode_transfernet_ipv4"), "172.31.0.0/24");
  EXPECT_EQ(at("bgp_as_base"), "65100");
  EXPECT_EQ(at("routing_style"), "loopback");
  EXPECT_EQ(at("dns.servers"), "[\"192.0.2.53\", \"192.0.2.54\"]");
  const Node& primary = *state.find_node(NodeId(11));
  EXPECT_EQ(to_text(primary.attributes.find("wg_links.13.wg_peer_keepalive")->second.value), "20");
  EXPECT_FALSE(primary.attributes.contains("node_id"));
  EXPECT_FALSE(primary.attributes.contains("attach_mac"));
  EXPECT_TRUE(state.find_site("munich")->attributes.contains("file:bird_site-template.conf.jinja"));
  EXPECT_TRUE(state.find_node(NodeId(15))->attributes.contains("file:bird_static.conf"));
  const std::vector<Link> expected{{NodeId(11), NodeId(12)}, {NodeId(11), NodeId(13)}, {NodeId(12), NodeId(13)},
                                   {NodeId(13), NodeId(15)}, {NodeId(13), NodeId(20)}, {NodeId(15), NodeId(20)}};
  EXPECT_EQ(links(state), expected);
  for (const auto& [id, node] : state.nodes) {
    auto config = compile(state, id);
    ASSERT_TRUE(config.has_value()) << config.error().message;
    EXPECT_EQ(to_text(config->loopback4), "10.255.0." + std::to_string(id.value()));
    EXPECT_EQ(config->as_number, 65'100 + id.value());
    EXPECT_EQ(config->routing, RoutingStyle::loopback);
  }
  EXPECT_TRUE(judge_import(mesh::test::World().state(), state).empty())
      << all_of(judge_import(mesh::test::World().state(), state));
}

TEST(Towalink, TheReportNamesWhatDiffersAndNoSecret) {
  const TowalinkImport found = import_of(kTree, mesh::test::World().state());
  const std::string all = all_of(found.notes);
  using enum ImportTopic;
  EXPECT_TRUE(says(found.notes, set, "", "global loopbacknet_ipv6 = fd3e:970c:e7ec:edb5::/64")) << all;
  EXPECT_TRUE(says(found.notes, set, "", "global routing_style = loopback"));
  EXPECT_TRUE(says(found.notes, set, "", "global uplinks = 0"));
  EXPECT_TRUE(says(found.notes, dropped, "config.toml:4", "controller_wg_public"));
  EXPECT_TRUE(says(found.notes, dropped, "site_berlin/node_primary/config.toml", "9 attributes attach_*"));
  EXPECT_TRUE(says(found.notes, dropped, "site_munich/config.toml:2", "bgp_password"));
  EXPECT_TRUE(says(found.notes, dropped, "generated/config.toml", "36 keys and passwords"));
  EXPECT_TRUE(says(found.notes, dropped, "startup_old", "neither *.conf nor *.jinja"));
  EXPECT_TRUE(says(found.notes, differs, "generated/config.toml", "link 12-13 had wg_active = false by hand"));
  EXPECT_TRUE(says(found.notes, differs, "site_paris/node_edge/config.toml:3", "wg_listenport_base"));
  EXPECT_TRUE(says(found.notes, unknown, "config.toml:10", "contact (also in 1 more): only templates"));
  EXPECT_TRUE(says(found.notes, check, "", "8 templates"));
  EXPECT_EQ(all.find("FAKE"), std::string::npos) << all;
}

TEST(Towalink, TheProfileNeedsNoNetworksAndATreeWithoutThemGetsTowalinks) {
  Folder folder(false);
  folder.write("site_a/node_r1/config.toml", "node_id = 11\n");
  const mesh::test::World world = imported(folder.path());
  EXPECT_EQ(to_text(world.state().global.find("loopbacknet_ipv4")->second.value), "192.88.99.0/24");
  EXPECT_EQ(to_text(world.state().global.find("internode_transfernet_ipv4")->second.value), "192.88.99.0/24");
  EXPECT_EQ(to_text(world.state().global.find("bgp_as_base")->second.value), "65000");
  MeshState towalink = mesh::test::World().state();
  towalink.genesis.loopbacknet_ipv4 = towalink.genesis.transfernet_ipv4 = "192.88.99.0/24";
  towalink.genesis.loopbacknet_ipv6 = "fd3e:970c:e7ec:edb5::/64";
  towalink.genesis.transfernet_ipv6 = "fe80::/64";
  towalink.genesis.bgp_as_base = 65'000;
  for (const ImportNote& note : import_of(folder.path(), towalink).notes)
    EXPECT_TRUE(note.topic != ImportTopic::set || note.text.find("routing_style") != std::string::npos ||
                note.text.find("uplinks") != std::string::npos)
        << note.text;
}

TEST(Towalink, NamesThatAreNoneHereAreMadeOnes) {
  Folder folder(false);
  folder.write("site_My_Site/node_Edge_1/config.toml", "node_id = 17\n");
  const mesh::test::World world = imported(folder.path());
  ASSERT_NE(world.state().find_node(NodeId(17)), nullptr);
  EXPECT_EQ(world.state().find_node(NodeId(17))->fullname(), "edge-1.my-site");
  const TowalinkImport found = import_of(folder.path(), mesh::test::World().state());
  EXPECT_TRUE(says(found.notes, ImportTopic::renamed, "site_My_Site", "site My_Site becomes my-site"));
  EXPECT_TRUE(says(found.notes, ImportTopic::differs, "", "no global bird.conf.jinja"));
}

struct Mistake {
  std::string file, content, where, text;
};

TEST(Towalink, EveryMistakeHasItsPlaceAndItsFix) {
  const std::string long_value(2'000, 'x'), key(43, 'A');
  std::string deep = "a";
  for (int i = 0; i < 300'000; ++i) deep += ".a";
  for (const Mistake& mistake : std::vector<Mistake>{
           {"config.toml", "a = 1\nb = = 2\n", "config.toml:2", "not TOML"},
           {"config.toml", "a = 1\na = 2\n", "config.toml:2", "not TOML"},
           {"site_a/config.toml", "[x\n", "site_a/config.toml:1", "not TOML"},
           {"generated/config.toml", "\n\nnothing\n", "generated/config.toml:3", "not TOML"},
           {"config.toml", "matrix = [[1, 2], [3]]\n", "config.toml:1", "list of lists"},
           {"config.toml", "[[many]]\na = 1\n", "config.toml:1", "list of tables"},
           {"config.toml", "wg_mtu = \"big\"\n", "config.toml:1", "is not a number"},
           {"config.toml", "wg_mtu = 99999\n", "config.toml:1", "out of range"},
           {"config.toml", "\"a b\" = 1\n", "config.toml:1", "not valid"},
           {"config.toml", "b = 1\n" + deep + " = 1\n", "config.toml:2", "too many parts"},
           {"generated/config.toml", "[" + deep + "]\n", "generated/config.toml:1", "too many parts"},
           {"config.toml", "x = {" + deep + " = 1}\n", "config.toml:1", "too many parts"},
           {"config.toml", "note = \"" + long_value + "\"\n", "config.toml:1", "too long"},
           {"config.toml", "loopbacknet_ipv4 = \"10.0.0.1/24\"\n", "config.toml:1", "host bits"},
           {"site_a/config.toml", "loopbacknet_ipv4 = \"10.0.0.0/24\"\n", "site_a/config.toml:1",
            "differs from the global"},
           {"site_a/node_r1/config.toml", "note = 1\n", "site_a/node_r1/config.toml", "no number node_id"},
           {"site_a/node_r1/config.toml", "node_id = \"11\"\n", "site_a/node_r1/config.toml", "no number node_id"},
           {"site_a/node_r1/config.toml", "node_id = 10\n", "site_a/node_r1/config.toml:1", "not one of 11"},
           {"site_a/node_r1/config.toml", "node_id = 2000000\n", "site_a/node_r1/config.toml:1", "not one of 11"},
           {"site_a/node_r2/config.toml", "node_id = 12\n", "site_b/node_r3/config.toml:1",
            "stands also in site_a/node_r2"},
           {"site_B/config.toml", "", "site_b", "two sites would be b"},
           {"site_42/config.toml", "", "site_42", "is no name for a site"},
           {"site_a/bad name.conf", "x", "site_a/bad name.conf", "is not valid"},
           {"site_a/large.conf", std::string(1'100'000, 'x'), "site_a/large.conf", "more than"},
           {"site_a/tlwg_12.conf", "[Interface]\n PrivateKey = " + key + "=\n", "site_a/tlwg_12.conf:2", "secret"},
           {"site_a/old.conf", "# privatekey=" + key + "=\n", "site_a/old.conf:1", "secret"},
           {"site_a/tls.conf", "\n-----BEGIN RSA PRIVATE KEY-----\n", "site_a/tls.conf:2", "secret"},
       }) {
    Folder folder(false);
    folder.write("site_b/node_r3/config.toml", "node_id = 12\n");
    folder.write(mistake.file, mistake.content);
    const TowalinkImport found = import_of(folder.path(), mesh::test::World().state());
    const bool named = std::ranges::any_of(found.problems, [&](const TowalinkProblem& problem) {
      return problem.where == mistake.where && problem.error.message.find(mistake.text) != std::string::npos &&
             !problem.error.fix.empty();
    });
    EXPECT_TRUE(named) << mistake.file << ": " << mistake.content.substr(0, 40) << "\n"
                       << (found.problems.empty()
                               ? "no problem"
                               : found.problems.front().where + " " + found.problems.front().error.message);
  }
}

TEST(Towalink, OfSshKeysWhatIsNoKeyIsLeftOutAndAnEmptyListStaysOne) {
  Folder folder(false);
  const std::string key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA", forced = "command=\\\"x\\\" " + key;
  folder.write("config.toml",
               "node_sshauthkeys = [\"" + key + " a\\n" + key + " b\\n# old\\n\", \"" + forced + "\"]\n");
  folder.write("site_a/config.toml", "node_sshauthkeys = []\n");
  const mesh::test::World world = imported(folder.path());
  const AttributeValue both(std::vector<Scalar>{key + " a", key + " b"});
  EXPECT_EQ(world.state().global.find("node_sshauthkeys")->second.value, both);
  EXPECT_EQ(world.state().find_site("a")->attributes.find("node_sshauthkeys")->second.value,
            AttributeValue(std::vector<Scalar>()));
  const TowalinkImport found = import_of(folder.path(), mesh::test::World().state());
  EXPECT_TRUE(says(found.notes, ImportTopic::dropped, "config.toml:1", "only public keys without options"));
}

TEST(Towalink, LinksAreFollowedWithinTheFolderOnly) {
  Folder folder(false), outside(false);
  outside.write("secret", "of this machine");
  folder.write("common.conf", "shared\n");
  folder.write("site_a/config.toml", "");
  fs::create_symlink("../common.conf", folder.path() / "site_a/inside.conf");
  EXPECT_TRUE(import_of(folder.path(), mesh::test::World().state()).problems.empty());
  fs::create_symlink(outside.path() / "secret", folder.path() / "site_a/outside.conf");
  fs::create_symlink("nowhere", folder.path() / "site_a/dead.conf");
  const auto problems = import_of(folder.path(), mesh::test::World().state()).problems;
  ASSERT_EQ(problems.size(), 2u);
  EXPECT_EQ(problems[0].where, "site_a/dead.conf");
  EXPECT_EQ(problems[1].where, "site_a/outside.conf");
}

TEST(Towalink, WhatIsNoFolderOfTowalinkIsNotFound) {
  Folder folder(false);
  fs::remove(folder.path() / "config.toml");
  EXPECT_EQ(read_towalink(folder.path()).error().code, Errc::not_found);
  EXPECT_EQ(read_towalink(folder.path() / "nowhere").error().code, Errc::not_found);
}

TEST(Towalink, WhatTheLogHasAlreadyIsNeverChanged) {
  Folder folder(false);
  folder.write("config.toml", "contact = \"noc\"\n");
  folder.write("site_a/node_r1/config.toml", "node_id = 12\n");
  mesh::test::World world;
  world.must(SetAttribute{{}, "contact", "me"});
  auto problems = import_of(folder.path(), world.state()).problems;
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_EQ(problems[0].where, "config.toml:1");
  EXPECT_EQ(problems[0].error.code, Errc::conflict);

  mesh::test::World same;
  same.must(SetAttribute{{}, "contact", "noc"});
  EXPECT_TRUE(import_of(folder.path(), same.state()).problems.empty());

  mesh::test::World other;
  other.must({AddSite{"a"}, AddNode{"r9.a"}});
  problems = import_of(folder.path(), other.state()).problems;
  EXPECT_TRUE(std::ranges::any_of(problems, [](const auto& p) { return p.where == "site_a"; }));
  EXPECT_TRUE(std::ranges::any_of(problems, [](const auto& p) { return p.where == "global"; }));

  // Once it is imported, a second time finds every number used up.
  mesh::test::World twice = imported(folder.path());
  problems = import_of(folder.path(), twice.state()).problems;
  EXPECT_TRUE(std::ranges::any_of(problems, [](const auto& p) {
    return p.where == "site_a/node_r1/config.toml:1" && p.error.code == Errc::conflict;
  }));
}

TEST(Towalink, AnOldLogRefuses) {
  Folder folder(false);
  const mesh::test::World world("test", 3);
  auto tree = read_towalink(folder.path());
  ASSERT_TRUE(tree.has_value());
  auto found = import_towalink(*tree, world.state(), put);
  ASSERT_FALSE(found.has_value());
  EXPECT_EQ(found.error().code, Errc::unsupported);
}

TEST(Towalink, TheStateTellsIsolatedNodesPairsThatCannotMeetAndNumbersBeyondTheNetwork) {
  Folder folder(false);
  folder.write("site_a/node_hub/config.toml", "node_id = 11\ngroups = [\"hubs\"]\nnode_hostname = \"h\"\n");
  folder.write("site_a/node_r1/config.toml", "node_id = 12\n");
  folder.write("site_a/node_r2/config.toml", "node_id = 13\nnode_hostname = \"localhost\"\n");
  folder.write("site_a/node_far/config.toml", "node_id = 300\nnode_hostname = \"f\"\n");
  const mesh::test::World world = imported(folder.path());
  const auto notes = judge_import(mesh::test::World().state(), world.state());
  EXPECT_TRUE(says(notes, ImportTopic::differs, "", "node hub.a shares no group")) << all_of(notes);
  EXPECT_TRUE(says(notes, ImportTopic::differs, "", "one pair is without a link"));
  EXPECT_TRUE(says(notes, ImportTopic::differs, "", "r1.a and r2.a"));
  EXPECT_TRUE(says(notes, ImportTopic::commit, "", "far.a (300) is outside loopbacknet_ipv4"));
}

TEST(Towalink, FractionsAndDatesBecomeTextAsPythonWritesThem) {
  Folder folder(false);
  folder.write("config.toml", "a = 1.0\nb = 0.25\nc = 2024-01-02\nd = [1, \"x\", true]\ne = true\n");
  const mesh::test::World world = imported(folder.path());
  auto at = [&](std::string_view name) { return world.state().global.find(name)->second.value; };
  EXPECT_EQ(at("a"), AttributeValue("1.0"));
  EXPECT_EQ(at("b"), AttributeValue("0.25"));
  EXPECT_EQ(at("c"), AttributeValue("2024-01-02"));
  EXPECT_EQ(at("d"), AttributeValue(std::vector<Scalar>{int64_t{1}, std::string("x"), true}));
  EXPECT_EQ(at("e"), AttributeValue(true));
}

}  // namespace
}  // namespace mesh::cli::test
