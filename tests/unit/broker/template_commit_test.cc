// Claim: what templates make is prepared, shown, committed and kept with the version; an error refuses the commit and
// changes nothing. Method: a Controller with the real renderer. Skipped, and says so, without python3-jinja2.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "broker/prepare.h"
#include "broker/render/template_renderer.h"
#include "eventstore/model/attribute_table.h"
#include "tests/unit/broker/desk.h"

namespace mesh::test {
namespace {

using nlohmann::json;

class TemplateCommit : public ::testing::Test {
 protected:
  void SetUp() override {
    TemplateRendererOptions options;
    options.bird = find_program("bird");
    renderer_ = std::make_shared<TemplateRenderer>(options);
    RenderTask task{"x", R"({"wg_links":{}})", {{"x.jinja", Digest(), 1}}, false,
                    [](const ConfigFile&) -> Result<Bytes> { return Bytes{'1'}; }};
    if (auto works = renderer_->render(task); !works) GTEST_SKIP() << works.error().message;
    desk_.options.renderer = renderer_;
    desk_.restart();
    submit({AddSite{"a"}, AddSite{"b"}, AddNode{"r1.a"}, AddNode{"r1.b"},
            SetAttribute{{Level::node, "r1.a"}, "node_hostname", "a.example.net"}});
  }

  void submit(std::vector<Command> commands, std::vector<Bytes> files = {}) {
    const SignedRequest request = desk_.sign(desk_.request(std::move(commands)));
    Body answer = desk_.ask(desk_.alice, Submit{request, false, std::move(files)});
    ASSERT_TRUE(std::holds_alternative<Reply>(answer)) << desk_.error_of(answer).message;
  }
  void put(const Target& target, const std::string& name, std::string_view text) {
    Bytes blob(kFileSaltBytes, 7);
    blob.insert(blob.end(), text.begin(), text.end());
    submit({SetAttribute{target, std::string(kFilePrefix) + name, FileRef{sha256(blob), text.size()}}}, {blob});
  }
  Body prepare(Target target = {}) { return desk_.ask(desk_.alice, Prepare{target, false, false}); }
  json commit() {
    Body answer = prepare();
    if (!std::holds_alternative<Prepared>(answer)) {
      ADD_FAILURE() << desk_.error_of(answer).message;
      return {};
    }
    const auto prepared = std::get<Prepared>(answer);
    submit({Commit{Target{}, prepared.sequence, prepared.root}});
    return json::parse(prepared.plan);
  }
  json query(const std::string& kind, std::map<std::string, std::string> arguments = {}, Sequence at = {}) {
    Body answer = desk_.ask(desk_.alice, Query{kind, std::move(arguments), at});
    if (const auto* result = std::get_if<QueryResult>(&answer)) return json::parse(result->json);
    ADD_FAILURE() << desk_.error_of(answer).message;
    return {};
  }
  std::string file_of(const json& files, const std::string& name) {
    for (const json& item : files["items"])
      if (item["name"] == name) return item["text"];
    return "(none)";
  }

