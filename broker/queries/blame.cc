// blame: which entry a value or a line of a rendered file comes from.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "broker/node_files.h"
#include "broker/prepare.h"
#include "broker/queries/queries_internal.h"
#include "schemas/codec.h"

namespace mesh::answering {

namespace {

constexpr size_t kSearchEntries = 20'000;  // one page of a search for who removed a value

/// Where a value for `scope` can be set: itself and what it inherits from.
std::vector<Scope> chain_of(const MeshState& state, const Scope& scope) {
  std::vector<Scope> out{scope};
  if (scope.level == Level::node)
    out.push_back({Level::site, state.find_node(scope.node)->site, {}});
  if (scope.level != Level::global) out.push_back({});
  return out;
}

/// The event of entry `sequence` that set `name` to `value`; the value that it replaced.
json before_json(const QueryFacts& facts, Sequence sequence, const std::string& name,
                 const AttributeValue& value) {
  auto read = facts.log->read(sequence, 1, 1);
  if (!read || read->empty()) return json();
  auto entry = decode_entry(read->front());
  if (!entry || !entry->body) return json();
  for (const Event& event : entry->body->events)
    if (const auto* set = std::get_if<AttributeSet>(&event);
        set && set->name == name && set->value == value)
      return set->before ? to_json(*set->before) : json();
  return json();
}

json attribute_item(const QueryFacts& facts, const std::string& name,
                    const EffectiveAttribute& attribute) {
  json item = attribute.sequence == Sequence() ? json{{"sequence", 0},
                                                      {"time", json()},
                                                      {"by", json()},
                                                      {"message", ""},
                                                      {"reference", ""}}
                                               : credit_json(facts, attribute.sequence);
  item["name"] = name;
  item["value"] = to_json(attribute.value);
  item["scope"] = attribute.scope ? to_text(facts.state, *attribute.scope) : "default";
  item["before"] = attribute.scope
                       ? before_json(facts, attribute.sequence, name, attribute.value)
                       : json();
  item["removed"] = false;
  return item;
}

struct Removal {
  Sequence sequence;
  Scope scope;
  AttributeValue before;
};

/// The newest removal of `name` at one of `places`; looks at a bounded stretch back from `last`.
std::pair<std::optional<Removal>, ScanRange> find_removal(const QueryFacts& facts, uint64_t last,
                                                          const std::vector<Scope>& places,
                                                          const std::string& name) {
  std::optional<Removal> found;
  const ScanRange left = scan(
      *facts.log, facts.index, {{attribute_key(name)}, {type_key("AttributeUnset")}},
      {1, last, true}, kSearchEntries, [&](Sequence at, const Result<Entry>& entry) {
        if (!entry || !entry->body) return true;
        for (const Event& event : entry->body->events)
          if (const auto* unset = std::get_if<AttributeUnset>(&event);
              unset && unset->name == name && std::ranges::find(places, unset->scope) != places.end())
            found = Removal{at, unset->scope, unset->before};
        return !found;
      });
  return {found, left};
}

QueryResult one_page(const json& document) { return {document.dump(), false, {}}; }

/// Of an attribute that is set nowhere: who removed it last.
Result<QueryResult> blame_unset(const QueryFacts& facts, const Scope& scope,
                                const std::string& name, const EffectiveAttribute* fallback) {
  auto last = number_argument(facts, "cursor", facts.state.sequence.value());
  if (!last) return std::unexpected(last.error());
  const auto [removal, left] = find_removal(facts, *last, chain_of(facts.state, scope), name);
  json out = list_document(facts, "Blame", json::array());
  out["scope"] = to_text(facts.state, scope);
  if (!removal && left.first <= left.last)
    return QueryResult{out.dump(), true, std::to_string(left.last)};
  if (!removal && !fallback)
    return fail(Errc::not_found,
                fmt::format("{} was never set for {}", name, to_text(facts.state, scope)),
                "meshcli show_all " + to_text(facts.state, scope));
  json item = fallback ? attribute_item(facts, name, *fallback)
                       : json{{"name", name}, {"value", json()}, {"scope", json()}};
  if (removal) {
    item.update(credit_json(facts, removal->sequence));
    item["removed"] = true;
    item["removed_from"] = to_text(facts.state, removal->scope);
    item["before"] = to_json(removal->before);
  }
  out["items"].push_back(std::move(item));
  return one_page(out);
}

Result<QueryResult> blame_attributes(const QueryFacts& facts) {
  auto scope = scope_argument(facts);
  if (!scope) return std::unexpected(scope.error());
  const auto all = effective_attributes(facts.state, *scope);
  if (auto name = argument(facts, "name")) {
    auto found = all.find(*name);
    const EffectiveAttribute* known = found == all.end() ? nullptr : &found->second;
    if (!known || !known->scope) return blame_unset(facts, *scope, *name, known);
  }
  json items = json::array();
  for (const auto& [name, attribute] : all)
    if (argument(facts, "name").value_or(name) == name)
      items.push_back(attribute_item(facts, name, attribute));
  json out = list_document(facts, "Blame", std::move(items));
  out["scope"] = to_text(facts.state, *scope);
  return one_page(out);
}

/// A line of a file, as it is told apart from others: the blocks around it, its text, and which one
/// of equal lines it is.
using LineKey = std::string;
struct Line {
  LineKey key;
  std::string file, text;
};

/// Splits rendered text into lines with keys that do not move when something is put in before them.
class LineReader {
 public:
  explicit LineReader(std::string file) : file_(std::move(file)) {}

