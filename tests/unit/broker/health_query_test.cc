// Claim: `status` and `links` tell what nodes measured, with its age and both ends' views; a link whose path carries
// less than its MTU is named; who did not measure, or says nothing, is null.
// Method: statuses on the board of a World; documents read back.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "broker/queries/queries.h"
#include "eventstore/log/memory_event_log.h"
#include "tests/support/world.h"

namespace mesh::test {
namespace {

using nlohmann::json;

struct HealthQuery : ::testing::Test {
  HealthQuery() {
    world.must(AddSite{"ams"});
    world.must(AddSite{"lab"});
    for (const char* name : {"r1.ams", "r1.lab"}) {
      world.must(AddNode{name});
      world.enrol(name);
    }
    world.must(SetAttribute{{Level::node, "r1.ams"}, "endpoint", {"192.0.2.1"}});
    NodeStatus status;
    status.program = "0.4.0";
    status.machine = {.load_milli = 1'250, .processors = 2, .memory_bytes = 4'000, .memory_free_bytes = 3'000,
                      .disk_bytes = 80, .disk_free_bytes = 20, .uptime_s = 77, .kernel = "Linux 6.1",
                      .bird = "2.0.12", .wireguard = "kernel 1.0.0"};
    LinkHealth link;
    link.peer = NodeId(12);
    link.interface = "tlwg_12";
    link.endpoint = "192.0.2.1:7411";
    link.rx_bytes = 7;
    link.tx_bytes = 8;
    link.rtt_us = 1'500;
    link.rtt_age_s = 4;
    link.mtu = link.path_mtu = 1'420;
    link.path_mtu_age_s = 60;
    status.links = {link};
    board[NodeId(11)] = {status, 97'000};
  }
  json ask(const std::string& kind, std::map<std::string, std::string> arguments = {}) {
    QueryFacts facts;
    facts.state = world.state();
    facts.board = board;
    facts.log = &log;
    facts.now = {Timestamp(5'000'000), 100'000};
    facts.query = {kind, std::move(arguments), {}};
    auto answer = answer_query(std::move(facts));
    return answer ? json::parse(answer->json) : json(answer.error().message);
  }
  /// What r1.lab says of the same link.
  LinkHealth& other() {
    auto& status = board[NodeId(12)].status;
    if (status.links.empty()) status.links.emplace_back().peer = NodeId(11);
    return status.links.front();
  }
  World world;
  MemoryEventLog log{world.state().log};
  Board board;
};

TEST_F(HealthQuery, AMachineIsToldAsItWasSaid) {
  const json one = ask("status", {{"node", "r1.ams"}})["items"][0];
  EXPECT_EQ(one["age_s"], 3);
  EXPECT_EQ(one["machine"], json({{"load", 1.25}, {"processors", 2}, {"memory_bytes", 4'000},
                                  {"memory_free_bytes", 3'000}, {"disk_bytes", 80}, {"disk_free_bytes", 20},
                                  {"uptime_s", 77}, {"kernel", "Linux 6.1"}, {"bird", "2.0.12"},
                                  {"wireguard", "kernel 1.0.0"}}));
  EXPECT_EQ(one["link_items"],
            json::array({{{"peer", 12}, {"peer_name", "r1.lab"}, {"interface", "tlwg_12"}, {"bgp_up", false},
                          {"bfd_up", false}, {"endpoint", "192.0.2.1:7411"}, {"rx_bytes", 7}, {"tx_bytes", 8},
                          {"rtt_us", 1'500}, {"rtt_age_s", 4}, {"mtu", 1'420}, {"path_mtu", 1'420},
                          {"path_mtu_age_s", 60}, {"handshake_age_s", nullptr}}}));
  const json all = ask("status")["items"];
  EXPECT_FALSE(all[0].contains("link_items")) << "of all nodes that would be every link twice";
  EXPECT_EQ(all[0]["path_mtu_low"], json::array());
  EXPECT_EQ(all[1]["machine"], nullptr) << "never heard of";
  board[NodeId(12)] = {};
  EXPECT_EQ(ask("status")["items"][1]["machine"], nullptr) << "its program does not tell";
}

TEST_F(HealthQuery, ALinkIsToldFromBothEnds) {
  json link = ask("links")["items"][0];
  EXPECT_EQ(link["rtt_us"], 1'500);
  EXPECT_EQ(link["rtt_age_s"], 4);
  EXPECT_EQ(link["age_s"], 3);
  EXPECT_EQ(link["path_mtu"], 1'420);
  EXPECT_EQ(link["a_endpoint"], "192.0.2.1:7411");
  EXPECT_EQ(link["a_rx_bytes"], 7);
  EXPECT_EQ(link["b_endpoint"], nullptr);
  other().mtu = 1'420;
  other().path_mtu = 1'344;
  other().path_mtu_age_s = 5;
  link = ask("links")["items"][0];
  EXPECT_EQ(link["path_mtu"], 1'344) << "the smaller one";
  EXPECT_EQ(link["path_mtu_age_s"], 5);
  EXPECT_EQ(link["rtt_us"], 1'500);
  EXPECT_EQ(link["b_rx_bytes"], 0);
  board.clear();
  link = ask("links")["items"][0];
  for (const char* key : {"rtt_us", "mtu", "path_mtu", "a_endpoint", "b_tx_bytes", "age_s"})
    EXPECT_EQ(link[key], nullptr) << key;
}

TEST_F(HealthQuery, AnMtuThatIsTooLargeIsNamed) {
  board[NodeId(11)].status.links.front().path_mtu = 1'344;
  EXPECT_EQ(ask("status")["items"][0]["path_mtu_low"],
            json::array({{{"peer", 12}, {"peer_name", "r1.lab"}, {"peer_links", nullptr}, {"mtu", 1'420},
                          {"path_mtu", 1'344}}}));
  other();
  EXPECT_EQ(ask("status")["items"][0]["path_mtu_low"][0]["peer_links"], 1);
}

}  // namespace
}  // namespace mesh::test
