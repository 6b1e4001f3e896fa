// Claim: decode(encode(x)) is x for every kind of command, event, message and entry, encoding twice gives the
// same bytes, and a limit that is passed is named in the error.
// Method: random values of every kind from printed seeds, then values that break one rule each.
#include "schemas/codec.h"

#include <gtest/gtest.h>

#include "eventstore/model/crypto.h"
#include "eventstore/model/limits.h"
#include "eventstore/model/merkle.h"
#include "tests/unit/codec/generate.h"

namespace mesh {
namespace {

using testing::Generator;

constexpr uint64_t kRounds = 40;

template <class T>
std::string message_of(const Result<T>& result) {
  return result ? "" : result.error().message;
}

TEST(Codec, RequestsOfEveryCommandComeBack) {
  for (size_t kind = 0; kind < std::variant_size_v<Command>; ++kind) {
    for (uint64_t seed = 0; seed < kRounds; ++seed) {
      SCOPED_TRACE(::testing::Message() << "kind " << kind << " seed " << seed);
      Generator random(seed * 1000 + kind);
      const Request request = random.request(random.command(kind));
      const Bytes bytes = encode_request(request);
      EXPECT_EQ(bytes, encode_request(request));
      const auto decoded = decode_request(bytes);
      ASSERT_TRUE(decoded) << message_of(decoded);
      EXPECT_EQ(*decoded, request);
    }
  }
}

TEST(Codec, EntriesOfEveryEventComeBack) {
  for (size_t kind = 0; kind < std::variant_size_v<Event>; ++kind) {
    for (uint64_t seed = 0; seed < kRounds; ++seed) {
      SCOPED_TRACE(::testing::Message() << "kind " << kind << " seed " << seed);
      Generator random(seed * 1000 + kind);
      const EntryHeader header = random.header();
      const EntryBody body = random.entry_body(random.request(), {random.event(kind), random.event()});
      const EncodedEntry encoded = encode_entry(header, body);
      EXPECT_EQ(encoded, encode_entry(header, body));
      const auto entry = decode_entry(encoded);
      ASSERT_TRUE(entry) << message_of(entry);
      EXPECT_EQ(entry->body, body);
      EXPECT_EQ(entry->leaf, leaf_hash(encoded.header));
      EntryHeader expected = header;
      expected.request_hash =
          Sha256().add(body.signed_request.signature.view()).add(body.signed_request.bytes).finish();
      expected.context_hash = entry->header.context_hash;
      expected.events_hash = entry->header.events_hash;
      EXPECT_EQ(entry->header, expected);
    }
  }
}

TEST(Codec, MessagesOfEveryKindComeBack) {
  for (size_t kind = 0; kind < std::variant_size_v<Body>; ++kind) {
    for (uint64_t seed = 0; seed < kRounds; ++seed) {
      SCOPED_TRACE(::testing::Message() << "kind " << kind << " seed " << seed);
      Generator random(seed * 1000 + kind);
      const mesh::Message message = random.message(kind);
      const Bytes bytes = encode_message(message);
      EXPECT_EQ(bytes, encode_message(message));
      EXPECT_EQ(frame_correlation(bytes), message.correlation);
      const auto decoded = decode_message(bytes);
      ASSERT_TRUE(decoded) << message_of(decoded);
      EXPECT_EQ(*decoded, message);
    }
  }
}

TEST(Codec, AnUnalignedBufferIsReadLikeAnAlignedOne) {
  Generator random(7);
  const Bytes frame = encode_message(random.message(1));
  for (size_t shift = 1; shift < 8; ++shift) {
    Bytes shifted(shift);
    shifted.insert(shifted.end(), frame.begin(), frame.end());
    EXPECT_EQ(decode_message(ByteView(shifted).subspan(shift)), decode_message(frame));
  }
}

TEST(Codec, AnEntryWithoutItsBodyHasOnlyTheHeader) {
  Generator random(8);
  EncodedEntry encoded = encode_entry(random.header(), random.entry_body(random.request(), {random.event()}));
  encoded.body.clear();
  const auto entry = decode_entry(encoded);
  ASSERT_TRUE(entry);
  EXPECT_FALSE(entry->body);
}

TEST(Codec, ABodyOfAnotherEntryIsRefused) {
  Generator random(9);
  const EntryHeader header = random.header();
  EntryBody body = random.entry_body(random.request(), {SiteAdded{"ams"}});
  EncodedEntry encoded = encode_entry(header, body);
  body.events = {SiteAdded{"fra"}};
  encoded.body = encode_entry(header, body).body;
  EXPECT_NE(message_of(decode_entry(encoded)).find("events are not those that the header names"), std::string::npos);
  body.events = {SiteAdded{"ams"}};
  body.context.time = Timestamp(1);
  encoded.body = encode_entry(header, body).body;
  EXPECT_NE(message_of(decode_entry(encoded)).find("context's bytes are not those"), std::string::npos);
  body.signed_request.signature.bytes[0] ^= 1;
  encoded.body = encode_entry(header, body).body;
  EXPECT_NE(message_of(decode_entry(encoded)).find("request is not the one"), std::string::npos);
}

TEST(Codec, LimitsAreNamed) {
  Generator random(10);
  const auto decoded = [](const Request& request) { return decode_request(encode_request(request)); };
  Request request = random.request(AddSite{std::string(64, 'a')});
  EXPECT_EQ(decoded(request).error(), (Error{Errc::exhausted, "request: site has 64 bytes, at most 63", ""}));
  request.commands.assign(kCommandsPerRequestMax + 1, AddSite{"ams"});
  EXPECT_EQ(decoded(request).error(),
            (Error{Errc::exhausted, "request: commands: 65537 elements, at most 65536", ""}));
  request.commands.clear();
  EXPECT_EQ(decoded(request).error(), (Error{Errc::corrupt, "request: has no commands", ""}));
  request.commands = {SetAttribute{{}, "a", std::vector<Scalar>(65, Scalar(true))}};
  EXPECT_EQ(decoded(request).error().code, Errc::exhausted);
  request.commands = {AddSite{"ams"}};
  request.message = std::string(1025, 'a');
  EXPECT_EQ(decoded(request).error().code, Errc::exhausted);
  const Bytes large(kFrameBytesMax + 1);
  EXPECT_EQ(decode_message(large).error().code, Errc::exhausted);
}

TEST(Codec, TextThatIsNotPrintableUtf8IsRefused) {
  Generator random(11);
  for (const char* bad : {"\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "a\x80",
                          "\xf8\x88\x80\x80", "a\nb", "a\tb", "\x1b[2J", "\x7f", "\xc2\x9b"}) {
    const auto decoded = decode_request(encode_request(random.request(AddSite{bad})));
    ASSERT_FALSE(decoded) << bad;
    EXPECT_EQ(decoded.error().code, Errc::corrupt);
  }
  const auto zero = decode_request(encode_request(random.request(AddSite{std::string("a\0b", 3)})));
  EXPECT_EQ(message_of(zero), "request: site has a control character");
  Request prose = random.request(AddSite{"ams"});
  prose.message = "why:\n\t\xc3\xbc and \xf0\x9f\x99\x82";
  EXPECT_TRUE(decode_request(encode_request(prose)));
}

TEST(Codec, TextThatNobodyChoseIsMadeReadable) {
  const auto told = [](std::string message) {
    Outcome outcome{.node = NodeId(11), .serial = 1, .kind = OutcomeKind::failed, .activation = {}, .version = {},
                    .message = std::move(message)};
    return decode_outcome(encode_outcome(outcome)).value().message;
  };
  EXPECT_EQ(told("bird:\n\x1b[31m \xff\xc3\xbc \xc3"), "bird:\n?[31m ?\xc3\xbc ?");
  EXPECT_EQ(told(std::string(1023, 'a') + "\xc3\xbc"), std::string(1023, 'a'));
  EXPECT_EQ(told(std::string(100'000, '\xe2')), std::string(1024, '?'));
  NodeStatus status;
  status.problem = std::string(5000, 'p');
  status.links = {{.peer = NodeId(12), .interface = "tlwg_12", .endpoint = "\x07"}};
  const auto decoded = decode_message(encode_message({.correlation = 0, .body = status}));
  ASSERT_TRUE(decoded) << message_of(decoded);
  EXPECT_EQ(std::get<NodeStatus>(decoded->body).problem.size(), kMessageBytesMax);
  EXPECT_EQ(std::get<NodeStatus>(decoded->body).links[0].endpoint, "?");
}

TEST(Codec, EnumeratorsOutOfRangeAreRefused) {
  Generator random(12);
  EXPECT_EQ(decode_request(encode_request(random.request(Discard{{static_cast<Level>(4), ""}}))).error().code,
            Errc::unsupported);
  EXPECT_FALSE(decode_request(encode_request(random.request(Discard{{static_cast<Level>(0), ""}}))));
  EntryHeader header = random.header();
  header.entry_class = static_cast<EntryClass>(3);
  EXPECT_FALSE(decode_entry(encode_entry(header, random.entry_body(random.request(), {}))));
}

TEST(Codec, AJoinThatCannotBeReadMakesTheRequestUnreadable) {
  Generator random(13);
  AdmitNode admit = std::get<AdmitNode>(random.command(15));
  admit.join.statement.resize(20);
  EXPECT_EQ(decode_request(encode_request(random.request(admit))).error().code, Errc::corrupt);
}

TEST(Codec, ABufferOfOneKindIsNotReadAsAnother) {
  Generator random(14);
  const Bytes join = encode_join(random.statement());
  EXPECT_TRUE(decode_join(join));
  EXPECT_FALSE(decode_outcome(join));
  EXPECT_FALSE(decode_request(join));
  EXPECT_FALSE(decode_message(join));
  EXPECT_FALSE(decode_header(join));
}

}  // namespace
}  // namespace mesh
