#include "broker/queries/queries.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "broker/queries/queries_internal.h"
#include "schemas/codec.h"

namespace mesh {

namespace answering {

json document(const QueryFacts& facts, std::string_view kind) {
  json out = {{"kind", kind}, {"sequence", facts.state.sequence.value()}};
  if (!is_now(facts)) out["at"] = facts.query.at.value();
  return out;
}

json list_document(const QueryFacts& facts, std::string_view kind, json items) {
  json out = document(facts, kind);
  out["items"] = std::move(items);
  return out;
}

std::optional<std::string> argument(const QueryFacts& facts, const std::string& name) {
  auto it = facts.query.arguments.find(name);
  return it == facts.query.arguments.end() ? std::nullopt : std::optional(it->second);
}

Result<std::string> required(const QueryFacts& facts, const std::string& name) {
  if (auto value = argument(facts, name)) return *value;
  return fail(Errc::usage, fmt::format("query {} needs the argument {}", facts.query.kind, name));
}

Result<Scope> scope_argument(const QueryFacts& facts) {
  std::string text = argument(facts, "scope").value_or("global");
  if (text == "global" || text == "all") return Scope{};
  auto space = text.find(' ');
  std::string level = text.substr(0, space),
              name = space == std::string::npos ? "" : text.substr(space + 1);
  if (level == "site") return resolve(facts.state, {Level::site, name});
  if (level == "node") return resolve(facts.state, {Level::node, name});
  return fail(Errc::usage, fmt::format("\"{}\" is no scope", text), "global, site S or node N.S");
}

Result<uint64_t> number_argument(const QueryFacts& facts, const std::string& name,
                                 uint64_t fallback) {
  auto text = argument(facts, name);
  if (!text) return fallback;
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc() || end != text->data() + text->size())
    return fail(Errc::usage, fmt::format("{} has to be a number, not \"{}\"", name, *text));
  return value;
}

Result<std::pair<EncodedEntry, Entry>> read_entry(const QueryFacts& facts) {
  auto number = number_argument(facts, "sequence", 0);
  if (!number) return std::unexpected(number.error());
  const uint64_t last = (is_now(facts) ? facts.log->head() : facts.state.sequence).value();
  if (*number == 0 || *number > last)
    return fail(Errc::not_found, fmt::format("there is no entry {}, the log {} at {}", *number,
                                             is_now(facts) ? "ends" : "is read", last));
  auto entries = facts.log->read(Sequence(*number), 1, 1);
  if (!entries) return std::unexpected(entries.error());
  auto decoded = decode_entry(entries->at(0));
  if (!decoded) return fail_in(fmt::format("entry {}", *number), decoded.error());
  return std::pair(std::move(entries->at(0)), std::move(*decoded));
}

json to_json(const AttributeValue& value) {
  auto scalar = [](const auto& v) -> json { return v; };
  if (const auto* list = value.list()) {
    json out = json::array();
    for (const Scalar& member : *list) out.push_back(std::visit(scalar, member));
    return out;
  }
  return std::visit(
      [](const auto& v) -> json {
        using Kind = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<Kind, std::vector<Scalar>>)
          return json::array();
        else if constexpr (std::is_same_v<Kind, FileRef>)
          return {{"sha256", to_hex(v.digest.view())}, {"bytes", v.size}};
        else
          return v;
      },
      value.data);
}

const PendingActivation* pending_of(const QueryFacts& facts, NodeId node) {
  auto it = std::ranges::lower_bound(facts.pending, node, {}, [](const auto& each) { return each.first; });
  return it != facts.pending.end() && it->first == node ? it->second : nullptr;
}

