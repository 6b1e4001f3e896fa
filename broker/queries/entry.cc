// One entry of the log, with what it rests on and what came of it.
#include <fmt/format.h>

#include <algorithm>

#include "broker/queries/queries_internal.h"
#include "eventstore/model/crypto.h"
#include "eventstore/model/decide.h"
#include "schemas/codec.h"
#include "schemas/json.h"

namespace mesh::answering {

namespace {

constexpr size_t kBodyBytesMax = 4 * 1024 * 1024;  // in base64 it still fits a frame
constexpr size_t kLinksMax = 100;                  // of an entry to others; the rest are counted
constexpr size_t kForwardEntries = 20'000;         // how far what came of it is looked for

std::string place_text(const MeshState& state, const Scope& scope) {
  const Node* node = scope.level == Level::node ? node_ever(state, scope.node) : nullptr;
  return node ? "node " + node->fullname() : to_text(state, scope);
}

std::string node_text(const MeshState& state, NodeId id) {
  const Node* node = node_ever(state, id);
  return fmt::format("node {}", node ? node->fullname() : std::to_string(id.value()));
}

/// Links from an entry to other ones, each with a relation and a text for people.
class Links {
 public:
  explicit Links(const QueryFacts& facts) : facts_(facts) {}

  void add(std::string_view relation, Sequence sequence, std::string text) {
    const auto same = [&](const json& link) {
      return link["relation"] == relation && link["sequence"] == sequence.value() &&
             link["text"] == text;
    };
    if (sequence == Sequence() || std::any_of(links_.begin(), links_.end(), same)) return;
    if (links_.size() >= kLinksMax) {
      ++more_;
      return;
    }
    json link = credit_json(facts_, sequence);
    link["relation"] = relation;
    link["text"] = std::move(text);
    links_.push_back(std::move(link));
  }

  json links() { return std::move(links_); }
  size_t more() const { return more_; }

 private:
  const QueryFacts& facts_;
  json links_ = json::array();
  size_t more_ = 0;
};

const Attribute* attribute_at(const MeshState& state, const Scope& scope, const std::string& name) {
  const Attributes* at = &state.global;
  if (scope.level == Level::site) {
    const Site* site = state.find_site(scope.site);
    at = site ? &site->attributes : nullptr;
  } else if (scope.level == Level::node) {
    const Node* node = state.find_node(scope.node);
    at = node ? &node->attributes : nullptr;
  }
  if (!at) return nullptr;
  auto found = at->find(name);
  return found == at->end() ? nullptr : &found->second;
}

bool covers(const MeshState& state, const Scope& outer, const Scope& inner) {
  if (outer.level == Level::global || outer == inner) return true;
  if (outer.level != Level::site || inner.level != Level::node) return false;
  const Node* node = node_ever(state, inner.node);
  return node && node->site == outer.site;
}

/// What an entry rests on, read from the state before it.
struct Causes {
  const QueryFacts& facts;
  const MeshState& before;
  Links& out;

