// Claim: no answer about ten thousand nodes is longer than a frame: what is too long comes in pages that hold every
// item once. Method: a state with 10,000 enrolled nodes of whom every one reported; each page is encoded
// as it would be sent.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "broker/queries/queries.h"
#include "eventstore/log/memory_event_log.h"
#include "eventstore/model/limits.h"
#include "schemas/codec.h"
#include "tests/unit/compile/states.h"

namespace mesh {
namespace {

using namespace testing;
using nlohmann::json;

constexpr uint32_t kFirst = 11, kNodes = 10'000;

class Pages : public ::testing::Test {
 protected:
  Pages() {
    state_ = towalink_state();
    state_.rules = kRulesNewest;
    state_.genesis.loopbacknet_ipv4 = state_.genesis.transfernet_ipv4 = "100.64.0.0/10";
    for (uint32_t id = kFirst; id < kFirst + kNodes; ++id) {
      const std::string number = std::to_string(id);
      add_node(state_, id, "router" + number + ".site" + std::to_string(id / 4), {{"node_hostname", number + ".net"}});
      enrol(state_, id);
      Sighting& seen = board_[NodeId(id)];
      seen.status.state = "ok";
      seen.status.program = "meshnode";
      seen.status.problem = "path MTU to some peers is lower than it should be";
    }
  }

  /// All items of an answer; how many pages they came in.
  std::vector<json> ask(const std::string& kind, size_t& pages) {
    std::vector<json> items;
    std::string cursor;
    pages = 0;
    do {
      QueryFacts facts;
      facts.state = state_;
      facts.board = board_;
      facts.log = &log_;
      facts.query = Query{kind, {}, {}};
      if (!cursor.empty()) facts.query.arguments["cursor"] = cursor;
      auto answer = answer_query(std::move(facts));
      if (!answer) {
        ADD_FAILURE() << answer.error().message;
        return items;
      }
      EXPECT_LE(encode_message({1, *answer}).size(), kFrameBytesMax / 2) << kind;
      json document = json::parse(answer->json);
      for (json& item : document["items"]) items.push_back(std::move(item));
      cursor = answer->more ? answer->cursor : std::string();
      ++pages;
    } while (!cursor.empty());
    return items;
  }

  MeshState state_;
  Board board_;
  MemoryEventLog log_{LogId()};
};

TEST_F(Pages, HoldEveryNodeOnce) {
  size_t inventory_pages = 0;
  for (const char* kind : {"nodes", "status", "inventory", "nodes_roots"}) {
    size_t pages = 0;
    const auto items = ask(kind, pages);
    ASSERT_EQ(items.size(), kNodes) << kind;
    std::set<uint32_t> numbers;
    for (const json& item : items) numbers.insert(item[item.contains("id") ? "id" : "node"].get<uint32_t>());
    EXPECT_EQ(numbers.size(), kNodes) << kind;
    EXPECT_EQ(*numbers.begin(), kFirst) << kind;
    if (std::string_view(kind) == "inventory") inventory_pages = pages;
    RecordProperty(std::string(kind) + "_pages", static_cast<int>(pages));
  }
  EXPECT_GT(inventory_pages, 1u);
  size_t pages = 0;
  EXPECT_EQ(ask("sites", pages).size(), state_.sites.size());
  EXPECT_EQ(pages, 1u);
}

TEST_F(Pages, EndBehindTheLastItem) {
  QueryFacts facts;
  facts.state = state_;
  facts.log = &log_;
  facts.query = Query{"sites", {{"cursor", "1000000"}}, {}};
  auto answer = answer_query(std::move(facts));
  ASSERT_TRUE(answer.has_value()) << answer.error().message;
  EXPECT_FALSE(answer->more);
  EXPECT_TRUE(json::parse(answer->json)["items"].empty());
}

}  // namespace
}  // namespace mesh
