// doctor: goes down the way that every verb takes, and says where it ends.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/handlers.h"
#include "cli/link_text.h"
#include "cli/version.h"
#include "cli/views.h"
#include "schemas/json.h"

namespace mesh::cli {

namespace {

constexpr int64_t kClockSlackUs = 5'000'000;
constexpr int64_t kLagWarn = 100;
constexpr uint64_t kNodesNamed = 20;

class Doctor {
 public:
  explicit Doctor(Session& session) : session_(session) {}

  Result<int> run() {
    check_programs();
    if (check_context() && check_reach()) {
      check_checkpoint();
      check_keys();
      check_controller();
      check_clock();
      check_nodes();
    }
    Json document{{"kind", "Doctor"}, {"ok", failed_ == 0}, {"items", std::move(items_)}};
    session_.print_list(document, kDoctorView);
    if (failed_ > 0) return first_exit_;
    return int{kSuccess};
  }

 private:
  void add(std::string_view check, std::string_view state, std::string detail,
           std::string fix = {}) {
    items_.push_back({{"check", check},
                      {"state", state},
                      {"detail", std::move(detail)},
                      {"fix", std::move(fix)}});
  }
  void ok(std::string_view check, std::string detail) { add(check, "ok", std::move(detail)); }
  void warn(std::string_view check, std::string detail, std::string fix = {}) {
    add(check, "warn", std::move(detail), std::move(fix));
  }
  bool broken(std::string_view check, const Error& error) {
    if (failed_++ == 0) first_exit_ = exit_code(error.code, false);
    add(check, "fail", error.message, error.fix);
    return false;
  }

  /// On an operator's machine they may be missing; on a router they may not.
  void check_programs() {
    std::string missing;
    for (const std::string_view program : {"wg", "bird", "ip"})
      if (!in_path(program)) missing += fmt::format("{}{}", missing.empty() ? "" : ", ", program);
    if (missing.empty())
      ok("programs", "wg, bird and ip are here");
    else
      add("programs", "note", fmt::format("not here: {}; only routers need them", missing));
  }

  bool in_path(std::string_view program) {
    std::string path = session_.environment().variable("PATH").value_or("");
    path += ":/usr/sbin:/sbin";  // not in an ordinary user's PATH
    for (const std::string& folder : split(path, ':'))
      if (!folder.empty() && ::access((folder + "/" + std::string(program)).c_str(), X_OK) == 0)
        return true;
    return false;
  }

  bool check_context() {
    auto context = session_.context();
    if (!context) return broken("context", context.error());
    ok("context", fmt::format("{}, readable by its owner alone, operator {}",
                              (*context)->path.string(), (*context)->name));
    return true;
  }

  bool check_reach() {
    const int64_t begin = session_.environment().monotonic_ms();
    auto client = session_.client();
    if (!client) return broken("controller", client.error());
    client_ = *client;
    auto whoami = client_->query("whoami");
    if (!whoami) return broken("controller", whoami.error());
    ok("controller", fmt::format("answers in {} ms, takes us for {} ({})",
                                 session_.environment().monotonic_ms() - begin,
                                 text_at(*whoami, "name"), text_at(*whoami, "role")));
    return true;
  }

  void check_checkpoint() {
    auto position = client_->position();
    if (!position) {
      broken("checkpoint", position.error());
      return;
    }
    ok("checkpoint", fmt::format("signed by the log key at #{}, epoch {}",
                                 position->sequence.value(), position->epoch));
  }

  void check_keys() {
    auto document = client_->query("enrolment");
    if (!document) {
      broken("keys", document.error());
      return;
    }
    const Connection& pinned = client_->context().connection;
    const bool same = text_at(*document, "log") == to_hex(pinned.log.view()) &&
                      text_at(*document, "log_key") == to_hex(pinned.log_key.view()) &&
                      text_at(*document, "controller_key") == to_hex(pinned.controller_key.view());
    if (same)
      ok("keys", "log and controller are those that the context pins");
    else
      broken("keys",
             {Errc::corrupt, "the controller names another log or other keys than the context pins",
              "ask an administrator for `meshcli controller connection`"});
  }

