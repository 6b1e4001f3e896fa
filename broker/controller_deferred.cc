// What waits for the flush: reading, preparing, subscribing, nodes' words and enrolment.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "broker/controller.h"
#include "broker/prepare.h"
#include "broker/queries/queries.h"
#include "eventstore/model/address.h"
#include "eventstore/model/crypto.h"
#include "eventstore/model/limits.h"
#include "schemas/codec.h"

namespace mesh {

namespace {
constexpr size_t kPreparedMax = 16;         // shown and not yet committed; the oldest is forgotten
constexpr unsigned kPrefixOfAMachine = 64;  // what a provider gives to one customer, and an interface has of IPv6
constexpr size_t kOutcomesPerEntry = 200;   // well below the limits of a request
constexpr size_t kOutcomesPerNodeMax = 64;  // a node resends what is not acknowledged
constexpr int64_t kGatherMs = 60'000;       // after the last look at who waits
}  // namespace

void Controller::handle(const Deferred& deferred, Now now) {
  ReplyTo to{deferred.session, deferred.correlation};
  if (const auto* join = std::get_if<Join>(&deferred.body)) {
    if (deferred.session.enrolment) return on_join(to, *join, deferred.address, now);
    return fail_to(to, {Errc::usage, "a join goes to the enrolment endpoint", {}});
  }
  auto it = peers_.find(deferred.session.user);
  if (it == peers_.end()) return;
  const Peer peer = it->second;
  bool is_node = peer.principal.kind == PrincipalKind::node;
  if (const auto* subscribe = std::get_if<Subscribe>(&deferred.body))
    return subscriptions_.subscribe(deferred.session, is_node ? View::node : View::whole,
                                    *subscribe);
  if (const auto* credit = std::get_if<Credit>(&deferred.body))
    return subscriptions_.add_credit(deferred.session, credit->bytes);
  if (const auto* fetch = std::get_if<Fetch>(&deferred.body)) return on_fetch(to, peer, *fetch);
  if (is_node) {
    if (const auto* status = std::get_if<NodeStatus>(&deferred.body))
      return on_node_status(peer, *status, now);
    if (const auto* outcome = std::get_if<OutcomeMessage>(&deferred.body))
      return on_outcome(to, peer, *outcome);
    if (const auto* orphans = std::get_if<Orphans>(&deferred.body)) return on_orphans(to, *orphans);
  } else {
    if (const auto* prepare = std::get_if<Prepare>(&deferred.body)) return on_prepare(to, *prepare);
    if (const auto* query = std::get_if<Query>(&deferred.body))
      return on_query(to, peer, *query, now);
  }
  fail_to(to, {Errc::not_permitted,
               fmt::format("{} may not send this kind of message", to_text(peer.principal)),
               {}});
}

void Controller::start_job(Job job) {
  ++jobs_running_;
  output_.jobs.push_back([this, job = std::move(job)]() -> Completion {
    return [this, done = job()] {
      --jobs_running_;
      done();
    };
  });
}

void Controller::on_prepare(const ReplyTo& to, const Prepare& prepare) {
  const Principal principal = sessions_.contains(to.session) ? sessions_[to.session].principal : Principal{};
  start_job([this, to, prepare, state = state_, log = log_.get(), who = to_text(principal),
             renderer = options_.renderer]() -> Completion {
    auto plan = prepare_commit(state, *log, prepare, who, renderer.get());
    if (!plan) return [this, to, error = plan.error()] { fail_to(to, error); };
    PreparedCommit prepared{
        state.sequence, version_rows_root(plan->candidates.rows), plan->candidates.rows, {}};
    for (const VersionRow& row : prepared.rows) {
      std::string text = config_text(plan->candidates.configs.at(row.node));
      prepared.blobs.push_back({row.digest, Bytes(text.begin(), text.end())});
    }
    for (auto& [digest, content] : plan->candidates.contents) prepared.blobs.push_back({digest, std::move(content)});
    for (const Blob& blob : prepared.blobs) prepared.bytes += blob.bytes.size();
    Prepared answer{prepared.at, prepared.root, prepared.rows, std::move(plan->json)};
    // Shared, because a Completion has to be copyable.
    auto shown = std::make_shared<PreparedCommit>(std::move(prepared));
    return [this, to, shown, answer] {
      remember(std::move(*shown));
      send(to, answer);
    };
  });
}

void Controller::remember(PreparedCommit prepared) {
  std::erase_if(prepared_, [&](const PreparedCommit& p) {
    return p.at == prepared.at && p.root == prepared.root;
  });
  prepared_.push_back(std::move(prepared));
  size_t bytes = 0;
  for (const PreparedCommit& each : prepared_) bytes += each.bytes;
  while (prepared_.size() > 1 && (prepared_.size() > kPreparedMax || bytes > options_.prepared_bytes)) {
    bytes -= prepared_.front().bytes;
    prepared_.erase(prepared_.begin());
  }
}

void Controller::on_query(const ReplyTo& to, const Peer& peer, const Query& query, Now now) {
  if (query.kind == "optimise") return on_optimise(to, peer, query);
  const bool now_asked = query.at == Sequence();
  if (query.kind == "pending" && query.arguments.contains("gather")) on_gather(peer, now);
  // An anchor needs the snapshot that it countersigns, and only an administrator signs one.
  const Operator* asker = state_.find_operator(peer.principal.name);
  if (query.kind == "state" && now_asked && asker && asker->role == Role::admin) save_snapshot();
  QueryFacts facts;
  facts.state = state_;
  facts.log = log_.get();
  facts.past = past_.get();
  facts.index = &index_;
  if (now_asked) {
    facts.board = board_;
    facts.waiting = waiting_;
  }
  facts.asker = peer.principal;
  facts.now = now;
  facts.started_ms = started_ms_;
  facts.sessions = sessions_.size();
  facts.log_bytes = options_.log_bytes();
  facts.broken = broken_.empty() ? read_only() : broken_;
  facts.program = options_.program;
  facts.orphans = orphans_.list();
  facts.query = query;
  facts.renderer = options_.renderer;
  if (!is_heavy(query)) {
    auto result = answer_query(std::move(facts));
    if (!result) return fail_to(to, result.error());
    return send(to, std::move(*result));
  }
  start_job([this, to, facts = std::make_shared<QueryFacts>(std::move(facts))]() -> Completion {
    auto result = std::make_shared<Result<QueryResult>>(answer_query(std::move(*facts)));
    return [this, to, result] {
      if (*result)
        send(to, std::move(**result));
      else
        fail_to(to, result->error());
    };
  });
}

void Controller::on_node_status(const Peer& peer, const NodeStatus& status, Now now) {
  board_.insert_or_assign(peer.node, Sighting{status, now.mono_ms});
}

void Controller::on_outcome(const ReplyTo& to, const Peer& peer, const OutcomeMessage& message) {
  const SignedOutcome& report = message.outcome;
  const Node* node = state_.find_node(peer.node);
  if (!node || report.outcome.node != peer.node)
    return fail_to(to, {Errc::unauthenticated,
                        fmt::format("node {} reports for node {}", peer.node.value(),
                                    report.outcome.node.value()),
                        {}});
  if (!verify_signature(node->sign_key, kOutcomeDomain, report.bytes, report.signature))
    return fail_to(to, {Errc::unauthenticated, "the outcome's signature is wrong", {}});
  auto known = state_.reports.find(peer.node);
  if (known != state_.reports.end() && report.outcome.serial <= known->second.serial)
    return send(to, Ack{known->second.serial});
  auto& queue = outcomes_[peer.node];
  if (queue.size() < kOutcomesPerNodeMax) queue.insert_or_assign(report.outcome.serial, report);
}

/// Confirmed as far as it is durable, or of no use: a node hands over until then.
void Controller::on_orphans(const ReplyTo& to, const Orphans& message) {
  if (message.entries.empty() || message.epoch >= state_.epoch) return;
  const size_t settled = orphans_.take(state_, *log_, message);
  if (orphans_.unsaved() && options_.save_orphans) {
    if (auto saved = options_.save_orphans(orphans_.encode()); !saved) return fail_to(to, saved.error());
    orphans_.saved();
  }
  if (settled == 0)
    return fail_to(to, {Errc::exhausted, "there is no room for more entries that the log gave up",
                        "read them with meshcli controller orphans; then stop meshd and remove DATA/orphans"});
  auto last = decode_header(message.entries[settled - 1].header);
  if (!last) return fail_to(to, last.error());
  send(to, OrphansKept{message.epoch, last->sequence});
}

void Controller::report_outcomes(Now now) {
  ReportOutcomes report;
  for (auto& [id, queue] : outcomes_) {
    const Node* node = state_.find_node(id);
    // Enrolled anew or removed since: what the old identity said is void.
    std::erase_if(queue, [&](const auto& item) {
      return !node || !verify_signature(node->sign_key, kOutcomeDomain, item.second.bytes,
                                        item.second.signature);
    });
    while (!queue.empty() && report.outcomes.size() < kOutcomesPerEntry)
      report.outcomes.push_back(queue.extract(queue.begin()).mapped());
  }
  std::erase_if(outcomes_, [](const auto& item) { return item.second.empty(); });
  if (report.outcomes.empty()) return;
  std::map<NodeId, uint64_t> serials;
  for (const SignedOutcome& outcome : report.outcomes)
    serials[outcome.outcome.node] = std::max(serials[outcome.outcome.node], outcome.outcome.serial);
  const std::vector<SignedOutcome> outcomes = report.outcomes;
  Request request = own_request({std::move(report)});
  SignedRequest signed_request = sign_own(request);
  if (auto staged = stage(signed_request, request, now); !staged) return;  // nodes send again
  flush(now);
  if (!broken_.empty()) return;
  learn_evidence(outcomes);
  for (const auto& [session, visitor] : sessions_) {
    auto peer = peers_.find(session.user);
    if (peer == peers_.end()) continue;
    if (auto serial = serials.find(peer->second.node); serial != serials.end())
      send({session, 0}, Ack{serial->second});
  }
}

void Controller::expire_tokens(Now now) {
  for (const auto& [id, token] : SharedMap<TokenId, Token>(state_.tokens)) {
    if (token.state != TokenState::open || token.expires == Timestamp() || now.wall < token.expires)
      continue;
    Request request = own_request({ExpireToken{id}});
    SignedRequest signed_request = sign_own(request);
    if (auto staged = stage(signed_request, request, now); !staged)
      return;  // the next tick tries again
  }
}

/// Opens the door to newcomers for a while. Not for viewers: who cannot admit anybody has no need of it.
void Controller::on_gather(const Peer& peer, Now now) {
  const Operator* asker = state_.find_operator(peer.principal.name);
  if (asker && !asker->banned && asker->role != Role::viewer) gather_until_ms_ = now.mono_ms + kGatherMs;
}

namespace {

/// The part of an address that one machine cannot choose: all of IPv4, the network of IPv6.
std::string network_of(const std::string& address) {
  const auto parsed = parse_address(std::string_view(address).substr(0, address.find('%')));
  if (!parsed || !parsed->v6) return address;
  constexpr std::array<uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (std::ranges::equal(kMapped, std::span(parsed->bytes).first<kMapped.size()>())) return address;
  return to_text(IpPrefix{*parsed, kPrefixOfAMachine}.network());
}

}  // namespace

void Controller::wait_for_approval(const ReplyTo& to, const Join& join, const JoinStatement& statement,
                                   const std::string& address, Now now) {
  const std::string print = fingerprint(statement.sign_key.view());
  const std::string network = network_of(address);
  if (!waiting_.contains(print)) {
    const auto neighbours =
        std::ranges::count_if(waiting_, [&](const auto& item) { return item.second.network == network; });
    if (waiting_.size() >= kWaitingNodesMax ||
        (!address.empty() && static_cast<size_t>(neighbours) >= kWaitingPerAddressMax))
      return answer(to, Refused{{Errc::exhausted,
                                 fmt::format("{} nodes wait for approval already",
                                             std::min(waiting_.size(), kWaitingNodesMax)),
                                 "try again later"}});
  }
  WaitingNode& entry = waiting_.try_emplace(print, WaitingNode{join.join, statement, now.wall}).first->second;
  entry.mono_ms = now.mono_ms;
  entry.address = address;
  entry.network = network;
  send(to, Waiting{print});
}

void Controller::on_join(const ReplyTo& to, const Join& join, const std::string& address, Now now) {
  auto refuse = [&](Error error) { answer(to, Refused{std::move(error)}); };
  if (!broken_.empty())
    return refuse({Errc::unavailable, "the log refuses writes: " + broken_, "try again later"});
  if (std::string why = read_only(); !why.empty())
    return refuse({Errc::unavailable, "the controller is read-only: " + why, "try again later"});
  auto statement = decode_join(join.join.statement);
  if (!statement) return refuse(statement.error());
  if (statement->log != state_.log)
    return refuse(
        {Errc::unauthenticated, "the join is for another log", "use a token of this controller"});
  if (!verify_signature(statement->sign_key, kJoinDomain, join.join.statement,
                        join.join.node_signature))
    return refuse({Errc::unauthenticated, "the join is not signed by the node's own key", {}});
  // CURVE proved who holds this key: a stolen statement is of no use to anybody else.
  if (statement->box_key != to.session.user)
    return refuse({Errc::unauthenticated, "the join names another key than the connection's", {}});
  for (const auto& [id, node] : state_.nodes)
    if (node->enrolment == Enrolment::enrolled && node->sign_key == statement->sign_key &&
        node->box_key == statement->box_key)
      return admissions_.emplace_back(to, *statement), void();
  std::string print = fingerprint(statement->sign_key.view());
  auto token = state_.tokens.find(statement->token);
  bool approve =
      statement->token == TokenId() || (token != state_.tokens.end() && token->second.approve);
  if (approve) {
    if (std::find(state_.rejected.begin(), state_.rejected.end(), print) != state_.rejected.end())
      return refuse(
          {Errc::not_permitted, fmt::format("the fingerprint {} was rejected", print), {}});
    if (token != state_.tokens.end() &&
        !verify_signature(token->second.key, kJoinDomain, join.join.statement,
                          join.join.token_signature))
      return refuse({Errc::unauthenticated, "the join is not signed by the token", {}});
    return wait_for_approval(to, join, *statement, address, now);
  }
  Request request = own_request({AdmitNode{join.join, *statement}});
  SignedRequest signed_request = sign_own(request);
  auto staged = stage(signed_request, request, now);
  if (!staged) return refuse(staged.error());
  admissions_.emplace_back(to, *statement);
}

std::string Controller::greeting() const {
  Request first;
  first.log = state_.log;
  first.epoch = 1;
  first.principal = Principal::controller();
  first.commands = {state_.genesis};
  return fmt::format(R"({{"kind":"Greeting","genesis":"{}"}})", to_base64(encode_request(first)));
}

void Controller::settle_joins() {
  for (const auto& [to, statement] : std::exchange(admissions_, {})) {
    const Node* admitted = nullptr;
    for (const auto& [id, node] : state_.nodes)
      if (node->enrolment == Enrolment::enrolled && node->box_key == statement.box_key)
        admitted = &*node;
    if (admitted) {
      waiting_.erase(fingerprint(statement.sign_key.view()));
      send(to, Admitted{admitted->id, admitted->fullname(), controller_endpoints(state_)});
    } else {
      send(to, Refused{{Errc::unavailable, "the admission could not be stored", "try again"}});
    }
  }
}

}  // namespace mesh