  void replaced(const Scope& scope, const std::string& name) {
    if (const Attribute* old = attribute_at(before, scope, name))
      out.add("replaces", old->sequence,
              fmt::format("{}: {} was {}", place_text(before, scope), name, to_text(old->value)));
  }
  void operator()(const AttributeSet& e) { replaced(e.scope, e.name); }
  void operator()(const AttributeUnset& e) { replaced(e.scope, e.name); }
  void operator()(const VersionsCommitted& e) {
    out.add("prepared_at", e.prepared_at, "the state that was compiled and shown");
    for (const Change& change : before.changes)
      if (covers(before, e.scope, change.scope))
        out.add("pins", change.sequence,
                fmt::format("{}{}{}", place_text(before, change.scope),
                            change.name.empty() ? "" : ": ", change.name));
  }
  void operator()(const ChangesDiscarded& e) {
    for (const Change& change : before.changes)
      if (covers(before, e.scope, change.scope))
        out.add("drops", change.sequence,
                fmt::format("{}{}{}", place_text(before, change.scope),
                            change.name.empty() ? "" : ": ", change.name));
  }
  void operator()(const ActivationStarted& e) {
    for (const ActivationRow& row : e.rows)
      if (const Node* node = before.find_node(row.node))
        if (const VersionRecord* version = node->find_version(row.to))
          out.add("activates", version->sequence,
                  fmt::format("the commit of {} v{}", node->fullname(), row.to.value()));
  }
  void operator()(const ActivationConfirmed& e) { waited("confirms", e.activation); }
  void operator()(const ActivationEnded& e) { waited("ends", e.activation); }
  void operator()(const ActivationExtended& e) { waited("extends", e.activation); }
  void waited(std::string_view relation, ActivationId id) {
    if (auto pending = before.pending.find(id); pending != before.pending.end())
      out.add(relation, pending->second.started, fmt::format("activation {} was started", id.value()));
  }
  void operator()(const NodeRemoved& e) {
    if (const Node* node = before.find_node(e.node))
      out.add("removes", node->added, fmt::format("node {} was added", node->fullname()));
  }
  void operator()(const SiteRemoved& e) {
    if (const Site* site = before.find_site(e.name))
      out.add("removes", site->added, fmt::format("site {} was added", e.name));
  }
  void operator()(const TokenUsed& e) { token(e.token, "admitted_by"); }
  void operator()(const TokenRevoked& e) { token(e.token, "ends"); }
  void operator()(const TokenExpired& e) { token(e.token, "ends"); }
  void token(TokenId id, std::string_view relation) {
    auto found = before.tokens.find(id);
    if (found != before.tokens.end())
      out.add(relation, found->second.created,
              fmt::format("token {} for {} was created", id.value(),
                          place_text(before, found->second.scope)));
  }
  void operator()(const NodeRevoked& e) {
    if (const Node* node = before.find_node(e.node))
      out.add("ends", node->enrolled_at, fmt::format("node {} was enrolled", node->fullname()));
  }
  void operator()(const OperatorBanned& e) { person(e.name, "ends"); }
  void operator()(const RoleSet& e) { person(e.name, "changes"); }
  void person(const std::string& name, std::string_view relation) {
    if (const Operator* found = before.find_operator(name))
      out.add(relation, found->added, fmt::format("operator {} was added", name));
  }
  void operator()(const OutcomeReported& e) {
    const Node* node = before.find_node(e.outcome.node);
    if (!node || e.outcome.activation == ActivationId()) return;
    if (const auto start = started(e.outcome.activation, e.outcome.node))
      out.add("reports", *start, fmt::format("activation {} was started", e.outcome.activation.value()));
  }
  /// Reports follow soon; what is further back is not looked for.
  std::optional<Sequence> started(ActivationId id, NodeId node) {
    std::optional<Sequence> found;
    scan(*facts.log, facts.index, {{type_key("ActivationStarted")}, {node_key(node)}},
         {1, before.sequence.value(), true}, kForwardEntries, [&](Sequence at, const auto& entry) {
           if (!entry || !entry->body) return true;
           for (const Event& event : entry->body->events)
             if (const auto* start = std::get_if<ActivationStarted>(&event);
                 start && start->activation == id)
               found = at;
           return !found;
         });
    return found;
  }
  void operator()(const AnchorSigned& e) { out.add("signs", e.sequence, "the state after it"); }
  void operator()(const TagAdded& e) { out.add("names", e.sequence, "tag " + e.name); }
  void operator()(const TagRemoved& e) {
    auto tag = before.tags.find(e.name);
    if (tag != before.tags.end()) out.add("removes", tag->second.added, "tag " + e.name);
  }
  void operator()(const RolledBack& e) {
    out.add("goes_back_to", e.to, "the state after it is what shall be again");
  }
  void operator()(const EntryUndone& e) { out.add("takes_back", e.sequence, "it was undone"); }
  void operator()(const EpochStarted& e) { out.add("continues", e.base, "the new epoch's base"); }
  void operator()(const auto&) {}
};

/// What came of an entry: found in the state now, and in the entries that follow soon.
class Effects {
 public:
  Effects(const QueryFacts& facts, const Entry& entry, Links& out)
      : facts_(facts), entry_(entry), out_(out) {}

