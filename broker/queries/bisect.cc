// bisect: the first entry with which something no longer holds, found on the model.
#include <fmt/format.h>

#include <charconv>
#include <functional>
#include <sstream>

#include "broker/node_files.h"
#include "broker/queries/queries_internal.h"
#include "eventstore/model/compile.h"
#include "eventstore/model/decide.h"
#include "eventstore/model/reach.h"
#include "schemas/codec.h"
#include "schemas/json.h"

namespace mesh::answering {

namespace {

constexpr std::string_view kTests =
    "\"reach X Y\", \"attribute global|site S|node N NAME VALUE\", \"compiles NODE\" or \"valid\"";

/// A question about a state, with yes and no as answers.
class StateTest {
 public:
  /// Borrows `facts`. Errors: usage.
  static Result<StateTest> parse(const QueryFacts& facts, const std::string& text) {
    std::istringstream in(text);
    std::vector<std::string> words;
    for (std::string word; in >> word;) words.push_back(word);
    StateTest out;
    const std::string kind = words.empty() ? "" : words[0];
    if (kind == "reach" && words.size() == 3) {
      out.holds_ = [from = words[1], to = words[2]](const MeshState& s) { return reach(s, from, to); };
    } else if (kind == "compiles" && words.size() == 2) {
      out.holds_ = [&facts, name = words[1]](const MeshState& state) { return compiles(facts, state, name); };
    } else if (kind == "valid" && words.size() == 1) {
      out.holds_ = [](const MeshState& state) -> Result<bool> {
        return validate(state, Scope{}).empty();
      };
    } else if (kind == "attribute" && words.size() >= 4) {
      return parse_attribute(text, words);
    } else {
      return unknown(text);
    }
    return out;
  }

  Result<bool> holds(const MeshState& state) const { return holds_(state); }

 private:
  static std::unexpected<Error> unknown(const std::string& text) {
    return fail(Errc::usage, fmt::format("\"{}\" is no test", text),
                fmt::format("one of: {}", kTests));
  }

  /// The value is the rest of the text, as `set` takes it; "empty" = it has none.
  static Result<StateTest> parse_attribute(const std::string& text,
                                           const std::vector<std::string>& words) {
    const bool global = words[1] == "global";
    if (!global && words[1] != "site" && words[1] != "node") return unknown(text);
    const size_t skip = global ? 3 : 4;
    if (words.size() <= skip) return unknown(text);
    size_t at = 0;
    for (size_t i = 0; i < skip; ++i) at = text.find(words[i], at) + words[i].size();
    const std::string typed = text.substr(text.find_first_not_of(" \t", at));
    std::optional<AttributeValue> wanted;
    if (typed != "empty") {
      auto value = parse_attribute_value(typed);
      if (!value) return std::unexpected(value.error());
      wanted = std::move(*value);
    }
    const Level level = global ? Level::global : words[1] == "site" ? Level::site : Level::node;
    StateTest out;
    out.holds_ = [target = Target{level, global ? "" : words[2]}, name = words[skip - 1],
                  wanted](const MeshState& state) -> Result<bool> {
      auto scope = resolve(state, target);
      if (!scope) return false;
      const auto all = effective_attributes(state, *scope);
      auto found = all.find(name);
      if (found == all.end()) return !wanted;
      return wanted ? found->second.value == *wanted : false;
    };
    return out;
  }

  /// With the files of its templates: one with a mistake refuses the commit as well. What only this moment refuses is
  /// no answer.
  static Result<bool> compiles(const QueryFacts& facts, const MeshState& state, const std::string& name) {
    const Node* node = state.find_node(name);
    if (!node) return false;
    auto config = compile(state, node->id);
    if (!config) return false;
    auto complete = NodeFiles(facts.renderer.get(), state, *facts.log).complete(std::move(*config));
    if (complete) return true;
    if (complete.error().code == Errc::invalid) return false;
    return std::unexpected(complete.error());
  }

  /// A site stands for its nodes: one pair that reaches each other is enough.
  static Result<bool> reach(const MeshState& state, const std::string& from,
                            const std::string& to) {
    const Reach network(state);
    for (const std::string& a : places(state, from))
      for (const std::string& b : places(state, to)) {
        auto reaches = network.reaches(a, b);
        if (!reaches || *reaches) return reaches;
      }
    return false;
  }
  static std::vector<std::string> places(const MeshState& state, const std::string& name) {
    if (!state.find_site(name)) return {name};
    std::vector<std::string> out;
    for (const Node* node : state.nodes_of(name)) out.push_back(node->fullname());
    return out;
  }

  std::function<Result<bool>(const MeshState&)> holds_;
};

/// It holds at `good`, and does not at `bad`.
struct Bounds {
  uint64_t good = 0, bad = 0;
};

class Bisection {
 public:
  Bisection(const QueryFacts& facts, StateTest test) : facts_(facts), test_(std::move(test)) {}

