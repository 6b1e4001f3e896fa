#include "tests/sim/operator_host.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "eventstore/model/crypto.h"
#include "schemas/codec.h"
#include "tests/support/world.h"

namespace mesh::sim {

namespace {

constexpr int64_t kAnswerMs = 4'000;    // then the question is sent again
constexpr int64_t kSilenceMs = 10'000;  // then the connection is given up

}  // namespace

OperatorHost::OperatorHost(Scheduler& clock, Trace& trace, Network& network, HistoryBook& book,
                           Random random, std::string name, OperatorHostOptions options, Town town)
    : clock_(clock),
      trace_(trace),
      network_(network),
      book_(book),
      random_(random),
      name_(std::move(name)),
      options_(options),
      town_(std::move(town)),
      sign_(test::sign_secret(name_)),
      line_(network.add_line(name_, test::box_secret(name_).public_key(), false, *this)),
      workload_(random_.fork(), name_, book) {}

void OperatorHost::start() {
  network_.open(line_);
  tick();
}

void OperatorHost::ask(Intention intention) { next_ = std::move(intention); }

bool OperatorHost::may_ask() const {
  const Operator* person = book_.state().find_operator(name_);
  return person && !person->banned;
}

std::string OperatorHost::unfinished() const {
  if (!may_ask()) return {};
  if (busy()) return name_ + " waits for an answer";
  if (replica_.head() != book_.head())
    return fmt::format("{} follows to #{}", name_, replica_.head().value());
  if (replica_.state != book_.state()) return name_ + " has another state";
  return {};
}

void OperatorHost::check_acknowledged() const {
  for (const Acknowledged& each : acknowledged_) {
    const auto there = book_.find(each.request);
    const auto what = fmt::format("{}'s request {}, acknowledged as #{}", name_,
                                  to_hex(each.request.view()), each.sequence.value());
    if (each.sequence == Sequence()) {
      if (there)
        throw ClaimBroken("what was acknowledged is in the log",
                          what + fmt::format(", is #{}", there->value()));
      continue;
    }
    if (there != each.sequence)
      throw ClaimBroken("what was acknowledged is in the log", what + ", is not there");
    if (book_.entry(*there).body->events != each.events)
      throw ClaimBroken("what was acknowledged is in the log", what + ", has other events");
  }
}

// --- time ---

void OperatorHost::tick() {
  clock_.after(500, [this] { tick(); });
  const int64_t now = clock_.now();
  if (connected_ && now - heard_at_ > kSilenceMs) {
    trace_.add(name_ + " hears nothing, connecting anew");
    network_.close(line_);
    disconnected();
    network_.open(line_);
  }
  if (!connected_) return;
  const bool behind = told_head_ > replica_.head();
  if (behind && now - progress_at_ > kAnswerMs) subscribe();
  if (question_) {
    if (now >= question_->again_at) send_question();
    return;
  }
  if (now < ask_at_ || replica_.head() == Sequence()) return;
  if (next_) return begin(*std::exchange(next_, std::nullopt));
  if (!retired_) begin(workload_.next(replica_.state, town_.fleet()));
}

void OperatorHost::connected() {
  connected_ = true;
  heard_at_ = clock_.now();
  subscribe();
  if (question_) send_question();
}

void OperatorHost::disconnected() {
  connected_ = false;
  told_head_ = {};
}

void OperatorHost::subscribe() {
  progress_at_ = clock_.now();
  network_.send(line_, encode_message({0, Subscribe{replica_.head(), options_.credit, false}}));
}

// --- questions ---

void OperatorHost::begin(Intention intention) {
  Question question;
  switch (intention.kind) {
    case Intention::Kind::submit:
    case Intention::Kind::dry_run:
      question.body = submit(intention, question.request);
      break;
    case Intention::Kind::prepare:
      question.body = intention.prepare;
      break;
    case Intention::Kind::query:
    case Intention::Kind::anchor:
      question.body = Query{intention.query, {}, {}};
      break;
  }
  question.intention = std::move(intention);
  question_ = std::move(question);
  send_question();
}

Body OperatorHost::submit(const Intention& intention, RequestId& id) {
  const MeshState& state = replica_.state;
  for (size_t i = 0; i < id.bytes.size(); ++i) id.bytes[i] = static_cast<uint8_t>(random_.next());
  Request request;
  request.log = state.log;
  request.epoch = state.epoch;
  request.principal = Principal::human(name_);
  request.id = id;
  request.based_on = state.sequence;
  request.commands = intention.commands;
  request.message = "simulated";
  request.origin = "cli";
  if (random_.one_in(20)) request.expect_sequence = state.intent_sequence;
  if (intention.tamper == Tamper::log) request.log.bytes[0] ^= 1;
  if (intention.tamper == Tamper::principal)
    request.principal = Principal::human("alice" == name_ ? "bob" : "alice");
  if (intention.tamper == Tamper::future)
    request.based_on = Sequence(state.sequence.value() + 1'000);
  if (intention.tamper == Tamper::ancient) request.based_on = {};
  SignedRequest signed_request{encode_request(request), {}};
  signed_request.signature = sign_.sign(kRequestDomain, signed_request.bytes);
  if (intention.tamper == Tamper::signature) signed_request.signature.bytes[5] ^= 4;
  return Submit{std::move(signed_request), intention.kind == Intention::Kind::dry_run};
}

void OperatorHost::send_question() {
  question_->again_at = clock_.now() + kAnswerMs;
  question_->asked_as.insert(++correlation_);
  const Bytes frame = encode_message({correlation_, question_->body});
  trace_.add(fmt::format("{} > {}", name_, describe_frame(frame.data(), frame.size())));
  network_.send(line_, frame);
  // Impatience: the same bytes twice are one request.
  if (random_.one_in(25)) network_.send(line_, frame);
}

void OperatorHost::finish(int64_t pause_ms) {
  question_.reset();
  ask_at_ = clock_.now() + pause_ms;
}

void OperatorHost::arrived(const Bytes& frame) {
  heard_at_ = clock_.now();
  auto message = decode_message(frame);
  if (!message && !options_.hostile)
    throw ClaimBroken("what the controller says decodes", message.error().message);
  if (!message) return;
  if (const auto* entries = std::get_if<Entries>(&message->body))
    return follow(*entries, frame.size());
  if (const auto* head = std::get_if<Head>(&message->body))
    told_head_ = std::max(told_head_, head->sequence);
  if (!question_ || !question_->asked_as.contains(message->correlation)) return;
  trace_.add(fmt::format("{} < {}", name_, describe_frame(frame.data(), frame.size())));
  if (const auto* reply = std::get_if<Reply>(&message->body)) return on_reply(*reply);
  if (const auto* error = std::get_if<ErrorReply>(&message->body)) return on_error(error->error);
  if (const auto* prepared = std::get_if<Prepared>(&message->body)) return on_prepared(*prepared);
  if (const auto* result = std::get_if<QueryResult>(&message->body)) return on_result(*result);
}

void OperatorHost::on_reply(const Reply& reply) {
  last_error_.reset();
  auto question = std::move(*question_);
  finish(random_.between(1, 2 * options_.pause_ms));
  if (question.intention.kind != Intention::Kind::submit) return;
  if (reply.sequence > book_.head())
    throw ClaimBroken("durable before visible",
                      fmt::format("{} was told #{}", name_, reply.sequence.value()));
  acknowledged_.push_back({question.request, reply.sequence, reply.events});
  if (!question.intention.invitation) return;
  for (const Event& event : reply.events)
    if (const auto* created = std::get_if<TokenCreated>(&event)) {
      Invitation invitation = *question.intention.invitation;
      invitation.token = created->token;
      town_.invite(std::move(invitation));
    }
}

void OperatorHost::on_error(const Error& error) {
  last_error_ = error;
  const bool unknown = error.code == Errc::unavailable || error.code == Errc::io ||
                       error.code == Errc::exhausted || error.code == Errc::corrupt;
  // Nobody knows what became of it: the same bytes again, until somebody does.
  if (unknown && question_->intention.kind == Intention::Kind::submit) {
    question_->again_at = clock_.now() + random_.between(500, 3'000);
    return;
  }
  finish(random_.between(1, 2 * options_.pause_ms));
}

void OperatorHost::on_prepared(const Prepared& prepared) {
  const Prepare asked = question_->intention.prepare;
  const bool allow_loss = question_->intention.allow_loss;
  finish(0);
  Intention commit;
  const auto plan = nlohmann::json::parse(prepared.plan);
  const bool loses = plan["reachability"]["refused"].get<bool>();
  commit.commands = {Commit{asked.target, prepared.sequence, prepared.root, asked.include_others,
                            asked.with_neighbours, loses && allow_loss}};
  next_ = std::move(commit);
  if (random_.one_in(4)) ask_at_ = clock_.now() + random_.between(1, 3'000);  // reads the plan
}

void OperatorHost::on_result(const QueryResult& result) {
  const Intention asked = question_->intention;
  finish(random_.between(1, 2 * options_.pause_ms));
  if (asked.invitation) town_.invite(*asked.invitation);
  if (asked.kind != Intention::Kind::anchor) return;
  const auto document = nlohmann::json::parse(result.json);
  const Sequence at(document["sequence"].get<uint64_t>());
  const auto digest = array_from_hex<Digest>(document["digest"].get<std::string>());
  const auto root = array_from_hex<Digest>(document["root"].get<std::string>());
  if (digest != book_.digest(at) || root != book_.root(at))
    throw ClaimBroken("what an administrator countersigns is the state",
                      fmt::format("not at #{}", at.value()));
  Intention sign;
  sign.commands = {SignAnchor{at, *digest, *root}};
  next_ = std::move(sign);
}

// --- log -f ---

void OperatorHost::follow(const Entries& message, size_t frame_bytes) {
  const LogId log = book_.state().log;
  for (const EncodedEntry& encoded : message.entries) {
    auto entry = decode_entry(encoded);
    const bool known = entry && entry->header.sequence <= replica_.head();
    if (known) continue;
    const Status followed = entry ? replay(replica_, *entry, log) : std::unexpected(entry.error());
    if (followed) {
      progress_at_ = clock_.now();
      continue;
    }
    if (!options_.hostile)
      throw ClaimBroken("every entry once and in order", name_ + ": " + followed.error().message);
    return;  // the next look at the head asks for it again
  }
  network_.send(line_, encode_message({0, Credit{frame_bytes}}));
}

}  // namespace mesh::sim
