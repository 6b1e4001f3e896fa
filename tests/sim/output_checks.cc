#include "tests/sim/output_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "eventstore/model/decide.h"
#include "schemas/codec.h"
#include "tests/sim/trace.h"

namespace mesh::sim {

namespace {

constexpr auto kDurable = "durable before visible";
constexpr auto kAcknowledged = "what was acknowledged is in the log";

/// After these nobody knows whether the request is in the log.
bool is_ambiguous(Errc code) {
  return code == Errc::unavailable || code == Errc::io || code == Errc::exhausted ||
         code == Errc::corrupt;
}

}  // namespace

void OutputChecks::restarted() {
  asked_.clear();
  first_heard_.clear();
  positions_.clear();
}

void OutputChecks::heard(const SessionId& session, ByteView frame) {
  auto message = decode_message(frame);
  if (!message || session.enrolment) return;
  if (const auto* subscribe = std::get_if<Subscribe>(&message->body))
    positions_[session].from = subscribe->after.value() + 1;
  const auto* submit = std::get_if<Submit>(&message->body);
  if (!submit) return;
  auto request = decode_request(submit->request.bytes);
  if (!request) return;
  const Sequence head = first_heard_.emplace(request->id, book_.head()).first->second;
  asked_[{session, message->correlation}] = {std::move(*request), submit->dry_run, head};
}

const Message& OutputChecks::decoded(const Frame& frame) {
  if (frame != last_frame_) {
    auto message = decode_message(*frame);
    if (!message) throw ClaimBroken("what the controller says decodes", message.error().message);
    last_ = std::move(*message);
    last_frame_ = frame;
  }
  return last_;
}

void OutputChecks::said(const SessionId& session, const Frame& frame) {
  if (!session.enrolment && !has_right(session.user))
    throw ClaimBroken("nobody without a right gets anything", "key " + to_base64(session.user.view()));
  const Message& message = decoded(frame);
  std::visit([&](const auto& body) { on(session, message.correlation, body); }, message.body);
}

bool OutputChecks::has_right(const BoxKey& key) const {
  const MeshState& state = book_.state();
  return std::ranges::any_of(state.operators,
                             [&](const auto& each) { return !each.second.banned && each.second.box_key == key; }) ||
         std::ranges::any_of(state.nodes, [&](const auto& each) {
           return each.second->enrolment == Enrolment::enrolled && each.second->box_key == key;
         });
}

void OutputChecks::listens_to(const std::set<BoxKey>& keys) const {
  for (const BoxKey& key : keys)
    if (!has_right(key)) throw ClaimBroken("a key that lost its right is not heard", "key " + to_base64(key.view()));
}

void OutputChecks::check_note(const std::string& note) const {
  if (note.empty()) return;
  auto checkpoint = parse_checkpoint_text(note);
  if (!checkpoint) throw ClaimBroken("checkpoints are well-formed", checkpoint.error().message);
  if (Sequence(checkpoint->size) > book_.head())
    throw ClaimBroken(kDurable, fmt::format("a checkpoint of {}, durable are {}", checkpoint->size,
                                            book_.head().value()));
  if (checkpoint->root != book_.root(Sequence(checkpoint->size)))
    throw ClaimBroken("checkpoints are over the log",
                      fmt::format("not the one of {}", checkpoint->size));
}

const OutputChecks::Asked* OutputChecks::asked(const SessionId& session,
                                               uint64_t correlation) const {
  auto found = asked_.find({session, correlation});
  return found == asked_.end() ? nullptr : &found->second;
}

void OutputChecks::on(const SessionId& session, uint64_t correlation, const Reply& m) {
  if (m.sequence > book_.head())
    throw ClaimBroken(kDurable, fmt::format("a reply with #{}, durable are {}", m.sequence.value(),
                                            book_.head().value()));
  const Asked* question = asked(session, correlation);
  if (!question || question->dry_run) return;
  if (m.sequence == Sequence()) return check_unchanged(*question);
  const auto& body = *book_.entry(m.sequence).body;
  if (body.request.id != question->request.id || body.events != m.events)
    throw ClaimBroken(kAcknowledged,
                      fmt::format("#{} is not what was acknowledged", m.sequence.value()));
}

/// True somewhere between the question and now, in a state that was durable.
void OutputChecks::check_unchanged(const Asked& asked) const {
  if (auto there = book_.find(asked.request.id))
    throw ClaimBroken(kAcknowledged,
                      fmt::format("\"nothing changed\" was said of #{}", there->value()));
  for (Sequence at = asked.head; at <= book_.head(); at = next(at)) {
    const MeshState& state = book_.state(at);
    auto events = decide(state, asked.request, {state.time, {}});
    if (events && events->empty()) return;
    // A commit's candidates are not known here.
    if (std::holds_alternative<Commit>(asked.request.commands.back())) return;
  }
  throw ClaimBroken(
      kDurable,
      fmt::format("\"nothing changed\" was said of a request ({}) that would change something",
                  command_name(asked.request.commands.front())));
}

void OutputChecks::on(const SessionId& session, uint64_t correlation, const ErrorReply& m) {
  const Asked* question = asked(session, correlation);
  if (!question || is_ambiguous(m.error.code)) return;
  if (auto there = book_.find(question->request.id))
    throw ClaimBroken("what was refused is not in the log",
                      fmt::format("#{} was answered with: {}", there->value(), m.error.message));
}

void OutputChecks::on(const SessionId& session, uint64_t, const Entries& m) {
  check_note(m.checkpoint);
  Position& at = positions_[session];
  for (const EncodedEntry& entry : m.entries) {
    auto header = decode_header(entry.header);
    if (!header) throw ClaimBroken("what the controller says decodes", header.error().message);
    if (header->sequence > book_.head())
      throw ClaimBroken(kDurable, fmt::format("entry #{}, durable are {}", header->sequence.value(),
                                              book_.head().value()));
    const EncodedEntry& stored = book_.encoded(header->sequence);
    const bool bare = entry.body.empty() && header->entry_class == EntryClass::report;
    if (entry.header != stored.header || (!bare && entry.body != stored.body))
      throw ClaimBroken("entries are sent as they are stored",
                        fmt::format("#{} is not", header->sequence.value()));
    const uint64_t expected = at.from ? *at.from : at.next;
    const uint64_t number = header->sequence.value();
    // A frame that was encoded for others may begin earlier, never later.
    if (number != expected)
      throw ClaimBroken("every entry once and in order",
                        fmt::format("#{} came where #{} belongs", number, expected));
    at.from.reset();
    at.next = number + 1;
    at.streaming = true;
  }
}

void OutputChecks::on(const SessionId& session, uint64_t, const SnapshotChunk& m) {
  if (m.sequence > book_.head()) throw ClaimBroken(kDurable, "a snapshot of what is not durable");
  Position& at = positions_[session];
  at.from.reset();
  at.next = m.sequence.value() + 1;
}

void OutputChecks::on(const SessionId&, uint64_t, const Head& m) {
  check_note(m.checkpoint);
  if (m.sequence > book_.head())
    throw ClaimBroken(kDurable, fmt::format("head #{}, durable are {}", m.sequence.value(),
                                            book_.head().value()));
}

void OutputChecks::on(const SessionId& session, uint64_t, const Ack& m) {
  for (const auto& [id, node] : book_.state().nodes) {
    if (node->box_key != session.user) continue;
    auto report = book_.state().reports.find(id);
    const uint64_t known = report == book_.state().reports.end() ? 0 : report->second.serial;
    if (m.serial > known)
      throw ClaimBroken(
          kDurable, fmt::format("outcome {} of node {} was acknowledged, the log has {}", m.serial,
                                id.value(), known));
  }
}

void OutputChecks::on(const SessionId& session, uint64_t, const Admitted& m) {
  const Node* node = book_.state().find_node(m.node);
  if (!node || node->enrolment != Enrolment::enrolled || node->box_key != session.user)
    throw ClaimBroken(kDurable, fmt::format("node {} was told it is admitted", m.node.value()));
}

void OutputChecks::on(const SessionId&, uint64_t, const Prepared& m) {
  if (m.sequence > book_.head()) throw ClaimBroken(kDurable, "a plan on what is not durable");
}

void OutputChecks::on(const SessionId&, uint64_t, const QueryResult& m) {
  const auto document = nlohmann::json::parse(m.json, nullptr, false);
  if (!document.is_object()) throw ClaimBroken("documents are JSON objects", m.json.substr(0, 80));
  if (document.contains("sequence") && document["sequence"].get<uint64_t>() > book_.head().value())
    throw ClaimBroken(kDurable,
                      fmt::format("a {} of #{}, durable are {}", document.value("kind", "document"),
                                  document["sequence"].get<uint64_t>(), book_.head().value()));
}

}  // namespace mesh::sim
