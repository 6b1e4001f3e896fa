// Queries about activations: those that wait for a confirmation, and what became of the others.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "broker/log_scan.h"
#include "broker/queries/queries_internal.h"
#include "schemas/json.h"

namespace mesh::answering {

namespace {

constexpr size_t kListedNodes = 200;  // of each activation in a list; `activation` has all
constexpr uint64_t kEndedListed = 10;
constexpr int64_t kMicros = 1'000'000;

struct Said {
  OutcomeKind kind{};
  std::string message;
};

/// One activation: from the state, and for one that is over from the log.
struct Story {
  ActivationId id;
  std::string_view state = "unconfirmed";
  std::vector<ActivationRow> rows;
  Sequence started, ended;  // 0 = not known, not over
  uint32_t confirm_s = 0, extensions = 0;
  Timestamp deadline;
  std::vector<std::string> health;
  uint32_t for_s = 0;
  std::optional<std::vector<NodeId>> confirmed;
  std::map<NodeId, Said> said;
};

void add_reports(const QueryFacts& facts, Story& story) {
  for (const ActivationRow& row : story.rows) {
    auto report = facts.state.reports.find(row.node);
    if (report != facts.state.reports.end() && report->second.activation == story.id)
      story.said.try_emplace(row.node, Said{report->second.kind, report->second.message});
  }
}

Story pending_story(const QueryFacts& facts, const PendingActivation& pending) {
  Story out{
      pending.id,         "pending",        pending.rows,   pending.started, {}, pending.seconds,
      pending.extensions, pending.deadline, pending.health, pending.for_s,   {}, {}};
  add_reports(facts, out);
  return out;
}

/// Reads the log backwards until it has met the beginning of every one that is asked for.
class ClosedStories {
 public:
  ClosedStories(const QueryFacts& facts, const std::vector<ClosedActivation>& wanted)
      : facts_(facts) {
    for (const ClosedActivation& closed : wanted) {
      Story& story = stories_[closed.id];
      story.id = closed.id;
      story.state = end_name(closed.how);
      story.ended = closed.sequence;
    }
    missing_ = stories_.size();
  }

  std::map<ActivationId, Story> read() {
    const ScanKeys keys{{type_key("ActivationStarted"), type_key("ActivationConfirmed"),
                         type_key("ActivationExtended"), type_key("OutcomeReported")}};
    const ScanRange all{1, std::min(facts_.state.sequence, facts_.log->head()).value(), true};
    if (missing_ > 0)
      scan(*facts_.log, facts_.index, keys, all, SIZE_MAX,
           [&](Sequence at, const Result<Entry>& entry) {
             if (entry && entry->body)
               for (const Event& event : entry->body->events) meet(at, event);
             return missing_ > 0;
           });
    return std::move(stories_);
  }

 private:
  Story* find(ActivationId id) {
    auto it = stories_.find(id);
    return it == stories_.end() ? nullptr : &it->second;
  }

  void meet(Sequence at, const Event& event) {
    if (const auto* e = std::get_if<OutcomeReported>(&event)) {
      if (Story* story = find(e->outcome.activation))
        story->said.try_emplace(e->outcome.node, Said{e->outcome.kind, e->outcome.message});
    } else if (const auto* confirmed = std::get_if<ActivationConfirmed>(&event)) {
      if (Story* story = find(confirmed->activation)) story->confirmed = confirmed->nodes;
    } else if (const auto* extended = std::get_if<ActivationExtended>(&event)) {
      if (Story* story = find(extended->activation); story && story->extensions++ == 0) {
        story->confirm_s = extended->seconds;
        story->deadline = extended->deadline;
      }
    } else if (const auto* started = std::get_if<ActivationStarted>(&event)) {
      if (Story* story = find(started->activation)) begin(*story, at, *started);
    }
  }

  void begin(Story& story, Sequence at, const ActivationStarted& started) {
    story.started = at;
    story.rows = started.rows;
    story.health = started.health;
    story.for_s = started.for_s;
    if (story.extensions == 0) {
      story.confirm_s = started.confirm_s;
      story.deadline = started.deadline;
    }
    --missing_;
  }

