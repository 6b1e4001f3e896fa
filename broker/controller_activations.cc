// Activations that wait for a confirmation: what time or the nodes themselves decide about them is
// appended here.
#include <algorithm>
#include <utility>

#include "broker/controller.h"
#include "schemas/codec.h"

namespace mesh {

namespace {

constexpr int64_t kRefusedMs =
    5'000;  // until what was refused is tried again: checking it costs a signature a node
constexpr size_t kReadBytes = 1 << 20;
constexpr size_t kReadEntries = 1'000;

struct Verdict {
  ActivationId id;
  Timestamp deadline;
  Command command;
};

bool went_back(OutcomeKind kind) {
  return kind == OutcomeKind::failed || kind == OutcomeKind::reverted ||
         kind == OutcomeKind::refused;
}

}  // namespace

/// Who ran the activation's version when last heard of in the log, so that everybody can check it
/// there.
std::vector<NodeId> Controller::applied_nodes(ActivationId activation) const {
  std::vector<NodeId> out;
  auto pending = state_.pending.find(activation);
  if (pending == state_.pending.end()) return out;
  for (const ActivationRow& row : pending->second.rows) {
    auto report = state_.reports.find(row.node);
    if (report != state_.reports.end() && report->second.activation == activation &&
        !went_back(report->second.kind))
      out.push_back(row.node);
  }
  return out;
}

/// Keeps what targets of activations with gates said, once it is in the log.
void Controller::learn_evidence(const std::vector<SignedOutcome>& outcomes) {
  for (const SignedOutcome& report : outcomes) {
    auto pending = state_.pending.find(report.outcome.activation);
    if (pending == state_.pending.end() || pending->second.health.empty()) continue;
    if (!pending->second.find(report.outcome.node)) continue;
    auto [known, fresh] = evidence_[pending->first].try_emplace(report.outcome.node, report);
    // Who went back does not come again: its word stays, whatever follows.
    if (!fresh && !went_back(known->second.outcome.kind) &&
        known->second.outcome.serial < report.outcome.serial)
      known->second = report;
  }
}

/// The same from the log, after a start. An entry that cannot be read is passed over: its nodes'
/// activation then waits for an operator, or expires.
void Controller::collect_evidence() {
  evidence_.clear();
  countdowns_.clear();
  Sequence from;
  for (const auto& [id, pending] : state_.pending)
    if (!pending.health.empty() && (from == Sequence() || pending.started < from))
      from = pending.started;
  if (from == Sequence()) return;
  while (from <= log_->head()) {
    auto entries = log_->read(from, kReadBytes, kReadEntries);
    if (!entries || entries->empty()) {
      from = next(from);
      continue;
    }
    for (const EncodedEntry& encoded : *entries) {
      from = next(from);
      auto header = decode_header(encoded.header);
      if (!header || header->entry_class != EntryClass::report) continue;
      auto entry = decode_entry(encoded);
      if (!entry || !entry->body) continue;
      for (const Command& command : entry->body->request.commands)
        if (const auto* report = std::get_if<ReportOutcomes>(&command))
          learn_evidence(report->outcomes);
    }
  }
}

/// What there is to say about an activation now; nothing while it goes on waiting. By the monotonic
/// clock it is over as well: the wall clock may have been set back.
std::optional<Command> Controller::verdict(const PendingActivation& pending,
                                           const Countdown& countdown, Now now) const {
  const Timestamp time = std::max(now.wall, state_.time);
  if (time >= pending.deadline || now.mono_ms >= countdown.ends_ms)
    return ExpireActivation{pending.id};
  auto said = evidence_.find(pending.id);
  if (said == evidence_.end()) return std::nullopt;
  bool waits = false;
  std::vector<const SignedOutcome*> healthy;
  for (const ActivationRow& row : pending.rows) {
    auto report = said->second.find(row.node);
    if (report != said->second.end() && went_back(report->second.outcome.kind))
      return CancelActivation{pending.id, {report->second}};
    if (report != said->second.end() && report->second.outcome.kind == OutcomeKind::healthy &&
        report->second.outcome.version == row.to)
      healthy.push_back(&report->second);
    else if (const Node* node = state_.find_node(row.node);
             node && node->enrolment == Enrolment::enrolled)
      waits = true;  // one that went back may follow
  }
  if (waits || healthy.empty() || time >= confirm_cutoff(pending)) return std::nullopt;
  ConfirmActivation confirm{pending.id};
  for (const SignedOutcome* report : healthy) confirm.evidence.push_back(*report);
  return confirm;
}

void Controller::settle_activations(Now now) {
  std::erase_if(evidence_, [&](const auto& item) { return !state_.pending.contains(item.first); });
  std::erase_if(countdowns_,
                [&](const auto& item) { return !state_.pending.contains(item.first); });
  std::vector<Verdict> due;
  for (const auto& [id, pending] : state_.pending) {
    Countdown& countdown = countdowns_[id];
    if (countdown.ends_ms == 0 || countdown.extensions != pending.extensions) {
      const int64_t left_us = pending.deadline.value() - std::max(now.wall, state_.time).value();
      countdown = {pending.extensions, now.mono_ms + std::max<int64_t>(left_us, 0) / 1'000 + 1, 0};
    }
    if (now.mono_ms < countdown.next_try_ms) continue;
    if (auto command = verdict(pending, countdown, now))
      due.push_back({id, pending.deadline, std::move(*command)});
  }
  for (Verdict& one : due) {
    const bool expires = std::holds_alternative<ExpireActivation>(one.command);
    Request request = own_request({std::move(one.command)});
    SignedRequest signed_request = sign_own(request);
    const Now then{expires ? std::max(now.wall, one.deadline) : now.wall, now.mono_ms};
    if (auto staged = stage(signed_request, request, then); !staged)
      countdowns_[one.id].next_try_ms = now.mono_ms + kRefusedMs;
    if (!broken_.empty()) return;  // staging flushes when much waits
  }
}

}  // namespace mesh
