// meshd run: the shell around the Controller. One thread owns sockets, log and state; workers
// compile.
#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <ctime>
#include <thread>

#include "broker/bus/keys.h"
#include "broker/bus/reactor.h"
#include "broker/bus/server.h"
#include "broker/controller.h"
#include "broker/meshd.h"
#include "broker/meshd_frames.h"
#include "broker/meshd_hello.h"
#include "broker/render/template_renderer.h"
#include "eventstore/log/rocks_event_log.h"

namespace mesh::meshd {

namespace {

constexpr int kTickMs = 200;
constexpr uint64_t kFreeBytesWanted =
    32 * 1024 * 1024;  // two memtables: less, and the next write fails again

Now read_clocks() {
  timespec wall{}, mono{};
  clock_gettime(CLOCK_REALTIME, &wall);
  clock_gettime(CLOCK_MONOTONIC, &mono);
  return {Timestamp(wall.tv_sec * 1'000'000 + wall.tv_nsec / 1'000),
          mono.tv_sec * 1'000 + mono.tv_nsec / 1'000'000};
}

bool has_space(const std::filesystem::path& directory) {
  struct statvfs info {};
  return statvfs(directory.c_str(), &info) == 0 && info.f_bavail * info.f_frsize >= kFreeBytesWanted;
}

class Shell {
 public:
  Shell(BusServer& bus, WorkerPool& pool, Controller& controller, const BoxSecret& key,
        std::vector<std::string> enrol, std::vector<std::string> hello)
      : bus_(bus),
        pool_(pool),
        controller_(controller),
        key_(key),
        enrol_(std::move(enrol)),
        hello_(std::move(hello)),
        reader_(std::max(std::thread::hardware_concurrency(), 2u) - 1) {}

  int tick() {
    if (stopping_ || controller_.fatal()) return kStopReactor;
    controller_.tick(read_clocks());
    if (controller_.fatal()) return kStopReactor;
    keep_enrolment();
    deliver();
    report_health();
    return kTickMs;
  }

  void handle(std::vector<Incoming> frames) {
    auto arrivals = reader_.read(
        frames, [&](const SessionId& session) { return controller_.signer_of(session); });
    Now now = read_clocks();
    for (size_t i = 0; i < frames.size(); ++i) {
      arrivals[i].address = std::move(frames[i].address);
      controller_.receive(frames[i].session, std::move(arrivals[i]), now);
    }
    controller_.flush(read_clocks());
    deliver();
  }

  void stop(int) { stopping_ = true; }

 private:
  void deliver() {
    Output output = controller_.take_output();
    for (const BoxKey& key : output.muted) bus_.mute(key);
    for (const Outgoing& outgoing : output.frames)
      if (auto sent = bus_.send(outgoing.to, outgoing.frame); !sent)
        controller_.forget(outgoing.to);
    for (Job& job : output.jobs) {
      auto done = std::make_shared<Completion>();
      pool_.run([job = std::move(job), done] { *done = job(); }, [done] { (*done)(); });
    }
  }

  /// The door for strangers stands open only while somebody may come through.
  void keep_enrolment() {
    bool open = !bus_.enrolment_endpoint().empty(),
         wanted = controller_.enrolment_wanted(read_clocks());
    if (open == wanted) return;
    hello_ports_.clear();
    if (!wanted) return bus_.close_enrolment();
    EnrolmentOptions options;
    options.endpoint = enrol_.front();
    options.also.assign(enrol_.begin() + 1, enrol_.end());
    if (auto opened = bus_.open_enrolment(key_, options);
        !opened && opened.error().message != enrolment_problem_) {
      enrolment_problem_ = opened.error().message;
      spdlog::error("enrolment is closed: {}", enrolment_problem_);
    }
    if (!bus_.enrolment_endpoint().empty()) open_hello();
  }

  /// Newcomers that have the key need no hello, so that a port that is taken is no more than a warning.
  void open_hello() {
    for (const std::string& endpoint : hello_) {
      auto port = HelloPort::open(endpoint, controller_.greeting() + "\n");
      if (port) {
        hello_ports_.push_back(std::move(*port));
      } else if (port.error().message != hello_problem_) {
        hello_problem_ = port.error().message;
        spdlog::warn("newcomers need --controller-key: {}", hello_problem_);
      }
    }
  }

  void report_health() {
    if (controller_.broken() == reported_) return;
    reported_ = controller_.broken();
    if (reported_.empty())
      spdlog::warn("the log takes writes again");
    else
      spdlog::error("the log refuses writes: {}", reported_);
  }

  BusServer& bus_;
  WorkerPool& pool_;
  Controller& controller_;
  const BoxSecret& key_;
  std::vector<std::string> enrol_;  // at least one
  std::vector<std::string> hello_;
  std::vector<std::unique_ptr<HelloPort>> hello_ports_;  // as long as the enrolment socket is open
  std::string enrolment_problem_, hello_problem_, reported_;
  FrameReader reader_;
  bool stopping_ = false;
};

void start_logging(const std::string& level) {
  spdlog::set_default_logger(spdlog::stderr_logger_st("meshd"));
  spdlog::set_level(spdlog::level::from_str(level));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
}

std::shared_ptr<Renderer> make_renderer(const Settings& settings) {
  TemplateRendererOptions options;
  options.python = settings.python;
  if (settings.bird.empty()) {
    options.bird = find_program("bird");
  } else if (settings.bird != "none") {
    options.bird = settings.bird;
  }
  return std::make_shared<TemplateRenderer>(std::move(options));
}

/// Beside each enrolment socket, at the next port, unless they were chosen.
Result<std::vector<std::string>> hello_endpoints(const Settings& settings) {
  if (!settings.hello.empty()) return settings.hello;
  std::vector<std::string> out;
  for (const std::string& enrol : settings.enrol) {
    auto port = port_of(enrol);
    if (!port) return std::unexpected(port.error());
    auto endpoint = with_port(enrol, static_cast<uint16_t>(*port < 65'535 ? *port + 1 : *port - 1));
    if (!endpoint) return std::unexpected(endpoint.error());
    out.push_back(std::move(*endpoint));
  }
  return out;
}

/// The addresses as they were asked for, with the ports that they got.
Status say_ready(const std::vector<std::string>& asked, const std::vector<std::string>& bound) {
  std::string ready = "ready";
  for (size_t i = 0; i < asked.size(); ++i) {
    auto port = port_of(bound[i]);
    if (!port) return std::unexpected(port.error());
    ready += " " + *with_port(asked[i], *port);
  }
  fmt::print("{}\n", ready);
  std::fflush(stdout);
  return {};
}

Status serve(const RunOptions& run_options) {
  const std::filesystem::path& data = run_options.data;
  StopSignals signals;  // before the log, whose threads would otherwise take the signals
  auto settings = load_settings(data);
  if (!settings) return std::unexpected(settings.error());
  if (!run_options.listen.empty()) settings->listen = run_options.listen;
  if (!run_options.enrol.empty()) settings->enrol = run_options.enrol;
  if (!run_options.hello.empty()) settings->hello = run_options.hello;
  auto hello = hello_endpoints(*settings);
  if (!hello) return std::unexpected(hello.error());
  auto log_key = SignSecret::load(log_key_path(data));
  auto controller_key = BoxSecret::load(controller_key_path(data));
  if (!log_key) return std::unexpected(log_key.error());
  if (!controller_key) return std::unexpected(controller_key.error());
  auto restored = load_restored(data);
  if (!restored) return std::unexpected(restored.error());
  auto log = RocksEventLog::open(log_path(data));
  if (!log) return fail_in("opening the log", log.error());

  const RocksEventLog* rocks = log->get();
  ControllerOptions options;
  options.sign = [&](std::string_view domain, ByteView bytes) {
    return log_key->sign(domain, bytes);
  };
  options.new_request_id = [] { return random_array<RequestId>(); };
  options.worth_reopening = [&] { return has_space(log_path(data)); };
  options.log_bytes = [&rocks] { return rocks->disk_bytes(); };
  options.optimise = [&rocks](unsigned part) { return rocks->compact(part); };
  options.optimise_parts = RocksEventLog::kCompactParts;
  options.reopen = [&]() -> Result<std::unique_ptr<EventLog>> {
    auto opened = RocksEventLog::open(log_path(data));
    if (!opened) return std::unexpected(opened.error());
    rocks = opened->get();
    return std::unique_ptr<EventLog>(std::move(*opened));
  };
  options.program = kProgramVersion;
  options.renderer = make_renderer(*settings);
  options.restored = *restored;
  options.orphans = load_orphans(data);
  options.save_orphans = [&](ByteView bytes) { return save_orphans(data, bytes); };
  auto controller = Controller::open(std::move(*log), std::move(options));
  if (!controller) return std::unexpected(controller.error());
  if ((*controller)->state().genesis.log_key != log_key->public_key())
    return fail(Errc::invalid,
                fmt::format("{} is not the key of this log", log_key_path(data).string()),
                "restore the key that belongs to it");

  ServerOptions server_options;
  server_options.endpoint = settings->listen.front();
  server_options.also.assign(settings->listen.begin() + 1, settings->listen.end());
  server_options.admits = [&](const BoxKey& key) { return (*controller)->admits(key); };
  auto bus = BusServer::open(*controller_key, std::move(server_options));
  if (!bus) return std::unexpected(bus.error());
  // Destroyed first: workers end before the controller whose log they read.
  WorkerPool pool(1, [&] { (*bus)->wake(); });
  Shell shell(**bus, pool, **controller, *controller_key, settings->enrol, *hello);
  spdlog::info("log {} at #{}", to_hex((*controller)->state().log.view()),
               (*controller)->state().sequence.value());
  if (const std::string why = (*controller)->read_only(); !why.empty())
    spdlog::warn("read-only until meshcli controller start-epoch: {}", why);
  MESH_TRY(say_ready(settings->listen, (*bus)->bound_endpoints()));
  run_reactor(**bus, signals, pool, shell);
  if ((*controller)->fatal()) return fail_in("opening the log again", *(*controller)->fatal());
  return {};
}

}  // namespace

int run(const RunOptions& options) {
  start_logging(options.log_level);
  if (auto hardened = harden_process(); !hardened) spdlog::warn("{}", hardened.error().message);
  if (auto served = serve(options); !served) return report(served.error(), "table");
  return 0;
}

}  // namespace mesh::meshd
