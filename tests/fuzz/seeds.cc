// Writes seeds for the fuzzers from the golden examples. Usage: fuzz_seeds tests/fuzz/corpus
// Existing files stay: what a fuzzer found is kept there too.
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "eventstore/log/crc32c.h"
#include "eventstore/log/records.h"
#include "eventstore/model/address.h"
#include "eventstore/model/canonical.h"
#include "eventstore/model/node_config.h"
#include "schemas/codec.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/archive_bytes.h"
#include "tests/unit/codec/examples.h"
#include "tests/unit/codec/generate.h"

namespace mesh {
namespace {

class Corpus {
 public:
  explicit Corpus(std::filesystem::path folder) : folder_(std::move(folder)) {}

  void add(const std::string& fuzzer, std::string_view name, ByteView bytes) {
    const auto path = folder_ / fuzzer / name;
    if (std::filesystem::exists(path)) return;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << as_text(bytes);
    std::printf("%s\n", path.c_str());
  }

 private:
  std::filesystem::path folder_;
};

void add_commands_and_events(Corpus& corpus) {
  const EntryHeader header = testing::example_header(42);
  for (const Command& command : testing::example_commands()) {
    const EntryBody body = testing::example_body({command}, {});
    corpus.add("fuzz_request", command_name(command), body.signed_request.bytes);
  }
  for (const Event& event : testing::example_events()) {
    const EncodedEntry entry = encode_entry(header, testing::example_body({Discard{}}, {event}));
    corpus.add("fuzz_entry", event_name(event), fuzz::join_entry(entry));
    corpus.add("fuzz_message", "reply_" + std::string(event_name(event)),
               encode_message({.correlation = 1, .body = Reply{Sequence(42), header.time, {event}, {"careful"}}}));
  }
}

void add_messages(Corpus& corpus) {
  testing::Generator random(1);
  for (size_t kind = 0; kind < std::variant_size_v<Body>; ++kind)
    corpus.add("fuzz_message", "kind_" + std::to_string(kind), encode_message(random.message(kind)));
}

void add_signed_statements(Corpus& corpus) {
  for (const Command& command : testing::example_commands()) {
    if (const auto* admit = std::get_if<AdmitNode>(&command))
      corpus.add("fuzz_join", "statement", admit->join.statement);
    if (const auto* report = std::get_if<ReportOutcomes>(&command))
      corpus.add("fuzz_outcome", "outcome", report->outcomes.front().bytes);
  }
}

void add_states(Corpus& corpus) {
  const Replica replica = testing::example_replica();
  corpus.add("fuzz_snapshot", "small", encode_snapshot(replica));
  corpus.add("fuzz_snapshot", "empty", encode_snapshot({}));
  corpus.add("fuzz_state", "with_reports", encode_state(replica.state, true));
  corpus.add("fuzz_state", "intent", encode_state(replica.state, false));
}

void add_texts(Corpus& corpus) {
  testing::Generator random(2);
  const std::string token = encode_token(random.token());
  corpus.add("fuzz_token", "text", as_bytes(token));
  if (const auto buffer = fuzz::token_buffer(token)) corpus.add("fuzz_token", "buffer", *buffer);
  const std::string extension = "state " + to_hex(Digest().view()) + " at 40";
  const Checkpoint checkpoint{.origin = fuzz::kNoteOrigin, .size = 42, .root = {}, .extensions = {extension}};
  const std::string text = checkpoint_text(checkpoint);
  const std::string note = sign_note(text, fuzz::kNoteOrigin, fuzz::note_key(), fuzz::sign_as_note_key);
  corpus.add("fuzz_checkpoint_note", "text", as_bytes(text));
  corpus.add("fuzz_checkpoint_note", "note", as_bytes(note));
  if (const auto cosigned = add_note_signature(note, "node-11", fuzz::note_key(), fuzz::sign_as_note_key))
    corpus.add("fuzz_checkpoint_note", "cosigned", as_bytes(*cosigned));
}

/// Numbers and digests as fuzz_proof takes them; it makes its own honest proofs of these places.
void add_proofs(Corpus& corpus) {
  for (const auto& [index, size, old_size] : {std::array<uint64_t, 3>{0, 1, 1}, {41, 99, 64}, {255, 299, 200}}) {
    Bytes bytes;
    for (const uint64_t number : {index, size, old_size})
      for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<uint8_t>(number >> (8 * i)));
    for (uint8_t digest = 0; digest < 9; ++digest) bytes.insert(bytes.end(), Digest::kSize, digest);
    corpus.add("fuzz_proof", "index_" + std::to_string(index), bytes);
  }
}

void add_record(Bytes& file, uint8_t type, std::string_view payload) {
  Bytes covered{type};
  covered.insert(covered.end(), payload.begin(), payload.end());
  const uint32_t crc = crc32c(covered), masked = (crc >> 15 | crc << 17) + 0xa282ead8;
  for (int i = 0; i < 4; ++i) file.push_back(static_cast<uint8_t>(masked >> (8 * i)));
  file.push_back(static_cast<uint8_t>(payload.size()));
  file.push_back(static_cast<uint8_t>(payload.size() >> 8));
  file.insert(file.end(), covered.begin(), covered.end());
}

void add_log_files(Corpus& corpus) {
  Bytes file;
  add_record(file, 1, "a whole write");
  add_record(file, 2, "the first piece of one, ");
  add_record(file, 4, "and its last");
  corpus.add("fuzz_recovery", "whole", file);
  file.resize(file.size() - 5);
  corpus.add("fuzz_recovery", "cut", file);
  file.resize(file.size() + 600);
  corpus.add("fuzz_recovery", "zeros", file);
}

void add_records(Corpus& corpus) {
  const std::string values[] = {
      records::encode_batch({Sequence(1), Sequence(2), 1, {}, {RequestId{}, RequestId{}}}),
      records::encode_u32(6) + "headerbody", records::encode_sequences({Sequence(4), Sequence(8)}),
      records::encode_tile({}), "sealed"};
  for (uint8_t kind = 0; kind < 5; ++kind) {
    Bytes input{kind};
    input.insert(input.end(), values[kind].begin(), values[kind].end());
    corpus.add("fuzz_records", "kind_" + std::to_string(kind), input);
  }
}

void add_config(Corpus& corpus) {
  LinkConfig link;
  link.peer = NodeId(12);
  link.peer_name = "r2.fra";
  link.peer_as = 4'200'000'012;
  link.listen_port = 51832;
  link.endpoint_host = "r2.example.net";
  link.endpoint_port = 51831;
  link.mtu = 1420;
  link.address = parse_address("fe80::b").value();
  link.peer_address = parse_address("fe80::c").value();
  link.bfd_interval_ms = 300;
  link.bfd_multiplier = 3;
  NodeConfig config;
  config.rules = 1;
  config.node = NodeId(11);
  config.name = "r1";
  config.site = "ams";
  config.as_number = 4'200'000'011;
  config.loopback4 = parse_address("100.70.0.11").value();
  config.loopback6 = parse_address("fd12:3456:789a::b").value();
  config.lans = {parse_prefix("10.1.0.0/24").value()};
  config.accepted = {parse_prefix("10.1.0.0/24").value(), parse_prefix("fd12:3456:789a::/48").value()};
  config.links = {link};
  config.sysctls = {{"net.ipv4.ip_forward", "1"}};
  corpus.add("fuzz_config_text", "small", as_bytes(config_text(config)));
}

void add_typed(Corpus& corpus) {
  const std::pair<const char*, const char*> kTexts[] = {{"list", "['a', \"b\", 3, true]"}, {"number", "25"},
                                                        {"string", "\"a \\u00fc\\n\""},  {"prefix4", "10.1.0.0/24"},
                                                        {"prefix6", "2001:db8::/32"},       {"address", "fe80::1"},
                                                        {"endpoint", "[2001:db8::1]:51820"}};
  for (const auto& [name, text] : kTexts) corpus.add("fuzz_typed", name, as_bytes(text));
}

void add_archives(Corpus& corpus) {
  const test::ArchiveContents small = test::small_archive();
  if (const auto bytes = test::write_archive(small)) corpus.add("fuzz_archive", "small", *bytes);
  if (const auto bytes = test::write_archive({})) corpus.add("fuzz_archive", "empty", *bytes);
}

}  // namespace
}  // namespace mesh

int main(int count, char** arguments) {
  if (count != 2) {
    std::fprintf(stderr, "usage: %s tests/fuzz/corpus\n", arguments[0]);
    return 2;
  }
  mesh::Corpus corpus(arguments[1]);
  mesh::add_commands_and_events(corpus);
  mesh::add_messages(corpus);
  mesh::add_signed_statements(corpus);
  mesh::add_states(corpus);
  mesh::add_texts(corpus);
  mesh::add_proofs(corpus);
  mesh::add_log_files(corpus);
  mesh::add_records(corpus);
  mesh::add_config(corpus);
  mesh::add_typed(corpus);
  mesh::add_archives(corpus);
}
