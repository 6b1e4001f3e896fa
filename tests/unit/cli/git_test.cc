// Claim: every commit of the log becomes one commit of git, with its author, time, message and trailers, holding the
// intent as committed and the configurations; the same log gives the same commits, only new ones are added, and what is
// somebody else's is left alone. Method: real git on logs of a controller in memory.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "cli/exit_code.h"
#include "eventstore/model/crypto.h"
#include "tests/unit/cli/run_cli.h"

namespace mesh::cli::test {
namespace {

namespace fs = std::filesystem;

class Git : public testing::Test {
 protected:
  Git() {
    std::string pattern = (fs::temp_directory_path() / "meshcli-git-XXXXXX").string();
    MESH_ASSERT(::mkdtemp(pattern.data()));
    folder_ = pattern;
    setting_.run_program = [this](const Environment::Program& program) {
      Environment::Program child = program;
      child.captured = true;
      // Whoever runs the tests may have settings of their own.
      child.variables["GIT_CONFIG_GLOBAL"] = "/dev/null";
      child.variables["GIT_CONFIG_NOSYSTEM"] = "1";
      auto done = process_environment("meshcli").run_program(child);
      if (!program.captured && done) shown_ = done->output + done->errors;
      return done;
    };
    must("add site ams");
    must("add node r1.ams");
    must("set node r1.ams endpoint 192.0.2.1");
    put("global bird_extra.conf", "first\n");
    must("commit all -m 'first light' --ref T-1");
  }
  ~Git() override { fs::remove_all(folder_); }