  /// Errors: invalid when good is not good or bad not bad.
  Result<Bounds> begin(const Moment& good, const Moment& bad) {
    if (good.at >= bad.at)
      return fail(Errc::invalid,
                  fmt::format("the good instant (#{}) is not before the bad one (#{})",
                              good.at.value(), bad.at.value()),
                  "good has to be older than bad");
    Bounds out{good.at.value(), bad.at.value()};
    auto at_good = try_at(out.good);
    if (!at_good) return std::unexpected(at_good.error());
    if (!*at_good)
      return fail(Errc::invalid, fmt::format("the test does not hold at #{} either, which shall be "
                                             "good",
                                             out.good),
                  "give an earlier good instant");
    auto at_bad = try_at(out.bad);
    if (!at_bad) return std::unexpected(at_bad.error());
    if (*at_bad)
      return fail(Errc::invalid, fmt::format("the test still holds at #{}, which shall be bad",
                                             out.bad),
                  "give a later bad instant");
    return narrowed(out);
  }

  Result<Bounds> step(Bounds bounds) {
    const uint64_t middle = bounds.good + (bounds.bad - bounds.good) / 2;
    auto holds = try_at(middle);
    if (!holds) return std::unexpected(holds.error());
    (*holds ? bounds.good : bounds.bad) = middle;
    return *holds ? Result<Bounds>(bounds) : narrowed(bounds);
  }

  json steps() { return std::move(steps_); }

 private:
  Result<bool> try_at(uint64_t sequence) {
    auto state = facts_.past->at(Sequence(sequence));
    if (!state) return std::unexpected(state.error());
    auto holds = test_.holds(*state);
    if (!holds) return holds;
    steps_.push_back({{"sequence", sequence}, {"verdict", *holds ? "good" : "bad"}});
    return holds;
  }

  /// Entries behind the newest that can change a configuration cannot be the first bad one.
  Result<Bounds> narrowed(Bounds bounds) {
    auto state = facts_.past->at(Sequence(bounds.bad));
    if (!state) return std::unexpected(state.error());
    const uint64_t changed = state->configuration_sequence.value();
    if (changed > bounds.good) bounds.bad = changed;
    return bounds;
  }

  const QueryFacts& facts_;
  StateTest test_;
  json steps_ = json::array();
};

/// "GOOD:BAD"
Result<Bounds> bounds_of(const QueryFacts& facts, const std::string& cursor) {
  Bounds out;
  const char* end = cursor.data() + cursor.size();
  auto [colon, error] = std::from_chars(cursor.data(), end, out.good);
  const bool good = error == std::errc() && colon != end && *colon == ':' &&
                    std::from_chars(colon + 1, end, out.bad).ptr == end && out.good < out.bad &&
                    out.bad <= facts.log->head().value();
  if (!good) return fail(Errc::usage, "a cursor that this controller did not give");
  return out;
}

Result<json> entry_of(const QueryFacts& facts, uint64_t sequence, json& names) {
  auto read = facts.log->read(Sequence(sequence), 1, 1);
  if (!read) return std::unexpected(read.error());
  auto entry = decode_entry(read->at(0));
  if (!entry) return std::unexpected(entry.error());
  std::vector<NodeId> nodes;
  if (entry->body)
    for (const Event& event : entry->body->events)
      for (const NodeId node : mentions(event).nodes) nodes.push_back(node);
  names = names_json(facts.state, std::move(nodes));
  return json::parse(entry_json(*entry));
}

}  // namespace

Result<QueryResult> bisect(const QueryFacts& facts) {
  auto text = required(facts, "test");
  if (!text) return std::unexpected(text.error());
  auto test = StateTest::parse(facts, *text);
  if (!test) return std::unexpected(test.error());
  Bisection bisection(facts, std::move(*test));
  Result<Bounds> bounds = Bounds{};
  if (auto cursor = argument(facts, "cursor")) {
    bounds = bounds_of(facts, *cursor);
    if (bounds) bounds = bisection.step(*bounds);
  } else {
    std::optional<Moment> instants[2];
    for (const auto& [i, name] : {std::pair(0, "good"), std::pair(1, "bad")}) {
      auto said = required(facts, name);
      if (!said) return std::unexpected(said.error());
      auto moment = find_moment(facts, *said, argument(facts, "node"));
      if (!moment) return fail_in(name, moment.error());
      instants[i] = *moment;
    }
    bounds = bisection.begin(*instants[0], *instants[1]);
  }
  if (!bounds) return std::unexpected(bounds.error());
  json out = list_document(facts, "Bisection", bisection.steps());
  out["test"] = *text;
  out["good"] = bounds->good;
  out["bad"] = bounds->bad;
  out["first_bad"] = json();
  const bool done = bounds->bad - bounds->good == 1;
  if (done) {
    auto entry = entry_of(facts, bounds->bad, out["names"]);
    if (!entry) return std::unexpected(entry.error());
    out["first_bad"] = std::move(*entry);
  }
  return QueryResult{out.dump(), !done, fmt::format("{}:{}", bounds->good, bounds->bad)};
}

}  // namespace mesh::answering