  Desk desk_;
  std::shared_ptr<TemplateRenderer> renderer_;
};

TEST_F(TemplateCommit, FilesAreKeptWithTheVersion) {
  put({}, "note.conf.jinja", "{{ node_fullname }} {{ colour }}\n");
  put({Level::site, "b"}, "static.conf", "b\n");
  json plan = commit();
  ASSERT_EQ(plan["nodes"].size(), 2u);
  EXPECT_EQ(file_of(query("files", {{"node", "r1.a"}, {"version", "v1"}}), "note.conf"), "r1.a ");
  EXPECT_EQ(file_of(query("files", {{"node", "r1.b"}, {"version", "v1"}}), "static.conf"), "b\n");
  auto config = load_config(desk_.controller->log(), *desk_.controller->state().find_node("r1.b"), Version(1));
  ASSERT_TRUE(config.has_value());
  ASSERT_EQ(config->files.size(), 2u);
  auto blob = desk_.controller->log().get_blob(config->files[0].digest);
  ASSERT_TRUE(blob.has_value());
  EXPECT_EQ(std::string(blob->begin(), blob->end()), "r1.b ");

  // Only nodes whose files change get a version.
  EXPECT_TRUE(query("changed")["items"].empty());
  submit({SetAttribute{{Level::site, "b"}, "colour", "blue"}});
  json changed = query("changed");
  ASSERT_EQ(changed["items"].size(), 1u);
  EXPECT_EQ(changed["items"][0]["fullname"], "r1.b");
  json diff = query("diff", {{"a", "committed"}, {"b", "working"}});
  ASSERT_EQ(diff["items"].size(), 1u);
  const std::string text = diff["items"][0]["text"];
  EXPECT_NE(text.find("-r1.b \n"), std::string::npos) << text;
  EXPECT_NE(text.find("+r1.b blue\n"), std::string::npos) << text;
  json compare = query("compare", {{"a", "v1"}, {"b", "working"}, {"node", "r1.b"}});
  EXPECT_NE(compare["items"][0]["text"].get<std::string>().find("+r1.b blue"), std::string::npos) << compare;
}

TEST_F(TemplateCommit, BlameFindsWhoMadeALineOfARenderedFile) {
  put({}, "note.conf.jinja", "one\n{{ colour }}\n");
  const uint64_t first = desk_.controller->state().sequence.value();
  commit();
  submit({SetAttribute{{Level::site, "b"}, "colour", "blue"}});
  const uint64_t second = desk_.controller->state().sequence.value();
  json blame = query("blame", {{"node", "r1.b"}, {"file", "note.conf"}});
  ASSERT_EQ(blame["items"].size(), 2u) << blame;
  EXPECT_EQ(blame["items"][0]["sequence"], first);
  EXPECT_EQ(blame["items"][1]["text"], "blue");
  EXPECT_EQ(blame["items"][1]["sequence"], second);
}

TEST_F(TemplateCommit, ErrorRefusesTheCommitAndNamesNodeFileAndLine) {
  put({Level::node, "r1.b"}, "note.conf.jinja", "a\n{{ x.y }}\n");
  EXPECT_EQ(desk_.error_of(prepare()).message, "node r1.b: note.conf.jinja:2: 'x' is undefined");
  EXPECT_TRUE(std::holds_alternative<Prepared>(prepare({Level::node, "r1.a"})));
  EXPECT_EQ(desk_.controller->state().find_node("r1.b")->latest(), Version());
}

TEST_F(TemplateCommit, LoopbackStyleRoutesByTheBuiltInTemplates) {
  submit({SetAttribute{{}, "routing_style", "loopback"}, SetAttribute{{Level::site, "b"}, "lans", "10.2.0.0/24"}});
  json plan = commit();
  EXPECT_EQ(plan["nodes"].size(), 2u);
  const bool checked = !find_program("bird").empty();
  EXPECT_EQ(plan.dump().find("BIRD is not installed") == std::string::npos, checked);
  const json files = query("files", {{"node", "r1.b"}, {"version", "v1"}});
  EXPECT_NE(file_of(files, "bird.conf").find("if net = 10.2.0.0/24 then accept;"), std::string::npos);
  EXPECT_NE(file_of(files, "bird_neighbors.conf").find("protocol bgp 'a_r1_11' from 'b'"), std::string::npos);
  EXPECT_NE(file_of(files, "tlwg_11.conf").find("PrivateKey = MESHLOG-PRIVATE-KEY-11"), std::string::npos);
  EXPECT_TRUE(query("changed")["items"].empty());
}

TEST_F(TemplateCommit, WarningsAreInThePlan) {
  put({}, "bird.conf", "log \"/var/log/bird.log\" all;\nrouter id 1.2.3.4;\nprotocol device {}\n");
  const json plan = commit();
  bool found = false;
  for (const json& warning : plan["warnings"])
    found = found || warning.get<std::string>().starts_with("bird.conf:1: log \"/var/log/bird.log\" was left out");
  EXPECT_TRUE(found) << plan["warnings"];
  EXPECT_NE(plan["warnings"].dump().find("(r1.a and 1 more)"), std::string::npos) << plan["warnings"];
}

TEST_F(TemplateCommit, VariablesAreToldAlsoOfThePast) {
  const Sequence before = desk_.controller->state().sequence;
  submit({SetAttribute{{Level::node, "r1.a"}, "colour", "red"}});
  json now = query("variables", {{"node", "r1.a"}});
  EXPECT_EQ(now["kind"], "Variables");
  EXPECT_EQ(now["variables"]["colour"], "red");
  EXPECT_EQ(now["variables"]["wg_links"]["12"]["wg_ifname"], "tlwg_12");
  EXPECT_NE(now["yaml"].get<std::string>().find("\ncolour: red\n"), std::string::npos);
  EXPECT_FALSE(query("variables", {{"node", "r1.a"}}, before)["variables"].contains("colour"));
}

// What was shown and not yet committed is memory: the newest is kept, older ones while there is room.
TEST_F(TemplateCommit, WhatWasShownIsBounded) {
  desk_.options.prepared_bytes = 1;
  desk_.restart();
  put({}, "note.conf", "x");
  const auto first = std::get<Prepared>(prepare());
  const auto second = std::get<Prepared>(prepare({Level::node, "r1.a"}));
  const auto commits = [&](const Prepared& shown, const Target& target) {
    return desk_.submit({Commit{target, shown.sequence, shown.root, true}});
  };
  const Error forgotten = desk_.error_of(commits(first, {}));
  EXPECT_EQ(forgotten.code, Errc::conflict);
  EXPECT_EQ(forgotten.fix, "prepare again");
  EXPECT_TRUE(std::holds_alternative<Reply>(commits(second, {Level::node, "r1.a"})));
}

// Who asks gets an answer, and not a connection that ends at a message that is too large.
TEST_F(TemplateCommit, AnAnswerThatFitsNoMessageComesInPages) {
  std::set<std::string> expected, got;
  for (int i = 0; i < 17; ++i) {
    expected.insert("f" + std::to_string(i) + ".txt");
    put({Level::node, "r1.a"}, "f" + std::to_string(i) + ".txt", std::string(kFileBytesMax, 'x'));
  }
  Query asked{"files", {{"node", "r1.a"}, {"version", "working"}}, {}};
  for (bool more = true; more;) {
    const Body answer = desk_.ask(desk_.alice, asked);
    const auto* page = std::get_if<QueryResult>(&answer);
    ASSERT_NE(page, nullptr) << desk_.error_of(answer).message;
    ASSERT_LT(page->json.size(), kFrameBytesMax / 2);
    const json document = json::parse(page->json);
    for (const json& item : document["items"]) {
      const std::string name = item["name"];
      if (!expected.contains(name)) continue;
      EXPECT_TRUE(got.insert(name).second) << name;
    }
    more = page->more;
    asked.arguments["cursor"] = page->cursor;
  }
  EXPECT_EQ(got, expected);
}

// Without a renderer only those who need one are refused.
TEST_F(TemplateCommit, NodesWithoutTemplatesNeedNoRenderer) {
  desk_.options.renderer = nullptr;
  desk_.restart();
  EXPECT_TRUE(std::holds_alternative<Prepared>(prepare()));
  put({Level::site, "b"}, "x.jinja", "1");
  EXPECT_EQ(desk_.error_of(prepare()).code, Errc::unsupported);
  EXPECT_TRUE(std::holds_alternative<Prepared>(prepare({Level::node, "r1.a"})));
}

}  // namespace
}  // namespace mesh::test
