// Claim: intent as files is read strictly, with the place of every mistake; what apply, rollback and undo
// would do is shown before it is signed, and signed as one request that nothing came between. Method: the
// reader alone, then command lines against the fake controller.
#include "cli/intent_text.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "cli/exit_code.h"
#include "cli/yaml_tree.h"
#include "eventstore/model/intent_digest.h"
#include "tests/unit/cli/run_cli.h"

namespace mesh::cli::test {
namespace {

Result<WantedIntent> read(const std::string& text) { return read_intent({{"net.yaml", text}}); }

TEST(IntentText, IsReadAsItWasWritten) {
  DesiredIntent intent;
  intent.global = {{"groups", std::vector<Scalar>{std::string("a"), int64_t{1}, true}},
                   {"note", "12"},
                   {"bfd_multiplier", int64_t{5}},
                   {"flag", true}};
  intent.sites = {{"ams", {{"note", "it's: \"so\"\n# no"}}}, {"fra", {}}};
  intent.nodes = {{NodeId(11), "r1.ams", {{"x.13.y", int64_t{-3}}}}, {NodeId(12), "yes.fra", {}}};
  for (const std::string& text : {intent_yaml(intent, {}, Sequence(7)),
                                  json_text(intent_json(intent, {}, Sequence(7)))}) {
    auto back = read(text);
    ASSERT_TRUE(back) << back.error().message << "\n" << text;
    EXPECT_EQ(back->intent, intent) << text;
  }
}

TEST(IntentText, TakesWhatAPersonWouldWrite) {
  auto read_back = read(
      "global: {wg_keepalive: 25}\n"
      "sites:\n"
      "  ams:\n"
      "  fra:\n"
      "    attributes:\n"
      "      wg_links: {13: {wg_peer_keepalive: 20}}\n"
      "    nodes:\n"
      "      r1:\n"
      "      r2: {id: 12}\n");
  ASSERT_TRUE(read_back) << read_back.error().message;
  EXPECT_EQ(read_back->intent.sites.size(), 2u);
  EXPECT_TRUE(read_back->intent.sites[1].attributes.contains("wg_links.13.wg_peer_keepalive"));
  EXPECT_EQ(read_back->intent.nodes[0].id, NodeId(12)) << "new ones last";
  EXPECT_TRUE(read("").has_value());
}

TEST(IntentText, NamesThePlaceOfEveryMistake) {
  const std::pair<std::string, std::string> cases[] = {
      {"sites: [ams]", "net.yaml:1: sites is a map of names"},
      {"a: 1", "net.yaml:1: \"a\" is not known here"},
      {"global:\n  note: 1\n  note: 2", "net.yaml:3: \"note\" stands here twice"},
      {"global:\n  note: &a 1\n", "net.yaml:2: an anchor or alias"},
      {"a: &a [x]\nb: [*a, *a]", "net.yaml:1: an anchor or alias"},
      {"global: {note: !!int 1}", "net.yaml:1: a tag (!) is not read here"},
      {"global:\n  note:\n", "net.yaml:2: note of global: it has no value"},
      {"global:\n  note: [[1]]\n", "net.yaml:2: note of global: a list holds"},
      {"global: {wg_mtu: fast}", "net.yaml:1: wg_mtu of global: "},
      {"global: {my_password: x}", "net.yaml:1: my_password of global: "},
      {"sites:\n  Ams: {}", "net.yaml:2: \"Ams\" is no name of a site"},
      {"sites:\n  ams:\n    nodes:\n      r1: {id: 3}", "net.yaml:4: a node's id is a number from 11"},
      {"sites:\n  ams:\n    nodes:\n      r1: {id: \"11\"}", "net.yaml:4: a node's id is a number"},
      {"sites:\n  ams:\n    nodes:\n      r1: {id: 11}\n      r2: {id: 11}",
       "net.yaml:5: the number 11 is named at net.yaml:4, too"},
      {"sites: {ams: {nods: {}}}", "net.yaml:1: \"nods\" is not known here"},
      {"scope: somewhere", "net.yaml:1: scope is all, site S or node N.S"},
      {"scope: site ams\nglobal: {note: 1}", "net.yaml:2: global attributes are outside site ams"},
      {"scope: site ams\nsites: {fra: {}}", "net.yaml:2: site fra is outside site ams"},
      {"sites: {}\n---\nsites: {}", "net.yaml:3: a second document begins"},
      {"sites: {\n", "net.yaml:"},
      {"? [a]\n: b", "net.yaml:1: a key is a name"},
      {"kind: NodeList", "net.yaml:1: kind is Intent"},
      {"- 1", "net.yaml:1: a map with global and sites is wanted"},
  };
  for (const auto& [text, expected] : cases) {
    auto read_back = read(text);
    ASSERT_FALSE(read_back) << text;
    EXPECT_EQ(read_back.error().message.substr(0, expected.size()), expected) << text;
    EXPECT_EQ(read_back.error().code, Errc::invalid) << text;
  }
}

TEST(IntentText, IsBounded) {
  EXPECT_EQ(read(std::string(kDocumentBytesMax + 1, ' ')).error().code, Errc::exhausted);
  EXPECT_EQ(read("global: {a: " + std::string(30, '[') + std::string(30, ']') + "}").error().code,
            Errc::exhausted);
  EXPECT_FALSE(read(std::string(100'000, '[')));
  EXPECT_FALSE(read(std::string("global: {a: \0}", 14)));
}

TEST(IntentText, OfSeveralFilesIsOne) {
  auto both = read_intent({{"a.yaml", "sites: {ams: {}}"}, {"b.yaml", "sites: {fra: {}}"}});
  ASSERT_TRUE(both);
  EXPECT_EQ(both->intent.sites.size(), 2u);
  auto twice = read_intent({{"a.yaml", "sites: {ams: {}}"}, {"b.yaml", "\nsites: {ams: {}}"}});
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().message, "b.yaml:2: site ams is named at a.yaml:1, too");
  EXPECT_FALSE(read_intent({{"a.yaml", "scope: site ams"}, {"b.yaml", "global: {note: 1}"}}));
}

struct Intent : testing::Test {
  Intent() {
    for (const char* line : {"add site ams", "add node r1.ams", "add node r2.ams",
                             "set node r1.ams wg_keepalive 25"})
      must(line);
  }
  Ran must(const std::string& line, const std::string& typed = {}) {
    Ran ran = run_cli(controller, line, {.typed = typed});
    EXPECT_EQ(ran.exit, 0) << line << ": " << ran.err;
    return ran;
  }
  const MeshState& state() { return controller.replica.state; }
  FakeController controller;
};

TEST_F(Intent, ExportedAndAppliedIsNoChange) {
  const std::string text = must("export").out;
  EXPECT_NE(text.find("wg_keepalive: 25"), std::string::npos) << text;
  const Ran ran = run_cli(controller, "apply -f - --detailed-exitcode --prune", {.typed = text});
  EXPECT_EQ(ran.exit, kSuccess) << ran.err;
  EXPECT_EQ(ran.out, "all: applied -  (nothing changed)\n");
  EXPECT_EQ(run_cli(controller, "apply -f - --error-unchanged", {.typed = text}).exit, kUnchanged);
}

TEST_F(Intent, IsAppliedAsOneRequestThatNothingCameBefore) {
  const size_t before = controller.requests().size();
  const Sequence head = state().sequence;
  const std::string text =
      "sites: {ams: {nodes: {r1: {id: 11, attributes: {wg_keepalive: 20}}, r9: {id: 12}}}, par: {}}";
  const Ran dry = run_cli(controller, "apply -f - --dry-run --detailed-exitcode", {.typed = text});
  EXPECT_EQ(dry.exit, kChanges);
  EXPECT_EQ(controller.requests().size(), before) << "a dry run signs nothing";
  const Ran ran = run_cli(controller, "apply -f - --detailed-exitcode -m why", {.typed = text});
  EXPECT_EQ(ran.exit, kChanges) << ran.err;
  EXPECT_EQ(ran.out,
            "+ site par\n  node r1.ams (11)\n    ~ wg_keepalive = 25 -> 20\n"
            "~ node r2.ams (12) -> r9.ams\nplan: 1 to add, 2 to change, 0 to remove\n"
            "all: applied -  (#6, uncommitted)\n");
  ASSERT_EQ(controller.requests().size(), before + 1);
  EXPECT_EQ(controller.requests().back().expect_sequence, head);
  EXPECT_EQ(controller.requests().back().commands.size(), 3u);
}

TEST_F(Intent, OfADirectoryIsReadByName) {
  const auto directory = std::filesystem::path(testing::TempDir()) / "mesh-intent";
  std::filesystem::remove_all(directory);
  std::filesystem::create_directories(directory);
  std::ofstream(directory / "b.yaml") << "sites: {fra: {}}\n";
  std::ofstream(directory / "a.json") << R"({"sites": {"par": {"attributes": {"note": 1}}}})";
  std::ofstream(directory / "notes.txt") << "not read";
  must("apply -f " + directory.string());
  EXPECT_TRUE(state().find_site("fra") && state().find_site("par"));
  std::ofstream(directory / "b.yaml") << "sites:\n  Fra: {}\n";
  const Ran ran = run_cli(controller, "apply -f " + directory.string());
  EXPECT_EQ(ran.exit, kInvalid);
  EXPECT_NE(ran.err.find("b.yaml:2: \"Fra\" is no name of a site"), std::string::npos) << ran.err;
  std::filesystem::remove_all(directory);
  EXPECT_EQ(run_cli(controller, "apply -f " + directory.string()).exit, kNotFound);
  EXPECT_EQ(run_cli(controller, "apply").exit, kUsage);
}

TEST_F(Intent, IsRolledBackAndShownBefore) {
  const MeshState then = state();
  const std::string old = must("export").out;
  must("add tag before");
  must("del node r2.ams");
  must("set node r1.ams wg_keepalive 9");
  const Ran dry = must("rollback before --dry-run");
  EXPECT_EQ(dry.out,
            "  node r1.ams (11)\n    ~ wg_keepalive = 9 -> 25\n+ node r2.ams (12)\n"
            "plan: 1 to add, 1 to change, 0 to remove\nall: rolled back to #5  (dry run)\n");
  const Ran ran = must("rollback before -m 'as it was'");
  EXPECT_NE(ran.err.find("next: meshcli plan"), std::string::npos);
  EXPECT_EQ(intent_digest(state(), {}), intent_digest(then, {}));
  EXPECT_EQ(must("rollback 5").out, "all: rolled back to #5  (nothing changed)\n");
  must("rollback -1");
  EXPECT_EQ(state().find_node("r2.ams"), nullptr);
  must("apply -f - --prune", old);
  EXPECT_EQ(intent_digest(state(), {}), intent_digest(then, {}));
  EXPECT_EQ(run_cli(controller, "rollback 3 site ams node r1.ams").exit, kUsage);
  EXPECT_EQ(run_cli(controller, "rollback 2 node r2.ams").exit, kNotFound);
}

TEST_F(Intent, AsksBeforeNodesAreLost) {
  const Ran refused = run_cli(controller, "rollback 2", {.typed = "no\n", .terminal = true});
  EXPECT_NE(refused.exit, 0);
  EXPECT_NE(refused.err.find("2 nodes lost, 0 of them enrolled, whose keys die at once: r1.ams, r2.ams"),
            std::string::npos)
      << refused.err;
  EXPECT_TRUE(state().find_node("r1.ams"));
  const Ran typed = run_cli(controller, "rollback 2", {.typed = "all\n", .terminal = true});
  EXPECT_EQ(typed.exit, 0) << typed.err;
  EXPECT_FALSE(state().find_node("r1.ams"));
}

TEST_F(Intent, IsUndoneEntryByEntry) {
  const MeshState then = state();
  must("set global bfd_multiplier 5");
  must("rename site ams adam");
  EXPECT_EQ(must("undo").out, "~ site adam -> ams\nplan: 0 to add, 1 to change, 0 to remove\n"
                              "entry #7: undone  (#8, uncommitted)\n");
  must("undo");
  EXPECT_EQ(intent_digest(state(), {}), intent_digest(then, {}));
  must("undo 8");
  EXPECT_TRUE(state().find_site("adam")) << "an undo is undone when it is named";
  EXPECT_EQ(run_cli(controller, "undo 1").exit, 1);
  must("set node r1.adam wg_keepalive 7");
  EXPECT_EQ(run_cli(controller, "undo 5").exit, kConflict);
}

TEST_F(Intent, IsRefusedWhenSomebodyWasFaster) {
  bool done = false;
  controller.before_answer = [&](const Body& body) {
    if (done || !std::holds_alternative<Submit>(body)) return;
    done = true;
    controller.given({AddSite{"fra"}});
  };
  const Ran ran = run_cli(controller, "rollback 2 --yes");
  EXPECT_EQ(ran.exit, kConflict) << ran.err;
  EXPECT_TRUE(state().find_node("r1.ams"));
}

TEST_F(Intent, OfARollbackAsJsonHasThePlan) {
  const Ran ran = must("rollback 4 -o json");
  EXPECT_NE(ran.out.find("\"    - wg_keepalive = 25\""), std::string::npos) << ran.out;
}

}  // namespace
}  // namespace mesh::cli::test
