#include "tests/bench/history_writer.h"

#include <fmt/format.h>

#include <future>
#include <random>

#include "eventstore/model/crypto.h"
#include "schemas/codec.h"
#include "tests/bench/author.h"
#include "tests/bench/peers.h"

namespace mesh::bench {

namespace {

constexpr uint64_t kSeed = 20'260'101;
constexpr size_t kSites = 10, kNodesPerSite = 10;
constexpr size_t kOperators = 3;
constexpr size_t kBatch = 4'000;  // with what follows it, within one append and the request window
constexpr size_t kBatchesPerCommit = 10;
constexpr size_t kOutcomesPerBatch = 5;
constexpr int64_t kEntryStepUs = 10'000;  // of history: 10 M entries are 28 hours

struct Person {
  std::string name;
  SignSecret sign;
  SessionId session;
};

/// Requests that were signed, in their order, as they come from the bus.
struct Batch {
  std::vector<SessionId> from;
  std::vector<Arrival> arrivals;
};

class Writer {
 public:
  Writer(const Network& network, Filler& filler)
      : network_(network), controller_(filler.controller()) {}

  Status populate(Filler& filler);
  Status write(uint64_t entries, const std::function<void(uint64_t)>& progress);

 private:
  Batch sign_batch(Sequence base);
  SignedRequest sign(const Person& person, Sequence based_on, Deed deed) const;
  Status submit(Batch batch);
  Status one(Command command);
  Status commit(size_t round);
  Status report(size_t round);
  Result<std::vector<Message>> answers();

