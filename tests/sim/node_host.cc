#include "tests/sim/node_host.h"

#include <fmt/format.h>

#include <algorithm>

#include "eventstore/model/crypto.h"
#include "schemas/codec.h"
#include "tests/support/world.h"

namespace mesh::sim {

namespace {

constexpr int64_t kTickMs = 500;
constexpr int64_t kAskAgainMs = 3'000;
constexpr int64_t kSoonMs = 2'000;
constexpr int64_t kTroubleMs = 12'000;  // two looks at the router, and some
constexpr int64_t kBirdTimerMs = 20'000;

TunnelKeys make_tunnels(const std::string& name) {
  TunnelKeys keys;
  auto added = keys.add(1, SecretKey::from(test::box_secret("wg " + name).reveal()));
  MESH_ASSERT(added);
  return keys;
}

}  // namespace

NodeHost::NodeHost(Scheduler& clock, Trace& trace, Network& network, HistoryBook& book,
                   Random random, std::string name, Invitation invitation, NodeHostOptions options)
    : clock_(clock),
      trace_(trace),
      network_(network),
      book_(book),
      random_(random),
      name_(std::move(name)),
      invitation_(std::move(invitation)),
      options_(options),
      sign_(test::sign_secret(name_)),
      box_(test::box_secret(name_)),
      tunnels_(make_tunnels(name_)) {
  main_line_ = network_.add_line(name_, box_.public_key(), false, main_end_);
  enrol_line_ = network_.add_line(name_ + " (enrolment)", box_.public_key(), true, enrol_end_);
  router_.set_look([this](Health& health) {
    for (TunnelHealth& tunnel : health.tunnels) {
      tunnel.bgp_state = links_up_ ? "Established" : "Active";
      tunnel.bfd_state = links_up_ ? "Up" : "Down";
    }
  });
  router_.set_answers([this](const IpAddress&) { return links_up_; });
  make_join();
}

void NodeHost::broken(const std::string& claim, const std::string& detail) const {
  throw ClaimBroken(claim, name_ + ": " + detail);
}

bool NodeHost::has_place() const {
  const Node* node = book_.state().find_node(id_);
  return node && node->enrolment == Enrolment::enrolled && node->sign_key == sign_.public_key();
}

// --- joining ---

void NodeHost::make_join() {
  statement_.log = book_.state().log;
  statement_.node = invitation_.node;
  statement_.token = invitation_.token;
  statement_.sign_key = sign_.public_key();
  statement_.box_key = box_.public_key();
  statement_.wireguard_key = tunnels_.public_keys().at(1);
  statement_.hostname = name_;
  join_.statement = encode_join(statement_);
  join_.node_signature = sign_.sign(kJoinDomain, join_.statement);
  if (invitation_.token != TokenId())
    join_.token_signature =
        test::sign_secret(invitation_.token_secret).sign(kJoinDomain, join_.statement);
}

void NodeHost::start() {
  if (running() || gave_up_) return;
  if (joined()) return run_agent();
  asking_ = true;
  network_.open(enrol_line_);
}

void NodeHost::ask() {
  if (!asking_) return;
  network_.send(enrol_line_, encode_message({1, Join{join_}}));
  clock_.after(kAskAgainMs, [this] {
    if (asking_ && network_.is_connected(enrol_line_)) ask();
  });
}

void NodeHost::answered(const Bytes& frame) {
  auto message = decode_message(frame);
  if (!message || !asking_) return;
  if (std::holds_alternative<Waiting>(message->body)) waiting_ = true;
  if (const auto* refused = std::get_if<Refused>(&message->body)) {
    // What may be otherwise later is asked again; a person would do so too.
    if (refused->error.code == Errc::unavailable || refused->error.code == Errc::exhausted) return;
    trace_.add(fmt::format("{} gives up: {}", name_, refused->error.message));
    asking_ = waiting_ = false;
    gave_up_ = true;
    return network_.close(enrol_line_);
  }
  const auto* admitted = std::get_if<Admitted>(&message->body);
  if (!admitted) return;
  id_ = admitted->node;
  trace_.add(fmt::format("{} joined as node {}", name_, id_.value()));
  asking_ = waiting_ = false;
  network_.close(enrol_line_);
  run_agent();
}

// --- the program ---

AgentOptions NodeHost::agent_options() const {
  AgentOptions options;
  options.history = {book_.state().log, book_.state().genesis.log_key, id_, invitation_.anchor};
  options.deployment = {
      book_.state().log, id_, sign_.public_key(), tunnels_.public_keys(),
      [this](std::string_view domain, ByteView bytes) { return sign_.sign(domain, bytes); },
      fmt::format("boot {} of {}", boots_, name_)};
  options.program = "simulated";
  options.credit = options_.credit;
  return options;
}

void NodeHost::run_agent() {
  ++incarnation_;
  store_ = std::make_unique<ReplicaStore>(files_, options_.tail_bytes_min);
  if (auto opened = store_->open(); !opened) {
    trace_.add(fmt::format("{} cannot start: {}", name_, opened.error().message));
    store_.reset();
    if (files_.dead()) crash(random_.one_in(2));
    return;  // the service manager starts it again
  }
  if (!store_->problems().empty() && !damaged_)
    broken("a crash damages nothing on a node's disk", store_->problems().front());
  agent_ = std::make_unique<Agent>(agent_options(), *store_, router_);
  router_unchecked_ = true;
  frozen_.reset();
  checked_head_ = {};
  checked_active_ = store_->pointers().active;
  trace_.add(name_ + " starts");
  const auto rests = std::exchange(rests_, {});
  excused_until_ = std::max(excused_until_, clock_.now() + kSoonMs);
  if (watch_ && !watch_->begun) watch_.reset();
  agent_->boot(boot_ms());
  if (rests && !files_.dead() && router_.state() != *rests)
    broken("a program that starts anew disturbs nothing", difference(*rests));
  (void)agent_->load(boot_ms());  // told by its notes and its status
  const uint64_t serial = outcomes_.empty() ? 0 : outcomes_.rbegin()->first;
  const bool dead = files_.dead();
  if (!dead && agent_->history().verified() < acted_)
    broken("what a node acted on is on its disk",
           fmt::format("it acted on #{}, its disk has #{}", acted_.value(),
                       agent_->history().verified().value()));
  if (!dead && store_->serial() < serial)
    broken("what a node reported is on its disk",
           fmt::format("outcome {}, its disk has {}", serial, store_->serial()));
  settle();
  if (!agent_) return;
  network_.open(main_line_);
  const uint64_t incarnation = incarnation_;
  clock_.after(random_.between(0, kTickMs), [this, incarnation] { tick(incarnation); });
}

void NodeHost::kill() {
  if (asking_) network_.close(enrol_line_);
  asking_ = false;
  if (!agent_) return;
  trace_.add(name_ + " killed");
  network_.close(main_line_);
  agent_.reset();
  store_.reset();
  ++incarnation_;
  inbox_.clear();
  if (files_.dead()) {
    files_.crash(true);  // the kernel keeps what it was given
    rests_.reset();
  }
  files_.die_at(0);
  router_.die_at(0, false);
  machine_dies_ = false;
  watch_bird_timer();
}

/// Nobody confirms it any more: the routing daemon goes back by itself.
void NodeHost::watch_bird_timer() {
  if (!router_.state().unconfirmed) return;
  clock_.after(kBirdTimerMs, [this, left = *router_.state().unconfirmed] {
    if (router_.state().unconfirmed == left) router_.bird_timer_expired();
  });
}

void NodeHost::crash(bool lucky) {
  kill();
  trace_.add(name_ + " loses power");
  files_.crash(lucky);
  (void)router_.reboot();
  booted_at_ = clock_.now();
  ++boots_;
  if (watch_ && watch_->begun) rebooted_ = watch_->id;
  checked_executed_ = router_.executed();
  rests_.reset();
}

/// Files that hold something, by name.
std::vector<std::string> NodeHost::paths() {
  std::vector<std::string> out, directories{"."};
  while (!directories.empty()) {
    const std::string directory = directories.back();
    directories.pop_back();
    const auto names = files_.list(directory);
    if (!names) continue;
    for (const auto& name : *names) {
      const std::string path = directory == "." ? name : directory + "/" + name;
      const Bytes* bytes = files_.raw(path);
      if (bytes && !bytes->empty()) out.push_back(path);
      if (!bytes) directories.push_back(path);
    }
  }
  std::ranges::sort(out);
  return out;
}

uint64_t NodeHost::bits() {
  uint64_t sum = 0;
  for (const auto& path : paths()) sum += files_.raw(path)->size() * 8;
  return sum;
}

void NodeHost::flip_bit() {
  const auto there = paths();
  if (there.empty()) return;
  // Small files as often as large ones.
  const std::string& wanted = there[random_.below(there.size())];
  uint64_t before = 0;
  for (const auto& path : there) {
    if (path == wanted) break;
    before += files_.raw(path)->size() * 8;
  }
  flip_bit(before + random_.below(files_.raw(wanted)->size() * 8));
}

void NodeHost::flip_bit(uint64_t bit) {
  kill();
  for (const auto& path : paths()) {
    Bytes& bytes = *files_.raw(path);
    if (bit >= bytes.size() * 8) {
      bit -= bytes.size() * 8;
      continue;
    }
    bytes[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
    trace_.add(fmt::format("{}: a bit flips in byte {} of {}", name_, bit / 8, path));
    break;
  }
  // What is lost comes from the controller again; until then less is known than before.
  damaged_ = true;
  acted_ = noted_size_ = {};
  noted_.clear();
  outcomes_.clear();
  gone_back_.clear();
  watch_.reset();
  rebooted_ = {};
  looked_at_ = 0;
}

void NodeHost::stall(int64_t milliseconds) {
  trace_.add(fmt::format("{} stalls for {} ms", name_, milliseconds));
  stalled_until_ = std::max(stalled_until_, clock_.now() + milliseconds);
  excused_until_ = std::max(excused_until_, stalled_until_ + kSoonMs);
}

void NodeHost::die_at(uint64_t step, bool machine) {
  files_.die_at(step, static_cast<unsigned>(random_.below(101)));
  machine_dies_ = machine;
}

void NodeHost::die_applying(uint64_t call, bool done, bool machine) {
  router_.die_at(call, done);
  machine_dies_ = machine;
}

void NodeHost::set_disk_full(bool full) {
  files_.set_space(full ? std::optional<uint64_t>(random_.below(200'000)) : std::nullopt);
  excused_until_ = full ? INT64_MAX : std::max(stalled_until_ + kSoonMs, clock_.now() + kTroubleMs);
  if (watch_) watch_.reset();  // what cannot be stored counts from when it can
  trace_.add(name_ + (full ? "'s disk is full" : "'s disk has space again"));
  frozen_.reset();
}

void NodeHost::set_router_faulty(bool faulty) {
  excused_until_ = faulty ? INT64_MAX : std::max(stalled_until_ + kSoonMs, clock_.now() + kTroubleMs);
  trace_.add(name_ + (faulty ? "'s router refuses changes" : "'s router takes changes again"));
  frozen_.reset();
  if (!faulty) return router_.set_fault({});
  router_.set_fault([this](const Action&) -> Status {
    if (random_.one_in(2)) return {};
    return fail(Errc::io, "the kernel refused");
  });
}

void NodeHost::set_links(bool up) {
  links_up_ = up;
  trace_.add(name_ + (up ? "'s neighbours are there" : "'s neighbours are gone"));
}

void NodeHost::take(BusEvent event) {
  if (!agent_) return;
  if (stalled() || !inbox_.empty()) return inbox_.push_back(std::move(event));
  switch (event.kind) {
    case BusEvent::Kind::connected:
      frozen_.reset();
      agent_->connected(boot_ms());
      break;
    case BusEvent::Kind::disconnected:
      agent_->disconnected(boot_ms());
      break;
    case BusEvent::Kind::frame:
      trace_.add(
          fmt::format("{} < {}", name_, describe_frame(event.frame.data(), event.frame.size())));
      agent_->receive(event.frame, boot_ms());
      break;
  }
  settle();
  const bool lost = event.kind == BusEvent::Kind::disconnected;
  if (!lost || !agent_) return;
  const AgentStatus status = agent_->status();
  if (!status.problem.empty() || !followed(status)) return;
  frozen_ = router_.state();
  frozen_trial_ = status.pending_activation;
}

void NodeHost::tick(uint64_t incarnation) {
  if (incarnation != incarnation_ || !agent_) return;
  clock_.after(std::max(stalled_until_ - clock_.now(), kTickMs),
               [this, incarnation] { tick(incarnation); });
  if (stalled()) return;
  auto inbox = std::exchange(inbox_, {});
  for (BusEvent& event : inbox) {
    take(std::move(event));
    if (incarnation != incarnation_ || !agent_) return;
  }
  agent_->tick(boot_ms());
  settle();
}

void NodeHost::settle() {
  if (files_.dead()) {
    const bool machine = machine_dies_;
    trace_.add(name_ + " dies in the middle of it");
    return machine ? crash(random_.one_in(2)) : kill();
  }
  tell_notes();
  look_at_outcomes();
  check_replica();
  check_checkpoint();
  check_unmixed();
  check_router();
  for (Bytes& frame : agent_->take_frames()) {
    check_outcome(frame);
    trace_.add(fmt::format("{} > {}", name_, describe_frame(frame.data(), frame.size())));
    network_.send(main_line_, std::move(frame));
  }
  if (!agent_->take_reconnect()) return;
  network_.close(main_line_);
  agent_->disconnected(boot_ms());
  network_.open(main_line_);
}

void NodeHost::tell_notes() {
  for (const Note& note : agent_->take_notes()) trace_.add(fmt::format("{}: {}", name_, note.text));
}

}  // namespace mesh::sim