  /// The last entry that was looked at.
  uint64_t look() {
    for (const Event& event : entry_.body->events) {
      if (const auto* set = std::get_if<AttributeSet>(&event)) replaced_by(*set);
      if (const auto* start = std::get_if<ActivationStarted>(&event)) {
        activation_ = start->activation;
        wanted_.insert(wanted_.end(), {type_key("OutcomeReported"), type_key("ActivationConfirmed"),
                                       type_key("ActivationEnded"), type_key("ActivationExtended")});
      }
      if (const auto* made = std::get_if<TokenCreated>(&event)) {
        token_ = made->token;
        wanted_.insert(wanted_.end(), {type_key("TokenUsed"), type_key("TokenRevoked")});
      }
    }
    wanted_.insert(wanted_.end(), {type_key("EntryUndone"), type_key("RolledBack")});
    const uint64_t first = entry_.header.sequence.value() + 1;
    const ScanRange left =
        scan(*facts_.log, facts_.index, {wanted_},
             {first, std::min(facts_.state.sequence, facts_.log->head()).value(), false},
             kForwardEntries, [&](Sequence at, const Result<Entry>& later) {
               if (later && later->body)
                 for (const Event& event : later->body->events) meet(at, event);
               return true;
             });
    return left.first - 1;
  }

 private:
  void replaced_by(const AttributeSet& e) {
    const Attribute* now = attribute_at(facts_.state, e.scope, e.name);
    if (now && now->sequence > entry_.header.sequence)
      out_.add("replaced_by", now->sequence,
               fmt::format("{}: {} is {}", place_text(facts_.state, e.scope), e.name,
                           to_text(now->value)));
  }

  void meet(Sequence at, const Event& event) {
    if (const auto* undone = std::get_if<EntryUndone>(&event);
        undone && undone->sequence == entry_.header.sequence)
      out_.add("undone_by", at, "it was taken back");
    if (const auto* back = std::get_if<RolledBack>(&event);
        back && back->to < entry_.header.sequence)
      out_.add("rolled_back_by", at,
               fmt::format("{} went back to #{}", place_text(facts_.state, back->scope),
                           back->to.value()));
    if (const auto* outcome = std::get_if<OutcomeReported>(&event);
        outcome && activation_ && outcome->outcome.activation == *activation_)
      reported(at, outcome->outcome);
    meet_activation(at, event);
    if (const auto* used = std::get_if<TokenUsed>(&event); used && token_ == used->token)
      out_.add("admits", at, node_text(facts_.state, used->node));
    if (const auto* ended = std::get_if<TokenRevoked>(&event); ended && token_ == ended->token)
      out_.add("ended_by", at, "the token was revoked");
  }

  void meet_activation(Sequence at, const Event& event) {
    if (const auto* e = std::get_if<ActivationConfirmed>(&event); e && activation_ == e->activation)
      out_.add("confirmed_by", at, "it was confirmed");
    if (const auto* e = std::get_if<ActivationEnded>(&event); e && activation_ == e->activation)
      out_.add("ended_by", at, fmt::format("it is over: {}", end_name(e->how)));
    if (const auto* e = std::get_if<ActivationExtended>(&event); e && activation_ == e->activation)
      out_.add("extended_by", at, fmt::format("it got {} s more", e->seconds));
  }

  void reported(Sequence at, const Outcome& outcome) {
    out_.add("outcome", at,
             fmt::format("{}: {} v{}{}{}", node_text(facts_.state, outcome.node),
                         outcome_word(outcome.kind), outcome.version.value(),
                         outcome.message.empty() ? "" : ": ", outcome.message));
  }

