// Claim: the log query gives exactly the entries that its filters name, from both ends, over any
// page boundaries, with a cold and a warm index, and beside a damaged entry. Method: random
// histories (the seed is printed) longer than several blocks; a second, naive filter over every
// decoded entry says what is right.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>

#include "broker/log_scan.h"
#include "broker/queries/queries.h"
#include "schemas/json.h"
#include "tests/support/borrowed_log.h"
#include "tests/unit/broker/desk.h"

namespace mesh {
namespace {

using nlohmann::json;
using test::Desk;
using Arguments = std::map<std::string, std::string>;

/// Six blocks and a bit of sets, renames, sites and nodes that come and go, by two people.
class LogQuery : public testing::Test {
 protected:
  LogQuery() : seed(std::random_device()()), random(seed) {
    RecordProperty("seed", static_cast<int>(seed));
    desk.submit({AddSite{"ams"}, AddSite{"lab"}, AddSite{"fra"}, AddNode{"r1.ams"}, AddNode{"r2.ams"},
                 AddNode{"r1.lab"}, AddNode{"r1.fra"},
                 SetAttribute{{Level::node, "r1.ams"}, "endpoint", {"192.0.2.1"}}});
    desk.submit({AddOperator{"bob", Role::operator_, {}, test::sign_secret("bob").public_key(),
                             test::box_secret("bob").public_key()}});
    auto prepared = std::get<Prepared>(desk.ask(desk.alice, Prepare{Target{}, false, false}));
    desk.submit({Commit{Target{}, prepared.sequence, prepared.root, false, false}});
    for (int i = 0; i < 1'600; ++i) step(i);
    desk.submit({RemoveNode{"r1.fra", true}});
    for (uint64_t i = 1; i <= desk.disk->head().value(); ++i)
      entries.push_back(*decode_entry(desk.disk->read(Sequence(i), 1, 1)->at(0)));
  }

  void step(int number) {
    desk.now.wall = Timestamp(desk.now.wall.value() + static_cast<int64_t>(random() % 3) * 1'000'000);
    const char* targets[] = {"r1.ams", "r2.ams", "r1.lab", "r1.fra"};
    // r1.fra is rarely touched, so that whole blocks know nothing of it.
    const Target target = random() % 400 == 0 ? Target{Level::node, targets[3]}
                          : random() % 5 == 0 ? Target{Level::site, random() % 2 ? "ams" : "lab"}
                                              : Target{Level::node, targets[random() % 3]};
    const char* names[] = {"wg_keepalive", "note", "bgp_note"};
    Request request = desk.request({SetAttribute{target, names[random() % 3], {int64_t{number}}}});
    if (number % 300 == 7) request = desk.request({AddSite{"s" + std::to_string(number)}});
    desk.ask(desk.alice, Submit{Desk::sign(request), false});
  }

  QueryFacts facts(Arguments arguments) {
    QueryFacts out;
    out.state = desk.controller->state();
    out.log = desk.disk.get();
    out.query = {"log", std::move(arguments), {}};
    out.index = index.get();
    return out;
  }

  /// The sequences of all pages.
  std::vector<uint64_t> ask(Arguments arguments) {
    std::vector<uint64_t> out;
    for (;;) {
      auto page = answer_query(facts(arguments));
      if (!page) {
        ADD_FAILURE() << page.error().message;
        return out;
      }
      const json document = json::parse(page->json);
      for (const json& item : document["items"]) out.push_back(item["sequence"]);
      if (!page->more) return out;
      arguments["cursor"] = page->cursor;
    }
  }

  /// From the JSON alone, and from the names that nodes and sites have in this history.
  static bool concerns(const json& event, const std::string& node, const std::string& site) {
    static const std::map<int, std::string> sites{{11, "ams"}, {12, "ams"}, {13, "lab"}, {14, "fra"}};
    const auto is_node = [&](int id) { return site.empty() ? std::to_string(id) == node : sites.at(id) == site; };
    if (event.contains("node") && is_node(event["node"])) return true;
    for (const json& row : event.value("rows", json::array()))
      if (is_node(row["node"])) return true;
    const std::string scope = event.value("scope", ""), type = event["type"];
    if (scope.starts_with("node ") && is_node(std::stoi(scope.substr(5)))) return true;
    if (site.empty()) return false;
    return scope == "site " + site || (type.starts_with("Site") && event.value("name", "") == site) ||
           event.value("site", "") == site;
  }

  std::vector<uint64_t> expected(const Arguments& arguments) {
    std::vector<uint64_t> out;
    for (const Entry& entry : entries) {
      const std::string text = entry_json(entry);
      const json shown = json::parse(text);
      bool keep = true;
      for (const auto& [name, value] : arguments) {
        const auto any = [&](auto matches) {
          return std::any_of(shown["events"].begin(), shown["events"].end(), matches);
        };
        if (name == "actor") keep &= shown["principal"] == value;
        if (name == "grep") keep &= text.find(value) != std::string::npos;
        if (name == "since") keep &= shown["time"] >= value;
        if (name == "until") keep &= shown["time"] <= value;
        if (name == "after") keep &= entry.header.sequence.value() > std::stoull(value);
        if (name == "node") keep &= any([&](const json& e) { return concerns(e, value, ""); });
        if (name == "site") keep &= any([&](const json& e) { return concerns(e, "", value); });
        if (name == "type")
          keep &= any([&](const json& e) { return e["type"] == value; }) ||
                  std::any_of(shown["commands"].begin(), shown["commands"].end(),
                              [&](const json& c) { return c["type"] == value; });
      }
      if (keep) out.push_back(entry.header.sequence.value());
    }
    if (arguments.contains("newest")) std::reverse(out.begin(), out.end());
    return out;
  }

  Arguments some_filters() {
    Arguments out;
    const Entry& any = entries[random() % entries.size()];
    if (random() % 3 == 0) out["node"] = std::to_string(11 + random() % 4);
    if (random() % 4 == 0) out["site"] = random() % 2 ? "lab" : random() % 2 ? "ams" : "fra";
    if (random() % 5 == 0) out["actor"] = random() % 3 ? "alice" : random() % 2 ? "controller" : "bob";
    if (random() % 5 == 0) out["type"] = random() % 2 ? "AttributeSet" : random() % 2 ? "SiteAdded" : "AddNode";
    if (random() % 5 == 0) out["grep"] = random() % 2 ? "note" : "\"value\":77";
    if (random() % 3 == 0) out["since"] = time_text(any.header.time);
    if (random() % 3 == 0) out["until"] = time_text(Timestamp(any.header.time.value() + 1'000'000));
    if (random() % 4 == 0) out["after"] = std::to_string(random() % entries.size());
    if (random() % 2 == 0) out["newest"] = "1";
    out["limit"] = random() % 2 ? "1000" : std::to_string(1 + random() % 300);
    return out;
  }

  uint32_t seed;
  std::mt19937 random;
  Desk desk;
  std::unique_ptr<LogIndex> index = std::make_unique<LogIndex>();
  std::vector<Entry> entries;
};

TEST_F(LogQuery, FiltersPagesAndDirectionsAgreeWithANaiveFilter) {
  for (int i = 0; i < 150; ++i) {
    const Arguments arguments = some_filters();
    // Every second search starts with nothing learned.
    if (i % 2) index = std::make_unique<LogIndex>();
    ASSERT_EQ(ask(arguments), expected(arguments)) << "seed " << seed << " filters " << json(arguments).dump();
  }
}

TEST_F(LogQuery, AWarmIndexReadsOnlyTheBlocksThatMayHoldIt) {
  const auto first = ask({{"node", "r1.fra"}});
  size_t visited = 0;
  scan(*desk.disk, index.get(), {{node_key(NodeId(14))}}, {1, entries.size(), false}, entries.size(),
       [&](Sequence, const Result<Entry>&) { return ++visited > 0; });
  std::vector<uint64_t> blocks;
  for (const uint64_t sequence : first) blocks.push_back((sequence - 1) / LogIndex::kBlockEntries);
  blocks.erase(std::unique(blocks.begin(), blocks.end()), blocks.end());
  // A false positive in a block of few keys is as good as impossible; the last block is never known.
  EXPECT_LE(visited, (blocks.size() + 1) * LogIndex::kBlockEntries) << "seed " << seed;
  EXPECT_EQ(ask({{"node", "r1.fra"}}), first);
}

TEST_F(LogQuery, NamesOfRemovedNodesAreTold) {
  auto page = answer_query(facts({{"node", "r1.fra"}, {"newest", "1"}, {"limit", "1"}}));
  ASSERT_TRUE(page.has_value());
  EXPECT_EQ(json::parse(page->json)["names"], json({{"14", "r1.fra"}}));
  EXPECT_TRUE(page->more);
}

TEST_F(LogQuery, ATimeThatIsNoneIsRefused) {
  for (const char* text : {"yesterday", "2026-01-02", "2026-01-02T03:04:05", "2026-01-02T03:04:05+02:00"}) {
    auto page = answer_query(facts({{"since", text}}));
    ASSERT_FALSE(page.has_value()) << text;
    EXPECT_EQ(page.error().code, Errc::usage);
  }
  EXPECT_TRUE(answer_query(facts({{"until", "2026-01-02T03:04:05Z"}})).has_value());
}

}  // namespace
}  // namespace mesh
