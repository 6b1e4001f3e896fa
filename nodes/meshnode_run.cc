// `meshnode run`: the shell around Agent. One thread: the bus, the local sockets and a tick.
#include <fmt/core.h>
#include <sodium.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <optional>
#include <set>
#include <thread>

#include "broker/bus/client.h"
#include "nodes/adoption.h"
#include "nodes/agent.h"
#include "nodes/controller_dial.h"
#include "nodes/meshnode.h"
#include "nodes/meshnode_adopt.h"
#include "nodes/meshnode_box.h"
#include "nodes/meshnode_recovery.h"
#include "nodes/meshnode_socket.h"
#include "nodes/meshnode_status.h"

namespace mesh {

namespace {

constexpr int kTickMs = 250;

volatile std::sig_atomic_t g_stop = 0;

void stop(int) { g_stop = 1; }

void log(const std::vector<Note>& notes) {
  for (const auto& note : notes) {
    switch (note.level) {
      case Note::Level::info: spdlog::info("{}", note.text); break;
      case Note::Level::warning: spdlog::warn("{}", note.text); break;
      case Note::Level::error: spdlog::error("{}", note.text); break;
    }
  }
}

/// The local sockets. Without them nobody can ask; a full disk is no reason not to route.
struct Doors {
  std::optional<LocalSocket> status, control;
};

std::optional<LocalSocket> open_door(const std::filesystem::path& data, const char* name) {
  auto socket = LocalSocket::listen(data, name);
  if (socket) return std::move(*socket);
  spdlog::error("{}", socket.error().message);
  return std::nullopt;
}

class Shell {
 public:
  Shell(const MeshnodeOptions& options, const NodeIdentity& identity, const NodeKeys& keys, Box& box,
        const Doors& doors)
      : options_(options), identity_(identity), keys_(keys), box_(box), agent_(box.agent), doors_(doors),
        dial_(box.endpoints), recovery_(identity, keys, int64_t{options.recovery_after_s} * 1000) {
    box_.adopt = [this](const std::string& token, const std::string& node) { return asked_to_adopt(token, node); };
    box_.adoption = [this] { return adoption_state(); };
  }

  enum class Ended : uint8_t { stopped, adopted };

  /// adopted: this node is one of another log now, and all that it read from the disk is of the one before.
  Result<Ended> run() {
    MESH_TRY(connect());
    go_on_with_adoption();
    while (g_stop == 0) {
      std::vector<Watched> watched;
      if (doors_.status) watched.push_back({doors_.status->fd()});
      if (doors_.control) watched.push_back({doors_.control->fd()});
      auto events = bus_->poll(kTickMs, watched);
      for (const auto& event : events) take(event);
      agent_.tick(machine_now_ms());
      flush();
      keep_journal(box_);
      if (doors_.status && watched.front().readable) doors_.status->tell(status());
      if (doors_.control && watched.back().readable) control();
      if (options_.once_synced && agent_.synced() && agent_.status().outcomes_waiting == 0) return Ended::stopped;
      auto adopted = adoption_turn();
      if (!adopted) return std::unexpected(adopted.error());
      if (*adopted) return Ended::adopted;
      MESH_TRY(follow_controller());
      if (agent_.take_reconnect()) MESH_TRY(reconnect());
    }
    spdlog::info("stopping; routing goes on");
    return Ended::stopped;
  }

 private:
  std::vector<Endpoint> endpoints() const {
    std::vector<Endpoint> out;
    for (const auto& address : addresses_) out.push_back({address, identity_.controller_key});
    return out;
  }

  Status connect() {
    bus_.reset();
    box_.in_use.clear();
    addresses_ = dial_.addresses(machine_now_ms(), {});
    ClientOptions options;
    options.endpoints = endpoints();
    std::memcpy(&options.jitter_seed, random_array<Digest>().bytes.data(), sizeof options.jitter_seed);
    // A fleet of 10,000 then asks 1,000 to 2,000 times a second, less than a controller can take.
    options.backoff_max_ms = 10'000;
    auto bus = BusClient::open(keys_.box, std::move(options));
    if (!bus) return std::unexpected(bus.error());
    bus_ = std::move(*bus);
    return {};
  }

  Status reconnect() {
    agent_.disconnected(machine_now_ms());
    return connect();
  }

