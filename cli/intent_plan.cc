#include "cli/intent_plan.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>

#include "cli/files/file_contents.h"
#include "cli/render.h"
#include "eventstore/model/decide.h"
#include "eventstore/model/evolve.h"

namespace mesh::cli {

namespace {

class Planner {
 public:
  Planner(const MeshState& now, const MeshState& after, const std::vector<Event>& events)
      : now_(now), after_(after) {
    for (const Event& event : events)
      if (const auto* renamed = std::get_if<SiteRenamed>(&event)) {
        auto from = origin_.extract(renamed->from);
        origin_[renamed->to] = from ? from.mapped() : renamed->from;
      }
  }

  IntentPlan run() {
    attributes("global", now_.global, after_.global);
    sites();
    nodes();
    people();
    return std::move(out_);
  }

 private:
  std::string origin_of(const std::string& site) const {
    auto known = origin_.find(site);
    return known == origin_.end() ? site : known->second;
  }

  void line(char sign, std::string text, bool indented = false) {
    size_t& count = sign == '+' ? out_.added : sign == '-' ? out_.removed : out_.changed;
    if (sign != ' ') ++count;
    out_.lines.push_back({sign, indented, std::move(text)});
  }

  void attributes(const std::string& place, const Attributes& before, const Attributes& now) {
    bool headed = false;
    auto put = [&](char sign, std::string text) {
      if (!headed && !place.empty()) line(' ', place);
      headed = true;
      line(sign, std::move(text), true);
    };
    for (const auto& [name, attribute] : before)
      if (!now.contains(name)) put('-', fmt::format("{} = {}", name, attribute_text(attribute.value)));
    for (const auto& [name, attribute] : now) {
      auto was = before.find(name);
      if (was == before.end())
        put('+', fmt::format("{} = {}", name, attribute_text(attribute.value)));
      else if (was->second.value != attribute.value)
        put('~', fmt::format("{} = {} -> {}", name, attribute_text(was->second.value),
                             attribute_text(attribute.value)));
    }
  }

  void sites() {
    std::set<std::string> kept;
    for (const auto& [name, site] : after_.sites) {
      const std::string origin = origin_of(name);
      const Site* before = now_.find_site(origin);
      if (before && kept.insert(origin).second) {
        if (origin != name) line('~', fmt::format("site {} -> {}", origin, name));
        attributes(origin == name ? "site " + name : "", before->attributes, site->attributes);
      } else {
        line('+', "site " + name);
        attributes("", {}, site->attributes);
      }
    }
    for (const auto& [name, site] : now_.sites)
      if (!kept.contains(name)) {
        line('-', "site " + name);
        out_.lost_sites.push_back(name);
      }
  }

  static std::string name_of(const Node& node) {
    return fmt::format("node {} ({})", node.fullname(), node.id.value());
  }

  void nodes() {
    for (const auto& [id, node] : after_.nodes) {
      const Node* before = now_.find_node(id);
      if (!before) {
        line('+', name_of(*node));
        attributes("", {}, node->attributes);
        continue;
      }
      // A site's new name is told once.
      const bool renamed = before->name != node->name || before->site != origin_of(node->site);
      if (renamed) line('~', fmt::format("{} -> {}", name_of(*before), node->fullname()));
      attributes(renamed ? "" : name_of(*node), before->attributes, node->attributes);
      if (before->enrolment == Enrolment::enrolled && node->enrolment != Enrolment::enrolled)
        lose(*before);
      if (before->active != node->active)
        line('~', fmt::format("{} runs v{} -> v{}", name_of(*node), before->active.value(),
                              node->active.value()));
    }
    for (const auto& [id, node] : now_.nodes)
      if (!after_.find_node(id)) {
        line('-', name_of(*node));
        lose(*node);
      }
  }

  void lose(const Node& node) {
    out_.lost_nodes.push_back(node.fullname());
    out_.lost_enrolled += node.enrolment == Enrolment::enrolled;
  }

  void people() {
    for (const auto& [name, person] : after_.operators) {
      const Operator* before = now_.find_operator(name);
      if (before && before->role != person.role)
        line('~', fmt::format("operator {} is {} -> {}", name, role_name(before->role),
                              role_name(person.role)));
      else if (before && before->sites != person.sites)
        line('~', fmt::format("operator {} may change {}", name,
                              person.sites.empty() ? "all sites"
                                                   : fmt::format("{}", fmt::join(person.sites, ", "))));
    }
    for (const auto& [id, token] : now_.tokens)
      if (auto it = after_.tokens.find(id);
          token.state == TokenState::open && it->second.state != TokenState::open)
        line('-', fmt::format("token {}", id.value()));
    for (const auto& [name, tag] : now_.tags)
      if (!after_.tags.contains(name))
        line('-', fmt::format("tag {} at #{}", name, tag.sequence.value()));
    for (const auto& [name, tag] : after_.tags)
      if (!now_.tags.contains(name))
        line('+', fmt::format("tag {} at #{}", name, tag.sequence.value()));
  }

  const MeshState& now_;
  const MeshState& after_;
  std::map<std::string, std::string> origin_;  // site after -> before
  IntentPlan out_;
};

std::string plain(const IntentPlan::Line& line) {
  return fmt::format("{}{}{}", line.indented ? "    " : "",
                     line.sign == ' ' ? "  " : fmt::format("{} ", line.sign), line.text);
}

/// What `context`'s operator would have decided now.
Result<std::vector<Event>> decide_commands(const OperatorContext& context, const MeshState& now,
                                           const std::vector<Command>& commands) {
  Request request;
  request.log = context.connection.log;
  request.epoch = now.epoch;
  request.principal = Principal::human(context.name);
  request.based_on = now.sequence;
  request.commands = commands;
  return decide(now, request, Context{now.time, {}});
}

MeshState after_events(const OperatorContext& context, const MeshState& now, const std::vector<Event>& events) {
  MeshState after = now;
  const Applied at{next(now.sequence), now.time, Principal::human(context.name)};
  for (const Event& event : events) evolve(after, event, at);
  return after;
}

}  // namespace

Result<MeshState> state_after(const OperatorContext& context, const MeshState& now,
                              const std::vector<Command>& commands) {
  auto events = decide_commands(context, now, commands);
  if (!events) return std::unexpected(std::move(events).error());
  return after_events(context, now, *events);
}

Result<IntentPlan> plan_commands(const OperatorContext& context, const MeshState& now,
                                 const std::vector<Command>& commands) {
  auto events = decide_commands(context, now, commands);
  if (!events) return std::unexpected(std::move(events).error());
  return Planner(now, after_events(context, now, *events), *events).run();
}

std::string plan_text(const IntentPlan& plan, bool colour) {
  std::string out;
  for (const IntentPlan::Line& line : plan.lines) {
    const Tone tone = line.sign == '+'   ? Tone::good
                      : line.sign == '-' ? Tone::bad
                      : line.sign == '~' ? Tone::warn
                                         : Tone::plain;
    out += paint(printable(plain(line)), tone, colour) + "\n";
  }
  return out + fmt::format("plan: {} to add, {} to change, {} to remove\n", plan.added, plan.changed,
                           plan.removed);
}

Json plan_json(const IntentPlan& plan) {
  Json out = Json::array();
  for (const IntentPlan::Line& line : plan.lines) out.push_back(plain(line));
  return out;
}

}  // namespace mesh::cli
