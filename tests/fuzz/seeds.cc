// Writes seeds for the fuzzers from the golden examples. Usage: fuzz_seeds tests/fuzz/corpus
// Existing files stay: what a fuzzer found is kept there too.
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "eventstore/model/canonical.h"
#include "schemas/codec.h"
#include "tests/fuzz/fuzz.h"
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
}
