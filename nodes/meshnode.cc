// meshnode: the program on every router. See nodes/README.md; verbs and exit codes: `meshnode help`.
#include "nodes/meshnode.h"

#include <fmt/core.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <map>

namespace {

constexpr int kUsage = 64;

int exit_code(mesh::Errc code) {
  switch (code) {
    case mesh::Errc::usage: return kUsage;
    case mesh::Errc::unauthenticated:
    case mesh::Errc::not_permitted: return 4;
    case mesh::Errc::not_found: return 5;
    case mesh::Errc::conflict: return 6;
    case mesh::Errc::invalid: return 7;
    case mesh::Errc::unavailable: return 8;
    case mesh::Errc::timeout: return 9;
    case mesh::Errc::corrupt: return 12;
    case mesh::Errc::exhausted:
    case mesh::Errc::io:
    case mesh::Errc::unsupported: return 1;
  }
  return 1;
}

constexpr std::string_view kExitCodes =
    "Exit codes: 0 success, 1 failed, 4 not authenticated or not permitted, 5 not found, 6 conflict,\n"
    "7 refused by validation, 8 controller unreachable, 9 timed out, 12 integrity failure, 64 usage error.";

int report(const mesh::Status& status) {
  if (status) return 0;
  fmt::print(stderr, "meshnode: {}\n", status.error().message);
  if (!status.error().fix.empty()) fmt::print(stderr, "fix: {}\n", status.error().fix);
  return exit_code(status.error().code);
}

CLI::App* add_verb(CLI::App& app, const std::string& name, const std::string& help, mesh::MeshnodeOptions& options) {
  auto* verb = app.add_subcommand(name, help);
  verb->add_option("--data", options.data, "Directory with this node's identity, replica and versions")->required();
  return verb;
}

void add_output(CLI::App* verb, mesh::MeshnodeOptions& options) {
  verb->add_option("-o,--output", options.output, "table or json")->check(CLI::IsMember({"table", "json"}));
}

void add_dataplane(CLI::App* verb, mesh::MeshnodeOptions& options) {
  verb->add_option("--dataplane", options.dataplane, "linux, or dry-run: plan the same and touch nothing")
      ->check(CLI::IsMember({"linux", "dry-run"}))
      ->capture_default_str();
  verb->add_option("--allow", options.allow, "What services, start-up scripts and SSH keys may do on this router")
      ->capture_default_str();
  verb->add_option("--authorized-keys", options.authorized_keys,
                   "Where the SSH keys of node_sshauthkeys are put, instead of root's authorized_keys");
  verb->add_option("--run-dir", options.run_dir, "Sockets and files of the processes that outlive meshnode")
      ->capture_default_str();
}

CLI::App* add_join(CLI::App& app, mesh::MeshnodeOptions& options) {
  auto* verb = add_verb(app, "join", "Enrol this node: with a token of `meshcli token create`, or by asking", options);
  auto* token = verb->add_option("--token-file", options.token_file, "File with the token; - reads standard input");
  auto* controller = verb->add_option("--controller", options.controller,
                                      "Ask this controller without a token: HOST[:PORT] of its enrolment, port 7401");
  token->excludes(controller);
  verb->add_option("--controller-key", options.controller_key,
                   "Its public key in hex or base64, or a file with what `meshcli controller connection` prints")
      ->needs(controller);
  verb->add_option("--fingerprint", options.fingerprint,
                   "Its fingerprint, as `meshcli controller connection` shows it; else a person is asked")
      ->needs(controller);
  verb->add_option("--hello-port", options.hello_port, "Where it tells its keys, if not the port after enrolment's")
      ->needs(controller)
      ->check(CLI::Range(1, 65535));
  verb->add_option("--node", options.node, "Which node to be, for a token that admits a whole site, or as a wish");
  verb->add_option("--timeout", options.timeout_s, "Seconds to wait for the controller, or for an approval")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  add_output(verb, options);
  return verb;
}

CLI::App* add_adopt(CLI::App& app, mesh::MeshnodeOptions& options) {
  auto* verb = add_verb(app, "adopt",
                        "Leave this node's log for another one; what runs routes on until that log activates a version",
                        options);
  verb->add_option("--token-file", options.token_file,
                   "File with a token of the new controller, of `meshcli token create`; - reads standard input")
      ->required();
  verb->add_option("--node", options.node, "Which node to be there, for a token that admits a whole site");
  verb->add_option("--timeout", options.timeout_s, "Seconds to wait for the new controller, or for an approval")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  add_output(verb, options);
  return verb;
}

mesh::Status join(const mesh::MeshnodeOptions& options) {
  if (options.token_file.empty() == options.controller.empty())
    return mesh::fail(mesh::Errc::usage, "join needs --token-file, or --controller to ask without a token",
                      "see meshnode join --help");
  return mesh::run_join(options);
}

}  // namespace

