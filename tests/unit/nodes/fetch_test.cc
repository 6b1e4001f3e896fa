// Claim: a version whose files the controller renders is fetched whole or not at all, also over restarts and deaths at
// any step; only its files are the controller's to say; and what they make of the router and of its machine is checked
// before anything is touched, applied as a whole, and taken back as a whole. Method: a node reads a real log whose
// commits name files that a table renders, on a simulated disk, router and machine.
#include <fmt/core.h>

#include <algorithm>

#include "agent_fixture.h"
#include "eventstore/model/compile.h"
#include "eventstore/model/crypto.h"

namespace mesh::test {
namespace {

using Strings = std::vector<std::string>;

std::string tunnel_file(unsigned peer, const std::string& more = "") {
  return fmt::format(
      "[Interface]\nListenPort = {0}\nPrivateKey = MESHLOG-PRIVATE-KEY-{1}\n"
      "Postup = ip addr add 192.0.2.11/32 peer 192.0.2.{1}/32 dev tlwg_{1}\n{2}"
      "[Peer]\nPublicKey = MESHLOG-PUBLIC-KEY-{1}\nAllowedIPs = 0.0.0.0/0, ::/0\nPersistentKeepalive = 7\n",
      40000 + peer, peer, more);
}

struct FetchTest : AgentTest {
  FetchTest() {
    for (const char* directory : {"etc", "etc/dnsmasq.d", "root", "var"}) EXPECT_TRUE(machine.make_dir(directory));
    ServicesOptions with;
    with.data = "/var/data";
    with.allow_file = "/etc/meshnode/allow.toml";
    with.allow = [this]() -> Result<std::string> { return allow; };
    with.boot_id = "boot";
    with.run = [this](const Strings& words, std::chrono::milliseconds) -> Result<CommandResult> {
      ran.push_back(words.back());
      const auto found = results.find(words.back());
      return found == results.end() ? CommandResult{} : found->second;
    };
    services = std::make_unique<Services>(with, machine);
    log.render = [this](const Node& of, const NodeConfig&) -> Result<std::vector<RenderedFile>> {
      std::vector<RenderedFile> out;
      if (of.id != NodeId(11)) return out;
      for (const auto& [name, text] : rendered) out.push_back({name, Bytes(text.begin(), text.end())});
      return out;
    };
    node.follow();
    (void)node.sent();
  }
  void use_services() {
    node.options.deployment.services = services.get();
    node.start();
    node.connect();
    (void)node.sent();
  }
  /// The sources change, and with them what is rendered.
  void commit(std::map<std::string, std::string> files) {
    rendered = std::move(files);
    Digest digest{};
    digest.bytes.fill(static_cast<uint8_t>(++sources));
    log.set("file:bird.conf.jinja", FileRef{digest, 1});
    log.commit();
    log.activate();
  }
  std::string file(const std::string& name) {
    auto bytes = node.disk().read(name);
    return bytes ? std::string(as_text(*bytes)) : "(none)";
  }
  const Outcome& outcome() { return node.store().outcomes().back().outcome; }