namespace {

enum Cost : bool { kLight, kHeavy };
/// Of a state, or of what is only now: sessions, what nodes say, the tree over the whole log.
enum Span : bool { kAnyInstant, kNowOnly };

struct Kind {
  std::string_view name;
  Answer (*answer)(const QueryFacts&);
  Cost cost = kLight;
  Span span = kAnyInstant;
};

constexpr Kind kKinds[] = {{"sites", sites},
                           {"nodes", nodes},
                           {"changes", changes},
                           {"links", links, kHeavy},
                           {"versions", versions},
                           {"tokens", tokens},
                           {"operators", operators},
                           {"show", show},
                           {"show_all", show_all, kHeavy},
                           {"changed", changed, kHeavy},
                           {"diff", diff, kHeavy},
                           {"files", files, kHeavy},
                           {"variables", variables, kHeavy},
                           {"enrolment", enrolment},
                           {"export", export_intent, kHeavy},
                           {"inventory", inventory, kHeavy},
                           {"whoami", whoami, kLight, kNowOnly},
                           {"pending", pending, kLight, kNowOnly},
                           {"status", status},
                           {"activation", activation, kHeavy},
                           {"activations", activations, kHeavy},
                           {"drift", drift, kHeavy, kNowOnly},
                           {"controller", controller, kLight, kNowOnly},
                           {"checkpoint", checkpoint, kLight, kNowOnly},
                           {"prove", prove, kLight, kNowOnly},
                           {"consistency", consistency, kLight, kNowOnly},
                           {"orphans", orphans, kHeavy, kNowOnly},
                           {"moment", moment, kHeavy},
                           {"tags", tags, kHeavy},
                           {"compare", compare, kHeavy},
                           {"simulate", simulate, kHeavy},
                           {"state", state},
                           {"nodes_roots", nodes_roots, kLight, kNowOnly},
                           {"entry", entry, kHeavy}};

/// Those that make their pages themselves; the others are cut by in_pages(). All are heavy, and answer at any instant.
struct PagedKind {
  std::string_view name;
  Result<QueryResult> (*answer)(const QueryFacts&);
};
constexpr PagedKind kPagedKinds[] = {{"log", log}, {"blame", blame}, {"bisect", bisect},
                                      {"level_files", level_files}};

const PagedKind* find_paged(std::string_view name) {
  auto it = std::find_if(std::begin(kPagedKinds), std::end(kPagedKinds),
                         [&](const PagedKind& kind) { return kind.name == name; });
  return it == std::end(kPagedKinds) ? nullptr : &*it;
}

const Kind* find_kind(std::string_view name) {
  auto it = std::find_if(std::begin(kKinds), std::end(kKinds),
                         [&](const Kind& kind) { return kind.name == name; });
  return it == std::end(kKinds) ? nullptr : &*it;
}

}  // namespace

}  // namespace answering

bool is_heavy(const Query& query) {
  const auto* known = answering::find_kind(query.kind);
  return (known && known->cost == answering::kHeavy) || answering::find_paged(query.kind) ||
         query.at != Sequence();
}

namespace answering {
namespace {

constexpr size_t kPageBytes = 4 * 1024 * 1024;  // of a frame of 16 MiB

/// A document as it is, or as much of its items as a page takes, from `cursor` on. What is not in `items` comes with
/// every page; one that is too long for a message without them is refused where it would be sent.
Result<QueryResult> in_pages(const QueryFacts& facts, json document) {
  auto first = number_argument(facts, "cursor", 0);
  if (!first) return std::unexpected(first.error());
  std::string text = document.dump();
  if (*first == 0 && text.size() <= kPageBytes) return QueryResult{std::move(text), false, {}};
  const auto items = document.find("items");
  if (items == document.end() || !items->is_array()) return QueryResult{std::move(text), false, {}};
  json page = json::array();
  size_t at = *first;
  for (size_t bytes = 0; at < items->size(); ++at) {
    bytes += (*items)[at].dump().size() + 1;
    if (bytes > kPageBytes && !page.empty()) break;
    page.push_back(std::move((*items)[at]));
  }
  const bool more = at < items->size();
  *items = std::move(page);
  return QueryResult{document.dump(), more, more ? std::to_string(at) : std::string()};
}

}  // namespace
}  // namespace answering

Result<QueryResult> answer_query(QueryFacts facts) {
  const auto* kind = answering::find_kind(facts.query.kind);
  const auto* paged = answering::find_paged(facts.query.kind);
  if (!kind && !paged)
    return fail(Errc::usage,
                fmt::format("query \"{}\" is unknown to this controller", facts.query.kind),
                "upgrade the controller");
  if (!answering::is_now(facts)) {
    if (kind && kind->span == answering::kNowOnly)
      return fail(Errc::unsupported,
                  fmt::format("query {} tells only what is now", facts.query.kind),
                  "leave --at away");
    auto past = facts.past->at(facts.query.at);
    if (!past) return std::unexpected(past.error());
    facts.state = std::move(*past);
  }
  for (const auto& [id, pending] : facts.state.pending)
    for (const ActivationRow& row : pending.rows) facts.pending.emplace_back(row.node, &pending);
  std::ranges::sort(facts.pending);
  if (paged) return paged->answer(facts);
  auto answer = kind->answer(facts);
  if (!answer) return std::unexpected(answer.error());
  return answering::in_pages(facts, std::move(*answer));
}

}  // namespace mesh
