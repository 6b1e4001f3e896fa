// Claim: files go to the log and come back as they are, the same content changes nothing, and nobody's edit is written
// over unseen, neither in the log nor in a folder. Method: command lines against a controller in memory, with real
// folders and an editor that is a function.
#include <gtest/gtest.h>

#include <algorithm>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "cli/exit_code.h"
#include "cli/files/file_tree.h"
#include "cli/json.h"
#include "eventstore/model/attribute_table.h"
#include "eventstore/model/canonical.h"
#include "eventstore/model/crypto.h"
#include "eventstore/model/limits.h"
#include "tests/unit/cli/run_cli.h"

namespace mesh::cli::test {
namespace {

namespace fs = std::filesystem;

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}
void write(const fs::path& path, const std::string& content) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << content;
}

class Files : public testing::Test {
 protected:
  Files() {
    std::string pattern = (fs::temp_directory_path() / "meshcli-files-XXXXXX").string();
    MESH_ASSERT(::mkdtemp(pattern.data()));
    folder_ = pattern;
    controller_.given({AddSite{"ams"}, AddNode{"r1.ams"}, SetAttribute{{}, "wg_keepalive", int64_t{20}}});
  }
  ~Files() override { fs::remove_all(folder_); }

  Ran run(const std::string& line, const std::string& typed = {}) {
    return run_cli(controller_, line, {.typed = typed});
  }
  Ran must(const std::string& line, const std::string& typed = {}) {
    Ran ran = run(line, typed);
    EXPECT_EQ(ran.exit, 0) << line << "\n" << ran.err;
    return ran;
  }
  /// By another operator, at another place.
  void others_put(const std::string& name, const std::string& content) {
    Bytes blob(kFileSaltBytes + content.size(), 9);
    std::ranges::copy(content, blob.begin() + kFileSaltBytes);
    controller_.blobs[sha256(blob)] = blob;
    controller_.given({SetAttribute{{}, std::string(kFilePrefix) + name, FileRef{sha256(blob), content.size()}}});
  }
  std::string there(const std::string& scope_and_name) { return run("get file " + scope_and_name).out; }
  fs::path net() const { return folder_ / "net"; }
  std::string pull() const { return "files pull " + net().string(); }
  std::string push() const { return "files push " + net().string(); }

  FakeController controller_;
  fs::path folder_;
};

TEST_F(Files, GoAndComeBack) {
  const std::string binary("a\0b\xff\n", 5);
  must("put file global x.bin -", binary);
  EXPECT_EQ(there("global x.bin"), binary);
  write(folder_ / "site.conf", "for a site");
  const std::string line = must("put file site ams x.bin " + (folder_ / "site.conf").string()).out;
  const std::string digest =
      to_hex(controller_.replica.state.find_site("ams")->attributes.at("file:x.bin").value.file()->digest.view());
  EXPECT_EQ(line, "site ams: x.bin = 10 bytes sha256:" + digest.substr(0, 8) + "  (#4, uncommitted)\n");
  EXPECT_NE(must("-o json get file site ams x.bin").out.find(digest), std::string::npos);
  must("get file site ams x.bin " + folder_.string());
  EXPECT_EQ(read(folder_ / "x.bin"), "for a site");
  EXPECT_EQ(there("global x.bin --at 3"), binary);
  const Ran above = run("get file node r1.ams x.bin");
  EXPECT_EQ(above.exit, kNotFound);
  EXPECT_NE(above.err.find("meshcli get file site ams x.bin"), std::string::npos) << above.err;
  must("del file site ams x.bin");
  EXPECT_EQ(run("del file site ams x.bin").exit, kNotFound);
}

TEST_F(Files, TheSameContentChangesNothing) {
  must("put file global a.conf -", "content");
  const size_t entries = controller_.entries.size();
  const Ran again = must("put file global a.conf -", "content");
  EXPECT_NE(again.out.find("(nothing changed)"), std::string::npos) << again.out;
  EXPECT_EQ(controller_.entries.size(), entries);
  EXPECT_TRUE(controller_.heard_of<Submit>().back().attachments.empty()) << "its blob is there already";
  must("put file site ams a.conf -", "content");
  EXPECT_EQ(controller_.heard_of<Submit>().back().attachments.size(), 1u);
  const auto& site = controller_.replica.state.find_site("ams")->attributes;
  EXPECT_NE(site.at("file:a.conf").value, controller_.replica.state.global.at("file:a.conf").value)
      << "nobody sees from outside that two files are the same";
}