  const Network& network_;
  Controller& controller_;
  std::vector<Person> people_;  // the administrator first
  std::vector<NodeKeys> nodes_;
  std::optional<Author> author_;
  std::mt19937_64 random_{kSeed};  // the signing thread's while it runs
  uint64_t serial_ = 0;
  Now now_;
};

Status Writer::populate(Filler& filler) {
  auto seed = [](const SignSecret& secret) { return *SignSecret::from_seed(secret.reveal_seed()); };
  people_.push_back(
      {network_.admin, seed(network_.admin_sign), {network_.admin_box.public_key(), 1, false}});
  auto add = [&](const std::string& name) -> Status {
    BoxSecret box = BoxSecret::generate();
    Person person{name, SignSecret::generate(), {box.public_key(), 1, false}};
    MESH_TRY(filler.submit(
        {{AddOperator{name, Role::operator_, {}, person.sign.public_key(), box.public_key()}}}));
    if (name != "guest") people_.push_back(std::move(person));
    return {};
  };
  for (size_t i = 0; i < kOperators; ++i) MESH_TRY(add(fmt::format("op{}", i)));
  MESH_TRY(add("guest"));
  const NodeId first = controller_.state().next_node;
  for (size_t i = 0; i < kSites; ++i) {
    auto keys = filler.enrol(fmt::format("s{}", i), kNodesPerSite);
    if (!keys) return std::unexpected(keys.error());
    for (NodeKeys& node : *keys) nodes_.push_back(std::move(node));
    // One of each site can be dialled, so there are links.
    MESH_TRY(filler.submit({{SetAttribute{{Level::node, fmt::format("r0.s{}", i)},
                                          "endpoint",
                                          AttributeValue(fmt::format("192.0.2.{}", i + 1))}}}));
  }
  const MeshState& state = controller_.state();
  author_.emplace(kSeed, kSites, kNodesPerSite, first, state.next_token, state.next_node);
  now_.wall = state.time;
  return {};
}

SignedRequest Writer::sign(const Person& person, Sequence based_on, Deed deed) const {
  Request request;
  request.log = network_.log;
  request.epoch = 1;
  request.principal = Principal::human(person.name);
  request.id = random_array<RequestId>();
  request.based_on = based_on;
  request.commands = std::move(deed.commands);
  request.message = std::move(deed.message);
  request.origin = "bench";
  SignedRequest out{encode_request(request), {}};
  out.signature = person.sign.sign(kRequestDomain, out.bytes);
  return out;
}

/// Every request before one is an entry, so each can name the entry just before its own.
Batch Writer::sign_batch(Sequence base) {
  Batch batch;
  for (size_t i = 0; i < kBatch; ++i) {
    Deed deed = author_->next();
    const Person& person = people_[deed.administrator ? 0 : random_() % people_.size()];
    SignedRequest request = sign(person, Sequence(base.value() + i), std::move(deed));
    Arrival arrival = read_frame(encode_message({i + 1, Submit{std::move(request), false}}));
    arrival.checked = person.sign.public_key();
    batch.from.push_back(person.session);
    batch.arrivals.push_back(std::move(arrival));
  }
  return batch;
}

Result<std::vector<Message>> Writer::answers() {
  std::vector<Message> out;
  for (;;) {
    Output output = controller_.take_output();
    for (const Outgoing& outgoing : output.frames) {
      auto message = decode_message(*outgoing.frame);
      if (!message) return std::unexpected(message.error());
      if (const auto* error = std::get_if<ErrorReply>(&message->body))
        return std::unexpected(error->error);
      out.push_back(std::move(*message));
    }
    if (output.jobs.empty()) return out;
    for (Job& job : output.jobs) job()();
  }
}

Status Writer::submit(Batch batch) {
  const uint64_t before = controller_.state().sequence.value();
  for (size_t i = 0; i < batch.arrivals.size(); ++i) {
    now_.wall = Timestamp(now_.wall.value() + kEntryStepUs);
    controller_.receive(batch.from[i], std::move(batch.arrivals[i]), now_);
  }
  controller_.flush(now_);
  auto replies = answers();
  if (!replies) return std::unexpected(replies.error());
  if (replies->size() != batch.arrivals.size() ||
      controller_.log().head().value() != before + batch.arrivals.size())
    return fail(Errc::corrupt, fmt::format("{} requests became {} entries", batch.arrivals.size(),
                                           controller_.log().head().value() - before));
  return {};
}

Status Writer::one(Command command) {
  const Person& admin = people_.front();
  Batch batch;
  SignedRequest request =
      sign(admin, controller_.state().sequence, {true, {std::move(command)}, "weekly"});
  batch.from.push_back(admin.session);
  batch.arrivals.push_back(read_frame(encode_message({1, Submit{std::move(request), false}})));
  return submit(std::move(batch));
}

/// Two entries: a site's versions, and their activation.
Status Writer::commit(size_t round) {
  const Target site{Level::site, fmt::format("s{}", round % kSites)};
  controller_.receive(people_.front().session, encode_message({1, Prepare{site, true, false}}),
                      now_);
  controller_.flush(now_);
  auto replies = answers();
  if (!replies) return std::unexpected(replies.error());
  const auto* prepared = replies->empty() ? nullptr : std::get_if<Prepared>(&replies->front().body);
  if (!prepared) return fail(Errc::corrupt, "nothing was prepared");
  MESH_TRY(one(Commit{site, prepared->sequence, prepared->root, true, false}));
  return one(Activate{site, {}, false});
}

/// One entry: what some nodes say of their newest activation.
Status Writer::report(size_t round) {
  ++serial_;
  for (size_t i = 0; i < kOutcomesPerBatch; ++i) {
    const NodeKeys& keys = nodes_[(round * kOutcomesPerBatch + i) % nodes_.size()];
    const SessionId session{keys.box.public_key(), 1, false};
    const Node* found = nullptr;
    for (const auto& [id, node] : controller_.state().nodes)
      if (node->box_key == session.user) found = &*node;
    if (!found) return fail(Errc::not_found, "a node is gone");
    SignedOutcome outcome;
    outcome.outcome = {found->id,         serial_,       OutcomeKind::applied,
                       found->activation, found->active, "as planned"};
    outcome.bytes = encode_outcome(outcome.outcome);
    outcome.signature = keys.sign.sign(kOutcomeDomain, outcome.bytes);
    controller_.receive(session, encode_message({1, OutcomeMessage{std::move(outcome)}}), now_);
  }
  controller_.flush(now_);
  now_.mono_ms += 1'000;  // at most one report a second
  controller_.tick(now_);
  auto replies = answers();
  return replies ? Status() : std::unexpected(replies.error());
}

Status Writer::write(uint64_t entries, const std::function<void(uint64_t)>& progress) {
  auto sign_after = [&](uint64_t base) {
    return std::async(std::launch::async, [this, base] { return sign_batch(Sequence(base)); });
  };
  uint64_t head = controller_.state().sequence.value();
  auto signing = sign_after(head);
  for (size_t round = 1; head < entries; ++round) {
    Batch batch = signing.get();
    const bool commits = round % kBatchesPerCommit == 0;
    head += kBatch + 1 + (commits ? 2 : 0);
    signing = sign_after(head);
    MESH_TRY(submit(std::move(batch)));
    if (commits) MESH_TRY(commit(round / kBatchesPerCommit));
    MESH_TRY(report(round));
    if (controller_.state().sequence.value() != head)
      return fail(Errc::corrupt, fmt::format("the log ends at #{}, expected #{}",
                                             controller_.state().sequence.value(), head));
    progress(head);
  }
  return {};
}

}  // namespace

Result<HistoryWritten> write_history(const Network& network, uint64_t entries,
                                     const std::function<void(uint64_t)>& progress) {
  auto filler = Filler::open(network);
  if (!filler) return std::unexpected(filler.error());
  const int64_t begin = now_us();
  Writer writer(network, **filler);
  MESH_TRY(writer.populate(**filler));
  MESH_TRY(writer.write(entries, progress));
  return HistoryWritten{(*filler)->head().value(), static_cast<double>(now_us() - begin) / 1e6};
}

}  // namespace mesh::bench
