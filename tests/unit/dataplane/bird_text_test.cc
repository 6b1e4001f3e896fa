// Claim: replies of BIRD are read however they are cut and whatever BIRD says in between; sessions
// are found in them; a configuration is known again by its identity.
// Method: replies recorded from BIRD 2.0.12, cut at every byte.
#include "nodes/dataplane/bird_text.h"

#include <gtest/gtest.h>

namespace mesh {
namespace {

BirdReply read(std::string_view text) {
  BirdReplyReader reader;
  auto complete = reader.feed(text);
  EXPECT_TRUE(complete && *complete);
  return reader.take();
}

constexpr std::string_view kConfigure =
    "0002-Reading configuration from /run/meshnode/bird.conf.new\n"
    "+Config timeout expired, starting undo\n"
    "0022-Undo scheduled in 60 s\n"
    "0003 Reconfigured\n";

TEST(BirdReply, IsReadHoweverItIsCut) {
  for (size_t cut = 0; cut <= kConfigure.size(); ++cut) {
    BirdReplyReader reader;
    auto first = reader.feed(kConfigure.substr(0, cut));
    ASSERT_TRUE(first);
    ASSERT_EQ(*first, cut == kConfigure.size());
    auto second = reader.feed(kConfigure.substr(cut));
    ASSERT_TRUE(second);
    BirdReply reply = reader.take();
    EXPECT_EQ(reply.code(), 3);
    EXPECT_TRUE(reply.has(2) && reply.has(22));
    EXPECT_EQ(reply.unasked, std::vector<std::string>{"Config timeout expired, starting undo"});
  }
}

TEST(BirdReply, TheNextReplyIsKept) {
  BirdReplyReader reader;
  auto complete = reader.feed("0001 BIRD 2.0.12 ready.\n0018 Reconfiguration confirmed\n");
  ASSERT_TRUE(complete && *complete);
  EXPECT_EQ(reader.take().code(), 1);
  complete = reader.feed({});
  ASSERT_TRUE(complete && *complete);
  EXPECT_EQ(reader.take().code(), 18);
}

TEST(BirdReply, CodesFrom8000OnAreFailures) {
  EXPECT_TRUE(read("0002-Reading configuration from /x\n8002 /x:1:1 syntax error, unexpected "
                   "CF_SYM_UNDEFINED\n")
                  .failed());
  EXPECT_TRUE(read("9001 syntax error\n").failed());
  EXPECT_FALSE(read("0019 Nothing to do\n").failed());
}

TEST(BirdReply, WhatIsNotBirdIsAnError) {
  for (std::string_view text :
       {"HTTP/1.1 400 Bad Request\n", "12 x\n", "0001x\n", " text first\n", "\n"}) {
    BirdReplyReader reader;
    auto complete = reader.feed(text);
    ASSERT_FALSE(complete) << text;
    EXPECT_EQ(complete.error().code, Errc::io);
  }
}

TEST(BirdSessions, AreFoundAmongTheProtocols) {
  BirdReply reply = read(
      "2002-Name       Proto      Table      State  Since         Info\n"
      "1002-device1    Device     ---        up     21:20:04.383  \n"
      "1006-\n"
      "1002-bfd1       BFD        ---        up     21:20:04.383  \n"
      "1006-\n"
      "1002-peer_12    BGP        ---        up     21:20:04.383  Established   \n"
      "1006-  BGP state:          Established\n"
      "     Neighbor address: fe80::2%tlwg_12\n"
      "     Neighbor AS:      4200000012\n"
      "   Channel ipv4\n"
      "     State:          UP\n"
      " \n"
      "1002-peer_13b   BGP        ---        start  21:20:04.383  Active        Socket: No route "
      "to host\n"
      "1006-  BGP state:          Active\n"
      "     Neighbor address: 100.64.0.13\n"
      " \n"
      "0000 \n");
  EXPECT_EQ(parse_bgp_sessions(reply),
            (std::vector<BgpSession>{{"peer_12", "tlwg_12", "fe80::2", "Established"},
                                     {"peer_13b", "", "100.64.0.13", "Active"}}));
}

TEST(BirdVersion, IsRead) {
  const BirdReply status{{{1000, "BIRD 2.0.12"}, {1011, "Router ID is 100.64.0.11"}, {13, "Daemon is up and running"}},
                         {}};
  EXPECT_EQ(parse_bird_version(status), "2.0.12");
  EXPECT_EQ(parse_bird_version({}), "");
  EXPECT_EQ(parse_bird_version({{{8001, "BIRD is not here"}}, {}}), "");
}

TEST(BirdSessions, OfBfdAreRead) {
  BirdReply reply = read(
      "1020-bfd1:\n"
      " IP address                Interface  State      Since         Interval  Timeout\n"
      " fe80::2                   tlwg_12    Up         21:31:00.102    0.300    0.900\n"
      " fe80::3                   tlwg_13b   Down       21:31:00.102    1.000    0.000\n"
      "0000 \n");
  EXPECT_EQ(parse_bfd_sessions(reply), (std::vector<BfdSession>{{"fe80::2", "tlwg_12", "Up"},
                                                                {"fe80::3", "tlwg_13b", "Down"}}));
}

TEST(BirdRoutes, AreReadWithTheirProtocols) {
  BirdReply reply = read(
      "1007-Table master4:\n"
      " 10.2.0.0/24          unicast [peer_12 12:00:00.000] * (100) [AS4200000012i]\n"
      " \tvia fe80::2 on tlwg_12\n"
      "                      unicast [peer_13b 12:00:01.000] (100) [AS4200000013i]\n"
      " \tvia fe80::3 on tlwg_13b\n"
      " 10.1.0.0/24          unicast [lans 12:00:00.000] * (240)\n"
      " \tdev lan\n"
      " \n"
      " Table master6:\n"
      " fd00:2::/64          unicast [peer_12 12:00:00.000] * (100) [AS4200000012i]\n"
      " \tvia fe80::2 on tlwg_12\n"
      "0000 \n");
  EXPECT_EQ(parse_routes(reply), (std::vector<ToldRoute>{{"10.2.0.0/24", "peer_12"},
                                                         {"10.2.0.0/24", "peer_13b"},
                                                         {"10.1.0.0/24", "lans"},
                                                         {"fd00:2::/64", "peer_12"}}));
  EXPECT_TRUE(parse_routes(read("8001 No routes\n")).empty());
}

TEST(BirdIdentity, IsReadBackAndGuardsTheText) {
  for (std::string text :
       {"", "x", "router id 1.2.3.4;\n", "a\n\n", "# define meshlog_config = \"0\";\n"}) {
    std::string file = with_identity(text);
    auto split = split_identity(file);
    ASSERT_TRUE(split) << text;
    EXPECT_EQ(split->text, text);
    EXPECT_EQ(split->identity.size(), 64u);
    EXPECT_FALSE(split_identity(text));
    EXPECT_FALSE(split_identity("#" + file));
    EXPECT_FALSE(split_identity(file + "#"));
  }
}

}  // namespace
}  // namespace mesh
