#include "nodes/meshnode_box.h"

#include <fmt/core.h>

#include <charconv>
#include <chrono>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "nodes/dataplane/dry_run_dataplane.h"
#include "nodes/meshnode.h"
#include "nodes/meshnode_socket.h"
#include "schemas/json.h"

namespace mesh {

namespace {

using Json = nlohmann::ordered_json;

Json error_json(const Error& error) {
  return {{"error", {{"code", static_cast<int>(error.code)}, {"message", error.message}, {"fix", error.fix}}}};
}

Json history_json(const Box& box) {
  const auto& pointers = box.store.pointers();
  Json versions = Json::array(), events = Json::array();
  for (const auto version : box.store.list_versions()) {
    const auto digest = box.store.digest_of(version);
    const auto refused = box.store.refused(version);
    const auto* state = version == pointers.active     ? "active"
                        : version == pointers.pending  ? "pending"
                        : refused                      ? "refused"
                        : version == pointers.previous ? "previous"
                                                       : "kept";
    versions.push_back({{"version", version.value()},
                        {"digest", digest ? to_hex(digest->view()) : ""},
                        {"state", state},
                        {"refused", refused.value_or("")}});
  }
  for (const auto& line : box.journal.lines()) {
    events.push_back({{"number", line.serial},
                      {"what", outcome_word(line.kind)},
                      {"activation", line.activation.value()},
                      {"version", line.version.value()},
                      {"sequence", line.sequence.value()},
                      {"log_time", line.time == Timestamp() ? "" : time_text(line.time)},
                      {"message", line.message}});
  }
  return {{"active", pointers.active.value()},
          {"previous", pointers.previous.value()},
          {"pending", pointers.pending.value()},
          {"held", pointers.held ? pointers.held_why : ""},
          {"outcomes_waiting", box.store.outcomes().size()},
          {"versions", versions},
          {"events", events}};
}

Json endpoints_json(const Box& box) {
  Json spoken = Json::array();
  for (const auto& [endpoint, address] : box.endpoints.spoken()) {
    spoken.push_back({{"endpoint", endpoint}, {"address", address}});
  }
  return {{"in_use", box.in_use},
          {"order", box.endpoints.walk()},
          {"by_log", box.endpoints.by_log()},
          {"sequence", box.endpoints.sequence().value()},
          {"by_root", box.endpoints.by_root()},
          {"spoken", spoken}};
}

Json roll_back(Box& box, std::istringstream& words, int64_t now) {
  uint32_t number = 0;
  if (!(words >> number)) return error_json({Errc::usage, "rollback without a number", {}});
  auto went = box.agent.roll_back(Version(number), now);
  keep_journal(box);
  if (!went) return error_json(went.error());
  return {{"from", went->from.value()},
          {"to", went->to.value()},
          {"held", box.store.pointers().held.has_value()},
          {"activation", box.store.pointers().activation.value()}};
}

Json endpoints(Box& box, std::istringstream& words) {
  std::string verb;
  std::vector<std::string> list;
  if (!(words >> verb)) return endpoints_json(box);
  for (std::string each; words >> each;) list.push_back(each);
  if ((verb != "set" && verb != "reset") || list.empty() != (verb == "reset")) {
    return error_json({Errc::usage, fmt::format("endpoints {} is not understood", verb), {}});
  }
  if (auto set = box.endpoints.set(list); !set) return error_json(set.error());
  return endpoints_json(box);
}

Json adoption(const Box& box) {
  const auto state = box.adoption();
  return {{"log", state.log.is_zero() ? std::string() : to_hex(state.log.view())}, {"trouble", state.trouble}};
}

Json adopt(Box& box, std::istringstream& words) {
  std::string token, node;
  words >> token >> node;
  if (auto begun = box.adopt(token, node); !begun) return error_json(begun.error());
  return adoption(box);
}

Json answer(Box& box, const std::string& request, int64_t now) {
  std::istringstream words(request);
  std::string verb;
  words >> verb;
  if (verb == "history") return history_json(box);
  if (verb == "rollback") return roll_back(box, words, now);
  if (verb == "endpoints") return endpoints(box, words);
  if (verb == "adopt" && box.adopt) return adopt(box, words);
  if (verb == "adoption" && box.adoption) return adoption(box);
  return error_json({Errc::unsupported, fmt::format("the running meshnode does not know \"{}\"", verb),
                     "restart it: it is older than this program"});
}

// --- the verbs ---

/// From the disk of a node that is not running. Its router is opened only for what changes it.
Result<std::string> answer_stopped(const MeshnodeOptions& options, const std::string& request, bool touches_router) {
  auto identity = load_identity(options.data);
  if (!identity) return std::unexpected(identity.error());
  if (identity->node == NodeId()) {
    return fail(Errc::not_found, fmt::format("{} asked to join and was not admitted yet", options.data.string()),
                "run the same meshnode join again");
  }
  auto keys = load_keys(options.data);
  if (!keys) return std::unexpected(keys.error());
  std::unique_ptr<Dataplane> router = std::make_unique<DryRunDataplane>(keys->tunnels);
  if (touches_router) {
    auto opened = open_dataplane(options, *identity, keys->tunnels);
    if (!opened) return std::unexpected(opened.error());
    router = std::move(*opened);
  }
  PosixFiles files(options.data);
  ReplicaStore store(files);
  MESH_TRY(store.open());
  auto machine = open_services(options);
  auto agent_options = mesh::agent_options(*identity, *keys);
  agent_options.deployment.services = machine.services.get();
  Agent agent(std::move(agent_options), store, *router);
  // A replica that cannot be read keeps nobody from going back: the versions are beside it.
  (void)agent.peek(machine_now_ms());
  BoxJournal journal(files);
  ControllerEndpoints known(files, identity->endpoints);
  Box box{store, journal, known, agent, {}};
  keep_journal(box);
  return answer_control(box, request, 0);
}

/// What the running meshnode answers, or the disk of a stopped one.
Result<Json> ask(const MeshnodeOptions& options, const std::string& request, bool touches_router = false) {
  MESH_TRY(check_owner(options.data, request.substr(0, request.find(' '))));
  Result<std::string> document = fail(Errc::unavailable, "");
  // Between its lock and its socket, a meshnode that starts can do neither; that takes as long as an apply.
  for (int attempt = 0; attempt < 50; ++attempt) {
    document = ask_local(options.data, kControlSocket, request);
    // What changes the router is asked for once: a second rollback would go forward again.
    if (document || (touches_router && document.error().code == Errc::timeout)) break;
    auto lock = DataLock::take(options.data);
    if (lock) {
      document = answer_stopped(options, request, touches_router);
      break;
    }
    document = std::unexpected(lock.error());
    if (lock.error().code != Errc::conflict) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  if (!document) return std::unexpected(document.error());
  auto json = Json::parse(*document, nullptr, false);
  if (!json.is_object()) return fail(Errc::corrupt, "the running meshnode's answer is no document");
  if (const auto error = json.find("error"); error != json.end()) {
    return std::unexpected(Error{static_cast<Errc>(error->value("code", 0)), error->value("message", ""),
                                 error->value("fix", "")});
  }
  return json;
}

std::string list_text(const Json& list) {
  std::string out;
  for (const auto& each : list) out += (out.empty() ? "" : ", ") + each.get<std::string>();
  return out;
}

std::string history_table(const Json& json) {
  std::string out;
  for (const auto& each : json["versions"]) {
    const auto refused = each["refused"].get<std::string>();
    out += fmt::format("v{:<5}{:<10}{}{}\n", each["version"].get<uint32_t>(), each["state"].get<std::string>(),
                       each["digest"].get<std::string>().substr(0, 16), refused.empty() ? "" : "  " + refused);
  }
  if (out.empty()) out = "no version is on this box yet\n";
  if (const auto held = json["held"].get<std::string>(); !held.empty()) out += fmt::format("held: {}\n", held);
  for (const auto& each : json["events"]) {
    const auto message = each["message"].get<std::string>();
    out += fmt::format("{:<4}{}  #{} activation {}  {}, runs v{}{}\n", each["number"].get<uint64_t>(),
                       each["log_time"].get<std::string>(), each["sequence"].get<uint64_t>(),
                       each["activation"].get<uint64_t>(), each["what"].get<std::string>(),
                       each["version"].get<uint32_t>(), message.empty() ? "" : ": " + message);
  }
  if (const auto waiting = json["outcomes_waiting"].get<uint64_t>(); waiting > 0) {
    out += fmt::format("{} not reported to the controller yet\n", waiting);
  }
  return out;
}

void print(const MeshnodeOptions& options, const Json& json, const std::string& table) {
  fmt::print("{}", options.output == "json" ? json.dump() + "\n" : table);
}

}  // namespace

std::string answer_control(Box& box, const std::string& request, int64_t now) {
  // Messages come from elsewhere: what is not UTF-8 is replaced, never a reason to say nothing.
  return answer(box, request, now).dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

void keep_journal(Box& box) {
  if (box.store.serial() <= box.journal.newest()) return;
  (void)box.journal.take(box.store.outcomes(), box.agent.history().head(), box.agent.state().time);
}

Status show_history(const MeshnodeOptions& options) {
  auto json = ask(options, "history");
  if (!json) return std::unexpected(json.error());
  print(options, *json, history_table(*json));
  return {};
}

Status run_rollback(const MeshnodeOptions& options) {
  uint32_t number = 0;
  const std::string_view text = options.version;
  const auto digits = text.starts_with('v') ? text.substr(1) : text;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (!text.empty() && (parsed.ec != std::errc() || parsed.ptr != digits.data() + digits.size() || number == 0)) {
    return fail(Errc::usage, fmt::format("\"{}\" is no version", text), "write it as v3; see meshnode history");
  }
  auto json = ask(options, fmt::format("rollback {}", number), true);
  if (!json) return std::unexpected(json.error());
  const bool held = (*json)["held"].get<bool>();
  print(options, *json,
        fmt::format("rolled back: v{} -> v{}\n{}; the controller is told as soon as it answers\n",
                    (*json)["from"].get<uint32_t>(), (*json)["to"].get<uint32_t>(),
                    held ? fmt::format("activation {} is not followed; the next one is",
                                       (*json)["activation"].get<uint64_t>())
                         : "this is what the log wants"));
  return {};
}

Status run_endpoints(const MeshnodeOptions& options) {
  std::string request = "endpoints";
  if (options.reset) request += " reset";
  if (!options.endpoints.empty()) request += " set";
  for (const auto& each : options.endpoints) {
    MESH_TRY(split_controller_endpoint(each));
    request += " " + each;
  }
  auto json = ask(options, request);
  if (!json) return std::unexpected(json.error());
  const auto in_use = (*json)["in_use"].get<std::string>();
  std::string table = fmt::format("in use     {}\n", in_use.empty() ? "none" : in_use);
  if (!(*json)["by_root"].empty()) table += fmt::format("set here   {}\n", list_text((*json)["by_root"]));
  if (!(*json)["by_log"].empty()) {
    table += fmt::format("by the log {} (#{})\n", list_text((*json)["by_log"]), (*json)["sequence"].get<uint64_t>());
  }
  table += fmt::format("order      {}\n", list_text((*json)["order"]));
  print(options, *json, table);
  return {};
}

}  // namespace mesh
