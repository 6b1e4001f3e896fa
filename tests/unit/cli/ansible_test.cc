// Claim: the inventory is the log in Ansible's own form; ansible gets the attached nodes that were meant and no others,
// in a file that is gone afterwards; who is not attached is named; Ansible's exit code is passed on, and what is
// missing is said. Method: a canned answer of the controller, and a program that only looks at what it was given.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "cli/exit_code.h"
#include "tests/unit/cli/run_cli.h"

namespace mesh::cli::test {
namespace {

using nlohmann::json;

class Ansible : public testing::Test {
 protected:
  Ansible() {
    json items = json::array();
    items.push_back({{"id", 11}, {"fullname", "r1.ams"}, {"site", "ams"}, {"enrolled", true}, {"address", "fd00:5::b"},
                     {"attributes", {{"groups", {"default", "edge-1"}}, {"wg_mtu", 1420}, {"ansible_host", "evil"}}},
                     {"version_active", 2}, {"version_latest", 3}});
    items.push_back({{"id", 12}, {"fullname", "r1.new-york"}, {"site", "new-york"}, {"enrolled", true},
                     {"address", "fd00:5::c"}, {"attributes", {{"groups", {"default"}}}},
                     {"version_active", 1}, {"version_latest", 1}});
    items.push_back({{"id", 13}, {"fullname", "r2.ams"}, {"site", "ams"}, {"enrolled", false}});
    items.push_back({{"id", 14}, {"fullname", "r1.lab"}, {"site", "lab"}, {"enrolled", false}});
    controller_.documents["inventory"] =
        json{{"kind", "Inventory"}, {"sequence", 9}, {"management", true}, {"items", items}}.dump();
    setting_.run_program = [this](const Environment::Program& program) -> Result<Environment::Finished> {
      words_ = program.words;
      captured_ = program.captured;
      file_ = program.words.at(2);
      std::ifstream in(file_);
      given_ = json::parse(in);
      return Environment::Finished{4, {}, {}};
    };
  }
  Ran run(const std::string& line) { return run_cli(controller_, line, setting_); }
  std::vector<std::string> hosts() const {
    std::vector<std::string> out;
    for (const auto& [name, variables] : given_["all"]["hosts"].items()) out.push_back(name);
    return out;
  }

