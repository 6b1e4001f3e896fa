#include "nodes/dataplane/bird_control.h"

#include <fmt/format.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <thread>
#include <utility>

#include "nodes/dataplane/bird_processes.h"
#include "nodes/dataplane/process.h"
#include "nodes/dataplane/unix_socket.h"

namespace mesh {
namespace {

using namespace std::chrono_literals;

constexpr auto kProgramDeadline = 20s;
constexpr auto kPoll = 10ms;
enum Code { kInProgress = 4, kScheduled = 5, kConfirmed = 18, kNothingToDo = 19, kValue = 23 };

/// "bird.conf:3:7 syntax error ..." out of BIRD's message about the candidate.
Error refusal(std::string message, const std::string& candidate) {
  for (size_t at; (at = message.find(candidate)) != std::string::npos;)
    message.replace(at, candidate.size(), "bird.conf");
  std::ranges::replace(message, '\n', ' ');
  while (message.ends_with(' ')) message.pop_back();
  return {Errc::invalid, "BIRD refuses the configuration: " + message, {}};
}

std::unexpected<Error> unexpected_reply(std::string_view command, const BirdReply& reply) {
  return fail(Errc::io, fmt::format("BIRD answers \"{}\" with {:04} {}", command, reply.code(),
                                    reply.text()));
}

}  // namespace

Result<BirdControl> BirdControl::connect(const std::string& path,
                                         std::chrono::milliseconds patience) {
  auto socket = connect_unix(path, patience);
  if (!socket) return std::unexpected(socket.error());
  BirdControl control(std::move(*socket));
  auto greeting = control.read_reply();
  if (!greeting) return std::unexpected(greeting.error());
  return control;
}

Result<BirdReply> BirdControl::command(std::string_view command) {
  MESH_TRY(send_all(fd_, std::string(command) + "\n"));
  return read_reply();
}

Result<BirdReply> BirdControl::read_reply() {
  auto complete = reader_.feed({});  // what came with the last reply
  char chunk[16 * 1024];
  while (complete && !*complete) {
    ssize_t n = ::recv(fd_.get(), chunk, sizeof chunk, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(Errc::timeout, "BIRD does not answer on its control socket");
    if (n == 0) return fail(Errc::io, "BIRD closed its control socket");
    complete = reader_.feed({chunk, static_cast<size_t>(n)});
  }
  if (!complete) return std::unexpected(complete.error());
  return reader_.take();
}

Status BirdControl::wait_for_end() {
  char chunk[4096];
  for (;;) {
    ssize_t n = ::recv(fd_.get(), chunk, sizeof chunk, 0);
    if (n == 0 || (n < 0 && errno == ECONNRESET)) return {};
    if (n < 0 && errno != EINTR) return fail(Errc::timeout, "BIRD does not end");
  }
}

Result<std::string> BirdDaemon::running_identity(BirdControl& control) const {
  auto reply = control.command(fmt::format("eval {}", kBirdIdentity));
  if (!reply) return std::unexpected(reply.error());
  return reply->code() == kValue ? reply->lines.back().text : std::string();
}

Result<BirdDaemon::State> BirdDaemon::observe() {
  auto control = connect();
  if (!control && control.error().code == Errc::not_found) return State{};
  if (!control) return std::unexpected(control.error());
  auto identity = running_identity(*control);
  if (!identity) return std::unexpected(identity.error());
  State state{true, {}, {}};
  auto file = read_file(unconfirmed_ ? candidate_file() : final_file());
  if (file) state.file = *file;
  if (!file || (!unconfirmed_ && std::filesystem::exists(candidate_file()))) return state;
  auto known = split_identity(*file);
  state.file = known ? known->text : *file;
  if (known && known->identity == *identity) state.text = known->text;
  return state;
}

Status BirdDaemon::configure(const std::string& text) {
  auto control = connect();
  if (control) return reconfigure(*control, text);
  if (control.error().code != Errc::not_found) return std::unexpected(control.error());
  return start(text);
}

Status BirdDaemon::make_room() const {
  const std::filesystem::path own = options_.run_directory / "bird";
  std::error_code error;
  std::filesystem::create_directories(own, error);
  if (error) return fail_errno("creating " + own.string(), error.value());
  const passwd* user = options_.user.empty() ? nullptr : ::getpwnam(options_.user.c_str());
  if (user != nullptr && ::chown(own.c_str(), user->pw_uid, user->pw_gid) != 0)
    return fail_errno("giving away " + own.string(), errno);
  if (::chmod(own.c_str(), 0750) != 0)
    return fail_errno("setting the mode of " + own.string(), errno);
  return {};
}

Status BirdDaemon::start(const std::string& text) {
  auto program = find_program("bird", "bird2");
  if (!program) return std::unexpected(program.error());
  MESH_TRY(check_alone());
  for (const BirdProcess& other : find_bird_processes(control_path()))
    end_process(other.pid, options_.patience);  // ours, but somebody removed its socket
  MESH_TRY(make_room());
  MESH_TRY(write_file(candidate_file(), with_identity(text), 0644));
  Status done = check_file(*program, candidate_file());
  if (done && ::rename(candidate_file().c_str(), final_file().c_str()) != 0)
    done = fail_errno("renaming " + candidate_file().string(), errno);
  if (done) done = launch(*program);
  if (!done) ::unlink(candidate_file().c_str());
  unconfirmed_ = false;
  return done;
}

Status BirdDaemon::check_alone() const {
  for (const BirdProcess& other : find_bird_processes(control_path()))
    if (!other.ours)
      return fail(Errc::conflict,
                  fmt::format("another BIRD (pid {}) routes on this machine", other.pid),
                  "systemctl disable --now bird");
  return {};
}

Status BirdDaemon::check_file(const std::string& program,
                              const std::filesystem::path& file) const {
  auto checked = run_program({program, "-p", "-c", file}, {}, kProgramDeadline);
  if (!checked) return std::unexpected(checked.error());
  if (checked->code == 0) return {};
  return std::unexpected(refusal(checked->err, file));
}

Status BirdDaemon::check(const std::string& text) const {
  auto control = connect();
  if (!control && control.error().code != Errc::not_found)
    return std::unexpected(control.error());
  MESH_TRY(write_file(checked_file(), with_identity(text), 0644));
  Status done;
  if (control) {
    auto reply = control->command(fmt::format("configure check \"{}\"", checked_file().string()));
    if (!reply)
      done = std::unexpected(reply.error());
    else if (reply->failed())
      done = std::unexpected(refusal(reply->lines.back().text, checked_file()));
  } else {
    auto program = find_program("bird", "bird2");
    if (!program)
      done = std::unexpected(program.error());
    else if (done = check_alone(); done)
      done = check_file(*program, checked_file());
  }
  ::unlink(checked_file().c_str());
  return done;
}

Status BirdDaemon::launch(const std::string& program) const {
  std::vector<std::string> arguments{program,
                                     "-c",
                                     final_file(),
                                     "-s",
                                     control_path(),
                                     "-P",
                                     options_.run_directory / "bird" / "bird.pid"};
  if (const passwd* user = options_.user.empty() ? nullptr : ::getpwnam(options_.user.c_str());
      user != nullptr)
    arguments.insert(arguments.end(), {"-u", options_.user, "-g", std::to_string(user->pw_gid)});
  // It goes to the background once it listens, so success means that it can be spoken to.
  auto started = run_program(arguments, {}, kProgramDeadline);
  if (!started) return std::unexpected(started.error());
  if (started->code != 0)
    return fail(Errc::io, fmt::format("BIRD does not start: {}", started->err));
  return {};
}

Status BirdDaemon::reconfigure(BirdControl& control, const std::string& text) {
  MESH_TRY(make_room());
  MESH_TRY(write_file(candidate_file(), with_identity(text), 0644));
  auto reply =
      control.command(fmt::format("configure \"{}\" timeout {}", candidate_file().string(),
                                  options_.confirm_timeout.count()));
  if (!reply || reply->failed()) {
    if (!unconfirmed_) ::unlink(candidate_file().c_str());
    return std::unexpected(reply ? refusal(reply->lines.back().text, candidate_file())
                                 : reply.error());
  }
  unconfirmed_ = true;
  return wait_until_reconfigured(control);
}

/// A reconfiguration that has to wait for sessions to close goes on after the reply.
Status BirdDaemon::wait_until_reconfigured(BirdControl& control) const {
  const auto deadline = std::chrono::steady_clock::now() + options_.patience;
  for (;;) {
    auto reply = control.command("configure status");
    if (!reply) return std::unexpected(reply.error());
    if (!reply->has(kInProgress) && !reply->has(kScheduled)) return {};
    if (std::chrono::steady_clock::now() > deadline)
      return fail(Errc::timeout, "BIRD is still reconfiguring");
    std::this_thread::sleep_for(kPoll);
  }
}

Status BirdDaemon::confirm() {
  if (!unconfirmed_) return {};
  auto control = connect();
  if (!control) return std::unexpected(control.error());
  auto reply = control->command("configure confirm");
  if (!reply) return std::unexpected(reply.error());
  if (reply->has(kNothingToDo))
    return fail(
        Errc::timeout,
        fmt::format("BIRD went back to the last configuration after {} s without confirmation",
                    options_.confirm_timeout.count()));
  if (!reply->has(kConfirmed)) return unexpected_reply("configure confirm", *reply);
  if (::rename(candidate_file().c_str(), final_file().c_str()) != 0)
    return fail_errno("renaming " + candidate_file().string(), errno);
  unconfirmed_ = false;
  return {};
}

Status BirdDaemon::cancel() {
  if (!std::exchange(unconfirmed_, false)) return {};
  auto control = connect();
  // Dead, or already gone back: either way the candidate does not run.
  auto reply = control ? control->command("configure undo") : fail(Errc::not_found, {});
  if (!reply && reply.error().code != Errc::not_found) return std::unexpected(reply.error());
  if (control) MESH_TRY(wait_until_reconfigured(*control));
  if (::unlink(candidate_file().c_str()) != 0 && errno != ENOENT)
    return fail_errno("removing the candidate", errno);
  return {};
}

Status BirdDaemon::stop() {
  unconfirmed_ = false;
  auto control = connect();
  if (control) {
    auto reply = control->command("down");
    if (!reply) return std::unexpected(reply.error());
    MESH_TRY(control->wait_for_end());
  } else if (control.error().code != Errc::not_found) {
    return std::unexpected(control.error());
  }
  std::error_code error;
  for (const auto& path : {final_file(), candidate_file(), checked_file()})
    std::filesystem::remove(path, error);
  std::filesystem::remove_all(options_.run_directory / "bird", error);
  return error ? fail_errno("removing BIRD's files", error.value()) : Status();
}

Status BirdDaemon::enable(const std::string& protocol) {
  auto control = connect();
  if (!control) return std::unexpected(control.error());
  auto reply = control->command(fmt::format("enable {}", protocol));
  if (!reply) return std::unexpected(reply.error());
  return reply->failed() ? unexpected_reply("enable " + protocol, *reply) : Status();
}

Result<BirdDaemon::Sessions> BirdDaemon::sessions() {
  auto control = connect();
  if (!control && control.error().code == Errc::not_found) return Sessions{};
  if (!control) return std::unexpected(control.error());
  auto protocols = control->command("show protocols all");
  if (!protocols) return std::unexpected(protocols.error());
  auto bfd = control->command("show bfd sessions");
  if (!bfd) return std::unexpected(bfd.error());
  auto status = control->command("show status");
  if (!status) return std::unexpected(status.error());
  return Sessions{true, parse_bird_version(*status), parse_bgp_sessions(*protocols), parse_bfd_sessions(*bfd)};
}

Result<bool> BirdDaemon::others_tell_all_of(const std::vector<std::string>& protocols) {
  auto control = connect();
  if (!control) return std::unexpected(control.error());
  auto reply = control->command("show route");
  if (!reply) return std::unexpected(reply.error());
  std::set<std::string> told, told_by_others;
  for (const ToldRoute& route : parse_routes(*reply)) {
    const bool listed = std::ranges::find(protocols, route.protocol) != protocols.end();
    (listed ? told : told_by_others).insert(route.network);
  }
  return std::ranges::includes(told_by_others, told);
}

}  // namespace mesh
