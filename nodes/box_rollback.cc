// Deployment::roll_back: what root does on the box, without the controller.
#include <fmt/core.h>

#include <algorithm>
#include <string>

#include "nodes/deployment.h"

namespace mesh {

namespace {

std::string name_of(Version version) { return fmt::format("v{}", version.value()); }

std::string names_of(const std::vector<Version>& versions) {
  std::string out;
  for (const auto version : versions) out += (out.empty() ? "" : ", ") + name_of(version);
  return out.empty() ? "none" : out;
}

}  // namespace

Result<StoredVersion> Deployment::version_to_go_back_to(Version& version) {
  const auto& pointers = store_.pointers();
  if (overlay_.revoked) return fail(Errc::not_permitted, "this node was revoked: it runs nothing any more");
  if (version == Version()) version = pointers.previous;
  const auto here = fmt::format("versions on this box: {}", names_of(store_.list_versions()));
  if (version == Version()) return fail(Errc::not_found, "there is no version before the one that runs", here);
  if (version == pointers.active && active_) {
    return fail(Errc::conflict, fmt::format("{} runs already", name_of(version)), here);
  }
  if (const auto reason = store_.refused(version)) {
    return fail(Errc::invalid, fmt::format("{} is refused: {}", name_of(version), *reason), here);
  }
  auto config = store_.get_version(version);
  if (!config && config.error().code == Errc::not_found) {
    return fail(Errc::not_found, fmt::format("{} is not on this box", name_of(version)), here);
  }
  return config;
}

/// What waits is ended by a rollback that can be done only.
Status Deployment::check_beside_trial(Version version) {
  const auto& waiting = store_.waiting();
  if (!waiting || given_up(waiting->activation)) return {};
  if (version == Version() || version == store_.pointers().active) return {};
  if (version == waiting->version) {
    return fail(Errc::conflict, fmt::format("{} runs already, and waits for its confirmation", name_of(version)),
                fmt::format("meshcli confirm {}, or meshnode rollback to end it", waiting->activation.value()));
  }
  auto config = version_to_go_back_to(version);
  return config ? Status() : std::unexpected(config.error());
}

/// What waits for its confirmation is what is gone back from. True when that was all.
bool Deployment::roll_back_trial(Version version, WentBack& went) {
  if (!store_.waiting() || given_up(store_.waiting()->activation)) return false;
  if (!trial_) trial_.emplace(*store_.waiting(), active_, false);  // of a program that does not run
  const auto active = store_.pointers().active;
  const bool all = version == Version() || version == active;
  went = {trial_->kept().version, all ? active : version};
  go_back(OutcomeKind::reverted,
          fmt::format("rolled back on the box: {} -> {}", name_of(went.from), name_of(went.to)));
  return all;
}

Result<WentBack> Deployment::roll_back(Version version, const Node* node) {
  MESH_TRY(check_beside_trial(version));
  if (WentBack went; roll_back_trial(version, went)) return went;
  auto config = version_to_go_back_to(version);
  if (!config) return std::unexpected(config.error());
  const WentBack went{store_.pointers().active, version};
  const auto message = fmt::format("rolled back on the box: {} -> {}", name_of(went.from), name_of(went.to));
  const auto handled = store_.pointers().activation;
  const auto activation = node ? std::max(handled, node->activation) : handled;
  const bool as_the_log = node && node->active == version;

  // The hold comes first: after a crash in between, nothing leads back to what was given up.
  const auto held = store_.pointers().held;
  const auto held_why = store_.pointers().held_why;
  MESH_TRY(store_.hold(as_the_log ? std::nullopt : std::optional(activation), message));
  if (auto pending = store_.set_pending(version); !pending) {
    (void)store_.hold(held, held_why);  // the first error is the one to tell
    return std::unexpected(pending.error());
  }
  if (auto done = switch_to(std::move(*config)); !done) {
    (void)store_.clear_pending();
    (void)store_.hold(held, held_why);
    return fail_in(fmt::format("{} cannot be applied, {} stays", name_of(version), name_of(went.from)), done.error());
  }
  wanted_.reset();
  tried_.reset();
  MESH_TRY(store_.set_active(version));
  record(as_the_log ? OutcomeKind::applied : OutcomeKind::reverted, activation, message);
  activation_problem_ = as_the_log ? std::string() : held_text();
  return went;
}

}  // namespace mesh
