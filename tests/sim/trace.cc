#include "tests/sim/trace.h"

#include <fmt/format.h>

#include <cstdio>

#include "schemas/codec.h"

namespace mesh::sim {

void Trace::add(const std::string& text) {
  std::string line = fmt::format("{:>9.3f} {}", static_cast<double>(clock_.now()) / 1000, text);
  for (char c : line) {
    hash_ ^= static_cast<uint8_t>(c);
    hash_ *= 0x100000001b3;
  }
  ++lines_;
  if (verbose_) fmt::print("{}\n", line);
  newest_.push_back(std::move(line));
  if (newest_.size() > kKept) newest_.pop_front();
}

std::string Trace::tail() const {
  std::string out;
  for (const auto& line : newest_) out += line + "\n";
  return out;
}

namespace {

struct Describer {
  std::string operator()(const Submit& m) const {
    auto request = decode_request(m.request.bytes);
    if (!request) return "Submit that does not decode";
    std::string names;
    for (const auto& command : request->commands) names += " " + std::string(command_name(command));
    return fmt::format("Submit{} id {}{}", m.dry_run ? " dry run" : "",
                       to_hex(request->id.view().first(4)), names);
  }
  std::string operator()(const Reply& m) const {
    return fmt::format("Reply #{}", m.sequence.value());
  }
  std::string operator()(const ErrorReply& m) const { return "Error " + m.error.message; }
  std::string operator()(const Prepare&) const { return "Prepare"; }
  std::string operator()(const Prepared& m) const {
    return fmt::format("Prepared at #{}, {} rows", m.sequence.value(), m.rows.size());
  }
  std::string operator()(const Query& m) const { return "Query " + m.kind; }
  std::string operator()(const QueryResult&) const { return "QueryResult"; }
  std::string operator()(const Subscribe& m) const {
    return fmt::format("Subscribe after #{}, credit {}", m.after.value(), m.credit);
  }
  std::string operator()(const SnapshotChunk& m) const {
    return fmt::format("SnapshotChunk #{} at {}", m.sequence.value(), m.offset);
  }
  std::string operator()(const Entries& m) const {
    auto first =
        m.entries.empty() ? fail(Errc::corrupt, "") : decode_header(m.entries.front().header);
    if (!first) return "Entries";
    return fmt::format("Entries #{}-{}{}", first->sequence.value(),
                       first->sequence.value() + m.entries.size() - 1,
                       m.checkpoint.empty() ? "" : " with checkpoint");
  }
  std::string operator()(const Credit& m) const { return fmt::format("Credit {}", m.bytes); }
  std::string operator()(const Head& m) const {
    return fmt::format("Head #{}", m.sequence.value());
  }
  std::string operator()(const Fetch&) const { return "Fetch"; }
  std::string operator()(const BlobChunk& m) const {
    return fmt::format("BlobChunk at {}", m.offset);
  }
  std::string operator()(const NodeStatus& m) const {
    return fmt::format("Status #{} v{} {}", m.head.value(), m.active.value(), m.state);
  }
  std::string operator()(const OutcomeMessage& m) const {
    return fmt::format("Outcome {} of v{}", m.outcome.outcome.serial,
                       m.outcome.outcome.version.value());
  }
  std::string operator()(const Ack& m) const { return fmt::format("Ack {}", m.serial); }
  std::string operator()(const Join&) const { return "Join"; }
  std::string operator()(const Admitted& m) const {
    return fmt::format("Admitted {}", m.node.value());
  }
  std::string operator()(const Waiting&) const { return "Waiting"; }
  std::string operator()(const Refused& m) const { return "Refused " + m.error.message; }
  std::string operator()(const Orphans& m) const {
    return fmt::format("Orphans of epoch {}: {}", m.epoch, m.entries.size());
  }
  std::string operator()(const OrphansKept& m) const {
    return fmt::format("OrphansKept of epoch {} to #{}", m.epoch, m.last.value());
  }
};

}  // namespace

std::string describe_frame(const uint8_t* bytes, size_t size) {
  auto message = decode_message({bytes, size});
  return message ? std::visit(Describer(), message->body) : "a frame that does not decode";
}

}  // namespace mesh::sim