  const QueryFacts& facts_;
  std::map<ActivationId, Story> stories_;
  size_t missing_ = 0;
};

/// One that acted at once: those nodes whose newest activation it is.
Story immediate_story(const QueryFacts& facts, ActivationId id) {
  Story out;
  out.id = id;
  for (const auto& [node_id, node] : facts.state.nodes)
    if (node->activation == id && id != ActivationId())
      out.rows.push_back({node_id, {}, node->active});
  add_reports(facts, out);
  return out;
}

json row_json(const QueryFacts& facts, const Story& story, const ActivationRow& row,
              std::string_view state) {
  const Node* node = node_ever(facts.state, row.node);
  auto said = story.said.find(row.node);
  json out = {{"node", row.node.value()},
              {"fullname", node ? json(node->fullname()) : json()},
              {"from", story.confirm_s > 0 ? json(row.from.value()) : json()},
              {"to", row.to.value()},
              {"state", state},
              {"message", said == story.said.end() ? "" : said->second.message},
              {"left_s", json()}};
  auto seen = facts.board.find(row.node);
  if (seen != facts.board.end() && seen->second.status.pending_activation == story.id)
    out["left_s"] = std::max<int64_t>(
        0, seen->second.status.pending_left_s - (facts.now.mono_ms - seen->second.mono_ms) / 1'000);
  if (story.confirmed) out["confirmed"] = std::ranges::binary_search(*story.confirmed, row.node);
  return out;
}

/// "applied", ... as reported; else "waiting", or "offline" when it is not connected.
std::string_view row_state(const QueryFacts& facts, const Story& story, NodeId node) {
  if (auto said = story.said.find(node); said != story.said.end())
    return outcome_word(said->second.kind);
  return is_now(facts) && !is_connected(facts.board, node, facts.now.mono_ms) ? "offline"
                                                                              : "waiting";
}

json story_json(const QueryFacts& facts, const Story& story, size_t most) {
  const bool pending = story.state == "pending";
  const Timestamp now =
      is_now(facts) ? std::max(facts.now.wall, facts.state.time) : facts.state.time;
  const auto left_s = [&](Timestamp until) {
    return pending
               ? json(std::max<int64_t>(0, (until.value() - now.value() + kMicros - 1) / kMicros))
               : json();
  };
  std::map<std::string_view, size_t> counts;
  json items = json::array();
  for (const ActivationRow& row : story.rows) {
    const std::string_view state = row_state(facts, story, row.node);
    ++counts[state];
    if (items.size() < most) items.push_back(row_json(facts, story, row, state));
  }
  const auto margin =
      confirm_cutoff({story.id, {}, {}, story.deadline, story.confirm_s, 0, {}, 0, {}});
  json out = {{"id", story.id.value()},
              {"state", story.state},
              {"confirm_s", story.confirm_s},
              {"deadline", story.confirm_s > 0 ? json(time_text(story.deadline)) : json()},
              {"left_s", left_s(story.deadline)},
              {"confirm_left_s", left_s(margin)},
              {"extensions", story.extensions},
              {"health", story.health},
              {"for_s", story.for_s},
              {"started", story.started == Sequence() ? json() : credit_json(facts, story.started)},
              {"ended", story.ended == Sequence() ? json() : credit_json(facts, story.ended)},
              {"total", story.rows.size()},
              {"applied", counts["applied"] + counts["healthy"]},
              {"healthy", counts["healthy"]},
              {"failed", counts["failed"] + counts["reverted"] + counts["refused"]},
              {"waiting", counts["waiting"]},
              {"offline", counts["offline"]}};
  out["items"] = std::move(items);
  return out;
}

}  // namespace

std::string_view outcome_word(OutcomeKind kind) {
  constexpr std::string_view kWords[] = {"unknown",  "applied", "failed",
                                         "reverted", "refused", "healthy"};
  const auto index = static_cast<size_t>(kind);
  return index < std::size(kWords) ? kWords[index] : kWords[0];
}

json pending_activations_json(const QueryFacts& facts) {
  json out = json::array();
  for (const auto& [id, pending] : facts.state.pending)
    out.push_back(story_json(facts, pending_story(facts, pending), kListedNodes));
  return out;
}

Answer activation(const QueryFacts& facts) {
  auto number = number_argument(facts, "id", facts.state.next_activation.value() - 1);
  if (!number) return std::unexpected(number.error());
  const ActivationId id(*number);
  if (id >= facts.state.next_activation)
    return fail(Errc::not_found, fmt::format("activation {} does not exist", id.value()),
                "meshcli list activations");
  auto pending = facts.state.pending.find(id);
  auto closed = std::ranges::find(facts.state.closed, id, &ClosedActivation::id);
  json out = document(facts, "Activation");
  if (pending != facts.state.pending.end())
    out.update(story_json(facts, pending_story(facts, pending->second), SIZE_MAX));
  else if (closed != facts.state.closed.end())
    out.update(story_json(facts, ClosedStories(facts, {*closed}).read().at(id), SIZE_MAX));
  else
    out.update(story_json(facts, immediate_story(facts, id), SIZE_MAX));
  return out;
}

Answer activations(const QueryFacts& facts) {
  auto limit = number_argument(facts, "limit", kEndedListed);
  if (!limit) return std::unexpected(limit.error());
  json items = pending_activations_json(facts);
  std::vector<ClosedActivation> wanted;
  for (auto closed = facts.state.closed.rbegin();
       closed != facts.state.closed.rend() && wanted.size() < *limit; ++closed)
    wanted.push_back(*closed);
  const auto stories = ClosedStories(facts, wanted).read();
  for (const ClosedActivation& closed : wanted)
    items.push_back(story_json(facts, stories.at(closed.id), kListedNodes));
  json out = list_document(facts, "ActivationList", std::move(items));
  out["newest"] = facts.state.next_activation.value() - 1;
  return out;
}

}  // namespace mesh::answering
