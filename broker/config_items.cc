#include "broker/config_items.h"

#include <fmt/format.h>

#include <algorithm>

#include "broker/prepare.h"
#include "eventstore/model/text_diff.h"

namespace mesh::answering {

namespace {

constexpr size_t kShortLinesMax = 3;

void shorten(std::vector<std::string>& lines) {
  if (lines.size() <= kShortLinesMax) return;
  const size_t more = lines.size() - kShortLinesMax;
  lines.resize(kShortLinesMax);
  lines.push_back(fmt::format("... and {} more", more));
}

}  // namespace

void ConfigItems::add(NodeId node, const std::string& fullname, const NodeConfig* before,
                      const NodeConfig* after) {
  ConfigChange change;
  if (after)
    change = compare_configs(before, *after);
  else
    change = {Effect::hot, {"- no configuration any more"}, {Effect::hot}, {}};
  std::string text = text_left_ > 0 ? file_diffs(fullname, before, after) : std::string();
  text_left_ -= std::min(text_left_, text.size());
  if (text_left_ == 0) {
    ++shortened_;
    text.clear();
    shorten(change.lines);
  }
  nlohmann::json item = start(node, fullname);
  item["effect"] = effect_name(change.effect);
  item["changes"] = std::move(change.lines);
  item["text"] = std::move(text);
  items_.add(std::move(item));
}

void ConfigItems::add_problem(NodeId node, const std::string& fullname,
                              std::vector<std::string> why) {
  nlohmann::json item = start(node, fullname);
  item["effect"] = "unknown";
  item["changes"] = std::move(why);
  item["text"] = "";
  items_.add(std::move(item));
}

nlohmann::json ConfigItems::start(NodeId node, const std::string& fullname) const {
  return {{"node", node.value()}, {"fullname", fullname}, {"a", a_}, {"b", b_}};
}

std::string ConfigItems::file_diffs(const std::string& fullname, const NodeConfig* before,
                                    const NodeConfig* after) const {
  std::map<std::string, std::pair<std::string, std::string>> files;
  if (before)
    for (auto& [name, text] : a_texts_(*before)) files[name].first = std::move(text);
  if (after)
    for (auto& [name, text] : b_texts_(*after)) files[name].second = std::move(text);
  std::string out;
  for (const auto& [name, texts] : files)
    out += unified_diff(fmt::format("{}/{}/{}", a_, fullname, name), texts.first,
                        fmt::format("{}/{}/{}", b_, fullname, name), texts.second);
  return out;
}

}  // namespace mesh::answering
