// Services: what a version does on the machine beside tunnels and routing: start-up scripts, files of daemons, SSH keys
// and commands of tunnels. All of it only as allow.toml on the box permits (allow.h).
//
//   check(wanted)     permitted, possible, and accepted by the services' own checks; touches nothing outside of DATA
//   start(wanted)     runs start-up scripts that are new, changed, or not run since the machine booted; before the
//                     router, as Towalink does
//   apply(wanted)     after the router: files placed and removed, services reloaded, keys, commands of tunnels
//   look(wanted)      what was edited by hand
//
// In DATA/services: manifest.json (what we placed and ran), scripts/ (as they are run), output/ (of each command, the
// newest run), stage/ (while services check). The manifest names a file before it is there and as long as it is, and a
// service as unsettled until its reload succeeded: a crash at any step is made whole by the next apply().
// A script is entered before it runs: one that ends this program does not end each of its starts.
// Nothing is removed or overwritten that is not in the manifest. Commands run without a shell (command_runner.h).
//
// One implementation over the port of files: tests and `--dataplane dry-run` give it another machine.
// Thread: one at a time; calls block as long as the commands may take.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nodes/drift.h"
#include "nodes/files.h"
#include "nodes/services/allow.h"

namespace mesh {

struct WantedService {
  std::string name, destination, check, reload;
  std::map<std::string, std::string> files;  // by name
  bool operator==(const WantedService&) const = default;
};
/// Commands of a tunnel: PostUp and PostDown.
struct TunnelCommands {
  std::vector<std::string> up, down;
  bool operator==(const TunnelCommands&) const = default;
};
struct WantedServices {
  std::map<std::string, std::string> scripts;    // startup_*, by name
  std::vector<WantedService> services;           // only those with files
  std::vector<std::string> ssh_keys;             // lines
  std::map<std::string, TunnelCommands> tunnels;  // by interface
  bool operator==(const WantedServices&) const = default;
};

struct CommandResult {
  int code = 0;
  std::string output;
};
/// Runs a program; see run_command() in command_runner.h.
using CommandRunner =
    std::function<Result<CommandResult>(const std::vector<std::string>& words, std::chrono::milliseconds limit)>;

struct ServicesOptions {
  std::string data;                                           // the data directory, absolute
  std::string allow_file;                                     // its name, for people
  std::function<Result<std::string>()> allow;                 // its text; not_found = nothing is permitted
  std::string authorized_keys;                                // absolute
  std::string boot_id;
  CommandRunner run;
  bool make_destinations = false;  // where no machine is: a directory that is not there is made
};

/// What became of a script or command that was run.
struct CommandReport {
  std::string name;    // "startup_loopback", "reload dnsmasq"
  int code = 0;
  std::string output;  // its last lines
  bool operator==(const CommandReport&) const = default;
};

class Services {
 public:
  /// Borrows `machine`, whose root is "/".
  Services(ServicesOptions options, Files& machine) : options_(std::move(options)), machine_(machine) {}

  /// Errors: not_permitted (with the lines to add), invalid (a check refuses: its last words; no command), conflict (a
  /// file that somebody else placed), not_found (no such directory), exhausted, io.
  Status check(const WantedServices& wanted);
  /// True once when allow.toml is another one since check() found that it did not permit something.
  bool permits_otherwise();
  /// Whether start() would run something.
  bool starts(const WantedServices& wanted);
  /// Never fails: what ends with another code than 0 is a problem().
  void start(const WantedServices& wanted);
  /// With `previous`: the first failure takes everything back to it. Without: all that can be done is done, and the
  /// first failure is the value. Errors: as check(), and what a reload said.
  Status apply(const WantedServices& wanted, const WantedServices* previous);
  /// Something is left to be done that start() or apply() could not do.
  bool unsettled();
  std::vector<Drift> look(const WantedServices& wanted);
  /// Removes all that was placed; a reload that fails then is only a step. Scripts cannot be undone.
  Status remove_all();

  /// What is not in order with what was run; empty when nothing is.
  std::string problem();
  /// Scripts that ran, ascending by name.
  std::vector<CommandReport> reports();
  /// What was done since the last call, for people.
  std::vector<std::string> take_steps() { return std::exchange(steps_, {}); }

  static constexpr std::chrono::milliseconds kCheckLimit{20'000}, kReloadLimit{20'000}, kScriptLimit{30'000};

 private:
  struct PlacedService {
    std::string reload;
    bool unsettled = false;
    std::map<std::string, std::string> files;  // path: SHA-256 in hex
    bool operator==(const PlacedService&) const = default;
  };
  struct RanScript {
    std::string digest, boot;
    int code = 0;
    std::string output;
    bool operator==(const RanScript&) const = default;
  };
  struct RanCommands {
    TunnelCommands commands;
    std::string boot;
    bool operator==(const RanCommands&) const = default;
  };
  struct Manifest {
    std::map<std::string, PlacedService> services;
    std::map<std::string, RanScript> scripts;
    std::map<std::string, RanCommands> tunnels;
    bool keys = false;
    bool operator==(const Manifest&) const = default;
  };

  // services_manifest.cc
  /// Read once. One that is damaged counts as empty, and is a step.
  Manifest& manifest();
  Status save();

  Result<Allow> allowed() const;
  Status check_permitted(const WantedServices& wanted) const;
  std::unexpected<Error> not_permitted(const std::vector<std::string>& lines) const;
  Status check_place(const WantedService& service);
  Status check_by_service(const WantedService& service);
  bool differs(const WantedService& service);
  Status place(const WantedServices& wanted, bool all);
  Status place_files(const WantedServices& wanted, bool all);
  Status switch_files(const WantedService& service);
  Status remove_leftovers(const std::string& directory);
  Status reload(const std::string& name, bool stays);
  Status run_tunnels(const WantedServices& wanted, bool all);
  Status write_keys(const std::vector<std::string>& keys);
  Result<std::string> keys_text(const std::vector<std::string>& keys);
  void run_script(const std::string& name, const std::string& content);
  Result<CommandResult> run(const std::string& name, std::string_view command, std::string_view stage,
                            std::chrono::milliseconds limit);
  Status run_well(const std::string& name, std::string_view command, std::string_view stage,
                  std::chrono::milliseconds limit);
  void keep_output(const std::string& name, const CommandResult& result);
  Status replace(const std::string& directory, const std::string& name, std::string_view content, uint32_t mode);
  Status make_dirs(const std::string& path);
  std::string own(std::string_view name) const { return at(options_.data) + "/services/" + std::string(name); }
  static std::string at(std::string_view path);

  ServicesOptions options_;
  Files& machine_;
  std::optional<Manifest> manifest_;
  std::optional<std::string> refused_by_;  // allow.toml as it was then
  std::string not_started_;  // why scripts that should run do not
  bool failed_ = false;      // the last apply() left something undone
  std::vector<std::string> steps_;
};

}  // namespace mesh