  /// The controller may have moved, by the log or by a name.
  Status follow_controller() {
    const auto& state = agent_.state();
    if (agent_.history().settled() && box_.endpoints.learn(state.sequence, controller_endpoints(state))) {
      const auto& now = box_.endpoints.by_log();
      const bool left = !box_.in_use.empty() && std::ranges::find(now, box_.in_use) == now.end();
      if (left) spdlog::info("{} is no endpoint of the controller any more, trying the others first", box_.in_use);
      // Once: when none of the new ones answers, the walk comes back to this one, and stays.
      if (left) MESH_TRY(reconnect());
    }
    const auto in_use = bus_->connected() ? bus_->endpoint().address : std::string();
    auto addresses = dial_.addresses(machine_now_ms(), in_use);
    if (addresses == addresses_) return {};
    addresses_ = std::move(addresses);
    return bus_->set_endpoints(endpoints());
  }

  // --- adoption ---

  void go_on_with_adoption() {
    auto opened = AdoptionRun::open(options_.data);
    adoption_.reset();
    if (opened && *opened) {
      adoption_ = std::move(**opened);
      spdlog::warn("an adoption is under way: by log {}", to_hex(adoption_->identity().log.view()));
    } else if (!opened) {
      adoption_trouble_ = opened.error().message;
      spdlog::error("the adoption that was under way cannot go on: {}", adoption_trouble_);
    }
  }

  Status begin_adoption(const TokenText& token, const SignSecret& token_key, const std::string& node) {
    MESH_TRY(stage_adoption(options_.data, token, token_key, identity_, keys_, node));
    adoption_trouble_.clear();
    go_on_with_adoption();
    return adoption_ ? Status() : fail(Errc::io, adoption_trouble_);
  }

  Status asked_to_adopt(const std::string& text, const std::string& node) {
    std::optional<SignSecret> key;
    auto token = open_token(text, key);
    if (!token) return std::unexpected(token.error());
    return begin_adoption(*token, *key, node);
  }

  void call_for_recovery() {
    const auto now = machine_now_ms();
    const auto* own = agent_.state().find_node(identity_.node);
    auto token = recovery_.turn(own, bus_->connected(), addresses_, now);
    for (const auto& note : recovery_.take_notes()) spdlog::warn("{}", note);
    if (!token) return;
    spdlog::warn("adopted by who has the recovery secret: asking log {}", to_hex(token->log.view()));
    auto key = SignSecret::from_seed(token->seed);
    sodium_memzero(token->seed.data(), token->seed.size());
    auto begun = key ? begin_adoption(*token, *key, identity_.fullname) : Status(std::unexpected(key.error()));
    if (!begun && told_.insert(begun.error().message).second) {
      spdlog::error("the adoption cannot begin: {}", begun.error().message);
    }
  }

  /// True when this node has gone over. What waits for its confirmation comes to its end first: its deadline and its
  /// way back are the old log's.
  Result<bool> adoption_turn() {
    if (!adoption_) {
      call_for_recovery();
      return false;
    }
    auto admitted = adoption_->turn(0);
    if (!admitted && is_final(admitted.error())) {
      adoption_trouble_ = admitted.error().message;
      spdlog::error("the new controller refuses the adoption: {}", adoption_trouble_);
      adoption_.reset();
      if (auto dropped = drop_adoption(options_.data); !dropped) spdlog::error("{}", dropped.error().message);
      return false;
    }
    if (!admitted || !*admitted || box_.store.waiting()) return false;
    PosixFiles files(options_.data);
    const auto next = adoption_->identity();
    if (auto done = adopt(files); !done) {
      if (files.read(kAdoptingFile)) return std::unexpected(done.error());  // decided: the next start goes on
      if (told_.insert(done.error().message).second) spdlog::error("not adopted yet: {}", done.error().message);
      return false;
    }
    spdlog::warn("adopted: node {} ({}) of log {} from now on", next.node.value(), next.fullname,
                 to_hex(next.log.view()));
    return true;
  }

  AdoptionState adoption_state() const {
    if (!adoption_) return {{}, adoption_trouble_};
    const auto& waiting = box_.store.waiting();
    return {adoption_->identity().log,
            waiting ? fmt::format("v{} waits for its confirmation, and comes to its end first",
                                  waiting->version.value())
                    : adoption_->trouble()};
  }

  void take(const ClientEvent& event) {
    switch (event.kind) {
      case ClientEvent::Kind::connected:
        spdlog::info("connected to {}", event.detail);
        trouble_.clear();
        told_.clear();
        refused_ = false;
        box_.in_use = dial_.endpoint_of(event.detail);
        box_.endpoints.spoke(box_.in_use, box_.in_use == event.detail ? std::string() : event.detail);
        agent_.connected(machine_now_ms());
        break;
      case ClientEvent::Kind::disconnected:
        spdlog::warn("lost the controller at {}; routing goes on", event.detail);
        box_.in_use.clear();
        agent_.disconnected(machine_now_ms());
        break;
      case ClientEvent::Kind::refused:
      case ClientEvent::Kind::unreachable:
        if (told_.insert(event.detail).second) spdlog::warn("{}; routing goes on", event.detail);
        trouble_ = event.detail;
        refused_ = event.kind == ClientEvent::Kind::refused;
        break;
      case ClientEvent::Kind::frame:
        agent_.receive(event.frame, machine_now_ms());
        break;
    }
    flush();
  }

