// meshd init: the keys, the first entry, the administrator's context and the recovery key.
#include <fmt/format.h>
#include <sodium.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "broker/bus/keys.h"
#include "broker/controller.h"
#include "broker/meshd.h"
#include "eventstore/log/rocks_event_log.h"
#include "eventstore/model/decide.h"

namespace mesh::meshd {

namespace {

Timestamp wall_now() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return Timestamp(now.tv_sec * 1'000'000 + now.tv_nsec / 1'000);
}

/// The network's addresses: Towalink's, or random ones so that two networks can meet without
/// clashing.
Status choose_networks(const std::string& profile, CreateLog& genesis) {
  genesis.profile = profile;
  genesis.transfernet_ipv6 = "fe80::/64";
  if (profile == "towalink") {
    genesis.loopbacknet_ipv4 = "192.88.99.0/24";
    genesis.loopbacknet_ipv6 = "fd3e:970c:e7ec:edb5::/64";
    genesis.transfernet_ipv4 = genesis.loopbacknet_ipv4;
    genesis.bgp_as_base = 65'000;
    return {};
  }
  if (profile != "default")
    return fail(Errc::usage, fmt::format("profile \"{}\" does not exist", profile),
                "default or towalink");
  auto random = random_array<Digest>();
  // A /16 of 100.64.0.0/10 (RFC 6598) and a unique local /48 (RFC 4193).
  genesis.loopbacknet_ipv4 = fmt::format("100.{}.0.0/16", 64 + random.bytes[0] % 64);
  genesis.loopbacknet_ipv6 =
      fmt::format("fd{:02x}:{:02x}{:02x}:{:02x}{:02x}::/48", random.bytes[1], random.bytes[2],
                  random.bytes[3], random.bytes[4], random.bytes[5]);
  genesis.transfernet_ipv4 = genesis.loopbacknet_ipv4;
  genesis.bgp_as_base = 4'200'000'000;
  return {};
}

/// Port 0 is chosen here and kept, because nodes remember it.
Status fix_ports(Settings& settings) {
  for (std::string* endpoint : {&settings.listen.front(), &settings.enrol.front()}) {
    auto port = port_of(*endpoint);
    if (!port) return std::unexpected(port.error());
    if (*port != 0) continue;
    auto chosen = free_port();
    if (!chosen) return std::unexpected(chosen.error());
    *endpoint = *with_port(*endpoint, *chosen);
  }
  return {};
}

/// What others connect to: the published endpoint, or where it listens.
Result<std::string> published(const std::string& publish, const std::string& listen) {
  if (publish.empty()) {
    if (listen.find("//*:") != std::string::npos ||
        listen.find("//0.0.0.0:") != std::string::npos ||
        listen.find("//[::]:") != std::string::npos)
      return fail(
          Errc::usage,
          fmt::format("{} listens everywhere, which is no address that nodes could connect to",
                      listen),
          "name it with --publish tcp://ADDRESS:PORT");
    return listen;
  }
  MESH_TRY(port_of(publish));
  return publish;
}

std::string admin_context(const CreateLog& genesis, const LogId& log, const SignSecret& sign,
                          const BoxSecret& box) {
  std::string endpoints;
  for (const std::string& endpoint : genesis.endpoints)
    endpoints += (endpoints.empty() ? "\"" : ", \"") + endpoint + "\"";
  return fmt::format(
      "# The first administrator's context. It holds secret keys: keep it private.\n"
      "endpoints = [{}]\ncontroller_key = \"{}\"\nlog_id = \"{}\"\nlog_key = \"{}\"\noperator = "
      "\"{}\"\n"
      "sign_seed = \"{}\"\nbox_secret = \"{}\"\n",
      endpoints, to_base64(genesis.controller_key.view()), to_hex(log.view()),
      to_base64(genesis.log_key.view()), genesis.admin, to_base64(sign.reveal_seed()),
      to_base64(box.reveal()));
}

Status create(const InitOptions& options, std::string& recovery_text, LogId& log_id) {
  Settings settings;
  settings.listen = {options.listen};
  settings.enrol = {options.enrol};
  MESH_TRY(fix_ports(settings));
  auto main_endpoint = published(options.publish, settings.listen.front());
  if (!main_endpoint) return std::unexpected(main_endpoint.error());
  auto enrol_endpoint = options.publish.empty()
                            ? published({}, settings.enrol.front())
                            : with_port(options.publish, *port_of(settings.enrol.front()));
  if (!enrol_endpoint) return std::unexpected(enrol_endpoint.error());
  settings.publish = {*main_endpoint};

  std::error_code error;
  if (std::filesystem::exists(options.data / "meshd.toml", error))
    return fail(Errc::conflict, fmt::format("{} holds a controller already", options.data.string()),
                "choose another directory, or start it with meshd run");
  std::filesystem::create_directories(options.data, error);
  if (error)
    return fail(Errc::io,
                fmt::format("{} cannot be made: {}", options.data.string(), error.message()));
  chmod(options.data.c_str(), 0700);

  SignSecret log_key = SignSecret::generate(), admin_sign = SignSecret::generate(),
             recovery = SignSecret::generate();
  BoxSecret controller_key = BoxSecret::generate(), admin_box = BoxSecret::generate();
  CreateLog genesis;
  MESH_TRY(choose_networks(options.profile, genesis));
  genesis.log_key = log_key.public_key();
  genesis.controller_key = controller_key.public_key();
  genesis.recovery_key = recovery.public_key();
  genesis.admin = options.admin;
  genesis.admin_sign_key = admin_sign.public_key();
  genesis.admin_box_key = admin_box.public_key();
  genesis.endpoints = {*main_endpoint};
  genesis.enrol_endpoints = {*enrol_endpoint};
  genesis.nonce = random_array<Digest>();
  genesis.rules = kRulesNewest;
  log_id = derive_log_id(genesis);

  MESH_TRY(log_key.store(log_key_path(options.data)));
  MESH_TRY(controller_key.store(controller_key_path(options.data)));
  auto log = RocksEventLog::create(log_path(options.data), log_id);
  if (!log) return fail_in("making the log", log.error());
  ControllerOptions controller_options;
  controller_options.sign = [&](std::string_view domain, ByteView bytes) {
    return log_key.sign(domain, bytes);
  };
  controller_options.new_request_id = [] { return random_array<RequestId>(); };
  MESH_TRY(create_log(**log, genesis, controller_options, wall_now()));
  std::string context = admin_context(genesis, log_id, admin_sign, admin_box);
  auto written = write_secret_file(options.data / "admin.context", as_bytes(context));
  sodium_memzero(context.data(), context.size());
  if (!written) return fail_in("writing admin.context", written.error());
  recovery_text = to_base64(recovery.reveal_seed());
  // Last: a directory without settings is an unfinished one, never a controller.
  return save_settings(options.data, settings);
}

}  // namespace

int init(const InitOptions& options) {
  std::string recovery;
  LogId log;
  if (auto created = create(options, recovery, log); !created)
    return report(created.error(), options.output);
  if (options.output == "json") {
    nlohmann::json out = {{"log", to_hex(log.view())},
                          {"context", (options.data / "admin.context").string()},
                          {"recovery_key", recovery}};
    fmt::print("{}\n", out.dump());
  } else {
    fmt::print("log          {}\ncontext      {}\nrecovery key {}\n", to_hex(log.view()),
               (options.data / "admin.context").string(), recovery);
    fmt::print(stderr,
               "The recovery key is shown only now: write it down and keep it offline. It can add "
               "an administrator when all are lost.\n"
               "next: meshd run --data {}\n",
               options.data.string());
  }
  sodium_memzero(recovery.data(), recovery.size());
  return 0;
}

}  // namespace mesh::meshd
