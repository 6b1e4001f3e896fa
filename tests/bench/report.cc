#include "tests/bench/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <thread>

namespace mesh::bench {

namespace {

/// Three significant digits are more than a shared machine can promise.
double rounded(double value) {
  if (value == 0 || !std::isfinite(value)) return 0;
  double step = std::pow(10.0, std::floor(std::log10(std::abs(value))) - 3);
  return std::round(value / step) * step;
}

nlohmann::json spread(const std::vector<double>& runs) {
  nlohmann::json out = {{"median", rounded(median(runs))},
                        {"min", rounded(quantile(runs, 0))},
                        {"max", rounded(quantile(runs, 1))},
                        {"repetitions", runs.size()}};
  for (double run : runs) out["runs"].push_back(rounded(run));
  return out;
}

std::string number(double value) {
  if (value >= 1'000'000) return fmt::format("{:.2f} M", value / 1e6);
  if (value >= 10'000) return fmt::format("{:.1f} k", value / 1e3);
  return value >= 100 ? fmt::format("{:.0f}", value) : fmt::format("{:.3g}", value);
}

bool meets(const Target& target, double value) {
  return target.at_most ? value <= target.bound : value >= target.bound;
}

nlohmann::json verdict(const Target& target, double value) {
  return {{"target", target.id},
          {target.at_most ? "at_most" : "at_least", target.bound},
          {"met", meets(target, value)}};
}

std::string verdict_text(const Target& target, double value) {
  return fmt::format("{} {} {}: {}", target.id, target.at_most ? "at most" : "at least",
                     number(target.bound), meets(target, value) ? "met" : "missed");
}

}  // namespace

double quantile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  return values[std::min(values.size() - 1,
                         static_cast<size_t>(share * static_cast<double>(values.size())))];
}

void Report::sample(const std::string& name, std::string_view unit, Nature nature, double value) {
  if (warm_up_) return;
  auto it = std::ranges::find(figures_, name, &Figure::name);
  if (it == figures_.end()) it = figures_.insert(it, {name, std::string(unit), nature, {}});
  it->runs.push_back(value);
}

void Report::ratio(const std::string& name, const std::string& of, const std::string& to,
                   std::optional<Target> target) {
  ratios_.push_back({name, of, to, std::move(target)});
}

void Report::check(const std::string& name, bool holds) {
  auto [it, added] = checks_.emplace(name, holds);
  if (!added) it->second = it->second && holds;
}

bool Report::good() const {
  return std::ranges::all_of(checks_, [](const auto& check) { return check.second; });
}

const Report::Figure* Report::find(const std::string& name) const {
  auto it = std::ranges::find(figures_, name, &Figure::name);
  return it == figures_.end() ? nullptr : &*it;
}

std::vector<double> Report::quotients(const Ratio& ratio) const {
  const Figure *of = find(ratio.of), *to = find(ratio.to);
  std::vector<double> out;
  for (size_t i = 0; of && to && i < std::min(of->runs.size(), to->runs.size()); ++i)
    out.push_back(of->runs[i] / to->runs[i]);
  return out;
}

std::string Report::json(bool quick) const {
  nlohmann::json out = {{"bench", "meshbench"},
                        {"quick", quick},
                        {"processors", std::thread::hardware_concurrency()},
                        {"figures", nlohmann::json::array()},
                        {"ratios", nlohmann::json::array()},
                        {"facts", facts_},
                        {"checks", checks_},
                        {"good", good()}};
  for (const Figure& figure : figures_) {
    nlohmann::json item = spread(figure.runs);
    item.update({{"name", figure.name},
                 {"unit", figure.unit},
                 {"durable", figure.nature.durable},
                 {"encrypted", figure.nature.encrypted},
                 {"signed", figure.nature.with_signatures}});
    if (auto it = bounds_.find(figure.name); it != bounds_.end())
      item.update(verdict(it->second, median(figure.runs)));
    out["figures"].push_back(std::move(item));
  }
  for (const Ratio& ratio : ratios_) {
    std::vector<double> values = quotients(ratio);
    nlohmann::json item = spread(values);
    item.update({{"name", ratio.name}, {"of", ratio.of}, {"to", ratio.to}});
    if (ratio.target) item.update(verdict(*ratio.target, median(values)));
    out["ratios"].push_back(std::move(item));
  }
  return out.dump(2) + "\n";
}

std::string Report::table() const {
  std::string out = fmt::format("{:<44} {:>10} {:>10} {:>10}  {:<14} {}\n", "figure", "median",
                                "min", "max", "unit", "durable encrypted signed");
  auto yes = [](bool is) { return is ? "yes" : "-"; };
  for (const Figure& f : figures_) {
    auto it = bounds_.find(f.name);
    out += fmt::format("{:<44} {:>10} {:>10} {:>10}  {:<14} {:<7} {:<9} {:<6} {}\n", f.name,
                       number(median(f.runs)), number(quantile(f.runs, 0)),
                       number(quantile(f.runs, 1)), f.unit, yes(f.nature.durable),
                       yes(f.nature.encrypted), yes(f.nature.with_signatures),
                       it == bounds_.end() ? "" : verdict_text(it->second, median(f.runs)));
  }
  if (!ratios_.empty())
    out += fmt::format("\n{:<44} {:>10} {:>10} {:>10}  {}\n", "ratio", "median", "min", "max",
                       "target");
  for (const Ratio& ratio : ratios_) {
    std::vector<double> values = quotients(ratio);
    std::string target = ratio.target ? verdict_text(*ratio.target, median(values)) : "";
    out += fmt::format("{:<44} {:>10} {:>10} {:>10}  {}\n", ratio.name, number(median(values)),
                       number(quantile(values, 0)), number(quantile(values, 1)), target);
  }
  out += "\n";
  for (const auto& [name, value] : facts_)
    out += fmt::format("{:<44} {:>10}\n", name, number(value));
  for (const auto& [name, holds] : checks_)
    out += fmt::format("{:<44} {:>10}\n", name, holds ? "holds" : "FAILED");
  return out;
}

}  // namespace mesh::bench
