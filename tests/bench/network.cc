#include "tests/bench/network.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <toml++/toml.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "broker/controller.h"
#include "eventstore/log/rocks_event_log.h"
#include "eventstore/model/crypto.h"
#include "schemas/codec.h"

extern char** environ;

namespace mesh::bench {

namespace fs = std::filesystem;

namespace {

constexpr int kReadyMs = 20'000;
constexpr size_t kSites = 1'024;
constexpr size_t kKeysPerSite = 16;
constexpr size_t kSitesPerRequest = 256;
constexpr size_t kRequestsPerFlush = 1'000;  // well within the request window

fs::path program(const char* name) {
  return fs::read_symlink("/proc/self/exe").parent_path() / name;
}

/// Starts `arguments` with its standard output in a pipe. Errors: io.
Result<std::pair<int, int>> spawn(const std::vector<std::string>& arguments,
                                  const fs::path& errors) {
  std::array<int, 2> out{};
  if (pipe2(out.data(), O_CLOEXEC) != 0) return fail(Errc::io, "no pipe");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, out[1], 1);
  posix_spawn_file_actions_addopen(&actions, 2, errors.c_str(), O_WRONLY | O_CREAT | O_APPEND,
                                   0600);
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  pid_t pid = -1;
  int failed = posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(out[1]);
  if (failed == 0) return std::pair<int, int>(pid, out[0]);
  close(out[0]);
  return fail(Errc::io, fmt::format("{} does not start", arguments[0]), "ninja meshd");
}

/// Runs it to its end and returns what it printed. Errors: io.
Result<std::string> run(const std::vector<std::string>& arguments, const fs::path& errors) {
  auto child = spawn(arguments, errors);
  if (!child) return std::unexpected(child.error());
  std::string text;
  std::array<char, 4096> buffer;
  for (ssize_t got; (got = read(child->second, buffer.data(), buffer.size())) > 0;)
    text.append(buffer.data(), static_cast<size_t>(got));
  close(child->second);
  int status = 0;
  waitpid(child->first, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    return fail(Errc::io, fmt::format("{} {} failed: {}", arguments[0], arguments[1], text),
                "see " + errors.string());
  return text;
}

/// The first line, or nothing in time.
std::optional<std::string> first_line(int fd) {
  std::string line;
  pollfd waiting{fd, POLLIN, 0};
  for (char c; poll(&waiting, 1, kReadyMs) > 0 && read(fd, &c, 1) == 1; line += c)
    if (c == '\n') return line;
  return std::nullopt;
}

}  // namespace

Result<Network> open_network(const fs::path& data) {
  toml::table table = toml::parse_file((data / "admin.context").string());
  auto text = [&](const char* name) { return table[name].value_or(std::string()); };
  auto log = array_from_hex<LogId>(text("log_id"));
  auto controller = array_from_base64<BoxKey>(text("controller_key"));
  auto log_key = array_from_base64<SignKey>(text("log_key"));
  auto seed = from_base64(text("sign_seed"));
  auto box = from_base64(text("box_secret"));
  if (!log || !controller || !log_key || !seed || !box)
    return fail(Errc::corrupt, "admin.context is not as expected");
  auto admin_sign = SignSecret::from_seed(*seed);
  auto admin_box = BoxSecret::from_bytes(*box);
  if (!admin_sign || !admin_box) return fail(Errc::corrupt, "admin.context has no good keys");
  return Network{data,
                 *log,
                 *controller,
                 *log_key,
                 text("operator"),
                 std::move(*admin_sign),
                 std::move(*admin_box)};
}

TemporaryDirectory::TemporaryDirectory() {
  std::string name = (fs::temp_directory_path() / "meshbench.XXXXXX").string();
  MESH_ASSERT(mkdtemp(name.data()) != nullptr);
  path_ = name;
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

Result<Network> make_network(const fs::path& data) {
  auto made = run({program("meshd"), "init", "--data", data, "--listen", "tcp://127.0.0.1:0",
                   "--enrol", "tcp://127.0.0.1:0", "--output", "json"},
                  data.string() + ".errors");
  if (!made) return std::unexpected(made.error());
  return open_network(data);
}

Bytes submit_frame(const Network& network, uint64_t correlation, Sequence based_on,
                   std::vector<Command> commands) {
  Request request;
  request.log = network.log;
  request.epoch = 1;
  request.principal = Principal::human(network.admin);
  request.id = random_array<RequestId>();
  request.based_on = based_on;
  request.commands = std::move(commands);
  request.origin = "bench";
  SignedRequest signed_request{encode_request(request), {}};
  signed_request.signature = network.admin_sign.sign(kRequestDomain, signed_request.bytes);
  return encode_message({correlation, Submit{std::move(signed_request), false}});
}

Result<uint64_t> verify_log(const Network& network) {
  auto said = run({program("meshd"), "verify", "--data", network.data, "--output", "json"},
                  network.data.string() + ".errors");
  if (!said) return fail(Errc::corrupt, "the log does not verify: " + said.error().message);
  return nlohmann::json::parse(*said).at("entries").get<uint64_t>();
}

Result<std::unique_ptr<ControllerProcess>> ControllerProcess::start(const Network& network) {
  auto child = spawn({program("meshd"), "run", "--data", network.data, "--loglevel", "warning"},
                     network.data.string() + ".errors");
  if (!child) return std::unexpected(child.error());
  auto line = first_line(child->second);
  close(child->second);
  std::unique_ptr<ControllerProcess> process(new ControllerProcess(
      child->first, line && line->starts_with("ready ") ? line->substr(6) : ""));
  if (process->endpoint_.empty())
    return fail(Errc::io, "meshd did not become ready", "see " + network.data.string() + ".errors");
  return process;
}

ControllerProcess::~ControllerProcess() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

uint64_t ControllerProcess::resident_bytes() const {
  std::ifstream status(fmt::format("/proc/{}/statm", pid_));
  uint64_t size = 0, resident = 0;
  status >> size >> resident;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

double processor_seconds(int pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string text((std::istreambuf_iterator<char>(file)), {});
  std::istringstream fields(text.substr(text.rfind(')') + 1));  // the name may hold anything
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  double user = 0, system = 0;
  fields >> user >> system;
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

Status ControllerProcess::stop() {
  int status = 0;
  kill(pid_, SIGTERM);
  waitpid(std::exchange(pid_, -1), &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return fail(Errc::io, fmt::format("meshd ended with status {}", status));
}

// ---- filling

struct Filler::Impl {
  const Network& network;
  SignSecret log_key;
  std::unique_ptr<Controller> controller;
  SessionId admin;
  Now now;

  /// Flushes and reads the answers. Errors: the first refusal.
  Status settle();
};

Filler::Filler(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Filler::~Filler() = default;

Result<std::unique_ptr<Filler>> Filler::open(const Network& network, const Wrap& wrap) {
  auto key = SignSecret::load(network.data / "log.key");
  if (!key) return std::unexpected(key.error());
  auto log = RocksEventLog::open(network.data / "log");
  if (!log) return std::unexpected(log.error());
  std::unique_ptr<Impl> impl(new Impl{network, std::move(*key), nullptr, {}, {}});
  impl->admin = {network.admin_box.public_key(), 1, false};
  impl->now.wall = Timestamp(int64_t{1'000'000} * time(nullptr));
  ControllerOptions options;
  options.sign = [self = impl.get()](std::string_view domain, ByteView bytes) {
    return self->log_key.sign(domain, bytes);
  };
  options.new_request_id = [] { return random_array<RequestId>(); };
  options.worth_reopening = [] { return false; };
  options.log_bytes = [] { return uint64_t{0}; };
  std::unique_ptr<EventLog> port = std::move(*log);
  if (wrap) port = wrap(std::move(port));
  auto controller = Controller::open(std::move(port), std::move(options));
  if (!controller) return std::unexpected(controller.error());
  impl->controller = std::move(*controller);
  return std::unique_ptr<Filler>(new Filler(std::move(impl)));
}

Sequence Filler::head() const { return impl_->controller->state().sequence; }

Result<uint64_t> Filler::entry_bytes() const {
  uint64_t total = 0;
  const EventLog& log = impl_->controller->log();
  for (Sequence at(1); at <= log.head();) {
    auto entries = log.read(at, 1 << 20, SIZE_MAX);
    if (!entries) return std::unexpected(entries.error());
    for (const EncodedEntry& entry : *entries) total += entry.size();
    at = Sequence(at.value() + entries->size());
  }
  return total;
}

Status Filler::Impl::settle() {
  controller->flush(now);
  for (const Outgoing& outgoing : controller->take_output().frames) {
    auto message = decode_message(*outgoing.frame);
    if (!message) return std::unexpected(message.error());
    if (const auto* error = std::get_if<ErrorReply>(&message->body))
      return std::unexpected(error->error);
    if (const auto* refused = std::get_if<Refused>(&message->body))
      return std::unexpected(refused->error);
  }
  return {};
}

Status Filler::submit(std::vector<std::vector<Command>> requests) {
  Impl& self = *impl_;
  for (size_t i = 0; i < requests.size();) {
    Sequence based_on = head();
    for (size_t end = std::min(requests.size(), i + kRequestsPerFlush); i < end; ++i)
      self.controller->receive(
          self.admin, submit_frame(self.network, i, based_on, std::move(requests[i])), self.now);
    MESH_TRY(self.settle());
  }
  return {};
}

Controller& Filler::controller() { return *impl_->controller; }

Result<std::vector<NodeKeys>> Filler::enrol(const std::string& site, size_t count) {
  Impl& self = *impl_;
  MESH_TRY(submit({{AddSite{site}}}));
  std::vector<std::vector<Command>> additions;
  for (size_t i = 0; i < count; ++i) {
    if (i % 200 == 0) additions.emplace_back();
    additions.back().push_back(AddNode{fmt::format("r{}.{}", i, site)});
  }
  MESH_TRY(submit(std::move(additions)));
  SignSecret token = SignSecret::generate();
  TokenId token_id = self.controller->state().next_token;
  CreateToken create{
      token.public_key(), {Level::site, site}, static_cast<uint32_t>(count), {}, false};
  MESH_TRY(submit({{create}}));
  std::vector<NodeKeys> keys;
  for (size_t i = 0; i < count; ++i) {
    keys.push_back({BoxSecret::generate(), SignSecret::generate()});
    const SignSecret& sign = keys.back().sign;
    const BoxKey& box = keys.back().box.public_key();
    JoinStatement statement{self.network.log,
                            fmt::format("r{}.{}", i, site),
                            token_id,
                            sign.public_key(),
                            box,
                            random_array<WireGuardKey>(),
                            "bench",
                            {},
                            random_array<Digest>()};
    SignedJoin join{encode_join(statement), {}, {}};
    join.node_signature = sign.sign(kJoinDomain, join.statement);
    join.token_signature = token.sign(kJoinDomain, join.statement);
    SessionId stranger{box, static_cast<uint32_t>(i), true};
    self.controller->receive(stranger, encode_message({i, Join{std::move(join)}}), self.now);
  }
  MESH_TRY(self.settle());
  return keys;
}

std::vector<std::vector<Command>> add_sites() {
  std::vector<std::vector<Command>> out(kSites / kSitesPerRequest);
  for (size_t i = 0; i < kSites; ++i)
    out[i / kSitesPerRequest].push_back(AddSite{fmt::format("s{}", i)});
  return out;
}

std::vector<std::vector<Command>> attribute_requests(size_t requests, size_t commands_each,
                                                     uint64_t round) {
  MESH_ASSERT(requests * commands_each <= kSites * kKeysPerSite);
  std::vector<std::vector<Command>> out(requests);
  size_t key = 0;
  for (auto& commands : out)
    for (size_t i = 0; i < commands_each; ++i, ++key)
      commands.push_back(SetAttribute{{Level::site, fmt::format("s{}", key % kSites)},
                                      fmt::format("bench.key{}", key / kSites),
                                      AttributeValue(static_cast<int64_t>(round))});
  return out;
}

}  // namespace mesh::bench
