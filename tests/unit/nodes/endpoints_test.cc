// Claim: a node finds its controller through any half of a move: the newest list first, then where it was heard, then
// what it knew before; nothing that worked is forgotten; names never keep numeric addresses from being tried, and the
// address of the last connection stands in for a name without DNS.
// Method: the store on a simulated disk, reopened; names of /etc/hosts and names that cannot exist.
#include <gtest/gtest.h>

#include <thread>

#include "nodes/controller_dial.h"
#include "nodes/memory_files.h"

namespace mesh::test {
namespace {

using List = std::vector<std::string>;
const List kJoined{"tcp://192.0.2.1:7400"};

TEST(ControllerEndpoints, WalksTheNewestListFirstAndForgetsNothingThatWorked) {
  MemoryFiles disk;
  ControllerEndpoints known(disk, kJoined);
  EXPECT_EQ(known.walk(), kJoined);
  EXPECT_TRUE(known.learn(Sequence(1), kJoined));
  known.spoke("tcp://192.0.2.1:7400", "");
  EXPECT_FALSE(known.learn(Sequence(2), kJoined)) << "no news";
  EXPECT_FALSE(known.learn(Sequence(2), {})) << "nobody says so";
  EXPECT_TRUE(known.learn(Sequence(3), {"tcp://192.0.2.1:7400", "tcp://192.0.2.2:7400"}));
  known.spoke("tcp://192.0.2.2:7400", "");
  EXPECT_TRUE(known.learn(Sequence(4), {"tcp://192.0.2.2:7400"}));
  EXPECT_TRUE(known.learn(Sequence(5), {"tcp://192.0.2.3:7400"}));

  ControllerEndpoints again(disk, kJoined);
  EXPECT_EQ(again.walk(), (List{"tcp://192.0.2.3:7400", "tcp://192.0.2.2:7400", "tcp://192.0.2.1:7400"}));
  EXPECT_EQ(again.sequence(), Sequence(5));

  // However often it moves, where it was heard last stays.
  for (uint64_t i = 0; i < 100; ++i) {
    EXPECT_TRUE(again.learn(Sequence(6 + i), {"tcp://198.51.100.1:" + std::to_string(1'000 + i)}));
  }
  const auto walk = again.walk();
  EXPECT_LE(walk.size(), ControllerEndpoints::kWalkMax);
  EXPECT_EQ(walk[0], "tcp://198.51.100.1:1099");
  EXPECT_EQ(walk[1], "tcp://192.0.2.2:7400");
  EXPECT_EQ(walk[2], "tcp://192.0.2.1:7400");
}

TEST(ControllerEndpoints, WhatRootSetComesFirstUntilTheLogSaysSomethingNewer) {
  MemoryFiles disk;
  ControllerEndpoints known(disk, kJoined);
  ASSERT_TRUE(known.learn(Sequence(1), kJoined));
  EXPECT_EQ(known.set({"192.0.2.9"}).error().code, Errc::invalid);
  EXPECT_EQ(known.set(List(9, "tcp://192.0.2.9:1")).error().code, Errc::invalid);
  ASSERT_TRUE(known.set({"tcp://192.0.2.9:7400"}));
  ControllerEndpoints again(disk, kJoined);
  EXPECT_EQ(again.walk(), (List{"tcp://192.0.2.9:7400", "tcp://192.0.2.1:7400"}));
  EXPECT_FALSE(again.learn(Sequence(2), kJoined)) << "an old log does not undo root's word";
  EXPECT_EQ(again.by_root().size(), 1u);
  ASSERT_TRUE(again.learn(Sequence(3), {"tcp://192.0.2.5:7400"}));
  EXPECT_TRUE(again.by_root().empty());
  EXPECT_EQ(again.walk(), (List{"tcp://192.0.2.5:7400", "tcp://192.0.2.9:7400", "tcp://192.0.2.1:7400"}));
  ASSERT_TRUE(again.set({"tcp://192.0.2.8:7400"}));
  ASSERT_TRUE(again.set({}));
  EXPECT_TRUE(again.by_root().empty());
}

TEST(ControllerEndpoints, ADamagedFileOrAFullDiskLosesTheMemoryOnly) {
  MemoryFiles disk;
  ControllerEndpoints known(disk, kJoined);
  disk.set_space(0);
  EXPECT_TRUE(known.learn(Sequence(3), {"tcp://192.0.2.2:7400"})) << "used although it cannot be stored";
  EXPECT_EQ(known.walk().front(), "tcp://192.0.2.2:7400");
  EXPECT_EQ(known.set({"tcp://192.0.2.9:7400"}).error().code, Errc::exhausted);
  EXPECT_TRUE(known.by_root().empty());
  disk.set_space(std::nullopt);
  known.spoke("tcp://192.0.2.2:7400", "");
  disk.raw("controller_endpoints.json")->resize(20);
  EXPECT_EQ(ControllerEndpoints(disk, kJoined).walk(), kJoined);
}

TEST(ControllerDial, NamesGiveWayToAddresses) {
  MemoryFiles disk;
  ControllerEndpoints known(disk, {"tcp://no-such-name.invalid:7400", "tcp://[2001:db8::1]:7400"});
  known.spoke("tcp://no-such-name.invalid:7400", "tcp://192.0.2.7:7400");
  ControllerDial dial(known);
  EXPECT_EQ(dial.addresses(1, {}), (List{"tcp://192.0.2.7:7400", "tcp://[2001:db8::1]:7400"}));
  EXPECT_EQ(dial.endpoint_of("tcp://192.0.2.7:7400"), "tcp://no-such-name.invalid:7400");
  EXPECT_EQ(dial.endpoint_of("tcp://[2001:db8::1]:7400"), "tcp://[2001:db8::1]:7400");
}

TEST(ControllerDial, ANameAloneIsGivenUntilItsAddressIsKnownAndThenKept) {
  MemoryFiles disk;
  const std::string name = "tcp://localhost:7400";
  ControllerEndpoints known(disk, {name});
  ControllerDial dial(known);
  List addresses = dial.addresses(1, {});
  // A connection over the name itself is not cut when the look-up ends.
  while (addresses == List{name}) {
    std::this_thread::yield();
    addresses = dial.addresses(2, name);
  }
  EXPECT_EQ(addresses.back(), name);
  EXPECT_EQ(dial.endpoint_of(addresses.front()), name);
  EXPECT_EQ(known.address_of(name), addresses.front());
  EXPECT_EQ(std::ranges::count(dial.addresses(3, {}), name), 0);
}

}  // namespace
}  // namespace mesh::test
