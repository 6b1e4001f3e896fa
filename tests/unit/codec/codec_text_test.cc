// Claim: a token survives being pasted and a damaged one is recognised; a snapshot is refused when anything in
// it differs; JSON is what json.h promises.
// Method: random tokens with every character changed or cut in turn; one snapshot with every bit flipped; fixed
// values as JSON.
#include <gtest/gtest.h>

#include "eventstore/model/canonical.h"
#include "schemas/codec.h"
#include "schemas/json.h"
#include "tests/unit/codec/examples.h"
#include "tests/unit/codec/generate.h"

namespace mesh {
namespace {

bool same(const TokenText& a, const TokenText& b) {
  return a.log == b.log && a.token == b.token && a.log_key == b.log_key && a.controller_key == b.controller_key &&
         a.enrol_endpoints == b.enrol_endpoints && a.node == b.node && a.anchor == b.anchor && a.seed == b.seed;
}

TEST(Token, ComesBackAlsoWithSpaceAroundIt) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    testing::Generator random(seed);
    const TokenText token = random.token();
    const std::string text = encode_token(token);
    EXPECT_TRUE(text.starts_with("meshtoken1"));
    EXPECT_EQ(text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"),
              std::string::npos);
    const auto decoded = decode_token("  " + text + "\r\n");
    ASSERT_TRUE(decoded) << "seed " << seed << ": " << decoded.error().message;
    EXPECT_TRUE(same(*decoded, token)) << "seed " << seed;
  }
}

TEST(Token, IsRefusedWhenCutOrChanged) {
  testing::Generator random(1);
  const std::string text = encode_token(random.token());
  for (size_t size = 10; size < text.size(); ++size) {
    const auto cut = decode_token(text.substr(0, size));
    ASSERT_FALSE(cut) << size;
    EXPECT_EQ(cut.error(), (Error{Errc::corrupt, "token is incomplete or was changed",
                                  "copy the whole line that token create printed"}));
  }
  for (size_t i = 10; i < text.size(); ++i) {
    std::string changed = text;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(decode_token(changed)) << i;
  }
  EXPECT_FALSE(decode_token(""));
  EXPECT_FALSE(decode_token("meshtoken1"));
  EXPECT_EQ(decode_token("meshtoken2AAAA").error().code, Errc::unsupported);
  EXPECT_EQ(decode_token("meshtoken1" + std::string(10'000, 'A')).error().code, Errc::exhausted);
}

TEST(Snapshot, ComesBack) {
  const Replica replica = testing::example_replica();
  const Bytes bytes = encode_snapshot(replica);
  EXPECT_EQ(bytes, encode_snapshot(replica));
  const auto decoded = decode_snapshot(bytes);
  ASSERT_TRUE(decoded) << decoded.error().message;
  EXPECT_EQ(*decoded, replica);
}

TEST(Snapshot, WithAnotherStateIsRefused) {
  const Replica replica = testing::example_replica();
  const Bytes bytes = encode_snapshot(replica);
  for (size_t i = 0; i < bytes.size(); ++i) {
    Bytes changed = bytes;
    changed[i] ^= 1;
    const auto decoded = decode_snapshot(changed);
    // Padding, vtables, reports and the peaks are not covered by the digest; the root of the checkpoint covers
    // the peaks.
    if (decoded) {
      EXPECT_EQ(state_digest(decoded->state), state_digest(replica.state)) << "byte " << i;
    }
  }
  constexpr size_t kPaddingMax = 7;  // a FlatBuffer may end in padding, and without it says the same
  for (size_t size = 0; size + kPaddingMax < bytes.size(); ++size)
    EXPECT_FALSE(decode_snapshot(ByteView(bytes).first(size)));
}

TEST(Json, Times) {
  EXPECT_EQ(time_text(Timestamp(0)), "1970-01-01T00:00:00.000000Z");
  EXPECT_EQ(time_text(Timestamp(1'767'323'045'000'006)), "2026-01-02T03:04:05.000006Z");
  EXPECT_EQ(time_text(Timestamp(-1)), "1969-12-31T23:59:59.999999Z");
  EXPECT_EQ(time_text(Timestamp(INT64_MAX)), "9999-12-31T23:59:59.999999Z");
  EXPECT_EQ(time_text(Timestamp(INT64_MIN)), "0000-01-01T00:00:00.000000Z");
}

TEST(Json, ValuesAreNative) {
  const Scope r1{Level::node, "", NodeId(11)};
  EXPECT_EQ(event_json(AttributeSet{r1, "a", true, int64_t{-3}}),
            R"({"type":"AttributeSet","scope":"node 11","name":"a","before":true,"value":-3})");
  EXPECT_EQ(event_json(AttributeSet{{}, "a", std::nullopt, std::vector<Scalar>{"x\"\n", false}}),
            R"({"type":"AttributeSet","scope":"global","name":"a","before":null,"value":["x\"\n",false]})");
  EXPECT_EQ(command_json(SetAttribute{{Level::site, "ams"}, "a", std::vector<Scalar>{}}),
            R"({"type":"SetAttribute","target":"site ams","name":"a","value":[]})");
  EXPECT_EQ(event_json(NodeAdded{NodeId(11), "r1", "ams"}),
            R"({"type":"NodeAdded","node":11,"name":"r1","site":"ams"})");
  EXPECT_EQ(event_json(SiteAdded{"ams"}), R"({"type":"SiteAdded","name":"ams"})");
  EXPECT_EQ(event_json(SiteAdded{"\xff"}), "{\"type\":\"SiteAdded\",\"name\":\"\xef\xbf\xbd\"}");
}

TEST(Json, AnEntryWithoutBodySaysSo) {
  Entry entry{.header = testing::example_header(7), .leaf = {}, .body = std::nullopt};
  entry.header.entry_class = EntryClass::report;
  EXPECT_EQ(entry_json(entry),
            R"({"sequence":7,"time":"2026-01-02T03:04:05.000007Z","principal":"alice","class":"report","body":null})");
}

}  // namespace
}  // namespace mesh
