// `meshnode run`: the shell around Agent. One thread: the bus, the local sockets and a tick.
#include <fmt/core.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <optional>
#include <set>
#include <thread>

#include "broker/bus/client.h"
#include "nodes/agent.h"
#include "nodes/controller_dial.h"
#include "nodes/meshnode.h"
#include "nodes/meshnode_box.h"
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
        dial_(box.endpoints) {}

  Status run() {
    MESH_TRY(connect());
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
      if (options_.once_synced && agent_.synced() && agent_.status().outcomes_waiting == 0) return {};
      MESH_TRY(follow_controller());
      if (agent_.take_reconnect()) MESH_TRY(reconnect());
    }
    spdlog::info("stopping; routing goes on");
    return {};
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
      spdlog::info("asked on the box: {}", request);
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

}  // namespace mesh