int main(int argc, char** argv) {
  spdlog::set_default_logger(spdlog::stderr_logger_st("meshnode"));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e %l: %v");

  mesh::MeshnodeOptions options;
  CLI::App app{"meshnode: verifies the log, compiles this router's configuration and applies it", "meshnode"};
  app.require_subcommand(1);
  app.footer(std::string(kExitCodes));

  auto* join_verb = add_join(app, options);
  auto* adopt_verb = add_adopt(app, options);
  auto* run = add_verb(app, "run", "Route: apply what is on disk, then follow the controller", options);
  add_dataplane(run, options);
  run->add_flag("--once-synced", options.once_synced, "End when the log's head is reached, applied and reported");
  run->add_option("--recovery-after", options.recovery_after_s,
                  "Seconds without a controller until who has the recovery secret is called where it was; 0 = never")
      ->check(CLI::Range(0, 31'536'000))
      ->capture_default_str();
  auto* status = add_verb(app, "status", "What this node runs and knows; works without a controller", options);
  add_output(status, options);
  auto* history = add_verb(app, "history", "The versions on this box and what happened to them", options);
  add_output(history, options);
  auto* rollback = add_verb(app, "rollback", "Go back to an earlier version on this box, also without a controller",
                            options);
  rollback->add_option("version", options.version, "vN, as in meshnode history; the previous one when not given");
  add_dataplane(rollback, options);
  add_output(rollback, options);
  auto* endpoints = add_verb(app, "endpoints", "Where this node looks for its controller", options);
  add_output(endpoints, options);
  endpoints->require_subcommand(0, 1);
  auto* set = endpoints->add_subcommand("set", "Look at these first; what the log says next counts again");
  set->add_option("endpoint", options.endpoints, "tcp://HOST:PORT")->required();
  auto* reset = endpoints->add_subcommand("reset", "Take back what was set");
  for (auto* each : {set, reset}) each->fallthrough();  // --data may stand behind them
  auto* leave = add_verb(app, "leave", "Remove what meshnode made on this router, and this node's data", options);
  add_dataplane(leave, options);
  auto* version = app.add_subcommand("version", "Print the version");
  auto* help = app.add_subcommand("help", "Print this help");

  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    fmt::print("{}", app.help());
    return 0;
  } catch (const CLI::ParseError& error) {
    fmt::print(stderr, "meshnode: {}\nfix: see meshnode help\n", error.what());
    return kUsage;
  }
  if (version->parsed()) {
    fmt::print("meshnode {}\n", mesh::kProgramVersion);
    return 0;
  }
  if (help->parsed()) {
    fmt::print("{}", app.help("", CLI::AppFormatMode::All));
    return 0;
  }
  if (join_verb->parsed()) return report(join(options));
  if (adopt_verb->parsed()) return report(mesh::run_adopt(options));
  if (run->parsed()) return report(mesh::run_node(options));
  if (status->parsed()) return report(mesh::show_status(options));
  if (history->parsed()) return report(mesh::show_history(options));
  if (rollback->parsed()) return report(mesh::run_rollback(options));
  options.reset = reset->parsed();
  if (endpoints->parsed()) return report(mesh::run_endpoints(options));
  MESH_ASSERT(leave->parsed());
  return report(mesh::run_leave(options));
}
