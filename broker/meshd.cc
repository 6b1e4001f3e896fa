// meshd: the controller.
#include "broker/meshd.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

namespace {

CLI::App* add_restore(CLI::App& app, mesh::meshd::RestoreOptions& options) {
  auto* verb = app.add_subcommand(
      "restore",
      "Make a controller's directory from a backup; it stays read-only until an administrator "
      "starts a new epoch");
  verb->add_option("file", options.file, "What meshcli controller backup wrote")->required();
  verb->add_option("--data", options.data, "Directory to be made")->required();
  verb->add_option(
          "--keys", options.keys,
          "Directory with log.key, controller.key and meshd.toml of the controller that was")
      ->required();
  verb->add_option("--listen", options.listen, "Where operators and nodes connect, if elsewhere");
  verb->add_option("--enrol", options.enrol, "Where new nodes join, if elsewhere");
  verb->add_option("-o,--output", options.output, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  return verb;
}

CLI::App* add_run(CLI::App& app, mesh::meshd::RunOptions& options) {
  auto* verb = app.add_subcommand(
      "run", "Run the controller until SIGTERM; prints \"ready ENDPOINT\" when it serves");
  verb->add_option("--data", options.data, "Directory of the controller")->required();
  verb->add_option("--listen", options.listen,
                       "Where operators and nodes connect, instead of meshd.toml's; may be given again: "
                       "the old address and the new one, while the controller moves");
  verb->add_option("--enrol", options.enrol,
                       "Where new nodes join, instead of meshd.toml's; may be given again");
  verb->add_option("--hello", options.hello,
                       "Where newcomers without a token learn the public keys, instead of meshd.toml's, or of the port "
                       "after --enrol; may be given again");
  verb->add_option("-l,--loglevel", options.log_level, "debug, info, warning or error")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}))
      ->capture_default_str();
  return verb;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace mesh::meshd;
  CLI::App app{"Meshlog's controller: keeps the log of every change and streams it to the routers.",
               "meshd"};
  app.require_subcommand(1);

  InitOptions init_options;
  auto* init_verb = app.add_subcommand(
      "init", "Make a new log, its keys, the first administrator and the recovery key");
  init_verb->add_option("--data", init_options.data, "Directory of the controller")->required();
  init_verb
      ->add_option("--listen", init_options.listen,
                   "Where operators and nodes connect; port 0 picks one")
      ->capture_default_str();
  init_verb->add_option("--enrol", init_options.enrol, "Where new nodes join; port 0 picks one")
      ->capture_default_str();
  init_verb->add_option("--publish", init_options.publish,
                        "Endpoint that nodes and operators are told, if not --listen");
  init_verb
      ->add_option("--profile", init_options.profile,
                   "Addresses and AS numbers: default or towalink")
      ->capture_default_str();
  init_verb->add_option("--admin", init_options.admin, "Name of the first administrator")
      ->capture_default_str();
  init_verb->add_option("-o,--output", init_options.output, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();

  RunOptions run_options;
  std::string data, output = "table";
  auto* run_verb = add_run(app, run_options);

  auto* verify_verb =
      app.add_subcommand("verify", "Check a log directory or a backup from its first entry to its last");
  verify_verb->add_option("--data", data, "Directory of the controller or of the log itself, or a backup")
      ->required();
  std::vector<std::filesystem::path> against;
  verify_verb->add_option("--against", against,
                          "A checkpoint that was kept elsewhere; may be given again");
  verify_verb->add_option("-o,--output", output, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();

  RestoreOptions restore_options;
  auto* restore_verb = add_restore(app, restore_options);

  auto* version_verb = app.add_subcommand("version", "Print the version");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 64;
  }
  if (*init_verb) return init(init_options);
  if (*run_verb) return run(run_options);
  if (*verify_verb) return verify(data, against, output);
  if (*restore_verb) return restore(restore_options);
  if (*version_verb) fmt::print("meshd {}\n", kProgramVersion);
  return 0;
}
