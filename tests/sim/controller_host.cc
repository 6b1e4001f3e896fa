#include "tests/sim/controller_host.h"

#include <fmt/format.h>

#include <algorithm>

#include "eventstore/model/decide.h"
#include "tests/support/world.h"

namespace mesh::sim {

ControllerHost::ControllerHost(Scheduler& clock, Trace& trace, Network& network, HistoryBook& book,
                               Random random, const CreateLog& genesis, SignSecret log_key,
                               ControllerHostOptions options)
    : clock_(clock),
      trace_(trace),
      network_(network),
      book_(book),
      checks_(book),
      random_(random),
      log_key_(std::move(log_key)),
      disk_(derive_log_id(genesis)) {
  make_options(options);
  if (auto created = create_log(disk_.log, genesis, options_, wall()); !created)
    throw ClaimBroken("a log can be created", created.error().message);
  book_.observe(disk_.log);
  network_.attach(*this);
}

void ControllerHost::make_options(ControllerHostOptions options) {
  options_.sign = [this](std::string_view domain, ByteView bytes) {
    return log_key_.sign(domain, bytes);
  };
  options_.new_request_id = [this] {
    RequestId id;
    for (size_t i = 0; i < id.bytes.size(); ++i) id.bytes[i] = static_cast<uint8_t>(random_.next());
    return id;
  };
  options_.reopen = [this]() -> Result<std::unique_ptr<EventLog>> {
    if (fragile_ && random_.one_in(8)) return fail(Errc::io, "the directory cannot be opened");
    disk_.log.reopen();
    return std::make_unique<DiskLog>(disk_, died_);
  };
  options_.worth_reopening = [this] { return !disk_.full; };
  options_.log_bytes = [] { return uint64_t{0}; };
  options_.program = "simulated";
  options_.heartbeat_ms = options.heartbeat_ms;
  options_.snapshot_every = options.snapshot_every;
  options_.snapshot_threshold = options.snapshot_threshold;
}

void ControllerHost::start() {
  MESH_ASSERT(!running());
  disk_.log.reopen();
  died_ = false;
  broken_.clear();
  auto controller = Controller::open(std::make_unique<DiskLog>(disk_, died_), options_);
  if (!controller)
    throw ClaimBroken("the controller starts on what a crash leaves", controller.error().message);
  controller_ = std::move(*controller);
  checks_.restarted();
  book_.observe(disk_.log);
  if (controller_->state() != book_.state())
    throw ClaimBroken("the controller's state is the fold of its log",
                      fmt::format("not at #{}", book_.head().value()));
  trace_.add(fmt::format("controller starts at #{}", disk_.log.head().value()));
  network_.server_started();
  const uint64_t incarnation = ++incarnation_;
  clock_.after(random_.between(0, kTickMs), [this, incarnation] { tick(incarnation); });
}

void ControllerHost::kill(const std::string& why) {
  if (!running()) return;
  trace_.add("controller killed: " + why);
  controller_.reset();
  ++incarnation_;
  inbox_.clear();
  die_before_publishing_ = false;
  disk_.fault.reset();
  network_.server_gone();
}

void ControllerHost::stall(int64_t milliseconds) {
  trace_.add(fmt::format("controller stalls for {} ms", milliseconds));
  stalled_until_ = std::max(stalled_until_, clock_.now() + milliseconds);
}

void ControllerHost::repair_wall_clock() {
  wall_offset_ = std::max<int64_t>(0, book_.state().time.value() - (kEpoch + clock_.now() * 1'000));
}

void ControllerHost::restore(const MemoryEventLog& backup) {
  kill("its log is replaced by a backup");
  disk_.log = backup;
}

void ControllerHost::arrived(const SessionId& session, const Bytes& frame) {
  if (!running()) return;
  inbox_.emplace_back(session, frame);
  schedule_turn();
}

void ControllerHost::schedule_turn() {
  if (turn_scheduled_) return;
  turn_scheduled_ = true;
  // What arrives meanwhile is decided together, as one group.
  const int64_t wait = std::max(stalled_until_ - clock_.now(), random_.between(0, 5));
  clock_.after(wait, [this] {
    turn_scheduled_ = false;
    if (inbox_.empty() || !running()) return;
    if (stalled_until_ > clock_.now()) return schedule_turn();
    turn();
  });
}

void ControllerHost::turn() {
  auto inbox = std::move(inbox_);
  inbox_.clear();
  for (const auto& [session, frame] : inbox) {
    trace_.add(fmt::format("controller < {}: {}", session.connection,
                           describe_frame(frame.data(), frame.size())));
    checks_.heard(session, frame);
    controller_->receive(session, frame, now());
    if (!survived()) return;
    if (random_.one_in(8)) emit();
    if (!running()) return;
  }
  if (fragile_ && random_.one_in(400)) return kill("between deciding and appending");
  controller_->flush(now());
  if (survived()) emit();
}

void ControllerHost::tick(uint64_t incarnation) {
  if (incarnation != incarnation_ || !running()) return;
  const int64_t wait = std::max(stalled_until_ - clock_.now(), kTickMs);
  clock_.after(wait, [this, incarnation] { tick(incarnation); });
  if (stalled_until_ > clock_.now()) return;
  controller_->tick(now());
  if (survived()) emit();
}

bool ControllerHost::survived() {
  if (!running()) return false;
  if (died_) {
    kill("in the middle of a write");
    return false;
  }
  if (controller_->fatal()) {
    kill("it ended by itself: " + controller_->fatal()->message);
    return false;
  }
  if (controller_->broken() != broken_) {
    broken_ = controller_->broken();
    trace_.add(broken_.empty() ? "the log takes writes again"
                               : "the log refuses writes: " + broken_);
  }
  return true;
}

void ControllerHost::emit() {
  Output output = controller_->take_output();
  book_.observe(disk_.log);
  if (broken_.empty() && controller_->state().sequence < book_.head())
    throw ClaimBroken("the controller's state is the fold of its log", "it is behind");
  if (die_before_publishing_ && !output.frames.empty())
    return kill("after appending, before publishing");
  for (const BoxKey& key : output.muted) network_.mute(key);
  if (controller_->state().sequence == book_.head()) checks_.listens_to(network_.heard_keys());
  for (const Outgoing& outgoing : output.frames) {
    if (fragile_ && random_.one_in(2'000)) return kill("while publishing");
    if (!network_.send_to(outgoing.to, outgoing.frame)) {
      controller_->forget(outgoing.to);
      continue;
    }
    checks_.said(outgoing.to, outgoing.frame);
    trace_.add(fmt::format("controller > {}: {}", outgoing.to.connection,
                           describe_frame(outgoing.frame->data(), outgoing.frame->size())));
  }
  for (Job& job : output.jobs) run(std::move(job));
}

void ControllerHost::run(Job job) {
  const uint64_t incarnation = incarnation_;
  const int64_t work = random_.between(0, 200);
  clock_.after(work, [this, incarnation, job = std::move(job)] {
    if (incarnation != incarnation_) return;
    auto done = job();
    clock_.after(random_.between(0, 200), [this, incarnation, done = std::move(done)] {
      if (incarnation != incarnation_) return;
      done();
      controller_->tick(now());
      if (survived()) emit();
    });
  });
}

}  // namespace mesh::sim