  std::map<std::string, std::string> rendered;
  int sources = 0;
  std::string allow =
      "destinations = [\"/etc/dnsmasq.d\"]\ncommands = [\"check\", \"reload\"]\nstartup_scripts = true\n";
  MemoryFiles machine;
  std::unique_ptr<Services> services;
  Strings ran;
  std::map<std::string, CommandResult> results;
};

TEST_F(FetchTest, AVersionsFilesComeWithItAndMakeTheRouter) {
  commit({{"bird.conf", "a;\ninclude \"bird_b.conf\";"}, {"bird_b.conf", "b;"}, {"empty.conf", ""},
          {"tlwg_12.conf", tunnel_file(12)}});
  node.follow();
  EXPECT_EQ(status().active, Version(1));
  EXPECT_EQ(node.serve(), 4u) << "the configuration and the files that are not empty";
  EXPECT_EQ(status().active, Version(2));
  EXPECT_EQ(status().state, "ok") << status().problem;
  EXPECT_EQ(node.router().state().bird, "a;\nb;\n");
  const auto tunnel = node.router().state().tunnels.at("tlwg_12");
  EXPECT_EQ(tunnel.listen_port, 40012);
  EXPECT_EQ(tunnel.keepalive, 7);
  EXPECT_EQ(tunnel.peer_addresses.size(), 1u);
  EXPECT_EQ(node.router().state().tunnels.at("tlwg_13").peer_addresses.size(), 0u) << "as generated";
  EXPECT_EQ(file("versions/v2/bird_b.conf"), "b;");
  EXPECT_EQ(file("versions/v2/empty.conf"), "");
  EXPECT_NE(file("versions/v2/tlwg_13.conf"), "(none)");
  EXPECT_FALSE(node.disk().list("fetched"));
  const auto before = node.router().state();
  node.restart();
  EXPECT_EQ(node.router().state(), before);
  EXPECT_TRUE(node.sent_of<Fetch>().empty());
}

TEST_F(FetchTest, WhatIsHereIsNotFetchedAgain) {
  commit({{"bird.conf", "a;"}, {"x.conf", "x"}, {"y.conf", "y"}, {"z.conf", "x"}});
  node.follow();
  auto asked = node.sent_of<Fetch>();
  ASSERT_EQ(asked.size(), 1u);
  const auto give = [&](const Digest& digest) {
    const auto& blob = log.blobs.at(digest);
    node.give(BlobChunk{digest, 0, blob.size(), blob});
  };
  give(asked[0].digest);
  asked = node.sent_of<Fetch>();
  ASSERT_EQ(asked.size(), 3u) << "equal files are one blob";
  give(asked[1].digest);
  EXPECT_TRUE(status().problem.contains("fetching it")) << status().problem;
  node.restart();
  node.connect();
  node.give(Head{Sequence(log.size()), log.note(log.size())});
  EXPECT_EQ(node.serve(), 2u) << "what came before the restart is on the disk";
  EXPECT_EQ(status().active, Version(2));
  commit({{"bird.conf", "b;"}, {"x.conf", "x"}, {"y.conf", "y"}, {"z.conf", "x"}});
  node.follow();
  EXPECT_EQ(node.serve(), 2u) << "the configuration and the one file that changed";
  EXPECT_EQ(node.router().state().bird, "b;\n");
}

TEST_F(FetchTest, OnlyFilesAreTheControllersToSay) {
  rendered = {{"bird.conf", "a;"}};
  log.set("file:bird.conf.jinja", FileRef{Digest{}, 1});
  auto evil = compile(log.state(), NodeId(11)).value();
  const Bytes content{'a', ';'};
  evil.files = {{"bird.conf", sha256(content), content.size()}};
  evil.lans = {*parse_prefix("0.0.0.0/0")};
  const auto text = config_text(evil);
  log.commit([&](std::vector<VersionRow>& rows) {
    for (auto& row : rows)
      if (row.node == NodeId(11)) row.digest = config_digest(evil);
  });
  log.blobs[config_digest(evil)] = Bytes(text.begin(), text.end());
  log.activate();
  const auto before = node.router().state();
  node.follow();
  EXPECT_EQ(node.serve(), 1u) << "its files are not even asked for";
  EXPECT_EQ(node.router().state(), before);
  EXPECT_EQ(outcome().kind, OutcomeKind::refused);
  EXPECT_TRUE(outcome().message.contains("without its files its digest is")) << outcome().message;
  node.restart();
  node.connect();
  node.give(Head{Sequence(log.size()), log.note(log.size())});
  EXPECT_EQ(node.serve(), 0u) << "for good";
  EXPECT_EQ(status().active, Version(1));
}

TEST_F(FetchTest, WhatNoFileCanBeIsRefused) {
  const std::map<std::string, std::map<std::string, std::string>> cases = {
      {"no file can be named sums", {{"sums", "x"}}},
      {"file name \"../x\" is not valid", {{"../x", "x"}}},
      {"x.conf has 1048577 bytes", {{"x.conf", std::string(kFileBytesMax + 1, 'x')}}},
  };
  for (const auto& [why, files] : cases) {
    commit(files);
    node.follow();
    EXPECT_EQ(node.serve(), 1u);
    EXPECT_EQ(outcome().kind, OutcomeKind::refused);
    EXPECT_TRUE(outcome().message.contains(why)) << outcome().message;
  }
  EXPECT_EQ(status().active, Version(1));
}

TEST_F(FetchTest, FilesThatCannotBeUsedTouchNothing) {
  const auto before = node.router().state();
  const std::map<std::string, std::map<std::string, std::string>> cases = {
      {"b.conf:1: /etc/shadow is no file of this version",
       {{"bird.conf", "include \"b.conf\";"}, {"b.conf", "include \"/etc/shadow\";"}}},
      {"tlwg_12.conf:3: PrivateKey is a key of its own", {{"tlwg_12.conf", tunnel_file(13)}}},
      {"tlwg_12.conf:5: Table = 7", {{"tlwg_12.conf", tunnel_file(12, "Table = 7\n")}}},
  };
  for (const auto& [why, files] : cases) {
    commit(files);
    node.follow();
    node.serve();
    EXPECT_EQ(outcome().kind, OutcomeKind::failed);
    EXPECT_TRUE(outcome().message.contains("nothing was touched")) << outcome().message;
    EXPECT_TRUE(outcome().message.contains(why)) << outcome().message;
    EXPECT_EQ(node.router().state(), before);
    EXPECT_EQ(status().active, Version(1));
  }
}

TEST_F(FetchTest, ARefusalOfBirdNamesTheFile) {
  node.router().set_obstacle([](const Desired& wanted) -> Status {
    if (!wanted.bird.contains("wrong")) return {};
    return fail(Errc::invalid, "BIRD refuses the configuration: bird.conf:3:1 syntax error");
  });
  commit({{"bird.conf", "a;\ninclude \"b.conf\";"}, {"b.conf", "b;\nwrong"}});
  node.follow();
  node.serve();
  EXPECT_TRUE(outcome().message.contains("b.conf:2:1 syntax error")) << outcome().message;
}

// One that came whole before the death is not asked for again; one that did not is not there.
TEST_F(FetchTest, ADeathAtAnyStepOfTheFetchLosesNothing) {
  const auto begin = log.size();
  commit({{"bird.conf", "a;"}, {"x.conf", "x"}, {"tlwg_12.conf", tunnel_file(12)}});
  TestNode whole(log, node);
  whole.connect();
  whole.follow(begin);
  whole.follow();
  whole.serve();
  const auto wanted = whole.router().state();
  ASSERT_EQ(whole.agent().status().active, Version(2));
  uint64_t deaths = 0;
  for (const bool lucky : {false, true}) {
    for (uint64_t step = 1;; ++step) {
      SCOPED_TRACE(testing::Message() << "step " << step << (lucky ? ", names kept" : ""));
      TestNode it(log, node);
      it.connect();
      it.follow(begin);
      it.disk().die_at(step);
      it.follow();
      it.serve();
      if (!it.disk().dead()) break;
      ++deaths;
      it.disk().crash(lucky);
      it.disk().die_at(0);
      it.router().program_restarted();
      it.start();
      ASSERT_TRUE(it.store().problems().empty()) << it.store().problems().front();
      for (const auto version : it.store().list_versions()) ASSERT_TRUE(it.store().get_version(version));
      it.connect();
      it.follow();
      it.give(Head{Sequence(log.size()), log.note(log.size())});
      it.serve();
      ASSERT_EQ(it.agent().status().active, Version(2));
      ASSERT_EQ(it.router().state(), wanted);
    }
  }
  EXPECT_GT(deaths, 40u);
}

TEST_F(FetchTest, AnEditedFileOfTheVersionIsNamedAndHealed) {
  log.set("drift", std::string("heal"));
  commit({{"bird.conf", "a;"}, {"x.conf", "x"}});
  node.follow();
  node.serve();
  ASSERT_TRUE(node.disk().write("versions/v2/x.conf", as_bytes("y"), 0600));
  node.pass(5'000);
  EXPECT_EQ(file("versions/v2/x.conf"), "x");
  ASSERT_FALSE(status().drift.empty());
  EXPECT_EQ(status().drift[0].name, "versions/v2/x.conf");
  EXPECT_EQ(status().drift[0].expected, "x");
}

// --- with a machine ---

TEST_F(FetchTest, ServicesAndScriptsFollowTheVersion) {
  use_services();
  log.set("service.dns.files", std::string("dns*.conf"));
  log.set("service.dns.destination", std::string("/etc/dnsmasq.d/"));
  log.set("service.dns.check", std::string("check"));
  log.set("service.dns.reload", std::string("reload"));
  commit({{"dns.conf", "one"}, {"dns.conf.jinja", "{}"}, {"other.conf", "o"}, {"startup_a", "#!/bin/sh\n"}});
  node.follow();
  node.serve();
  ASSERT_EQ(status().active, Version(2)) << status().problem;
  EXPECT_EQ(ran, (Strings{"check", "/var/data/services/scripts/startup_a", "reload"}));
  EXPECT_EQ(*machine.list("etc/dnsmasq.d"), Strings{"dns.conf"});
  EXPECT_EQ(status().scripts.size(), 1u);
  const auto routed = node.router().state();

  results["reload"] = {1, "dnsmasq: bad option"};
  commit({{"bird.conf", "new;"}, {"dns.conf", "two"}, {"startup_a", "#!/bin/sh\n"}});
  node.follow();
  node.serve();
  EXPECT_EQ(outcome().kind, OutcomeKind::failed);
  EXPECT_TRUE(outcome().message.contains("reload dns (reload) ended with 1: dnsmasq: bad option")) << outcome().message;
  EXPECT_EQ(status().active, Version(2));
  EXPECT_EQ(node.router().state(), routed) << "the router goes back with the files";
  EXPECT_EQ(as_text(*machine.read("etc/dnsmasq.d/dns.conf")), "one");

  results.clear();
  allow = "destinations = [\"/etc/dnsmasq.d\"]\ncommands = [\"check\"]\nstartup_scripts = true\n";
  commit({{"dns.conf", "three"}, {"startup_a", "#!/bin/sh\n"}});
  node.follow();
  node.serve();
  EXPECT_TRUE(outcome().message.contains("commands = [\"check\", \"reload\"]")) << outcome().message;
  EXPECT_EQ(status().active, Version(2));
  const auto told = node.store().serial();
  node.pass(20'000);
  EXPECT_EQ(node.store().serial(), told) << "not tried for ever";
  allow = "destinations = [\"/etc/dnsmasq.d\"]\ncommands = [\"check\", \"reload\"]\nstartup_scripts = true\n";
  node.pass(5'000);
  EXPECT_EQ(status().active, Version(4)) << "root has put the line there";
  EXPECT_EQ(outcome().kind, OutcomeKind::applied);
}

TEST_F(FetchTest, WhatWasNotPermittedAtTheStartIsDoneWhenItIs) {
  use_services();
  log.set("service.dns.files", std::string("dns.conf"));
  log.set("service.dns.destination", std::string("/etc/dnsmasq.d"));
  commit({{"dns.conf", "one"}});
  node.follow();
  node.serve();
  ASSERT_EQ(status().active, Version(2)) << status().problem;
  const auto permitted = std::exchange(allow, "destinations = []\n");
  node.start();
  node.connect();
  EXPECT_TRUE(status().problem.contains("does not permit it")) << status().problem;
  allow = permitted;
  node.pass(70'000);
  EXPECT_EQ(status().problem, "") << "root has put the line there";
}

TEST_F(FetchTest, AScriptThatFailsIsAProblemAndNoReasonToGoBack) {
  use_services();
  results["/var/data/services/scripts/startup_a"] = {9, "no such device"};
  commit({{"startup_a", "#!/bin/sh\n"}});
  node.follow();
  node.serve();
  EXPECT_EQ(status().active, Version(2));
  EXPECT_EQ(outcome().kind, OutcomeKind::applied);
  EXPECT_TRUE(status().state.starts_with("degraded: startup_a ended with 9: no such device")) << status().state;
}

TEST_F(FetchTest, APlacedFileThatIsEditedIsDrift) {
  use_services();
  log.set("drift", std::string("heal"));
  log.set("service.dns.files", std::string("dns.conf"));
  log.set("service.dns.destination", std::string("/etc/dnsmasq.d"));
  commit({{"dns.conf", "one"}});
  node.follow();
  node.serve();
  ASSERT_EQ(status().active, Version(2)) << status().problem;
  ASSERT_TRUE(machine.write("etc/dnsmasq.d/dns.conf", as_bytes("mine"), 0644));
  node.pass(5'000);
  EXPECT_EQ(as_text(*machine.read("etc/dnsmasq.d/dns.conf")), "one");
  ASSERT_FALSE(status().drift.empty());
  EXPECT_EQ(status().drift[0].name, "/etc/dnsmasq.d/dns.conf");
  EXPECT_EQ(status().drift[0].found, "mine");
}

TEST_F(FetchTest, AVersionThatWaitsTakesItsFilesBackWithIt) {
  use_services();
  log.set("service.dns.files", std::string("dns.conf"));
  log.set("service.dns.destination", std::string("/etc/dnsmasq.d"));
  commit({{"dns.conf", "one"}});
  node.follow();
  node.serve();
  rendered = {{"dns.conf", "two"}};
  log.set("file:x.conf", FileRef{Digest{}, 1});
  log.commit();
  log.activate_confirmed(20);
  node.follow();
  node.serve();
  EXPECT_EQ(as_text(*machine.read("etc/dnsmasq.d/dns.conf")), "two");
  node.pass(20'500);
  EXPECT_EQ(as_text(*machine.read("etc/dnsmasq.d/dns.conf")), "one");
  EXPECT_EQ(status().active, Version(2));
}

TEST_F(FetchTest, WithoutServicesAVersionThatWantsThemIsRefused) {
  commit({{"startup_a", "#!/bin/sh\n"}});
  node.follow();
  node.serve();
  EXPECT_EQ(outcome().kind, OutcomeKind::failed);
  EXPECT_EQ(status().active, Version(1));
}

}  // namespace
}  // namespace mesh::test