  void flush() {
    log(agent_.take_notes());
    for (const auto& frame : agent_.take_frames()) {
      // What cannot be sent now is repeated by the agent.
      if (auto sent = bus_->send(frame); !sent) spdlog::debug("not sent: {}", sent.error().message);
    }
  }

  std::string status() {
    auto status = agent_.status();
    // A revoked node hears no more of the log: that it is refused is all that it can know.
    if (refused_ && status.problem.empty()) {
      status.problem = trouble_ + ": was this node revoked?";
      status.state = "degraded: " + status.problem;
    }
    return status_json(status, trouble_, true);
  }

  void control() {
    doors_.control->serve([this](const std::string& request) {
      // A token is nobody's to read in a log; who waits for an adoption asks five times a second.
      if (request != "adoption") {
        spdlog::info("asked on the box: {}", request.starts_with("adopt ") ? "adopt" : request);
      }
      return answer_control(box_, request, machine_now_ms());
    });
    flush();
  }

  const MeshnodeOptions& options_;
  const NodeIdentity& identity_;
  const NodeKeys& keys_;
  Box& box_;
  Agent& agent_;
  const Doors& doors_;
  ControllerDial dial_;
  RecoveryCall recovery_;
  std::optional<AdoptionRun> adoption_;
  std::string adoption_trouble_;  // how the last one ended
  std::vector<std::string> addresses_;  // what bus_ was given
  std::unique_ptr<BusClient> bus_;
  std::string trouble_;         // why there is no connection
  std::set<std::string> told_;  // the troubles since the last connection
  bool refused_ = false;        // it was the controller that did not want it
};

void catch_signals() {
  struct sigaction action {};
  action.sa_handler = stop;
  ::sigaction(SIGTERM, &action, nullptr);
  ::sigaction(SIGINT, &action, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
}

/// `meshnode status` holds the lock while it reads a stopped node's files: a start at that moment waits for it.
Result<DataLock> take_lock(const std::filesystem::path& data) {
  constexpr int kAttempts = 40;
  for (int attempt = 1;; ++attempt) {
    auto lock = DataLock::take(data);
    if (lock || lock.error().code != Errc::conflict || attempt == kAttempts) return lock;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

/// From the disk to the end: of the program, or of this node's time in its log.
Result<Shell::Ended> run_in_log(const MeshnodeOptions& options) {
  auto identity = load_identity(options.data);
  if (!identity) return std::unexpected(identity.error());
  if (identity->node == NodeId()) {
    return fail(Errc::not_found, fmt::format("{} asked to join and was not admitted yet", options.data.string()),
                "run the same meshnode join again");
  }
  auto keys = load_keys(options.data);
  if (!keys) return std::unexpected(keys.error());
  auto dataplane = open_dataplane(options, *identity, keys->tunnels);
  if (!dataplane) return std::unexpected(dataplane.error());
  PosixFiles files(options.data);
  ReplicaStore store(files);
  MESH_TRY(store.open());
  auto machine = open_services(options);
  auto agent_options = mesh::agent_options(*identity, *keys);
  agent_options.deployment.services = machine.services.get();
  Agent agent(std::move(agent_options), store, **dataplane);
  agent.boot(machine_now_ms());
  log(agent.take_notes());
  // A replica that cannot be read is told by the status; what is applied goes on routing.
  if (auto loaded = agent.load(machine_now_ms()); !loaded) {
    spdlog::error("the replica cannot be read: {}", loaded.error().message);
  }
  log(agent.take_notes());
  ControllerEndpoints endpoints(files, identity->endpoints);
  BoxJournal journal(files);
  Box box{store, journal, endpoints, agent, {}};
  const Doors doors{open_door(options.data, kStatusSocket), open_door(options.data, kControlSocket)};
  fmt::print("ready node {}\n", identity->node.value());
  std::fflush(stdout);
  return Shell(options, *identity, *keys, box, doors).run();
}

}  // namespace

Status run_node(const MeshnodeOptions& options) {
  (void)harden_process();  // best effort: a container may forbid it
  catch_signals();
  auto lock = take_lock(options.data);
  if (!lock) return std::unexpected(lock.error());
  for (;;) {
    auto ended = run_in_log(options);
    if (!ended) return std::unexpected(ended.error());
    if (*ended == Shell::Ended::stopped) return {};
  }
}

}  // namespace mesh