  const QueryFacts& facts_;
  const Entry& entry_;
  Links& out_;
  std::vector<ScanKey> wanted_;
  std::optional<ActivationId> activation_;
  std::optional<TokenId> token_;
};

/// Who signed, with the key that the state before the entry knows, and since which entry.
json signature_json(const MeshState& before, const Entry& entry) {
  json out = {{"signer", to_text(entry.header.principal)},
              {"key", json()},
              {"fingerprint", json()},
              {"since", json()},
              {"valid", false}};
  auto key = signer_key(before, entry.body->request);
  if (!key) return out;
  const auto& signed_request = entry.body->signed_request;
  const Operator* person = before.find_operator(entry.header.principal.name);
  out["key"] = to_hex(key->view());
  out["fingerprint"] = fingerprint(key->view());
  out["since"] = person ? person->added.value() : 1;
  out["valid"] =
      verify_signature(*key, kRequestDomain, signed_request.bytes, signed_request.signature);
  return out;
}

json item_json(const EncodedEntry& encoded, const Entry& entry) {
  json item = json::parse(entry_json(entry));
  item["leaf"] = to_hex(entry.leaf.view());
  item["header"] = to_base64(encoded.header);
  item["epoch"] = entry.header.epoch;
  item["term"] = entry.header.term;
  item["rules"] = entry.header.rules;
  const Request& request = entry.body->request;
  item["request"] = to_hex(request.id.view());
  item["based_on"] = request.based_on.value();
  item["expect_sequence"] = request.expect_sequence.value();
  item["context"] = {{"time", time_text(entry.body->context.time)},
                     {"candidates", entry.body->context.candidates.size()}};
  return item;
}

}  // namespace

json credit_json(const QueryFacts& facts, Sequence sequence) {
  json out = {{"sequence", sequence.value()},
              {"time", json()},
              {"by", json()},
              {"message", ""},
              {"reference", ""}};
  auto read = facts.log->read(sequence, 1, 1);
  if (!read || read->empty()) return out;
  auto entry = decode_entry(read->front());
  if (!entry) return out;
  out["time"] = time_text(entry->header.time);
  out["by"] = to_text(entry->header.principal);
  if (entry->body) {
    out["message"] = entry->body->request.message;
    out["reference"] = entry->body->request.reference;
  }
  return out;
}

Answer entry(const QueryFacts& facts) {
  auto found = read_entry(facts);
  if (!found) return std::unexpected(found.error());
  const auto& [encoded, entry] = *found;
  if (!entry.body) return fail(Errc::corrupt, "the entry has no body");
  auto before = facts.past->at(Sequence(entry.header.sequence.value() - 1));
  if (!before) return fail_in("the state before the entry", before.error());
  Links causes(facts), effects(facts);
  const uint64_t based_on = entry.body->request.based_on.value();
  if (based_on > 0 && based_on + 1 != entry.header.sequence.value())
    causes.add("based_on", Sequence(based_on), "the newest entry that the signer knew");
  std::vector<NodeId> nodes;
  for (const Event& event : entry.body->events) {
    std::visit(Causes{facts, *before, causes}, event);
    for (const NodeId node : mentions(event).nodes) nodes.push_back(node);
  }
  const uint64_t looked = Effects(facts, entry, effects).look();
  json out = document(facts, "Entry");
  out["item"] = item_json(encoded, entry);
  out["body"] = encoded.body.size() > kBodyBytesMax ? json() : json(to_base64(encoded.body));
  out["signature"] = signature_json(*before, entry);
  out["causes_more"] = causes.more();
  out["causes"] = causes.links();
  out["effects_more"] = effects.more();
  out["effects"] = effects.links();
  out["effects_until"] = looked;
  out["names"] = names_json(facts.state, std::move(nodes));
  return out;
}

}  // namespace mesh::answering
