// `meshnode run`: the shell around Agent. One thread: the bus, the status socket and a tick.
#include <fmt/core.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <ctime>
#include <thread>

#include "broker/bus/client.h"
#include "nodes/agent.h"
#include "nodes/meshnode.h"
#include "nodes/meshnode_status.h"

namespace mesh {

namespace {

constexpr int kTickMs = 250;

volatile std::sig_atomic_t g_stop = 0;

void stop(int) { g_stop = 1; }

/// Since the machine booted, time asleep included: a deadline is not prolonged by a suspended router, and nobody who
/// sets the clock moves it.
int64_t now_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

void log(const std::vector<Note>& notes) {
  for (const auto& note : notes) {
    switch (note.level) {
      case Note::Level::info: spdlog::info("{}", note.text); break;
      case Note::Level::warning: spdlog::warn("{}", note.text); break;
      case Note::Level::error: spdlog::error("{}", note.text); break;
    }
  }
}

ClientOptions client_options(const NodeIdentity& identity) {
  ClientOptions options;
  for (const auto& endpoint : identity.endpoints) options.endpoints.push_back({endpoint, identity.controller_key});
  std::memcpy(&options.jitter_seed, random_array<Digest>().bytes.data(), sizeof options.jitter_seed);
  options.backoff_max_ms = 10'000;  // a fleet of 10,000 then asks 1,000 to 2,000 times a second, less than it can take
  return options;
}

AgentOptions agent_options(const NodeIdentity& identity, const NodeKeys& keys) {
  AgentOptions options;
  options.history = {identity.log, identity.log_key, identity.node, identity.anchor};
  options.deployment = {identity.log, identity.node, keys.sign.public_key(), keys.tunnels.public_keys(),
                        [&keys](std::string_view domain, ByteView bytes) { return keys.sign.sign(domain, bytes); }};
  options.fullname = identity.fullname;
  options.program = kProgramVersion;
  return options;
}

class Shell {
 public:
  Shell(const MeshnodeOptions& options, const NodeIdentity& identity, const NodeKeys& keys, Agent& agent,
        const StatusSocket* socket)
      : options_(options), identity_(identity), keys_(keys), agent_(agent), socket_(socket) {}

  Status run() {
    MESH_TRY(connect());
    while (g_stop == 0) {
      std::vector<Watched> watched;
      if (socket_) watched.push_back({socket_->fd()});
      auto events = bus_->poll(kTickMs, watched);
      for (const auto& event : events) take(event);
      agent_.tick(now_ms());
      flush();
      if (socket_ && watched.front().readable) answer();
      if (options_.once_synced && agent_.synced() && agent_.status().outcomes_waiting == 0) return {};
      if (agent_.take_reconnect()) {
        agent_.disconnected(now_ms());
        MESH_TRY(connect());
      }
    }
    spdlog::info("stopping; routing goes on");
    return {};
  }

 private:
  Status connect() {
    bus_.reset();
    auto bus = BusClient::open(keys_.box, client_options(identity_));
    if (!bus) return std::unexpected(bus.error());
    bus_ = std::move(*bus);
    return {};
  }

  void take(const ClientEvent& event) {
    switch (event.kind) {
      case ClientEvent::Kind::connected:
        spdlog::info("connected to {}", event.detail);
        trouble_.clear();
        refused_ = false;
        agent_.connected(now_ms());
        break;
      case ClientEvent::Kind::disconnected:
        spdlog::warn("lost the controller at {}; routing goes on", event.detail);
        agent_.disconnected(now_ms());
        break;
      case ClientEvent::Kind::refused:
      case ClientEvent::Kind::unreachable:
        if (trouble_ != event.detail) spdlog::warn("{}; routing goes on", event.detail);
        trouble_ = event.detail;
        refused_ = event.kind == ClientEvent::Kind::refused;
        break;
      case ClientEvent::Kind::frame:
        agent_.receive(event.frame, now_ms());
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

  void answer() {
    auto status = agent_.status();
    // A revoked node hears no more of the log: that it is refused is all that it can know.
    if (refused_ && status.problem.empty()) {
      status.problem = trouble_ + ": was this node revoked?";
      status.state = "degraded: " + status.problem;
    }
    socket_->answer(status_json(status, trouble_, true));
  }

  const MeshnodeOptions& options_;
  const NodeIdentity& identity_;
  const NodeKeys& keys_;
  Agent& agent_;
  const StatusSocket* socket_;  // nullptr: there was no room for it
  std::unique_ptr<BusClient> bus_;
  std::string trouble_;   // why there is no connection
  bool refused_ = false;  // it was the controller that did not want it
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

}  // namespace

Status run_node(const MeshnodeOptions& options) {
  (void)harden_process();  // best effort: a container may forbid it
  catch_signals();
  auto lock = take_lock(options.data);
  if (!lock) return std::unexpected(lock.error());
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
  Agent agent(agent_options(*identity, *keys), store, **dataplane);
  agent.boot();
  log(agent.take_notes());
  // A replica that cannot be read is told by the status; what is applied goes on routing.
  if (auto loaded = agent.load(); !loaded) spdlog::error("the replica cannot be read: {}", loaded.error().message);
  log(agent.take_notes());
  // Without it `meshnode status` has nobody to ask; a full disk is no reason not to route.
  auto socket = StatusSocket::listen(options.data);
  if (!socket) spdlog::error("{}", socket.error().message);
  fmt::print("ready node {}\n", identity->node.value());
  std::fflush(stdout);
  return Shell(options, *identity, *keys, agent, socket ? &*socket : nullptr).run();
}

}  // namespace mesh
