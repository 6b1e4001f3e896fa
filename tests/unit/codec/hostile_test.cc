// Claim: a buffer that is well-formed for FlatBuffers but was made by somebody else is refused by name: unknown
// kinds, a newer protocol, missing parts, and parts that are referred to so often that they would fill the memory.
// Method: such buffers, written with FlatBuffers directly.
#include <flatbuffers/flatbuffers.h>
#include <gtest/gtest.h>

#include "message_generated.h"
#include "schemas/codec.h"
#include "tests/unit/codec/examples.h"

namespace mesh {
namespace {

using Builder = flatbuffers::FlatBufferBuilder;

Bytes framed(Builder& b, wire::MessageBody type, flatbuffers::Offset<void> body, uint32_t protocol = kProtocol) {
  b.Finish(wire::CreateMessage(b, protocol, 77, type, body), "MLMS");
  return {b.GetBufferPointer(), b.GetBufferPointer() + b.GetSize()};
}

Bytes request_with(Builder& b, std::vector<flatbuffers::Offset<wire::Command>> commands) {
  const wire::Bytes16 id;
  const auto principal = wire::CreatePrincipal(b, wire::PrincipalKind::human);
  const auto list = b.CreateVector(commands);
  b.Finish(wire::CreateRequest(b, &id, 1, principal, &id, 0, 0, list), "MLRQ");
  return {b.GetBufferPointer(), b.GetBufferPointer() + b.GetSize()};
}

TEST(Hostile, AnUnknownMessageIsUnsupportedAndCanBeAnswered) {
  Builder b;
  const Bytes frame = framed(b, static_cast<wire::MessageBody>(200), wire::CreateAck(b, 1).Union());
  EXPECT_EQ(decode_message(frame).error(),
            (Error{Errc::unsupported, "frame: message kind 200 is unknown",
                   "this program is older than the other side: upgrade it"}));
  EXPECT_EQ(frame_correlation(frame), 77u);
}

TEST(Hostile, ANewerProtocolIsUnsupported) {
  Builder b;
  const Bytes frame = framed(b, wire::MessageBody::Ack, wire::CreateAck(b, 1).Union(), kProtocol + 1);
  EXPECT_EQ(decode_message(frame).error().code, Errc::unsupported);
}

TEST(Hostile, AMessageWithoutBodyIsCorrupt) {
  Builder none, missing;
  EXPECT_EQ(decode_message(framed(none, wire::MessageBody::NONE, 0)).error().message, "frame: message is empty");
  EXPECT_EQ(decode_message(framed(missing, wire::MessageBody::Ack, 0)).error().message, "frame: message is empty");
}

TEST(Hostile, AnUnknownCommandIsUnsupported) {
  Builder b;
  const auto body = wire::CreateAddSite(b);
  const Bytes bytes = request_with(b, {wire::CreateCommand(b, static_cast<wire::CommandBody>(99), body.Union())});
  EXPECT_EQ(decode_request(bytes).error().code, Errc::unsupported);
}

TEST(Hostile, MissingPartsAreNamed) {
  Builder b;
  const auto set = wire::CreateSetAttribute(b);
  const Bytes bytes = request_with(b, {wire::CreateCommand(b, wire::CommandBody::SetAttribute, set.Union())});
  EXPECT_EQ(decode_request(bytes).error(), (Error{Errc::corrupt, "request: target is missing", ""}));
  Builder without_key;
  const auto token = wire::CreateCreateToken(without_key);
  const Bytes other = request_with(
      without_key, {wire::CreateCommand(without_key, wire::CommandBody::CreateToken, token.Union())});
  EXPECT_EQ(decode_request(other).error().message, "request: token key is missing");
}

TEST(Hostile, AListInAListIsCorrupt) {
  Builder b;
  const auto inner = wire::CreateValue(b, wire::ValueKind::list);
  const auto items = b.CreateVector(&inner, 1);
  const auto value = wire::CreateValue(b, wire::ValueKind::list, 0, 0, items);
  const auto target = wire::CreateTarget(b, wire::Level::global);
  const auto set = wire::CreateSetAttribute(b, target, 0, value);
  const Bytes bytes = request_with(b, {wire::CreateCommand(b, wire::CommandBody::SetAttribute, set.Union())});
  EXPECT_EQ(decode_request(bytes).error().message, "request: attribute value has a list in a list");
}

TEST(Hostile, OneStringReferredToAThousandTimesIsRefused) {
  Builder b;
  const auto text = b.CreateString(std::string(8000, 'a'));
  const auto warnings = b.CreateVector(std::vector<flatbuffers::Offset<flatbuffers::String>>(1000, text));
  const auto reply = wire::CreateReply(b, 1, 1, 0, warnings);
  const Bytes frame = framed(b, wire::MessageBody::Reply, reply.Union());
  EXPECT_LT(frame.size(), 13'000u);
  EXPECT_EQ(decode_message(frame).error(),
            (Error{Errc::corrupt, "frame: warnings: the same bytes again and again", ""}));
}

TEST(Hostile, OneTableReferredToManyTimesIsRefused) {
  Builder b;
  const auto body = wire::CreateNodeRevoked(b, 11);
  const auto event = wire::CreateEvent(b, wire::EventBody::NodeRevoked, body.Union());
  const auto events = b.CreateVector(std::vector<flatbuffers::Offset<wire::Event>>(60'000, event));
  const auto reply = wire::CreateReply(b, 1, 1, events);
  EXPECT_EQ(decode_message(framed(b, wire::MessageBody::Reply, reply.Union())).error().code, Errc::corrupt);
}

TEST(Hostile, AnArgumentGivenTwiceIsCorrupt) {
  Builder b;
  const auto name = b.CreateString("site");
  const auto argument = wire::CreateArgument(b, name);
  const auto arguments = b.CreateVector(std::vector<flatbuffers::Offset<wire::Argument>>(2, argument));
  const auto query = wire::CreateQuery(b, 0, arguments);
  EXPECT_EQ(decode_message(framed(b, wire::MessageBody::Query, query.Union())).error().message,
            "frame: argument given twice");
}

TEST(Hostile, APartThatDoesNotFitItsWholeIsCorrupt) {
  const SnapshotChunk past{.sequence = Sequence(1), .offset = UINT64_MAX, .total = 10, .bytes = {1}};
  EXPECT_EQ(decode_message(encode_message({1, past})).error().code, Errc::corrupt);
  const BlobChunk huge{.digest = {}, .offset = 0, .total = UINT64_MAX, .bytes = {1}};
  EXPECT_EQ(decode_message(encode_message({1, huge})).error().code, Errc::exhausted);
}

}  // namespace
}  // namespace mesh
