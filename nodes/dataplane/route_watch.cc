#include "nodes/dataplane/route_watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace mesh {
namespace {

constexpr int kAttempts = 3;
constexpr std::string_view kKernelProtocols[] = {"kernel4", "kernel6"};

Result<BirdReply> ask(BirdControl& control, const std::string& command) {
  auto reply = control.command(command);
  if (reply && reply->failed())
    return fail(Errc::io, fmt::format("BIRD answers \"{}\" with {}", command, reply->text()));
  return reply;
}

}  // namespace

Result<RouteWatch::Marks> RouteWatch::ask_marks(BirdControl& control) const {
  Marks out;
  auto protocols = ask(control, "show protocols");
  if (!protocols) return std::unexpected(protocols.error());
  out.disabled = parse_disabled(*protocols);
  for (const auto name : kKernelProtocols) {
    auto reply = ask(control, fmt::format("show protocols all {}", name));
    if (!reply) return std::unexpected(reply.error());
    out.exports += export_marks(*reply);
  }
  return out;
}

Status RouteWatch::ask_routes(BirdControl& control, const Desired& wanted) {
  bird_routes_.clear();
  sources_ = wanted.loopbacks;
  for (const auto name : kKernelProtocols) {
    auto reply = ask(control, fmt::format("show route export {}", name));
    if (!reply) return std::unexpected(reply.error());
    auto routes = parse_bird_routes(*reply, sources_);
    if (!routes) return std::unexpected(routes.error());
    bird_routes_.insert(bird_routes_.end(), routes->begin(), routes->end());
  }
  std::ranges::sort(bird_routes_);
  return {};
}

Result<RouteLook> RouteWatch::look(const Desired& wanted) {
  auto control = bird_.connect();
  if (!control && control.error().code == Errc::not_found) return RouteLook{};
  if (!control) return std::unexpected(control.error());
  if (!monitor_)
    if (auto opened = RouteMonitor::open()) monitor_.emplace(std::move(*opened));
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    auto before = ask_marks(*control);
    if (!before) return std::unexpected(before.error());
    auto kernel = netlink_.routes();
    if (!kernel) return std::unexpected(kernel.error());
    const bool still = before->exports == exports_ && wanted.loopbacks == sources_;
    if (!still) MESH_TRY(ask_routes(*control, wanted));
    auto after = ask_marks(*control);
    if (!after) return std::unexpected(after.error());
    auto events = monitor_ ? monitor_->take() : std::vector<RouteEvent>();
    // Routes that moved meanwhile prove nothing: BIRD had them already, and the kernel not yet.
    if (after->exports != before->exports || !kernel->whole) {
      exports_.clear();
      continue;
    }
    exports_ = after->exports;
    RouteLook out{true, digest_of(kernel->routes), {}, std::move(after->disabled)};
    out.differences = compare_routes(kernel->routes, bird_routes_, kernel->up);
    if (still && attempt == 0) add_passed(events, kernel->routes, out.differences);
    return out;
  }
  return RouteLook{};
}

void RouteWatch::add_passed(const std::vector<RouteEvent>& events, const std::vector<Route>& kernel,
                            std::vector<RouteDifference>& out) const {
  std::set<IpPrefix> named;
  for (const RouteDifference& difference : out) named.insert(difference.to);
  for (const RouteEvent& event : events) {
    auto wanted = std::ranges::lower_bound(bird_routes_, event.route.to, {}, &Route::to);
    if (wanted == bird_routes_.end() || wanted->to != event.route.to) continue;
    if (!event.removed && (event.route == *wanted || event.route.metric != wanted->metric)) continue;
    if (event.removed && event.route != *wanted) continue;
    if (!std::ranges::binary_search(kernel, *wanted) || !named.insert(wanted->to).second) continue;
    out.push_back({wanted->to, *wanted,
                   event.removed ? std::nullopt : std::optional<Route>(event.route), true});
  }
  std::ranges::stable_sort(out, {}, &RouteDifference::to);
}

Status RouteWatch::mend(const std::vector<RouteDifference>& differences) {
  bool reload[2] = {};
  for (const RouteDifference& difference : differences) {
    if (difference.found && !difference.passed) MESH_TRY(netlink_.remove_route(*difference.found));
    if (difference.expected) reload[difference.to.v6()] = true;
  }
  auto control = bird_.connect();
  if (!control) return std::unexpected(control.error());
  for (int family = 0; family < 2; ++family)
    if (reload[family])
      if (auto reply = ask(*control, fmt::format("reload out {}", kKernelProtocols[family])); !reply)
        return std::unexpected(reply.error());
  exports_.clear();
  return {};
}

}  // namespace mesh