  void read(std::string_view text, std::vector<Line>& out) {
    while (!text.empty()) {
      const size_t end = text.find('\n');
      out.push_back(line(std::string(text.substr(0, end))));
      text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
  }

 private:
  struct Block {
    int indent;
    std::string text;
  };

  Line line(const std::string& text) {
    const size_t first = text.find_first_not_of(' ');
    // An empty line belongs to the one before it.
    if (first == std::string::npos) return {numbered(last_ + "\n"), file_, text};
    const bool section = text[first] == '[', closing = text[first] == '}' || text[first] == ']';
    const bool ini = !file_.starts_with("bird");
    const int indent = ini && section ? -1 : static_cast<int>(first);
    // What closes a block belongs to it.
    while (!blocks_.empty() &&
           (closing ? blocks_.back().indent > indent : blocks_.back().indent >= indent))
      blocks_.pop_back();
    std::string path = file_;
    for (const Block& block : blocks_) path += "\n" + block.text;
    // Another member behind it gives it a comma, and makes it no other line.
    std::string name = text.ends_with(',') ? text.substr(0, text.size() - 1) : text;
    last_ = numbered(path + "\n\n" + name);
    blocks_.push_back({indent, std::move(name)});
    return {last_, file_, text};
  }

  LineKey numbered(const std::string& key) {
    const size_t count = ++counts_[key];
    return count == 1 ? key : fmt::format("{}\n{}", key, count);
  }

  std::string file_, last_;
  std::vector<Block> blocks_;
  std::map<std::string, size_t> counts_;
};

std::vector<Line> lines_of(const NodeConfig& config, const NodeFiles& files) {
  std::vector<Line> out;
  for (const auto& [name, text] : files.texts(config)) LineReader(name).read(text, out);
  return out;
}

/// Of the configuration that a state makes.
Result<std::vector<Line>> lines_in(const QueryFacts& facts, const MeshState& state, NodeId node) {
  NodeFiles files(facts.renderer.get(), state, *facts.log);
  auto config = compile(state, node);
  if (config) config = files.complete(std::move(*config));
  if (!config) return std::unexpected(config.error());
  return lines_of(*config, files);
}

using LineSet = std::set<LineKey>;

LineSet keys_of(const std::vector<Line>& lines) {
  LineSet out;
  for (const Line& line : lines) out.insert(line.key);
  return out;
}

/// Finds for every line the entry with which it appeared, by halving the history on the model.
///
/// A line that came, went and came again is found at one of its appearances: at the last one as far
/// as committed versions lie between, else at any.
class LineSearch {
 public:
  LineSearch(const QueryFacts& facts, const Node& node) : facts_(facts), node_(node) {}

  /// Errors: those of Past.
  Result<std::map<LineKey, Sequence>> run(const LineSet& lines) {
    LineSet remaining = lines;
    const Sequence now = facts_.state.sequence;
    Sequence after = now;
    for (auto version = node_.versions.rbegin(); version != node_.versions.rend(); ++version) {
      if (remaining.empty()) break;
      if (version->sequence >= after) continue;
      MESH_TRY(step_back(*version, after, remaining));
      after = version->sequence;
    }
    const Sequence none(node_.added.value() - 1);
    MESH_TRY(between(none, after, remaining));
    return std::move(found_);
  }

 private:
  /// Settles what of `remaining` appeared between a version and `after`.
  Status step_back(const VersionRecord& version, Sequence after, LineSet& remaining) {
    auto config = load_config(*facts_.log, node_, version.version);
    LineSet then;
    if (config) then = keys_of(lines_of(*config, NodeFiles(nullptr, facts_.state, *facts_.log)));
    LineSet gone;
    for (const LineKey& key : remaining)
      if (!then.contains(key)) gone.insert(key);
    if (gone.empty()) return {};
    // The blob pins what was prepared; the model decides.
    auto model = lines_at(version.sequence);
    if (!model) return std::unexpected(model.error());
    std::erase_if(gone, [&](const LineKey& key) { return (*model)->contains(key); });
    for (const LineKey& key : gone) remaining.erase(key);
    return between(version.sequence, after, gone);
  }