  Ran run(const std::string& line) { return run_cli(controller_, line, setting_); }
  void must(const std::string& line) {
    const Ran ran = run(line);
    EXPECT_EQ(ran.exit, 0) << line << "\n" << ran.err;
  }
  void put(const std::string& where, const std::string& content) {
    Setting typing = setting_;
    typing.typed = content;
    EXPECT_EQ(run_cli(controller_, "put file " + where + " -", typing).exit, 0);
  }
  /// What git says.
  std::string git(const std::string& words, const std::string& tree = "tree") {
    shown_.clear();
    ran_ = run("--tree " + (folder_ / tree).string() + " git " + words);
    return shown_;
  }
  std::string file(const std::string& path) {
    std::ifstream in(folder_ / "tree" / path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }

  FakeController controller_;
  fs::path folder_;
  Setting setting_;
  std::string shown_;
  Ran ran_;
};

TEST_F(Git, ACommitHasItsAuthorTimeMessageAndTrailers) {
  const std::string log = to_hex(controller_.replica.state.log.view());
  EXPECT_EQ(git("log --format=%an,%ae,%at,%B"),
            "alice,alice@" + log.substr(0, 8) +
                ",1767225605,first light\n\nMeshlog-Sequence: 6\nMeshlog-Log: " + log +
                "\nMeshlog-Reference: T-1\n\n");
  EXPECT_EQ(ran_.exit, 0) << ran_.err;
  EXPECT_NE(ran_.err.find("1 commit added, up to #6"), std::string::npos) << ran_.err;
  EXPECT_EQ(file("bird_extra.conf"), "first\n");
  EXPECT_NE(file("site_ams/node_r1/config.toml").find("endpoint = \"192.0.2.1\"\n"), std::string::npos);
  EXPECT_NE(file("effective/node_11/config.json").find("\"r1\""), std::string::npos);
  EXPECT_EQ(file("effective/node_11/bird_extra.conf"), "first\n");
  EXPECT_EQ(git("status --porcelain"), "");
}

TEST_F(Git, OnlyWhatIsNewIsAddedAndOnlyWhatIsCommitted) {
  const std::string first = git("rev-parse HEAD");
  put("global bird_extra.conf", "second\n");
  put("site ams x.conf", "x\n");
  EXPECT_EQ(git("rev-parse HEAD"), first) << "nothing was committed";
  must("commit all -m second");
  put("global bird_extra.conf", "never committed\n");
  EXPECT_EQ(git("rev-parse HEAD^"), first);
  EXPECT_NE(ran_.err.find("1 commit added"), std::string::npos) << ran_.err;
  EXPECT_EQ(file("bird_extra.conf"), "second\n");
  EXPECT_EQ(git("show HEAD^:bird_extra.conf"), "first\n");
  EXPECT_EQ(git("diff --name-status HEAD^ HEAD -- . :!effective"), "M\tbird_extra.conf\nA\tsite_ams/x.conf\n");
  const size_t heard = controller_.heard_of<Fetch>().size();
  git("log -1");
  EXPECT_EQ(controller_.heard_of<Fetch>().size(), heard);
  must("del file site ams x.conf");
  must("discard all");
  must("del file site ams x.conf");
  must("commit all");
  EXPECT_EQ(git("log -1 --format=%s"), "New config version\n");
  EXPECT_FALSE(fs::exists(folder_ / "tree/site_ams/x.conf"));
}

TEST_F(Git, TheSameLogGivesTheSameCommits) {
  git("log");
  put("site ams x.conf", "x\n");
  must("commit all -m second");
  const std::string in_steps = git("rev-parse HEAD");
  EXPECT_EQ(git("rev-parse HEAD", "other"), in_steps);
}

TEST_F(Git, WhatStandsInTheWayIsLeftAlone) {
  git("log");
  std::ofstream(folder_ / "tree/bird_extra.conf") << "edited here\n";
  put("global bird_extra.conf", "second\n");
  must("commit all -m second");
  git("log");
  EXPECT_EQ(file("bird_extra.conf"), "edited here\n");
  EXPECT_NE(ran_.err.find("refs/meshlog/main"), std::string::npos) << ran_.err;
  EXPECT_EQ(git("show refs/meshlog/main:bird_extra.conf"), "second\n");
  git("checkout -q -f --detach HEAD");
  put("global bird_extra.conf", "third\n");
  must("commit all -m third");
  EXPECT_EQ(git("show main:bird_extra.conf"), "third\n") << "a branch that nobody stands on follows";
  EXPECT_EQ(file("bird_extra.conf"), "first\n");
}

TEST_F(Git, AnotherLogsTreeIsRefused) {
  git("log");
  git("-c user.name=x -c user.email=x commit -q --allow-empty -m else -m 'Meshlog-Sequence: 2\nMeshlog-Log: 00'");
  git("update-ref refs/meshlog/main HEAD");
  git("log");
  EXPECT_EQ(ran_.exit, kConflict);
  EXPECT_NE(ran_.err.find("another network"), std::string::npos) << ran_.err;
}

TEST_F(Git, WhatWasExportedIsReadWithoutAController) {
  git("log");
  controller_.unreachable = true;
  EXPECT_EQ(git("log --format=%s"), "first light\n");
  EXPECT_EQ(ran_.exit, 0) << ran_.err;
  EXPECT_EQ(run("--tree " + (folder_ / "new").string() + " git log").exit, kUnreachable);
}

TEST_F(Git, HooksDoNotRunAndExitCodesPass) {
  git("log");
  fs::create_directories(folder_ / "tree/.git/hooks");
  for (const char* hook : {"post-merge", "post-checkout", "reference-transaction"}) {
    const fs::path path = folder_ / "tree/.git/hooks" / hook;
    std::ofstream(path) << "#!/bin/sh\ntouch " << (folder_ / "ran").string() << "\n";
    fs::permissions(path, fs::perms::owner_all);
  }
  put("global bird_extra.conf", "second\n");
  must("commit all");
  git("checkout -q --detach HEAD");
  EXPECT_FALSE(fs::exists(folder_ / "ran"));
  git("rev-parse --verify -q nonsense");
  EXPECT_EQ(ran_.exit, 1);
}

TEST_F(Git, ARepositoryAroundTheTreeIsNotTouched) {
  for (const char* left : {"", "tree/.git", "tree/.git/objects"}) {  // also what a crash left of a tree
    fs::remove_all(folder_ / "tree");
    fs::create_directories(folder_ / left);
    ASSERT_TRUE(setting_.run_program({.words = {"git", "init", "-q", folder_.string()}, .captured = true}));
    EXPECT_EQ(git("log --format=%s", "tree/"), "first light\n") << ran_.err;
    EXPECT_TRUE(fs::exists(folder_ / "tree/.git/refs/meshlog/main") || fs::exists(folder_ / "tree/.git/packed-refs"));
    EXPECT_FALSE(fs::exists(folder_ / ".git/refs/meshlog"));
  }
}

TEST_F(Git, NoSecretGetsThere) {
  git("log");
  EXPECT_EQ(git("grep -n -i -E '^ *(PrivateKey|PresharedKey) *= *[A-Za-z0-9+/]{43}=' HEAD"), "");
  EXPECT_EQ(git("grep -n -F " + to_base64(sign_secret(2).reveal_seed()) + " HEAD"), "");
}

TEST_F(Git, MissingGitIsNamed) {
  setting_.run_program = [](const Environment::Program&) -> Result<Environment::Finished> {
    return fail(Errc::not_found, "git is not installed", "apt-get install git");
  };
  const Ran ran = run("--tree " + (folder_ / "tree").string() + " git log");
  EXPECT_EQ(ran.exit, kNotFound);
  EXPECT_NE(ran.err.find("apt-get install git"), std::string::npos) << ran.err;
}

}  // namespace
}  // namespace mesh::cli::test
