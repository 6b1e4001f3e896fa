// Claim: every command that reads can be asked about any instant of history, however it is named;
// what cannot be an instant is refused with the right exit code; a replay finds whatever differs
// and writes what the nodes had. Method: a controller in memory with a history of some changes; the
// queries that reach it are looked at, and its entries, states and answers are forged one by one.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "cli/json.h"
#include "cli/moment.h"
#include "cli/verbs.h"
#include "eventstore/model/canonical.h"
#include "eventstore/model/compile.h"
#include "eventstore/model/overlay.h"
#include "schemas/codec.h"
#include "schemas/json.h"
#include "tests/unit/cli/run_cli.h"

namespace mesh::cli::test {
namespace {

namespace fs = std::filesystem;

class Time : public testing::Test {
 protected:
  Time() {
    controller_.given({AddSite{"ams"}, AddSite{"lab"}});
    controller_.given({AddNode{"r1.ams"}, AddNode{"r1.lab"}});
    set("10.1.0.0/24", "ams");
    set("10.2.0.0/24", "lab");
    for (const char* node : {"r1.ams", "r1.lab"})
      controller_.given({SetAttribute{
          {Level::node, node}, "endpoint", "192.0.2." + std::to_string(++endpoints_)}});
    controller_.given({AddTag{"before", Sequence(3)}});
    for (const char* kind : {"sites", "nodes", "changed", "changes", "links", "versions", "tokens",
                             "operators", "show", "show_all", "status", "compare", "variables"})
      controller_.documents[kind] = R"({"kind":"Any","sequence":3,"items":[],"attributes":{}})";
    directory_ = fs::temp_directory_path() / ("meshcli-time-" + std::to_string(::getpid()));
    fs::create_directory(directory_);
  }
  ~Time() override { fs::remove_all(directory_); }

  void set(const std::string& lan, const std::string& site) {
    controller_.given({SetAttribute{
        {Level::site, site}, "lans", AttributeValue{std::vector<Scalar>{Scalar{lan}}}}});
  }
  Ran cli(const std::string& line) { return run_cli(controller_, line); }
  /// The instants at which queries of `kind` were asked since `first`.
  std::set<uint64_t> asked_at(const std::string& kind, size_t first) {
    std::set<uint64_t> out;
    const auto queries = controller_.heard_of<Query>();
    for (size_t i = first; i < queries.size(); ++i)
      if (queries[i].kind == kind) out.insert(queries[i].at.value());
    return out;
  }
  std::string moment_asked() {
    std::string out;
    for (const Query& query : controller_.heard_of<Query>())
      if (query.kind == "moment") out = query.arguments.at("text");
    return out;
  }
  static std::string text_of(const fs::path& path) {
    std::ostringstream out;
    out << std::ifstream(path).rdbuf();
    return out.str();
  }
  Json replay(const std::string& options, int exit) {
    const Ran ran = cli("replay -o json " + options);
    EXPECT_EQ(ran.exit, exit) << ran.out << ran.err;
    return Json::parse(ran.out, nullptr, false);
  }

