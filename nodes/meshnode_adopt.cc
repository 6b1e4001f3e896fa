// `meshnode adopt`, and adoptions that a running meshnode brings to their end.
#include "nodes/meshnode_adopt.h"

#include <fmt/core.h>
#include <sodium.h>

#include <chrono>
#include <climits>
#include <nlohmann/json.hpp>
#include <thread>

#include "nodes/adoption.h"
#include "nodes/files.h"
#include "nodes/meshnode_box.h"
#include "nodes/meshnode_socket.h"
#include "schemas/codec.h"

namespace mesh {

namespace fs = std::filesystem;

namespace {

using Clock = std::chrono::steady_clock;

const std::string kStagedIdentity = std::string(kAdoptDirectory) + "/node.json";
const std::string kStagedJoin = std::string(kAdoptDirectory) + "/join";

fs::path staged_key(const fs::path& data, const char* name) { return data / kAdoptDirectory / name; }

Result<NodeIdentity> staged_identity(Files& files) {
  auto text = files.read(kStagedIdentity);
  if (!text) return std::unexpected(text.error());
  return parse_identity_text(as_text(*text));
}

template <class Secret>
Result<Secret> load_or_make(const fs::path& path) {
  auto key = Secret::load(path);
  if (key || key.error().code != Errc::not_found) return key;
  auto fresh = Secret::generate();
  MESH_TRY(fresh.store(path));
  return fresh;
}

// --- the verb ---

void print_adopted(const MeshnodeOptions& options, const NodeIdentity& before, const NodeIdentity& now) {
  if (options.output == "json") {
    const nlohmann::json json = {{"node", now.node.value()},
                                 {"fullname", now.fullname},
                                 {"log", to_hex(now.log.view())},
                                 {"before", to_hex(before.log.view())}};
    fmt::print("{}\n", json.dump());
    return;
  }
  fmt::print("adopted: node {} ({}) of log {}; what ran routes on until a version of that log is activated\n",
             now.node.value(), now.fullname, to_hex(now.log.view()));
}

std::unexpected<Error> late(const std::string& trouble) {
  return fail(Errc::timeout, trouble.empty() ? "the new controller did not answer" : trouble,
              "a running meshnode goes on by itself; else run the same command again. Nothing on the router changed");
}

Status adopt_stopped(const MeshnodeOptions& options, const TokenText& token, const SignSecret& token_key,
                     const NodeIdentity& before) {
  auto keys = load_keys(options.data);
  if (!keys) return std::unexpected(keys.error());
  PosixFiles files(options.data);
  ReplicaStore store(files);
  MESH_TRY(store.open());
  if (store.waiting()) {
    return fail(Errc::conflict, fmt::format("v{} waits for its confirmation", store.waiting()->version.value()),
                "end it first: meshnode rollback");
  }
  MESH_TRY(stage_adoption(options.data, token, token_key, before, *keys, options.node));
  auto adoption = AdoptionRun::open(options.data);
  if (!adoption) return std::unexpected(adoption.error());
  MESH_ASSERT(adoption->has_value());
  const auto until = Clock::now() + std::chrono::seconds(options.timeout_s);
  for (;;) {
    auto admitted = (*adoption)->turn(200);
    if (!admitted) {
      if (is_final(admitted.error())) (void)drop_adoption(options.data);
      return std::unexpected(admitted.error());
    }
    if (*admitted) break;
    if (Clock::now() >= until) return late((*adoption)->trouble());
  }
  const auto now = (*adoption)->identity();
  MESH_TRY(adopt(files));
  print_adopted(options, before, now);
  return {};
}

Result<nlohmann::json> ask_running(const MeshnodeOptions& options, const std::string& request) {
  auto document = ask_local(options.data, kControlSocket, request);
  if (!document) return std::unexpected(document.error());
  auto json = nlohmann::json::parse(*document, nullptr, false);
  if (!json.is_object()) return fail(Errc::corrupt, "the running meshnode's answer is no document");
  if (const auto error = json.find("error"); error != json.end()) {
    return std::unexpected(Error{static_cast<Errc>(error->value("code", 0)), error->value("message", ""),
                                 error->value("fix", "")});
  }
  return json;
}

/// The running one goes over by itself; it is told from its identity when it has.
Status wait_for_running(const MeshnodeOptions& options, const LogId& log, const NodeIdentity& before) {
  const auto until = Clock::now() + std::chrono::seconds(options.timeout_s);
  const auto name = to_hex(log.view());
  std::string trouble;
  PosixFiles files(options.data);
  while (Clock::now() < until) {
    auto now = load_identity(options.data);
    const bool moving = files.read(kAdoptingFile).has_value();
    if (now && now->log == log && !moving) {
      print_adopted(options, before, *now);
      return {};
    }
    if (auto told = ask_running(options, "adoption")) {
      trouble = told->value("trouble", "");
      now = load_identity(options.data);
      if (told->value("log", "") != name && now && now->log == before.log) return fail(Errc::invalid, trouble);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  return late(trouble);
}

}  // namespace

Status stage_adoption(const fs::path& data, const TokenText& token, const SignSecret& token_key,
                      const NodeIdentity& identity, const NodeKeys& keys, const std::string& node) {
  if (token.log == identity.log) {
    return fail(Errc::conflict, fmt::format("this node is of that log already, as node {} ({})",
                                            identity.node.value(), identity.fullname));
  }
  PosixFiles files(data);
  auto under_way = staged_identity(files);
  if (under_way && under_way->log == token.log && under_way->node != NodeId()) return {};
  if (!under_way || under_way->log != token.log) MESH_TRY(drop_adoption(data));
  MESH_TRY(files.make_dir(kAdoptDirectory));
  MESH_TRY(files.sync_dir("."));
  auto sign = load_or_make<SignSecret>(staged_key(data, "sign.key"));
  if (!sign) return std::unexpected(sign.error());
  auto box = load_or_make<BoxSecret>(staged_key(data, "box.key"));
  if (!box) return std::unexpected(box.error());
  const auto wireguard = keys.tunnels.public_keys();
  if (!wireguard.contains(1)) return fail(Errc::not_found, "this node has no WireGuard key of generation 1");
  const auto made = make_join(token.log, token.node.empty() ? node : token.node, token.token, *sign, *box,
                              wireguard.at(1), &token_key);
  MESH_TRY(write_atomic(files, kStagedJoin, encode_message({1, Join{made.join}})));
  const NodeIdentity next{token.log, token.log_key, token.controller_key, {}, {}, {}, token.enrol_endpoints,
                          token.anchor};
  return write_atomic(files, kStagedIdentity, as_bytes(identity_text(next)));
}

Status drop_adoption(const fs::path& data) {
  PosixFiles files(data);
  MESH_TRY(files.remove(kAdoptDirectory));
  return files.sync_dir(".");
}

bool is_final(const Error& error) { return error.code != Errc::exhausted && error.code != Errc::io; }

Result<std::optional<AdoptionRun>> AdoptionRun::open(const fs::path& data) {
  PosixFiles files(data);
  auto identity = staged_identity(files);
  if (!identity && identity.error().code == Errc::not_found) return std::optional<AdoptionRun>();
  if (!identity) return fail_in("adopt/node.json", identity.error());
  if (identity->node != NodeId()) return AdoptionRun(data, std::move(*identity), std::nullopt);
  auto box = BoxSecret::load(staged_key(data, "box.key"));
  if (!box) return std::unexpected(box.error());
  auto question = files.read(kStagedJoin);
  if (!question) return std::unexpected(question.error());
  // Whoever answers at a wrong address is not obeyed, and no reason to give up either.
  auto asking = Asking::open(*box, std::move(*question),
                             {controllers(identity->enrol_endpoints, identity->controller_key), true, INT_MAX,
                              "node approve"});
  if (!asking) return std::unexpected(asking.error());
  return AdoptionRun(data, std::move(*identity), std::move(*asking));
}

Result<bool> AdoptionRun::turn(int wait_ms) {
  if (!asking_) return true;
  if (!admitted_) {
    auto answered = asking_->turn(wait_ms);
    if (!answered) return std::unexpected(answered.error());
    if (!*answered) return false;
    admitted_ = std::move(*answered);
  }
  auto next = identity_;
  next.node = admitted_->node;
  next.fullname = admitted_->fullname;
  next.endpoints = admitted_->endpoints;
  PosixFiles files(data_);
  MESH_TRY(write_atomic(files, kStagedIdentity, as_bytes(identity_text(next))));
  identity_ = std::move(next);
  asking_.reset();
  return true;
}

std::string AdoptionRun::trouble() const {
  if (!asking_) return {};
  return asking_->waiting().empty() ? asking_->trouble() : "waits for an approval: " + asking_->waiting();
}

Status run_adopt(const MeshnodeOptions& options) {
  (void)harden_process();  // best effort: a container may forbid it
  MESH_TRY(check_owner(options.data, "adopt"));
  std::optional<SignSecret> token_key;
  auto token_text = read_token_text(options.token_file);
  if (!token_text) return std::unexpected(token_text.error());
  auto token = open_token(*token_text, token_key);
  if (!token) return std::unexpected(token.error());
  Result<nlohmann::json> begun = fail(Errc::unavailable, "");
  // Between its lock and its socket, a meshnode that starts can do neither.
  for (int attempt = 0; attempt < 50; ++attempt) {
    auto before = load_identity(options.data);
    if (!before) return std::unexpected(before.error());
    if (before->node == NodeId()) {
      return fail(Errc::not_found, fmt::format("{} was never admitted anywhere", options.data.string()),
                  "run: meshnode leave, then meshnode join");
    }
    begun = ask_running(options, fmt::format("adopt {} {}", *token_text, options.node));
    if (begun) {
      sodium_memzero(token_text->data(), token_text->size());
      return wait_for_running(options, token->log, *before);
    }
    if (begun.error().code != Errc::unavailable) break;
    auto lock = DataLock::take(options.data);
    if (lock) return adopt_stopped(options, *token, *token_key, *before);
    if (lock.error().code != Errc::conflict) return std::unexpected(lock.error());
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  return std::unexpected(begun.error());
}

}  // namespace mesh
