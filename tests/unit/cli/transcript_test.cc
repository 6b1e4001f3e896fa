// Claim: what people and scripts see does not change unnoticed. Method: each transcript in
// tests/golden/cli holds command lines with their output, errors and exit codes;
// MESH_GOLDEN_UPDATE=1 writes them anew.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/unit/cli/run_cli.h"

namespace mesh::cli::test {
namespace {

std::string transcript(FakeController& controller, const std::vector<std::string>& lines,
                       const std::string& program = "meshcli", const std::string& typed = {}) {
  std::string out;
  for (const std::string& line : lines) {
    const Ran ran = run_cli(controller, line, {.program = program, .typed = typed});
    out += "$ " + program + " " + line + "\n" + ran.out;
    std::istringstream err(ran.err);
    for (std::string text; std::getline(err, text);) out += "! " + text + "\n";
    if (ran.exit != 0) out += "exit " + std::to_string(ran.exit) + "\n";
    out += "\n";
  }
  return out;
}

std::string text_of(const std::filesystem::path& path) {
  std::ostringstream out;
  out << std::ifstream(path).rdbuf();
  return out.str();
}

void expect_golden(const std::string& name, const std::string& text) {
  const std::string path = std::string(MESH_SOURCE_DIR) + "/tests/golden/cli/" + name + ".txt";
  if (std::getenv("MESH_GOLDEN_UPDATE")) {
    std::ofstream(path) << text;
    return;
  }
  EXPECT_EQ(text_of(path), text) << path;
}

TEST(Transcript, Changes) {
  FakeController controller;
  expect_golden(
      "changes",
      transcript(controller,
                 {"add site ams",
                  "add site ams",
                  "add site ams --error-unchanged",
                  "add site lab -q",
                  "add node r1.ams -o json",
                  "add node r1.lab -o name",
                  "add node r1.lbb",
                  "set site ams lans '[\"10.2.0.0/24\"]'",
                  "set site lab endpoint 192.0.2.7",
                  "set node r1.ams wg_keepalive 25",
                  "set node r1.ams wg_keepalive empty",
                  "set node r1.ams wg_keepaliv 25 --dry-run",
                  "set node r1.ams wg_links '{\"13\":{\"wg_peer_keepalive\":20}}' -o yaml",
                  "plan",
                  "plan all -o name",
                  "plan site ams -o json",
                  "commit all -m 'first light'",
                  "commit all",
                  "activate all --no-wait",
                  "add tag first-light 10",
                  "add tag first-light",
                  "add tag again",
                  "del tag again",
                  "list tags",
                  "list tags -o wide",
                  "replay",
                  "replay --until first-light -o json",
                  "rename site lab lab2",
                  "discard all",
                  "del site ams",
                  "operator ban alice",
                  "-o json del site ams",
                  "log",
                  "log -n 2 --reverse",
                  "log -n 1 -o wide",
                  "log -o name"}));
}

TEST(Transcript, Reading) {
  FakeController controller;
  const std::filesystem::path documents =
      std::string(MESH_SOURCE_DIR) + "/tests/golden/cli/documents";
  for (const auto& file : std::filesystem::directory_iterator(documents))
    controller.documents[file.path().stem()] = text_of(file.path());
  expect_golden("reading",
                transcript(controller, {"list sites",
                                        "list nodes all",
                                        "list nodes ams -o wide",
                                        "list nodes -o name",
                                        "list changed",
                                        "list changed -o json",
                                        "list links",
                                        "list links -o wide",
                                        "list versions r1.ams",
                                        "list files",
                                        "list files node r1.ams -o wide",
                                        "list files -o name",
                                        "list tokens -o jsonl",
                                        "node pending",
                                        "show node r1.ams",
                                        "show node r1.ams -o json",
                                        "show_all node r1.ams",
                                        "show_all node r1.ams -o wide",
                                        "show variables r1.ams",
                                        "show variables r1.ams -o json",
                                        "show variables r1.ams -o name",
                                        "whoami",
                                        "whoami -o yaml",
                                        "diff",
                                        "diff -o name",
                                        "diff committed working --color always",
                                        "plan --at 1",
                                        "status --at 1",
                                        "drift",
                                        "drift node r1.ams -o name --detailed-exitcode",
                                        "list sites --at 1 -q",
                                        "list sites --at 1 -o name",
                                        "list sites --at tomorrow",
                                        "list sites --at 2030-01-01",
                                        "diff v1 working node r1.ams --detailed-exitcode -q",
                                        "controller status",
                                        "status",
                                        "status -o wide",
                                        "status node r1.ams",
                                        "status node r1.ams -o wide",
                                        "wait node r1.ams --for version=v1",
                                        "wait node r1.ams --for sequence=9 --timeout 1s",
                                        "wait node r1.ams --for nonsense",
                                        "list nodes --color always"}));
}

TEST(Transcript, Reachability) {
  FakeController controller;
  const std::filesystem::path documents =
      std::string(MESH_SOURCE_DIR) + "/tests/golden/cli/documents";
  for (const char* name : {"simulate-pairs", "simulate-reach", "simulate-points", "simulate-routes"})
    controller.documents[name] = text_of(documents / (std::string(name) + ".json"));
  expect_golden("reachability",
                transcript(controller, {"add site ams",
                                        "add site lab",
                                        "add node r1.ams",
                                        "add node r1.lab",
                                        "set node r1.ams endpoint 192.0.2.1",
                                        "set node r1.lab endpoint 192.0.2.2",
                                        "set site ams lans 10.1.0.0/24",
                                        "set site lab lans 10.2.0.0/24",
                                        "plan",
                                        "commit all -q",
                                        "set site lab lans 10.3.0.0/24",
                                        "plan",
                                        "commit all",
                                        "commit site lab --allow-loss",
                                        "commit all --allow-loss -q",
                                        "simulate --fail link r1.s1 r1.s2 --fail node r1.s3",
                                        "simulate --all-pairs -o json",
                                        "simulate --fail site s3 --reach r1.s1 10.5.0.1",
                                        "simulate --n-1",
                                        "simulate --n-1 -o jsonl",
                                        "simulate --n-1 -o name",
                                        "simulate --routes --node r1.s1",
                                        "simulate --fail link r1.s1",
                                        "simulate --fail lnk r1.s1 r1.s2",
                                        "simulate --fail",
                                        "simulate --reach r1.s1",
                                        "simulate --n-1 --routes",
                                        "simulate --node r1.s1",
                                        "help simulate"}));
}

TEST(Transcript, IntentAsAWhole) {
  FakeController controller;
  expect_golden("intent", transcript(controller, {"add site ams",
                                                  "add node r1.ams",
                                                  "set site ams lans '[\"10.2.0.0/24\"]'",
                                                  "export",
                                                  "export site ams -o json",
                                                  "add tag before",
                                                  "rename site ams adam",
                                                  "set node r1.adam wg_keepalive 25",
                                                  "del node r1.adam",
                                                  "rollback before --dry-run",
                                                  "rollback before -m 'as it was'",
                                                  "rollback before",
                                                  "rollback -1 -o json",
                                                  "undo",
                                                  "undo 2",
                                                  "undo 1",
                                                  "rollback 1 site ams",
                                                  "export --at before",
                                                  "apply",
                                                  "apply -f /nonexistent/net.yaml",
                                                  "help apply",
                                                  "log -n 3"}));
}

TEST(Transcript, FilesOfLevels) {
  FakeController controller;
  expect_golden("files", transcript(controller,
                                    {"add site ams",
                                     "add node r1.ams",
                                     "put file global bird_extra.conf -",
                                     "put file global bird_extra.conf",
                                     "put file site ams bird_extra.conf - --dry-run",
                                     "put file node 11 dnsmasq.conf - -m 'names for all' -o json",
                                     "put file global .hidden -",
                                     "put file elsewhere x -",
                                     "get file global bird_extra.conf",
                                     "get file global bird_extra.conf -o json",
                                     "get file node r1.ams bird_extra.conf",
                                     "commit all -q",
                                     "del file node r1.ams dnsmasq.conf",
                                     "del file node r1.ams dnsmasq.conf",
                                     "export",
                                     "undo",
                                     "rollback 3 --dry-run",
                                     "edit file global bird_extra.conf",
                                     "help put",
                                     "help files pull",
                                     "help files push",
                                     "help git",
                                     "log -n 2"},
                                    "meshcli", "protocol static extra {}\n"));
}

TEST(Transcript, ImportFromTowalink) {
  FakeController controller;
  const std::string source = MESH_SOURCE_DIR, tree = source + "/tests/data/towalink";
  std::string text = transcript(controller, {"help import", "import towalink " + tree + " --dry-run",
                                             "import towalink " + tree + " -m 'from Towalink' -q",
                                             "import towalink " + tree, "import towalink " + tree + " -o json",
                                             "import towalink /nonexistent", "import towalnk " + tree,
                                             "import towalink", "log -n 1"});
  for (size_t at; (at = text.find(source + "/")) != std::string::npos;) text.erase(at, source.size() + 1);
  expect_golden("import", text);
}

TEST(Transcript, WhatWaitsForAConfirmation) {
  FakeController controller;
  controller.given({AddSite{"ams"}, AddSite{"lab"}, AddNode{"r1.ams"}, AddNode{"r1.lab"},
                    SetAttribute{{Level::site, "ams"}, "endpoint", "192.0.2.7"}});
  std::string text = transcript(controller, {"help activate",
                                             "help confirm",
                                             "help extend",
                                             "help confirmed",
                                             "commit all -m first",
                                             "activate all --unconfirmed --no-wait",
                                             "set global wg_keepalive 20",
                                             "commit all",
                                             "activate all --confirmed=5m -m 'shorter keepalive'",
                                             "activate node r1.ams",
                                             "list activations",
                                             "extend 15m",
                                             "confirm --dry-run",
                                             "confirm",
                                             "confirm 2",
                                             "set global wg_keepalive 30",
                                             "commit all --activate --confirmed=20s --health bgp,controller --no-wait",
                                             "cancel",
                                             "cancel -o json",
                                             "activate all --confirmed=20s --no-wait"});
  controller.time = Timestamp(controller.time.value() + 30'000'000);
  controller.given_by_controller({ExpireActivation{ActivationId(4)}});
  text += transcript(controller, {"confirm", "confirm 9", "list activations -o wide", "log"});
  expect_golden("activations", text);
}

TEST(Transcript, HelpAndMistakes) {
  FakeController controller;
  expect_golden("help",
                transcript(controller,
                           {"", "help commit", "help set site", "wait --help", "help output",
                            "help exit-codes", "help contexts", "help changes", "help instants",
                            "help diff", "help replay", "help nonsense", "set global note x --at 3",
                            "lst nodes", "version", "completion tcsh", "-o json whoam"}));
  expect_golden("tlm", transcript(controller,
                                  {"add site ams", "add site", "add node r1.nowhere",
                                   "show-all nodes x", "commit all -m first"},
                                  "tlm"));
}

}  // namespace
}  // namespace mesh::cli::test
