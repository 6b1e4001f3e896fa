// Claim: a backup holds what the log key signed, whole or not at all, and an epoch is started on nothing else; both say
// what they could not get. Method: a true controller first, then one lie or lack at a time.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/json.h"
#include "eventstore/model/crypto.h"
#include "tests/support/archive_bytes.h"
#include "tests/unit/cli/run_cli.h"

namespace mesh::cli::test {
namespace {

namespace fs = std::filesystem;

class Storage : public testing::Test {
 protected:
  Storage() {
    std::string pattern = (fs::temp_directory_path() / "meshcli-backup-XXXXXX").string();
    MESH_ASSERT(::mkdtemp(pattern.data()));
    folder_ = pattern;
    controller_.documents["whoami"] =
        R"({"kind":"Principal","sequence":1,"name":"alice","role":"admin","sites":[]})";
    controller_.documents["controller"] =
        R"({"kind":"ControllerStatus","sequence":5,"epoch":1,"read_only":true,"problem":"restored",)"
        R"("next_node":12,"newest_version":1,"version_floor":0})";
    controller_.documents["nodes_roots"] = R"({"kind":"CosignatureList","sequence":5,"items":[]})";
    controller_.given({AddSite{"ams"}, AddNode{"r1.ams"}});
    controller_.given({SetAttribute{{Level::node, "r1.ams"}, "endpoint", std::string("192.0.2.1")}});
    const Ran committed = run_cli(controller_, "commit all");
    EXPECT_EQ(committed.exit, 0) << committed.err;
  }
  ~Storage() override { fs::remove_all(folder_); }

  std::string file() const { return (folder_ / "mesh.backup").string(); }
  Ran backup(const std::string& options = {}, const Setting& setting = {}) {
    return run_cli(controller_, "controller backup " + file() + " " + options, setting);
  }
  size_t files() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }

  FakeController controller_;
  fs::path folder_;
};

TEST_F(Storage, ABackupHoldsEntriesCheckpointAndConfigurations) {
  ASSERT_EQ(controller_.blobs.size(), 1u);
  const Ran ran = backup("-o json");
  ASSERT_EQ(ran.exit, 0) << ran.err;
  const Json told = Json::parse(ran.out, nullptr, false);
  EXPECT_EQ(number_at(told, "entries"), static_cast<int64_t>(controller_.entries.size()));
  EXPECT_EQ(number_at(told, "blobs"), 1);
  auto read = mesh::test::read_archive(*read_file(file()));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->head.log, controller_.replica.state.log);
  EXPECT_EQ(read->head.note, controller_.checkpoint(controller_.entries.size()));
  EXPECT_EQ(read->entries, controller_.entries);
  ASSERT_EQ(read->blobs.size(), 1u);
  EXPECT_EQ(read->blobs[0].bytes, controller_.blobs.begin()->second);
  struct stat info {};
  ASSERT_EQ(::stat(file().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(files(), 1u) << "no temporary file is left";
}

TEST_F(Storage, WhatIsWrittenAfterItBeganIsNotInIt) {
  const size_t entries = controller_.entries.size();
  bool written = false;
  controller_.before_answer = [&](const Body& question) {
    const auto* query = std::get_if<Query>(&question);
    if (!query || query->kind != "checkpoint" || std::exchange(written, true)) return;
    controller_.documents["checkpoint"] = Json{{"kind", "Checkpoint"},
                                               {"sequence", entries},
                                               {"note", controller_.checkpoint(entries)}}
                                              .dump();
    controller_.given({AddSite{"late"}});
  };
  ASSERT_EQ(backup().exit, 0);
  EXPECT_EQ(mesh::test::read_archive(*read_file(file()))->entries.size(), entries);
}

TEST_F(Storage, AnExistingFileIsReplacedOnlyWithForce) {
  ASSERT_EQ(backup().exit, 0);
  controller_.given({AddSite{"lab"}});
  EXPECT_EQ(backup().exit, 6);
  EXPECT_EQ(mesh::test::read_archive(*read_file(file()))->entries.size(), controller_.entries.size() - 1);
  EXPECT_EQ(backup("--force").exit, 0);
  EXPECT_EQ(mesh::test::read_archive(*read_file(file()))->entries.size(), controller_.entries.size());
}

TEST_F(Storage, EntriesThatTheCheckpointDoesNotSignAreNoBackup) {
  // Another history with valid hashes: this controller's first entries, another one's last.
  FakeController other;
  other.given({AddSite{"ams"}, AddNode{"r1.ams"}});
  other.given({SetAttribute{{Level::node, "r1.ams"}, "endpoint", std::string("192.0.2.2")}});
  controller_.entries[2] = other.entries[2];
  const Ran ran = backup();
  EXPECT_EQ(ran.exit, 12) << ran.err;
  EXPECT_NE(ran.err.find("checkpoint signs"), std::string::npos) << ran.err;
  EXPECT_EQ(files(), 0u);
}

TEST_F(Storage, ADamagedEntryIsNamed) {
  controller_.entries[2].body.back() ^= 1;
  const Ran ran = backup();
  EXPECT_EQ(ran.exit, 12) << ran.err;
  EXPECT_NE(ran.err.find("entry 3"), std::string::npos) << ran.err;
  EXPECT_EQ(files(), 0u);
}

TEST_F(Storage, AConfigurationThatIsMissingIsNamed) {
  Bytes& bytes = controller_.blobs.begin()->second;
  bytes.back() ^= 1;
  for (const char* how : {"changed", "absent"}) {
    const Ran ran = backup("--force");
    EXPECT_EQ(ran.exit, 10) << how << ran.err;
    EXPECT_NE(ran.err.find("v1 of node 11"), std::string::npos) << how << ran.err;
    auto read = mesh::test::read_archive(*read_file(file()));
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_TRUE(read->blobs.empty());
    controller_.blobs.clear();
  }
}

TEST_F(Storage, FilesAndWhatWasRenderedFromThemAreInItAndAreVerified) {
  const auto put = [&](const std::string& line, const std::string& content) {
    ASSERT_EQ(run_cli(controller_, line, {.typed = content}).exit, 0);
  };
  put("put file global a.conf.jinja -", "first");
  ASSERT_EQ(run_cli(controller_, "commit all").exit, 0);
  put("put file global a.conf.jinja -", "second, never committed");
  // Two configurations, two files, one rendered.
  ASSERT_EQ(controller_.blobs.size(), 5u);
  ASSERT_EQ(backup().exit, 0);
  auto read = mesh::test::read_archive(*read_file(file()));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->blobs.size(), 5u);
  EXPECT_EQ(run_cli(controller_, "verify").exit, 0);
  const Digest first = sha256(as_bytes("first"));
  for (const bool damaged : {true, false}) {
    auto stored = controller_.blobs;
    for (auto& [digest, bytes] : stored) {
      if (digest == first || as_text(bytes).find("first") == std::string_view::npos) continue;
      damaged ? void(controller_.blobs[digest].back() ^= 1) : void(controller_.blobs.erase(digest));
    }
    const Ran told = run_cli(controller_, "verify");
    EXPECT_EQ(told.exit, 12) << damaged;
    EXPECT_NE((told.out + told.err).find("a.conf.jinja of #5"), std::string::npos) << told.out << told.err;
    const Ran lacking = backup("--force");
    EXPECT_EQ(lacking.exit, 10);
    EXPECT_NE(lacking.err.find("a.conf.jinja"), std::string::npos) << lacking.err;
    controller_.blobs = stored;
  }
  controller_.blobs.erase(first);
  EXPECT_NE(backup("--force").err.find("a.conf of v2 of node 11"), std::string::npos);
}

TEST_F(Storage, OnlyAdministratorsMakeOne) {
  controller_.documents["whoami"] =
      R"({"kind":"Principal","sequence":1,"name":"otto","role":"operator","sites":[]})";
  EXPECT_EQ(backup().exit, 4);
  EXPECT_EQ(files(), 0u);
}

TEST_F(Storage, AnInterruptionLeavesNothing) {
  EXPECT_EQ(backup({}, {.interrupt_after_sleeps = 0}).exit, 130);
  EXPECT_EQ(files(), 0u);
}

TEST_F(Storage, AnEpochStandsOnTheSignedRootWithNumbersToSpare) {
  const Digest root = controller_.replica.frontier.root();
  controller_.documents["nodes_roots"] =
      R"({"kind":"CosignatureList","sequence":5,"items":[{"node":11,"fullname":"r1.ams","head":9}]})";
  const Ran dry = run_cli(controller_, "controller start-epoch --dry-run");
  EXPECT_EQ(dry.exit, 0) << dry.err;
  EXPECT_EQ(controller_.replica.state.epoch, 1u);
  const Ran ran = run_cli(controller_, "controller start-epoch --yes");
  ASSERT_EQ(ran.exit, 0) << ran.err;
  EXPECT_NE(ran.err.find("r1.ams has seen #9: 5 entries that this log does not have"), std::string::npos) << ran.err;
  const Request request = controller_.requests().back();
  const auto* start = std::get_if<StartEpoch>(&request.commands.at(0));
  ASSERT_TRUE(start);
  EXPECT_EQ(*start, (StartEpoch{2, Sequence(4), root, NodeId(1'100), Version(1'100)}));
  EXPECT_EQ(controller_.replica.state.epoch, 2u);
  // The next request is of the new epoch, as its checkpoint is.
  EXPECT_EQ(run_cli(controller_, "add site lab").exit, 0);
  EXPECT_EQ(controller_.requests().back().epoch, 2u);
}

TEST_F(Storage, AnEpochIsConfirmedAndItsNumbersCanBeChosen) {
  const Ran refused = run_cli(controller_, "controller start-epoch", {.typed = "yes\n", .terminal = true});
  EXPECT_EQ(refused.exit, 64);
  EXPECT_EQ(controller_.replica.state.epoch, 1u);
  const Ran ran = run_cli(controller_, "controller start-epoch --node-floor 5000 --version-floor 70",
                          {.typed = "epoch 2\n", .terminal = true});
  ASSERT_EQ(ran.exit, 0) << ran.err;
  EXPECT_EQ(controller_.replica.state.next_node, NodeId(5'000));
  EXPECT_EQ(controller_.replica.state.version_floor, Version(70));
}

}  // namespace
}  // namespace mesh::cli::test