  /// `lines` are absent at `low` and there now; at `high` too, unless the blob of a version said
  /// more than the model does.
  Status between(Sequence low, Sequence high, const LineSet& lines) {
    if (lines.empty()) return {};
    auto model = lines_at(high);
    if (!model) return std::unexpected(model.error());
    LineSet there, later;
    for (const LineKey& key : lines) ((*model)->contains(key) ? there : later).insert(key);
    MESH_TRY(halve(low, high, there));
    return later.empty() ? Status() : halve(high, facts_.state.sequence, later);
  }

  /// Invariant: every line is absent at `low` and present at `high`.
  Status halve(Sequence low, Sequence high, const LineSet& lines) {
    if (lines.empty()) return {};
    auto state = facts_.past->at(high);
    if (!state) return std::unexpected(state.error());
    // What follows that entry up to `high` changes no configuration.
    if (state->configuration_sequence > low) high = state->configuration_sequence;
    if (high.value() - low.value() <= 1) {
      for (const LineKey& key : lines) found_[key] = high;
      return {};
    }
    const Sequence middle(low.value() + (high.value() - low.value()) / 2);
    auto model = lines_at(middle);
    if (!model) return std::unexpected(model.error());
    LineSet early, late;
    for (const LineKey& key : lines) ((*model)->contains(key) ? early : late).insert(key);
    MESH_TRY(halve(low, middle, early));
    return halve(middle, high, late);
  }

  Result<const LineSet*> lines_at(Sequence sequence) {
    auto state = facts_.past->at(sequence);
    if (!state) return std::unexpected(state.error());
    auto known = models_.find(state->configuration_sequence);
    if (known == models_.end()) {
      // A state that cannot be compiled has no lines.
      auto lines = lines_in(facts_, *state, node_.id);
      known = models_.emplace(state->configuration_sequence, lines ? keys_of(*lines) : LineSet()).first;
    }
    return &known->second;
  }

  const QueryFacts& facts_;
  const Node& node_;
  std::map<Sequence, LineSet> models_;  // by the newest entry that can change a configuration
  std::map<LineKey, Sequence> found_;
};

std::string names_of(const std::vector<Line>& lines) {
  std::string out;
  for (size_t i = 0; i < lines.size(); ++i)
    if (i == 0 || lines[i].file != lines[i - 1].file) out += (i ? ", " : "") + lines[i].file;
  return out;
}

Result<QueryResult> blame_file(const QueryFacts& facts, const std::string& file) {
  auto name = required(facts, "node");
  if (!name) return std::unexpected(name.error());
  auto node = resolve_node(facts.state, *name);
  if (!node) return std::unexpected(node.error());
  auto read = lines_in(facts, facts.state, (*node)->id);
  if (!read) return std::unexpected(read.error());
  std::vector<Line> lines = std::move(*read);
  const std::string names = names_of(lines);
  if (file != "all") std::erase_if(lines, [&](const Line& line) { return line.file != file; });
  if (lines.empty())
    return fail(Errc::not_found,
                fmt::format("node {} has no file {}", (*node)->fullname(), file),
                "one of: " + names + ", all");
  auto found = LineSearch(facts, **node).run(keys_of(lines));
  if (!found) return std::unexpected(found.error());
  std::map<Sequence, json> credits;
  json items = json::array();
  std::map<std::string, size_t> numbers;
  for (const Line& line : lines) {
    const Sequence sequence = found->at(line.key);
    auto credit = credits.find(sequence);
    if (credit == credits.end())
      credit = credits.emplace(sequence, credit_json(facts, sequence)).first;
    json item = credit->second;
    item["file"] = line.file;
    item["line"] = ++numbers[line.file];
    item["text"] = line.text;
    item["origin"] = sequence == (*node)->added ? "program" : "entry";
    items.push_back(std::move(item));
  }
  json out = list_document(facts, "FileBlame", std::move(items));
  out["node"] = (*node)->id.value();
  out["fullname"] = (*node)->fullname();
  return one_page(out);
}

}  // namespace

Result<QueryResult> blame(const QueryFacts& facts) {
  if (auto file = argument(facts, "file")) return blame_file(facts, *file);
  return blame_attributes(facts);
}

}  // namespace mesh::answering