TEST_F(Files, RefusesWhatCannotBeOne) {
  EXPECT_EQ(run("put file global ../etc/passwd -", "x").exit, kInvalid);
  EXPECT_EQ(run("put file global config.toml -", "x").exit, kInvalid);
  EXPECT_EQ(run("put file global big -", std::string(kFileBytesMax + 1, 'x')).exit, kFailed);
  EXPECT_EQ(run("put file nowhere x -", "x").exit, kUsage);
  EXPECT_EQ(run("put file site", "x").exit, kUsage);
  EXPECT_EQ(run("put file site lab x -", "x").exit, kNotFound);
  EXPECT_EQ(run("put file global x /nonexistent").exit, kNotFound);
  EXPECT_EQ(controller_.entries.size(), 2u);
}

TEST_F(Files, ASecretKeyNeverGetsIntoTheLog) {
  const std::string key = to_base64(sign_secret(5).reveal_seed());
  const Ran refused = run("put file global tlwg_12.conf -", "[Interface]\n  privatekey = " + key + "\n");
  EXPECT_EQ(refused.exit, kInvalid);
  EXPECT_NE(refused.err.find("line 2 holds a secret key"), std::string::npos) << refused.err;
  EXPECT_EQ(run("put file global tls.pem -", "-----BEGIN EC PRIVATE KEY-----\n").exit, kInvalid);
  write(net() / "site_ams/tlwg_12.conf", "#PresharedKey=" + key);
  const Ran pushed = run(push());
  EXPECT_EQ(pushed.exit, kInvalid);
  EXPECT_NE(pushed.err.find("site_ams/tlwg_12.conf"), std::string::npos) << pushed.err;
  must("put file global tlwg.conf.jinja -", "PrivateKey = {{ wg_private }}\nPublicKey = " + key + "\n");
}