  FakeController controller_;
  fs::path directory_;
  int endpoints_ = 0;
};

TEST_F(Time, EveryReadingVerbTakesAnInstantAndNoOtherDoes) {
  const Grammar& grammar = meshcli_grammar();
  const std::set<std::string_view> reading{"list", "show", "show_all", "plan", "status"};
  for (const Verb& verb : grammar.verbs) {
    const bool changes = grammar.allows(verb, "dry-run");
    if (changes) {
      EXPECT_FALSE(grammar.allows(verb, "at")) << usage_line(verb);
    } else if (reading.contains(verb.verb) && verb.noun != "entry") {
      EXPECT_TRUE(grammar.allows(verb, "at")) << usage_line(verb);
    }
  }
  const Ran ran = cli("set global note hello --at 3");
  EXPECT_EQ(ran.exit, 64);
  EXPECT_NE(ran.err.find("--at reads the past, but `set global` changes what is"),
            std::string::npos)
      << ran.err;
  EXPECT_EQ(cli("log --watch --at 3").exit, 64);
  EXPECT_EQ(cli("status --watch --at 3").exit, 64);
}

TEST_F(Time, AllQueriesOfACommandAreAsOfTheInstant) {
  const std::pair<const char*, const char*> commands[] = {{"list sites", "sites"},
                                                          {"list nodes ams", "nodes"},
                                                          {"list changes", "changes"},
                                                          {"list links", "links"},
                                                          {"list versions r1.ams", "versions"},
                                                          {"list tokens", "tokens"},
                                                          {"operator list", "operators"},
                                                          {"show site ams", "show"},
                                                          {"show_all node r1.ams", "show_all"},
                                                          {"show variables r1.ams", "variables"},
                                                          {"plan", "changed"},
                                                          {"plan site ams", "show"},
                                                          {"status", "status"},
                                                          {"list changed", "changed"}};
  for (const auto& [command, kind] : commands) {
    const size_t first = controller_.heard_of<Query>().size();
    const Ran ran = cli(std::string(command) + " --at 3");
    EXPECT_EQ(ran.exit, 0) << command << ran.err;
    EXPECT_EQ(asked_at(kind, first), std::set<uint64_t>{3}) << command;
    EXPECT_EQ(ran.err.substr(0, ran.err.find('\n')), "at #3 (2026-01-01 00:00:02Z)") << command;
    EXPECT_EQ(cli(std::string(command) + " --at 3 -q").err, "") << command;
  }
}

TEST_F(Time, AnInstantHasManyNames) {
  EXPECT_EQ(cli("list sites --at '#4'").exit, 0);
  EXPECT_EQ(moment_asked(), "4");
  EXPECT_EQ(cli("list sites --at before").exit, 0);
  EXPECT_EQ(moment_asked(), "before");
  // The newest is #8.
  EXPECT_EQ(cli("list sites --at -2").exit, 0);
  EXPECT_EQ(moment_asked(), "6");
  controller_.time = Timestamp(controller_.time.value() + 3'600'000'000);
  EXPECT_EQ(cli("list sites --at -1h").exit, 0);
  EXPECT_EQ(moment_asked(), "2026-01-01T00:00:00.000000Z");
  EXPECT_EQ(cli("list sites --at=-30m").exit, 0);
  EXPECT_EQ(moment_asked(), "2026-01-01T00:30:00.000000Z");
  EXPECT_EQ(cli("list sites --at 2026-01-01T01:00:03+01:00").exit, 0);
  EXPECT_EQ(moment_asked(), "2026-01-01T00:00:03.000000Z");
  const Ran ran = cli("list sites --at before");
  EXPECT_EQ(ran.err.substr(0, ran.err.find('\n')), "at #3 (2026-01-01 00:00:02Z, tag before)");
}

TEST_F(Time, ATimeWithoutAZoneIsLocal) {
  controller_.time = Timestamp(controller_.time.value() + 86'400'000'000);
  const char* before = std::getenv("TZ");
  const std::string kept = before ? before : "";
  ::setenv("TZ", "CET-1", 1);
  ::tzset();
  EXPECT_EQ(cli("list sites --at '2026-01-01 01:00:05'").exit, 0);
  if (before)
    ::setenv("TZ", kept.c_str(), 1);
  else
    ::unsetenv("TZ");
  ::tzset();
  EXPECT_EQ(moment_asked(), "2026-01-01T00:00:05.000000Z");
}

TEST_F(Time, AVersionIsAnInstantWhereANodeIsNamed) {
  EXPECT_EQ(cli("commit all -q").exit, 0);
  EXPECT_EQ(cli("show_all node r1.ams --at v1").exit, 0);
  const auto queries = controller_.heard_of<Query>();
  const auto moment = std::ranges::find(queries, "moment", &Query::kind);
  ASSERT_NE(moment, queries.end());
  EXPECT_EQ(moment->arguments.at("node"), "r1.ams");
  EXPECT_EQ(queries.back().kind, "show_all");
  EXPECT_EQ(queries.back().at, Sequence(9));
}

TEST_F(Time, WhatIsNoInstantIsRefused) {
  EXPECT_EQ(cli("list sites --at 99").exit, 5);
  EXPECT_EQ(cli("list sites --at -99").exit, 5);
  EXPECT_EQ(cli("list sites --at nonsense").exit, 5);
  EXPECT_EQ(cli("list sites --at 2025-01-01").exit, 5) << "before the first entry";
  const Ran future = cli("list sites --at 2026-02-01");
  EXPECT_EQ(future.exit, 5);
  EXPECT_NE(future.err.find("lies in the future"), std::string::npos) << future.err;
  for (const char* text : {"2026-13-01", "-2x", "2026-01-01T99:00", "''", "'#'", "12-"}) {
    const Ran ran = cli(std::string("list sites --at ") + text);
    EXPECT_EQ(ran.exit, 64) << text << ran.err;
    EXPECT_NE(ran.err.find("is no instant"), std::string::npos) << text << ran.err;
  }
}

TEST_F(Time, TagsAreAddedListedCompletedAndRemoved) {
  EXPECT_EQ(cli("add tag now-then").out, "tag now-then: added  (#9)\n");
  EXPECT_EQ(cli("add tag early -8").out, "tag early: #1  (#10)\n");
  EXPECT_EQ(cli("list tags -o name").out, "before\nearly\nnow-then\n");
  EXPECT_EQ(cli("__complete list sites --at ''").out, "before\nearly\nnow-then\n");
  EXPECT_EQ(cli("__complete diff be").out, "before\n");
  EXPECT_EQ(cli("__complete del tag ea").out, "early\n");
  EXPECT_EQ(cli("del tag early").out, "tag early: removed  (#11)\n");
  EXPECT_EQ(cli("del tag early").exit, 5);
  EXPECT_EQ(cli("add tag v3").exit, 7) << "a version is called so";
}

TEST_F(Time, DiffNamesItsSidesAbsolutely) {
  controller_.time = Timestamp(controller_.time.value() + 3'600'000'000);
  EXPECT_EQ(cli("diff -1h -2 node r1.ams").exit, 0);
  const Query asked = controller_.heard_of<Query>().back();
  EXPECT_EQ(asked.kind, "compare");
  EXPECT_EQ(asked.arguments,
            (QueryArguments{{"a", "2026-01-01T00:00:00.000000Z"}, {"b", "6"}, {"node", "r1.ams"}}));
  EXPECT_EQ(cli("diff").exit, 0);
  EXPECT_EQ(controller_.heard_of<Query>().back().arguments,
            (QueryArguments{{"a", "active"}, {"b", "working"}}));
  EXPECT_EQ(cli("diff v1 before --detailed-exitcode").exit, 0) << "nothing differs";
  controller_.documents["compare"] =
      R"({"kind":"Comparison","sequence":3,"links":{"added":[{"a":"x","b":"y"}]},"items":[]})";
  EXPECT_EQ(cli("diff v1 before --detailed-exitcode").exit, 2);
}

TEST_F(Time, AFileIsComparedAsWhatItWouldMake) {
  const auto write = [&](const std::string& name, const std::string& text) {
    std::ofstream(directory_ / name) << text;
    return (directory_ / name).string();
  };
  const std::string then = write("then.yaml", cli("export").out);
  EXPECT_EQ(cli("diff " + then).out, "");
  EXPECT_EQ(cli("diff " + then + " working --detailed-exitcode").exit, 0);
  set("10.9.0.0/24", "lab");
  controller_.given({AddSite{"par"}, AddNode{"r1.par"}});
  controller_.given({SetAttribute{
      {Level::site, "par"}, "lans", AttributeValue{std::vector<Scalar>{Scalar{"10.3.0.0/24"}}}}});
  const Ran ran = cli("diff " + then + " working --detailed-exitcode -o json");
  EXPECT_EQ(ran.exit, 2) << ran.err;
  const Json document = Json::parse(ran.out, nullptr, false);
  EXPECT_EQ(value_at(document, "structure"), Json({"site par added", "node r1.par (13) added"}));
  EXPECT_EQ(value_at(document, "attributes").size(), 2u);
  EXPECT_EQ(value_at(value_at(document, "links"), "added").size(), 2u);
  EXPECT_EQ(value_at(value_at(document, "reachability"), "gained").size(), 3u);
  EXPECT_EQ(value_at(document, "items").size(), 3u);
  EXPECT_EQ(text_at(value_at(document, "a"), "means"), "what applying it makes");
  EXPECT_EQ(text_at(value_at(document, "b"), "means"), "the working state");
  EXPECT_EQ(number_at(value_at(document, "b"), "at"), number_at(document, "sequence"));
  for (const auto& [list, size] : {std::pair("attributes", 2), {"structure", 2}, {"links_added", 2}, {"items", 3}})
    EXPECT_EQ(number_at(value_at(document, "totals"), list), size) << list;
  // The other way, of one node.
  const Ran node = cli("diff working " + then + " node r1.par");
  EXPECT_NE(node.out.find("- node r1.par (13) removed"), std::string::npos) << node.out;
  EXPECT_EQ(node.out.find("r1.lab  "), std::string::npos) << node.out;
  EXPECT_EQ(cli("diff " + then + " before -q").exit, 0) << "an instant";
  EXPECT_EQ(cli("diff " + then + " " + then + " --detailed-exitcode").exit, 0);
  EXPECT_EQ(cli("diff " + then + " active").exit, 64);
  EXPECT_EQ(cli("diff " + then + " v3").exit, 64);
  EXPECT_EQ(cli("diff - -").exit, 64);
  EXPECT_EQ(cli("diff ./none.yaml").exit, 5);
  EXPECT_EQ(cli("diff " + write("bad.yaml", "sites: [1")).exit, 7);
}

TEST_F(Time, AReplayEqualsTheControllersState) {
  const Json whole = replay("", 0);
  EXPECT_TRUE(flag_at(whole, "ok"));
  EXPECT_TRUE(flag_at(whole, "equal"));
  EXPECT_EQ(number_at(whole, "entries"), 8);
  EXPECT_EQ(text_at(whole, "digest"), to_hex(state_digest(controller_.replica.state).view()));
  const Json part = replay("--until before", 0);
  EXPECT_EQ(number_at(part, "entries"), 3);
  EXPECT_NE(text_at(part, "digest"), text_at(whole, "digest"));
  EXPECT_EQ(cli("replay --until 99").exit, 5);
}

TEST_F(Time, AReplayFindsADifferentState) {
  controller_.documents["state"] =
      R"({"kind":"StateDigest","sequence":8,"digest":"00","root":"00"})";
  const Json result = replay("--to " + (directory_ / "out").string(), 12);
  EXPECT_FALSE(flag_at(result, "equal"));
  EXPECT_EQ(value_at(result, "problems").size(), 2u);
  EXPECT_FALSE(fs::exists(directory_ / "out")) << "nothing is written of what differs";
}

TEST_F(Time, AReplayFindsAForgedEntry) {
  auto entry = decode_entry(controller_.entries[3]);
  std::get<AttributeSet>(entry->body->events[0]).name = "other";
  controller_.entries[3] = encode_entry(entry->header, *entry->body);
  const Json result = replay("", 12);
  EXPECT_EQ(number_at(result, "first_bad"), 4);
  EXPECT_EQ(number_at(result, "entries"), 3);
}

TEST_F(Time, AReplayWritesTheFilesOfThen) {
  EXPECT_EQ(cli("commit all -q").exit, 0);                 // #9: v1
  EXPECT_EQ(cli("set global wg_keepalive 7 -q").exit, 0);  // #10
  const MeshState then = controller_.replica.state;
  EXPECT_EQ(cli("commit node r1.ams -q").exit, 0);  // #11: v2 of one
  const fs::path out = directory_ / "out";
  const Json result = replay("--to " + out.string() + " --until 10", 0);
  EXPECT_EQ(number_at(value_at(result, "written"), "configurations"), 4);
  const auto working = compile(then, NodeId(11));
  ASSERT_TRUE(working.has_value());
  EXPECT_EQ(text_of(out / "r1.ams" / "working" / "config.json"), config_text(*working));
  const auto files = rendered_files(*working, make_overlay(then, NodeId(11)));
  for (const auto& [name, text] : files)
    EXPECT_EQ(text_of(out / "r1.ams" / "working" / name), text) << name;
  EXPECT_TRUE(fs::exists(out / "r1.ams" / "v1" / "bird.conf"));
  EXPECT_NE(text_of(out / "r1.ams" / "v1" / "config.json"), config_text(*working));
  EXPECT_FALSE(fs::exists(out / "r1.ams" / "v2"));
  // At the head r1.ams works as committed.
  const fs::path head = directory_ / "head";
  replay("--to " + head.string() + "/", 0);
  EXPECT_EQ(text_of(head / "r1.ams" / "v2" / "config.json"), config_text(*working));
  EXPECT_FALSE(fs::exists(head / "r1.ams" / "working"));
  EXPECT_TRUE(fs::exists(head / "r1.lab" / "working"));
}

TEST_F(Time, AnEarlierVersionThatIsActiveAgainIsFoundInASecondPass) {
  // More commits than are kept while nothing uses them.
  for (int64_t value = 1; value <= 80; ++value) {
    controller_.given({SetAttribute{{Level::global, ""}, "wg_keepalive", value}});
    EXPECT_EQ(cli("commit node r1.ams -q").exit, 0);
  }
  controller_.given({Activate{{Level::node, "r1.ams"}, Version(2)}});
  const fs::path out = directory_ / "out";
  replay("--to " + out.string(), 0);
  EXPECT_TRUE(fs::exists(out / "r1.ams" / "v2" / "config.json"));
  EXPECT_TRUE(fs::exists(out / "r1.ams" / "v80" / "config.json"));
  EXPECT_EQ(controller_.heard_of<Subscribe>().size(), 2u);
}

TEST_F(Time, NothingIsWrittenOver) {
  std::ofstream(directory_ / "mine") << "kept";
  const size_t heard = controller_.heard.size();
  const Ran ran = cli("replay --to " + directory_.string());
  EXPECT_EQ(ran.exit, 6) << ran.err;
  EXPECT_EQ(controller_.heard.size(), heard) << "before any work";
  EXPECT_EQ(text_of(directory_ / "mine"), "kept");
  EXPECT_EQ(cli("replay --to " + (directory_ / "no/where").string()).exit, 5);
  EXPECT_EQ(cli("replay --to " + (directory_ / "mine").string()).exit, 6);
  EXPECT_EQ(std::distance(fs::directory_iterator(directory_), fs::directory_iterator()), 1)
      << "nothing staged is left";
}

}  // namespace
}  // namespace mesh::cli::test
