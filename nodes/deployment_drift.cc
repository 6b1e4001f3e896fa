// The part of Deployment that looks at what runs.
#include <fmt/core.h>

#include <map>

#include "nodes/deployment.h"

namespace mesh {

namespace {
constexpr int64_t kServicesAgainMs = 60'000;  // a daemon that does not take its files is asked again so often
}

bool Deployment::reconcile_again(int64_t now) {
  // What was refused for allow.toml is tried again when that is another one.
  if (options_.services && options_.services->permits_otherwise()) tried_.reset();
  const auto before = router_problem_;
  const auto steps = steps_.size();
  // What never became what it shall be has a problem, not a drift, and is tried again as a whole.
  const bool judged = bindable() && !dirty_ && !overlay_.revoked;
  if (judged) {
    look_for_drift(now);
  } else {
    drift_.forget();
    apply_active();
  }
  return router_problem_ != before || steps_.size() != steps;
}

void Deployment::look_for_drift(int64_t now) {
  Version version;
  auto files = edited_files(version);
  const bool heals = active_->drift == DriftPolicy::heal, heal_disk = heals && !files.empty();
  const auto bound = bound_to_now(*active_);
  if (!bound) {
    router_problem_ = text_of(bound.error());
    return;
  }
  const bool heal_placed = look_at_services(bound->services, files, now) && heals;
  auto look = drift_.look(dataplane_, bound->desired, options_.own_keys, active_->drift, std::move(files), now);
  Status problem = look ? look->problem : std::unexpected(look.error());
  if (look) steps_.insert(steps_.end(), look->steps.begin(), look->steps.end());
  if (heal_disk)
    if (auto healed = heal_files(version); !healed && problem) problem = healed;
  router_problem_ = problem ? std::string() : text_of(problem.error());
  if (heal_placed) apply_services(bound->services);
}

/// True when something that was placed is not as it was; what could not be placed is tried again now and then.
bool Deployment::look_at_services(const WantedServices& wanted, std::vector<Drift>& edited, int64_t now) {
  if (!options_.services) return false;
  const auto placed = options_.services->look(wanted);
  edited.insert(edited.end(), placed.begin(), placed.end());
  if (options_.services->unsettled() && next_services_ms_ <= now) {
    next_services_ms_ = now + kServicesAgainMs;
    options_.services->start(wanted);
    apply_services(wanted);
  }
  return !placed.empty();
}

/// Of the stored version that runs, which is told too; of none when what runs is not stored.
std::vector<Drift> Deployment::edited_files(Version& version) {
  const auto& pointers = store_.pointers();
  const auto digest = config_digest(*active_);
  for (const auto candidate : {pointers.active, pointers.pending}) {
    version = candidate;
    auto edited = store_.edited_files(version, digest);
    if (edited.empty()) continue;
    auto texts = files_of(*active_, overlay_);
    texts["config.json"] = config_text(*active_);
    std::vector<Drift> out;
    for (const auto& file : edited) {
      const auto name = fmt::format("versions/v{}/{}", version.value(), file.name);
      out.push_back(text_drift("file", name, texts[file.name], file.text));
      if (out.back().expected == out.back().found) out.back().found = "not as it was stored";
    }
    return out;
  }
  return {};
}

Status Deployment::heal_files(Version version) {
  return store_.rewrite_version(version, config_text(*active_), files_of(*active_, overlay_));
}

}  // namespace mesh
