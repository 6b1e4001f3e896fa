#include "nodes/agent.h"

#include <fmt/core.h>

#include <algorithm>

#include "eventstore/model/crypto.h"
#include "schemas/codec.h"

namespace mesh {

Agent::Agent(AgentOptions options, ReplicaStore& store, Dataplane& dataplane)
    : options_(std::move(options)),
      store_(store),
      history_(options_.history, store),
      deployment_(options_.deployment, store, dataplane),
      retry_ms_(options_.retry_min_ms) {}

void Agent::note(Note::Level level, std::string text) { notes_.push_back({level, std::move(text)}); }

// --- start ---

void Agent::boot(int64_t now) {
  now_ = now;
  for (const auto& problem : store_.problems()) note(Note::Level::error, problem);
  booted_ = true;
  deployment_.boot(now);
  tell_steps();
  if (!deployment_.stands()) return;  // told above
  const auto active = store_.pointers().active;
  if (const auto* kept = waiting()) {
    note(Note::Level::info, fmt::format("v{} applied from disk, which waits for its confirmation for another {} s",
                                        kept->version.value(), pending_left_s()));
    return;
  }
  if (const auto before = taken_over_text(); !before.empty()) {
    note(Note::Level::info, before + " applied from disk, until a version of this log is activated");
    return;
  }
  note(Note::Level::info, active == Version() ? "no version is active yet"
                                              : fmt::format("v{} applied from disk", active.value()));
}

Status Agent::load(int64_t now) {
  now_ = now;
  std::vector<std::string> problems;
  auto loaded = history_.load(problems);
  for (const auto& problem : problems) note(Note::Level::error, problem + "; routing goes on");
  if (!loaded) {
    load_error_ = loaded.error();
    return loaded;
  }
  note(Note::Level::info, fmt::format("replica at entry {}, verified to {}", history_.head().value(),
                                      history_.verified().value()));
  if (history_.settled()) deployment_.act(history_.state(), now);
  tell_steps();
  return {};
}

Status Agent::peek(int64_t now) {
  now_ = now;
  deployment_.restore();
  std::vector<std::string> problems;
  return history_.load(problems);
}

// --- connection ---

void Agent::connected(int64_t now) {
  now_ = now;
  connected_ = true;
  last_frame_ = last_progress_ = now;
  complaint_.clear();
  frames_.clear();
  if (load_error_) return;
  subscribe(now);
  send_outcomes(now);
  send_fetch(now);
  send_orphans();
  send_status(now);
}

void Agent::disconnected(int64_t) {
  connected_ = false;
  controller_head_ = {};
  heads_behind_ = 0;
  frames_.clear();
  snapshot_.reset();
  blob_.reset();
}

std::vector<Bytes> Agent::take_frames() { return std::exchange(frames_, {}); }

void Agent::send(Body body) {
  if (connected_) frames_.push_back(encode_message({0, std::move(body)}));
}

void Agent::subscribe(int64_t now) {
  credit_due_ = 0;
  last_progress_ = now;
  snapshot_.reset();
  send(Subscribe{history_.wanted_after(), options_.credit, !history_.changing_epoch() && history_.wants_snapshot()});
}

void Agent::give_credit(uint64_t bytes, bool at_once) {
  credit_due_ += bytes;
  // In large steps, so that a live entry of 200 bytes is not answered by a message of its own.
  if (credit_due_ == 0 || (!at_once && credit_due_ < options_.credit / 8)) return;
  send(Credit{std::exchange(credit_due_, 0)});
}

void Agent::send_outcomes(int64_t now) {
  next_repeat_ = now + options_.repeat_ms;
  for (const auto& outcome : store_.outcomes()) send(OutcomeMessage{outcome});
}

void Agent::send_fetch(int64_t now) {
  if (!deployment_.wanted()) return;
  next_repeat_ = now + options_.repeat_ms;
  asked_.clear();
  for (const auto& digest : deployment_.missing()) {
    asked_.insert(digest);
    send(Fetch{digest});
  }
}

/// Some at a time: what the log no longer has is nobody's hurry.
void Agent::send_orphans() {
  if (!std::exchange(orphans_read_, true)) orphans_ = store_.orphans();
  if (!orphans_) return;
  Orphans part{orphans_->epoch, {}};
  for (size_t bytes = 0; const auto& entry : orphans_->entries) {
    bytes += entry.size();
    if (!part.entries.empty() && bytes > kCatchUpFrameBytes) break;
    part.entries.push_back(entry);
  }
  send(std::move(part));
}

void Agent::send_status(int64_t now) {
  next_status_ = now + options_.status_ms;
  status_soon_ = now + options_.status_ms / 5;
  reported_ = history_.head();
  if (!connected_) return;
  if (cosigned_ != history_.checkpoint()) {
    cosigned_ = history_.checkpoint();
    const auto sign = [this](ByteView text) { return options_.deployment.sign({}, text); };
    const auto name = cosigner_name(options_.history.log, options_.history.node);
    auto note = add_note_signature(cosigned_, name, options_.deployment.sign_key, sign);
    cosignature_ = note ? *note : std::string();
  }
  const auto& pointers = store_.pointers();
  NodeStatus status{history_.head(),
                    history_.root(),
                    cosignature_,
                    pointers.active,
                    pointers.previous,
                    deployment_.overlay().sequence,
                    state_text(),
                    problem(),
                    options_.program,
                    {},
                    history_.contradiction(),
                    {},
                    0,
                    {},
                    {},
                    waiting() ? waiting()->version : Version(),
                    waiting() ? waiting()->activation : ActivationId(),
                    pending_left_s()};
  status.drift = deployment_.drift().items(now);
  status.drift_count = static_cast<uint32_t>(deployment_.drift().count());
  if (const auto policy = deployment_.drift_policy()) status.drift_policy = drift_policy_name(*policy);
  status.observed = deployment_.drift().observed();
  Health health = deployment_.health();
  status.machine = std::move(health.machine);
  for (auto& tunnel : health.tunnels) {
    status.links.push_back({tunnel.peer, tunnel.name, tunnel.bgp_up(), tunnel.bfd_up(), tunnel.handshake_age_s,
                            tunnel.rx_bytes, tunnel.tx_bytes, std::move(tunnel.endpoint), tunnel.rtt_us,
                            tunnel.rtt_age_s, tunnel.mtu, tunnel.path_mtu, tunnel.path_mtu_age_s});
  }
  send(std::move(status));
}

// --- frames ---

void Agent::receive(ByteView frame, int64_t now) {
  now_ = now;
  last_frame_ = now;
  auto message = decode_message(frame);
  if (!message) {
    note(Note::Level::warning, "a frame of the controller: " + message.error().message);
    return;
  }
  if (load_error_) return;
  const bool counted = std::holds_alternative<Entries>(message->body) ||
                       std::holds_alternative<SnapshotChunk>(message->body);
  std::visit([&](const auto& body) { on(body, now); }, message->body);
  // While something is refused or the disk is full, the credit runs out by itself and the controller waits.
  if (counted && takes_more()) give_credit(frame.size(), false);
}

/// A history that was refused may be followed by one of a new epoch.
bool Agent::takes_more() const {
  return (!history_.refusal() || history_.changing_epoch()) && history_.disk_problem().empty();
}

void Agent::on(const Entries& message, int64_t now) {
  const auto taken = history_.take(message.entries, message.checkpoint);
  if (history_.changing_epoch()) last_progress_ = now;
  if (taken == History::Taken::advanced) {
    controller_head_ = std::max(controller_head_, history_.head());
    heads_behind_ = 0;
  }
  after(taken, now);
}

void Agent::on(const Head& message, int64_t now) {
  controller_head_ = message.sequence;
  // One may have been overtaken on the way.
  heads_behind_ = message.sequence < history_.verified() ? heads_behind_ + 1 : 0;
  after(history_.take_checkpoint(message.checkpoint), now);
}

void Agent::on(const SnapshotChunk& message, int64_t now) {
  const uint64_t key = message.sequence.value();
  const auto whole = snapshot_.add({reinterpret_cast<const uint8_t*>(&key), sizeof key}, message.offset,
                                   message.total, message.bytes);
  last_progress_ = now;
  if (!whole) return;
  const auto taken = history_.take_snapshot(*whole);
  if (taken == History::Taken::advanced) {
    note(Note::Level::info, fmt::format("started from the signed snapshot at entry {}", history_.head().value()));
  }
  after(taken, now);
}

void Agent::on(const BlobChunk& message, int64_t now) {
  if (!deployment_.wants(message.digest)) return;
  const auto whole = blob_.add(message.digest.view(), message.offset, message.total, message.bytes);
  if (!whole) return;
  asked_.erase(message.digest);
  auto taken = deployment_.take_blob(message.digest, *whole);
  if (!taken) note(Note::Level::error, taken.error().message);
  const bool on = taken ? *taken : !deployment_.wanted();
  if (on) return act(now);
  if (taken && asked_.empty()) send_fetch(now);
}

void Agent::on(const Ack& message, int64_t) {
  if (auto done = deployment_.acknowledge(message.serial); !done) note(Note::Level::error, done.error().message);
}

void Agent::on(const OrphansKept& message, int64_t) {
  if (!orphans_ || orphans_->epoch != message.epoch) return;
  std::erase_if(orphans_->entries, [&](const EncodedEntry& entry) {
    const auto header = decode_header(entry.header);
    return !header || header->sequence <= message.last;
  });
  if (orphans_->entries.empty()) {
    if (auto forgotten = store_.forget_orphans(message.epoch); !forgotten) return;  // told again, then
    note(Note::Level::info,
         fmt::format("the controller keeps the entries of epoch {} that were given up",
                     message.epoch));
    orphans_read_ = false;
  }
  send_orphans();
}

void Agent::on(const ErrorReply& message, int64_t) {
  if (complaint_ == message.error.message) return;
  complaint_ = message.error.message;
  note(Note::Level::warning, "the controller says: " + complaint_);
}

void Agent::after(History::Taken taken, int64_t now) {
  if (auto news = history_.take_news()) {
    note(Note::Level::warning, *news);
    controller_head_ = history_.head();
    heads_behind_ = 0;
    orphans_read_ = false;
    send_orphans();
  }
  switch (taken) {
    case History::Taken::nothing:
      break;
    case History::Taken::advanced:
      last_progress_ = now;
      retry_ms_ = options_.retry_min_ms;
      if (history_.settled()) complaint_.clear();
      act(now);
      break;
    case History::Taken::ask_again:
      // Once for all that is under way behind the gap.
      if (next_subscribe_ > now) break;
      next_subscribe_ = now + options_.heartbeat_ms / 3;
      subscribe(now);
      break;
    case History::Taken::refused:
      next_subscribe_ = now + retry_ms_;
      retry_ms_ = std::min(retry_ms_ * 2, options_.retry_max_ms);
      note(Note::Level::error, fmt::format("refused: {}; routing goes on", history_.refusal()->reason));
      send_status(now);
      break;
  }
}

// --- the router ---

void Agent::act(int64_t now) {
  if (!history_.settled()) return;
  const bool changed = deployment_.act(history_.state(), now);
  tell_steps();
  if (!changed) return;
  send_outcomes(now);
  send_fetch(now);
  send_status(now);
}

Result<WentBack> Agent::roll_back(Version version, int64_t now) {
  const auto* node = history_.settled() ? history_.state().find_node(options_.history.node) : nullptr;
  auto went = deployment_.roll_back(version, node);
  tell_steps();
  if (!went) return went;
  note(Note::Level::warning, fmt::format("rolled back on the box: v{} -> v{}", went->from.value(), went->to.value()));
  send_outcomes(now);
  send_status(now);
  return went;
}

void Agent::tell_steps() {
  for (auto& step : deployment_.take_steps()) note(Note::Level::info, std::move(step));
  if (auto now = problem(); now != told_) {
    told_ = now;
    if (!now.empty()) note(Note::Level::warning, std::move(now));
  }
}

// --- time ---

void Agent::tick(int64_t now) {
  now_ = now;
  if (connected_ && now - last_frame_ > 3 * options_.heartbeat_ms) {
    note(Note::Level::warning, "the controller is silent, connecting anew");
    last_frame_ = now;
    reconnect_ = true;
  }
  if (!history_.disk_problem().empty() && history_.flush()) {
    note(Note::Level::info, "the disk takes writes again");
    act(now);  // the head may have become settled just now
  }
  if (deployment_.tick(now, connected_ && !reconnect_ ? std::optional(last_frame_) : std::nullopt)) {
    tell_steps();
    send_outcomes(now);
    send_status(now);
  }
  deployment_.probe_links();
  if (next_reconcile_ <= now) {
    next_reconcile_ = now + options_.reconcile_ms;
    const bool changed = deployment_.reconcile_again(now);
    act(now);
    tell_steps();
    if (changed) send_status(now);
  }
  if (next_resolve_ <= now) {
    next_resolve_ = now + options_.resolve_ms;
    deployment_.refresh_endpoints();
  }
  if (connected_ && !load_error_) repeat(now);
}

void Agent::repeat(int64_t now) {
  if (next_repeat_ <= now) {
    send_outcomes(now);
    send_fetch(now);
    send_orphans();
  }
  const bool behind = controller_head_ > history_.head() || !history_.settled() || history_.changing_epoch();
  const bool stalled = behind && now - last_progress_ > options_.repeat_ms / 2;
  if (history_.disk_problem().empty() && next_subscribe_ <= now && (stalled || (behind && !takes_more()))) {
    next_subscribe_ = now + (history_.refusal() ? retry_ms_ : options_.repeat_ms / 2);
    subscribe(now);
  }
  if (next_status_ <= now || (reported_ != history_.head() && status_soon_ <= now)) {
    if (takes_more()) give_credit(0, true);
    send_status(now);
  }
}

// --- status ---

bool Agent::synced() const {
  return connected_ && controller_head_ != Sequence() && controller_head_ == history_.head() && history_.settled() &&
         !deployment_.wanted() && problem().empty();
}

std::string Agent::problem() const {
  if (load_error_) return "the replica cannot be read: " + load_error_->message;
  if (history_.refusal()) return history_.refusal()->reason;
  if (!history_.disk_problem().empty()) return history_.disk_problem();
  if (!deployment_.problem().empty()) return deployment_.problem();
  if (heads_behind_ > 1 && !history_.changing_epoch()) {
    return fmt::format(
        "the controller was restored from a backup at #{}; this node has entries up to #{}: an "
        "administrator goes on with "
        "`meshcli controller start-epoch`",
        controller_head_.value(), history_.verified().value());
  }
  return complaint_;
}

std::string Agent::state_text() const {
  const bool newer = (load_error_ && load_error_->code == Errc::unsupported) ||
                     (history_.refusal() && history_.refusal()->code == Errc::unsupported);
  if (newer) return "upgrade required";
  if (deployment_.revoked()) return "revoked";
  if (history_.refusal()) return "refused: " + history_.refusal()->reason;
  if (history_.changing_epoch()) return "reading the history of a new epoch";
  if (const auto text = problem(); !text.empty()) return (deployment_.diverged() ? "diverged: " : "degraded: ") + text;
  return history_.settled() || !connected_ ? "ok" : "catching up";
}

std::string Agent::taken_over_text() const {
  const auto* before = deployment_.taken_over();
  return before ? fmt::format("v{} of log {}", before->version.value(), to_hex(before->overlay.log.view()))
                : std::string();
}

/// What a full disk still keeps of one that is over does not wait.
const PendingVersion* Agent::waiting() const {
  if (booted_) return deployment_.waiting();
  return store_.waiting() ? &*store_.waiting() : nullptr;
}

/// Rounded up: a countdown that shows 0 is over.
int64_t Agent::pending_left_s() const {
  const auto* kept = waiting();
  return kept ? std::max<int64_t>(kept->deadline_ms - now_ + 999, 0) / 1000 : 0;
}

AgentStatus Agent::status() {
  const auto& pointers = store_.pointers();
  const auto* node = history_.state().find_node(options_.history.node);
  AgentStatus status;
  status.node = options_.history.node;
  status.fullname = node ? node->fullname() : options_.fullname;
  status.sequence = history_.head();
  status.verified = history_.verified();
  status.overlay = deployment_.overlay().sequence;
  status.root = history_.root();
  status.active = pointers.active;
  status.previous = pointers.previous;
  if (const auto* kept = waiting()) {
    status.pending = kept->version;
    status.pending_activation = kept->activation;
  } else if (!store_.waiting()) {
    status.pending = pointers.pending;
  }
  status.pending_left_s = pending_left_s();
  status.wanted = node ? node->active : Version();
  status.activation = pointers.activation;
  status.connected = connected_;
  status.settled = history_.settled();
  status.revoked = deployment_.revoked();
  status.outcomes_waiting = store_.outcomes().size();
  status.state = state_text();
  status.problem = problem();
  status.checkpoint = history_.checkpoint();
  status.health = deployment_.health();
  status.scripts = deployment_.scripts();
  status.drift = deployment_.drift().items(now_);
  if (const auto policy = deployment_.drift_policy()) status.drift_policy = drift_policy_name(*policy);
  status.observed = deployment_.drift().observed();
  if (!options_.deployment.sign_key.is_zero()) {
    status.fingerprint = fingerprint(options_.deployment.sign_key.view());
  }
  status.taken_over = taken_over_text();
  return status;
}

}  // namespace mesh