TEST_F(Files, ADiffShowsTheLines) {
  must("put file global a.conf -", "one\ntwo\n");
  const std::string file = (folder_ / "then.yaml").string();
  write(file, must("export").out);
  must("put file global a.conf -", "one\n2\n");
  const Ran ran = must("diff " + file + " working");
  EXPECT_NE(ran.out.find("-two\n+2\n"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("global: file:a.conf = 8 bytes sha256:"), std::string::npos) << ran.out;
}

TEST_F(Files, EditRunsTheEditorOnAPrivateCopy) {
  must("put file global a.conf -", "one\n");
  std::string seen, next = "two\n";
  fs::path path;
  Setting setting{.variables = {{"EDITOR", "pico -w"}}};
  setting.run_program = [&](const Environment::Program& program) -> Result<Environment::Finished> {
    EXPECT_EQ(program.words.at(2), "pico -w \"$@\"");
    path = program.words.back();
    struct stat info {};
    EXPECT_EQ(::stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600u);
    seen = read(path);
    write(path, next);
    return Environment::Finished{};
  };
  const auto edit = [&](const std::string& what) { return run_cli(controller_, "edit file " + what, setting); };
  ASSERT_EQ(edit("global a.conf").exit, 0);
  EXPECT_EQ(seen, "one\n");
  EXPECT_EQ(there("global a.conf"), "two\n");
  EXPECT_FALSE(fs::exists(path)) << "nothing is left";
  const size_t entries = controller_.entries.size();
  EXPECT_EQ(edit("global a.conf").exit, 0);
  EXPECT_EQ(controller_.entries.size(), entries) << "unchanged";
  next = "for r1\n";
  EXPECT_EQ(edit("node r1.ams a.conf").exit, 0);
  EXPECT_EQ(seen, "two\n") << "it starts as what the node has from above";
  EXPECT_EQ(there("node r1.ams a.conf"), "for r1\n");
  EXPECT_EQ(there("global a.conf"), "two\n");
}

TEST_F(Files, AnEditIsNeverLost) {
  must("put file global a.conf -", "one\n");
  fs::path path;
  Setting setting;
  setting.run_program = [&](const Environment::Program& program) -> Result<Environment::Finished> {
    path = program.words.back();
    write(path, "mine\n");
    others_put("a.conf", "theirs\n");
    return Environment::Finished{};
  };
  const Ran ran = run_cli(controller_, "edit file global a.conf", setting);
  EXPECT_EQ(ran.exit, kConflict);
  EXPECT_NE(ran.err.find(path.string()), std::string::npos) << ran.err;
  EXPECT_EQ(read(path), "mine\n");
  EXPECT_EQ(there("global a.conf"), "theirs\n");
  fs::remove_all(path.parent_path());
  setting.run_program = [&](const Environment::Program&) { return Environment::Finished{1, {}, {}}; };
  EXPECT_EQ(run_cli(controller_, "edit file global a.conf", setting).exit, kFailed);
  EXPECT_EQ(there("global a.conf"), "theirs\n");
}

TEST_F(Files, AFolderHasTowalinksLayout) {
  must("put file global a.conf -", "all");
  must("put file site ams a.conf -", "site");
  must("put file node r1.ams b.jinja -", "node");
  must(pull());
  EXPECT_EQ(read(net() / "a.conf"), "all");
  EXPECT_EQ(read(net() / "site_ams/a.conf"), "site");
  EXPECT_EQ(read(net() / "site_ams/node_r1/b.jinja"), "node");
  EXPECT_NE(read(net() / "config.toml").find("\nwg_keepalive = 20\n"), std::string::npos);
  EXPECT_NE(read(net() / "site_ams/node_r1/config.toml").find("\nnode_id = 11\n"), std::string::npos);
  EXPECT_NE(must(pull()).out.find("(0 written, 0 removed)"), std::string::npos);
  EXPECT_NE(must(push()).out.find("(nothing changed)"), std::string::npos);
}

TEST_F(Files, PushIsOneEntryAndPruneRemoves) {
  must("put file global a.conf -", "all");
  must("put file global old.conf -", "old");
  must(pull());
  write(net() / "a.conf", "changed");
  write(net() / "site_ams/new.conf", "new");
  write(net() / ".git/config", "not ours");
  write(net() / "generated/x", "not ours");
  fs::remove(net() / "old.conf");
  const size_t entries = controller_.entries.size();
  must(push() + " --dry-run");
  EXPECT_EQ(controller_.entries.size(), entries);
  const Ran pushed = must(push() + " -m why");
  EXPECT_NE(pushed.err.find("--prune"), std::string::npos) << pushed.err;
  EXPECT_EQ(controller_.entries.size(), entries + 1);
  EXPECT_EQ(controller_.requests().back().commands.size(), 2u);
  EXPECT_EQ(controller_.requests().back().message, "why");
  EXPECT_EQ(there("global a.conf"), "changed");
  EXPECT_EQ(there("site ams new.conf"), "new");
  EXPECT_EQ(there("global old.conf"), "old");
  must(push() + " --prune");
  EXPECT_EQ(run("get file global old.conf").exit, kNotFound);
  EXPECT_NE(must(push() + " --prune").out.find("(nothing changed)"), std::string::npos);
  must(pull());
  EXPECT_EQ(read(net() / "a.conf"), "changed");
}

TEST_F(Files, WhatOthersDidMeanwhileStays) {
  must("put file global a.conf -", "one");
  must("put file global b.conf -", "one");
  must(pull());
  others_put("a.conf", "theirs");
  others_put("c.conf", "theirs, too");
  write(net() / "b.conf", "mine");
  const Ran pushed = must(push() + " --prune");
  EXPECT_NE(pushed.err.find("files pull"), std::string::npos) << pushed.err;
  EXPECT_EQ(there("global a.conf"), "theirs");
  EXPECT_EQ(there("global b.conf"), "mine");
  EXPECT_EQ(there("global c.conf"), "theirs, too");
  write(net() / "a.conf", "mine as well");
  const Ran both = run(push());
  EXPECT_EQ(both.exit, kConflict);
  EXPECT_NE(both.err.find("a.conf"), std::string::npos) << both.err;
  EXPECT_EQ(there("global a.conf"), "theirs");
  EXPECT_EQ(run(pull()).exit, kConflict) << "what was edited here is not written over";
  EXPECT_EQ(read(net() / "a.conf"), "mine as well");
  must(push() + " --force");
  EXPECT_EQ(there("global a.conf"), "mine as well");
  others_put("a.conf", "theirs again");
  write(net() / "a.conf", "mine again");
  must(pull() + " --force");
  EXPECT_EQ(read(net() / "a.conf"), "theirs again");
  EXPECT_EQ(read(net() / "c.conf"), "theirs, too");
}

TEST_F(Files, AFolderThatWasNeverPulledIsTakenAsItIs) {
  must("put file global a.conf -", "one");
  write(net() / "a.conf", "two");
  write(net() / "site_ams/node_r1/x.conf", "x");
  write(net() / "site_ams/config.toml", "wg_keepalive = 3\n");
  write(net() / "a.conf~", "an editor's copy");
  const Ran pushed = must(push());
  EXPECT_NE(pushed.err.find("site_ams/config.toml of the folder is not read"), std::string::npos) << pushed.err;
  EXPECT_EQ(there("global a.conf"), "two");
  EXPECT_EQ(there("node r1.ams x.conf"), "x");
  write(net() / "site_lab/a.conf", "lab");
  const Ran unknown = run(push());
  EXPECT_EQ(unknown.exit, kNotFound);
  EXPECT_NE(unknown.err.find("meshcli add site lab"), std::string::npos) << unknown.err;
  fs::remove_all(net() / "site_lab");
  fs::create_symlink("/etc/passwd", net() / "passwd");
  EXPECT_NE(must(push()).err.find("passwd is no regular file"), std::string::npos);
}

TEST_F(Files, APullWritesThroughNoLinkAndOverNothingElse) {
  must("put file site ams x.conf -", "x");
  const fs::path outside = folder_ / "outside";
  fs::create_directories(outside);
  fs::create_directories(net());
  fs::create_symlink(outside, net() / "site_ams");
  for (const char* force : {"", " --force"}) {
    const Ran ran = run(pull() + force);
    EXPECT_EQ(ran.exit, kConflict) << ran.out;
    EXPECT_NE(ran.err.find("site_ams/x.conf"), std::string::npos) << ran.err;
  }
  EXPECT_TRUE(fs::is_empty(outside));
  fs::remove(net() / "site_ams");
  fs::create_directories(net() / "site_ams");
  fs::create_symlink(outside / "mine", net() / "site_ams/x.conf");
  EXPECT_EQ(run(pull()).exit, kConflict);
  EXPECT_TRUE(fs::is_symlink(net() / "site_ams/x.conf")) << "not ours to replace";
  fs::remove(net() / "site_ams/x.conf");
  must(pull());
  EXPECT_EQ(read(net() / "site_ams/x.conf"), "x");
}

TEST_F(Files, AControllerThatLiesLeadsNoPullElsewhere) {
  MeshState state = controller_.replica.state;
  state.global["file:../evil"].value = AttributeValue(FileRef{Digest{}, 0});
  controller_.documents["export"] = nlohmann::json{{"kind", "Export"}, {"sequence", controller_.entries.size()},
                                                   {"state", to_base64(encode_state(state, false))}}.dump();
  EXPECT_EQ(run(pull()).exit, kIntegrity);
  EXPECT_FALSE(fs::exists(folder_ / "evil"));
}

TEST_F(Files, ARemovedFileLeavesTheFolderToo) {
  must("put file node r1.ams x.conf -", "x");
  must(pull());
  must("del file node r1.ams x.conf");
  write(net() / "mine.txt", "never pushed");
  must(pull());
  EXPECT_FALSE(fs::exists(net() / "site_ams/node_r1/x.conf"));
  EXPECT_TRUE(fs::exists(net() / "mine.txt"));
}

TEST_F(Files, AnExportNamesThemAndComesBack) {
  must("put file global a.conf -", "one");
  const std::string file = (folder_ / "net.yaml").string();
  write(file, must("export").out);
  must("put file global a.conf -", "two");
  must("apply -f " + file);
  EXPECT_EQ(there("global a.conf"), "one");
}

TEST(FileTree, LevelsAreTomlWhateverTheValues) {
  FakeController controller;
  controller.given({AddSite{"ams"}, SetAttribute{{}, "note", "a \"b\"\n\\"},
                    SetAttribute{{}, "list", std::vector<Scalar>{int64_t{1}, std::string("x")}},
                    SetAttribute{{}, "wg_links.13.wg_peer_keepalive", int64_t{20}}});
  const FileTree tree = file_tree(controller.replica.state);
  const std::string& text = tree.at("config.toml").text;
  EXPECT_NE(text.find("note = \"a \\\"b\\\"\\n\\\\\"\n"), std::string::npos) << text;
  EXPECT_NE(text.find("list = [1, \"x\"]\n"), std::string::npos) << text;
  EXPECT_NE(text.find("wg_links.13.wg_peer_keepalive = 20\n"), std::string::npos) << text;
}

}  // namespace
}  // namespace mesh::cli::test
