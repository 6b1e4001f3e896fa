// Claim: addresses, prefixes and endpoints are read strictly, written in one canonical form, and
// their arithmetic is exact. Method: tables of texts, among them those of RFC 5952.
#include "eventstore/model/address.h"

#include <gtest/gtest.h>

namespace mesh {
namespace {

std::string again(std::string_view text) {
  auto address = parse_address(text);
  return address ? to_text(*address) : "invalid";
}

TEST(Address, IsWrittenInOneForm) {
  EXPECT_EQ(again("10.2.0.255"), "10.2.0.255");
  EXPECT_EQ(again("0.0.0.0"), "0.0.0.0");
  EXPECT_EQ(again("::"), "::");
  EXPECT_EQ(again("::1"), "::1");
  EXPECT_EQ(again("1::"), "1::");
  EXPECT_EQ(again("2001:0DB8:0:0:1:0:0:1"), "2001:db8::1:0:0:1");    // the first of two equal runs
  EXPECT_EQ(again("2001:db8:0:1:1:1:1:1"), "2001:db8:0:1:1:1:1:1");  // one group is not shortened
  EXPECT_EQ(again("2001:0:0:1:0:0:0:1"), "2001:0:0:1::1");           // the longest run
  EXPECT_EQ(again("fe80::b"), "fe80::b");
  EXPECT_EQ(again("::ffff:192.0.2.1"), "::ffff:192.0.2.1");
  EXPECT_EQ(again("1:2:3:4:5:6:7:8"), "1:2:3:4:5:6:7:8");
  EXPECT_EQ(again("0:0:3:4:5:6:7:8"), "::3:4:5:6:7:8");
  EXPECT_EQ(again("64:ff9b::192.0.2.33"), "64:ff9b::c000:221");
  EXPECT_EQ(again("1:2:3:4:5:6:1.2.3.4"), "1:2:3:4:5:6:102:304");
  EXPECT_EQ(again("1:2:3:4:5:6:7::"), "1:2:3:4:5:6:7:0");
}

TEST(Address, RefusesWhatIsNone) {
  for (auto text :
       {"",        "10.2.0", "10.2.0.256", "10.2.0.01",     "10.2.0.1 ",         "fe80::1%eth0",
        "1::2::3", "g::",    "1.2.3.4.5",  "[::1]",         "10.2.0.1/24",       ":",
        ":::",     "1:",     ":1",         "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2:3:4:5:6:7:8",
        "12345::", "::+1",   "1.2.3.4::",  "::1.2.3",       "::1.2.3.4:5",       "+1.2.3.4",
        "1.2.3.",  ".1.2.3", "1.2..3"})
    EXPECT_FALSE(parse_address(text)) << text;
  EXPECT_FALSE(parse_address(std::string_view("::1\0x", 5)));
}

TEST(Address, PlusCarriesAndWraps) {
  EXPECT_EQ(to_text(parse_address("10.0.0.250")->plus(10)), "10.0.1.4");
  EXPECT_EQ(to_text(parse_address("255.255.255.255")->plus(2)), "0.0.0.1");
  EXPECT_EQ(to_text(parse_address("fd00::ffff:ffff:ffff:ffff")->plus(1)), "fd00:0:0:1::");
  EXPECT_EQ(to_text(parse_address("fd00::")->plus(UINT64_MAX)), "fd00::ffff:ffff:ffff:ffff");
}

TEST(Prefix, KnowsItsNetwork) {
  auto prefix = *parse_prefix("10.2.3.4/15");
  EXPECT_TRUE(prefix.has_host_bits());
  EXPECT_EQ(to_text(prefix.network()), "10.2.0.0/15");
  EXPECT_EQ(to_text(*parse_prefix("10.2.3.4")), "10.2.3.4/32");
  EXPECT_EQ(to_text(*parse_prefix("fd00::1")), "fd00::1/128");
  EXPECT_EQ(to_text(parse_prefix("ffff::/0")->network()), "::/0");
  EXPECT_FALSE(parse_prefix("fd3e:970c:e7ec:edb5::0/64")->has_host_bits());
}

TEST(Prefix, RefusesWhatIsNone) {
  for (auto text : {"10.0.0.0/33", "fd00::/129", "10.0.0.0/", "10.0.0.0/024", "10.0.0.0/-1",
                    "10.0.0.0/8/8", "/8", "lan"})
    EXPECT_FALSE(parse_prefix(text)) << text;
}

TEST(Prefix, ContainsAndOverlaps) {
  auto wide = *parse_prefix("10.0.0.0/8"), narrow = *parse_prefix("10.9.0.0/16"),
       other = *parse_prefix("11.0.0.0/8");
  EXPECT_TRUE(wide.overlaps(narrow));
  EXPECT_TRUE(narrow.overlaps(wide));
  EXPECT_FALSE(wide.overlaps(other));
  EXPECT_TRUE(narrow.contains(*parse_address("10.9.255.255")));
  EXPECT_FALSE(narrow.contains(*parse_address("10.10.0.0")));
  EXPECT_FALSE(parse_prefix("::/0")->contains(*parse_address("10.0.0.1"))) << "families do not mix";
  EXPECT_FALSE(parse_prefix("0.0.0.0/0")->overlaps(*parse_prefix("::/0")));
}

TEST(Prefix, UnicastAndLinkLocal) {
  EXPECT_TRUE(is_unicast(*parse_prefix("10.0.0.0/8")));
  EXPECT_TRUE(is_unicast(*parse_prefix("2001:db8::/32")));
  for (auto text : {"0.0.0.0/0", "127.0.0.0/24", "224.0.0.0/8", "169.254.7.0/24", "fe80::/64",
                    "ff02::/16", "::1/128"})
    EXPECT_FALSE(is_unicast(*parse_prefix(text))) << text;
  EXPECT_TRUE(is_link_local(*parse_prefix("fe80::/64")));
  EXPECT_FALSE(is_link_local(*parse_prefix("fe00::/8")));
}

TEST(HostPort, ReadsEveryForm) {
  struct Case {
    std::string_view text, host;
    int port;
  };
  for (auto [text, host, port] : {Case{"r1.example.net", "r1.example.net", 0},
                                  {"r1:51820", "r1", 51820},
                                  {"192.0.2.1:7", "192.0.2.1", 7},
                                  {"192.0.2.1", "192.0.2.1", 0},
                                  {"2001:DB8::1", "2001:db8::1", 0},
                                  {"[2001:db8::1]:51820", "2001:db8::1", 51820},
                                  {"[2001:db8::1]", "2001:db8::1", 0}}) {
    auto parsed = parse_host_port(text);
    ASSERT_TRUE(parsed) << text;
    EXPECT_EQ(parsed->host, host);
    EXPECT_EQ(parsed->port.value_or(0), port) << text;
  }
  EXPECT_EQ(host_port_text("2001:db8::1", 5), "[2001:db8::1]:5");
  EXPECT_EQ(host_port_text("r1", 5), "r1:5");
}

TEST(HostPort, RefusesWhatIsNone) {
  for (auto text :
       {"", ":51820", "r1:", "r1:0", "r1:65536", "r1:x", "[r1]:5", "[::1", "[::1]x", "-r1", "r1-",
        "a b", "r1..net", "300.1.1.1", "r1\n", "r1;ls", "10.0.0.1/24", "r1:5:6"})
    EXPECT_FALSE(parse_host_port(text)) << text;
}

}  // namespace
}  // namespace mesh