  void check_controller() {
    auto document = client_->query("controller");
    if (!document) {
      broken("log", document.error());
      return;
    }
    if (flag_at(*document, "read_only"))
      broken("log", {Errc::unavailable,
                     "the controller is read-only: " + text_at(*document, "problem"),
                     "free space on its disk; after a restore, meshcli controller start-epoch"});
    else
      ok("log", fmt::format("#{} entries, {}, takes writes", number_at(*document, "sequence"),
                            bytes_text(static_cast<uint64_t>(number_at(*document, "log_bytes")))));
    if (const std::string version = text_at(*document, "version"); version != kProgramVersion)
      warn("version", fmt::format("controller {}, meshcli {}", version, kProgramVersion),
           "install the same version");
  }

  /// The newest entry's time is a lower bound of the controller's clock.
  void check_clock() {
    auto position = client_->position();
    if (!position || position->sequence == Sequence()) return;
    auto document =
        client_->query("log", {{"after", std::to_string(position->sequence.value() - 1)}});
    if (!document) return;
    const Json& items = value_at(*document, "items");
    if (!items.is_array() || items.empty()) return;
    const std::string newest = text_at(items[0], "time");
    const Timestamp latest(session_.environment().now().value() + kClockSlackUs);
    if (newest > time_text(latest))
      warn("clock", fmt::format("this machine's clock is behind the newest entry ({})", newest),
           "set the clock, for example with NTP");
    else
      ok("clock", "not behind the newest entry");
  }

  void check_nodes() {
    auto document = client_->query("status");
    if (!document) {
      broken("nodes", document.error());
      return;
    }
    uint64_t well = 0, named = 0, absent = 0, total = 0;
    for (const Json& node : value_at(*document, "items")) {
      const std::string state = text_at(node, "state"), problem = text_at(node, "problem");
      const int64_t lag = number_at(node, "lag");
      ++total;
      if ((state == "ok" || state == "behind") && problem.empty() && lag < kLagWarn) {
        ++well;
      } else if (state == "not enrolled" || state == "revoked") {
        ++absent;
      } else if (named++ < kNodesNamed) {
        std::string detail = state;
        if (lag > 0) detail += fmt::format(", {} {} behind", lag, lag == 1 ? "entry" : "entries");
        if (!problem.empty()) detail += ", " + problem;
        warn(fmt::format("node {}", text_at(node, "fullname")), detail);
      }
    }
    check_drift(value_at(*document, "items"));
    check_paths(value_at(*document, "items"));
    if (named > kNodesNamed)
      warn("nodes", fmt::format("and {} more", named - kNodesNamed), "see `meshcli status`");
    add("nodes", named == 0 ? "ok" : "note",
        fmt::format("{} of {} well, {} not enrolled or revoked", well, total, absent));
  }

  /// Somebody edited a router by hand.
  void check_drift(const Json& items) {
    uint64_t edited = 0;
    for (const Json& node : items) {
      const int64_t count = number_at(node, "drift");
      if (count == 0 || edited++ >= kNodesNamed) continue;
      const std::string name = text_at(node, "fullname");
      warn("drift",
           fmt::format("{} is not as its version says: {}", name, count_text(static_cast<uint64_t>(count), "edit")),
           fmt::format("meshcli drift node {}", name));
    }
    if (edited > kNodesNamed)
      warn("drift", fmt::format("and {} more nodes", edited - kNodesNamed), "see `meshcli drift`");
  }

  void check_paths(const Json& items) {
    auto findings = path_findings(items);
    for (uint64_t i = 0; i < std::min<uint64_t>(findings.size(), kNodesNamed); ++i)
      warn("mtu", std::move(findings[i].detail), std::move(findings[i].fix));
    if (findings.size() > kNodesNamed)
      warn("mtu", fmt::format("and {} more links", findings.size() - kNodesNamed), "see `meshcli list links`");
  }

  Session& session_;
  Client* client_ = nullptr;
  Json items_ = Json::array();
  int failed_ = 0;
  int first_exit_ = kFailed;
};

}  // namespace

Result<int> doctor(Session& session) { return Doctor(session).run(); }

}  // namespace mesh::cli