  FakeController controller_;
  Setting setting_;
  std::vector<std::string> words_;
  bool captured_ = true;
  std::string file_;
  json given_;
};

using Words = std::vector<std::string>;

TEST_F(Ansible, TheInventoryIsTheLog) {
  const Ran ran = run("inventory --list");
  ASSERT_EQ(ran.exit, kSuccess) << ran.err;
  const json all = json::parse(ran.out);
  EXPECT_EQ(all["all"]["hosts"], (json{"r1.ams", "r1.new-york"})) << "who is not attached cannot be reached";
  EXPECT_EQ(all["site_ams"]["hosts"], json::array({"r1.ams"}));
  EXPECT_EQ(all["site_new_york"]["hosts"], json::array({"r1.new-york"})) << "a name that Ansible takes";
  EXPECT_EQ(all["group_default"]["hosts"].size(), 2u);
  EXPECT_EQ(all["group_edge_1"]["hosts"], json::array({"r1.ams"}));
  const json& ams = all["_meta"]["hostvars"]["r1.ams"];
  EXPECT_EQ(ams["ansible_host"], "fd00:5::b") << "no attribute leads elsewhere";
  EXPECT_EQ(ams["node_id"], 11);
  EXPECT_EQ(ams["wg_mtu"], 1420);
  EXPECT_EQ(ams["version_active"], 2);
  EXPECT_EQ(json::parse(run("inventory --host r1.ams").out), ams);
  EXPECT_EQ(json::parse(run("inventory").out), all) << "a list without asking for it";
  const Ran missing = run("inventory --host r2.ams");
  EXPECT_NE(missing.exit, kSuccess);
  EXPECT_TRUE(missing.err.contains("there is no attached node r2.ams")) << missing.err;
}

TEST_F(Ansible, AnAttributeRunsNothingWhereAnsibleRuns) {
  json item{{"id", 11}, {"fullname", "r1.ams"}, {"site", "ams"}, {"enrolled", true}, {"address", "fd00:5::b"}};
  item["attributes"] = {{"ansible_connection", "local"},
                        {"ansible.ssh_common_args", "-o ProxyCommand=/tmp/x"},
                        {"ansible-ssh-executable", "/tmp/x"},
                        {"__ansible_unsafe", "x"},
                        {"ansible_user", "admin"},
                        {"ansible_port", 2222},
                        {"note", "{{ lookup('pipe', 'touch /tmp/x') }}"},
                        {"notes", {"plain", "{% if x %}"}}};
  controller_.documents["inventory"] =
      json{{"kind", "Inventory"}, {"sequence", 9}, {"items", json::array({item})}}.dump();
  const json variables = json::parse(run("inventory --host r1.ams").out);
  for (const char* name : {"ansible_connection", "ansible_ssh_common_args", "ansible_ssh_executable",
                           "__ansible_unsafe"})
    EXPECT_FALSE(variables.contains(name)) << name;
  EXPECT_EQ(variables["ansible_user"], "admin");
  EXPECT_EQ(variables["ansible_port"], 2222);
  EXPECT_EQ(variables["note"], (json{{"__ansible_unsafe", "{{ lookup('pipe', 'touch /tmp/x') }}"}})) << "no template";
  EXPECT_EQ(variables["notes"][0], "plain");
  EXPECT_TRUE(variables["notes"][1].contains("__ansible_unsafe"));
}

TEST_F(Ansible, WhoIsMeantAndAttachedIsPassedOn) {
  const Ran all = run("ansible all all -m ping --limit x -o");
  EXPECT_EQ(all.exit, 4) << "Ansible's own exit code: " << all.err;
  EXPECT_EQ(words_, (Words{"ansible", "-i", file_, "all", "-m", "ping", "--limit", "x", "-o"}));
  EXPECT_FALSE(captured_) << "it has the terminal";
  EXPECT_EQ(hosts(), (Words{"r1.ams", "r1.new-york"}));
  EXPECT_EQ(given_["all"]["hosts"]["r1.new-york"]["ansible_host"], "fd00:5::c");
  EXPECT_TRUE(given_["all"]["children"]["group_edge_1"]["hosts"].contains("r1.ams"));
  EXPECT_TRUE(all.err.contains("not attached, left out: r2.ams, r1.lab")) << all.err;
  EXPECT_FALSE(std::filesystem::exists(file_));
  EXPECT_FALSE(std::filesystem::exists(std::filesystem::path(file_).parent_path()));

  EXPECT_EQ(run("ansible_playbook site ams play.yml").exit, 4);
  EXPECT_EQ(words_, (Words{"ansible-playbook", "-i", file_, "play.yml"}));
  EXPECT_EQ(hosts(), Words{"r1.ams"});
  EXPECT_EQ(run("ansible-playbook node 12 play.yml").exit, 4) << "as Towalink writes it, too";
  EXPECT_EQ(hosts(), Words{"r1.new-york"});
}

TEST_F(Ansible, WhatCannotBeIsSaid) {
  const Ran none = run("ansible site lab all -m ping");
  EXPECT_NE(none.exit, kSuccess);
  EXPECT_TRUE(none.err.contains("no attached nodes selected")) << none.err;
  EXPECT_TRUE(none.err.contains("left out: r1.lab")) << none.err;
  EXPECT_TRUE(words_.empty());
  EXPECT_TRUE(run("ansible node r9.ams all -m ping").err.contains("node \"r9.ams\" does not exist"));
  EXPECT_TRUE(run("ansible all").err.contains("ansible needs arguments"));
  setting_.run_program = [](const Environment::Program&) -> Result<Environment::Finished> {
    return fail(Errc::not_found, "ansible is not installed", "apt-get install ansible");
  };
  const Ran missing = run("ansible all all -m ping");
  EXPECT_NE(missing.exit, kSuccess);
  EXPECT_TRUE(missing.err.contains("ansible is not installed")) << missing.err;
  EXPECT_TRUE(missing.err.contains("apt-get install ansible-core")) << missing.err;
}

}  // namespace
}  // namespace mesh::cli::test
