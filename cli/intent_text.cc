#include "cli/intent_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <set>

#include "cli/files/file_contents.h"
#include "cli/render.h"
#include "cli/scope.h"
#include "cli/yaml_tree.h"
#include "eventstore/model/attribute_table.h"
#include "eventstore/model/limits.h"

namespace mesh::cli {

namespace {

using Values = std::map<std::string, AttributeValue>;

Json values_json(const Values& values) {
  Json out = Json::object();
  for (const auto& [name, value] : values) out[name] = attribute_json(value);
  return out;
}

/// Without its header: the same for YAML and JSON.
Json body_json(const DesiredIntent& intent, const Target& scope) {
  Json out = Json::object();
  if (scope.level == Level::global) out["global"] = values_json(intent.global);
  Json sites = Json::object();
  for (const DesiredSite& site : intent.sites)
    sites[site.name] = {{"attributes", values_json(site.attributes)}, {"nodes", Json::object()}};
  for (const DesiredNode& node : intent.nodes) {
    const auto dot = node.fullname.find('.');
    sites[node.fullname.substr(dot + 1)]["nodes"][node.fullname.substr(0, dot)] = {
        {"id", node.id.value()}, {"attributes", values_json(node.attributes)}};
  }
  out["sites"] = std::move(sites);
  return out;
}

bool is_label(std::string_view name) {
  return !name.empty() && name.size() <= kNameBytesMax && name.front() != '-' &&
         name.back() != '-' && name.find_first_not_of("0123456789") != std::string::npos &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
}

class Reader {
 public:
  Status add(const IntentFile& file) {
    file_ = file.name;
    auto root = parse_yaml(file.name, file.text);
    if (!root) return std::unexpected(std::move(root).error());
    if (root->kind == YamlValue::Kind::null) return {};
    if (root->kind != YamlValue::Kind::map)
      return refuse(root->line, "a map with global and sites is wanted", kHelp);
    MESH_TRY(read_scope(*root));
    for (const YamlMember& member : root->members) MESH_TRY(add_member(member));
    return {};
  }

  Result<WantedIntent> finish() {
    auto& sites = out_.intent.sites;
    std::ranges::sort(sites, {}, &DesiredSite::name);
    std::ranges::sort(out_.intent.nodes, [](const DesiredNode& a, const DesiredNode& b) {
      const bool new_a = a.id == NodeId(), new_b = b.id == NodeId();
      return std::tie(new_a, a.id, a.fullname) < std::tie(new_b, b.id, b.fullname);
    });
    return std::move(out_);
  }

 private:
  static constexpr std::string_view kHelp = "see `meshcli help apply`, or what meshcli export prints";

  std::unexpected<Error> refuse(int line, std::string_view what, std::string_view fix) const {
    return fail(Errc::invalid, fmt::format("{}:{}: {}", file_, line, what), std::string(fix));
  }

  /// Remembers where `what` stands. Errors: it stands elsewhere already.
  Status once(const std::string& what, int line) {
    auto [known, fresh] = places_.emplace(what, fmt::format("{}:{}", file_, line));
    if (fresh) return {};
    return refuse(line, fmt::format("{} is named at {}, too", what, known->second),
                  "name it once");
  }

  Status read_scope(const YamlValue& root) {
    Target scope;
    for (const YamlMember& member : root.members) {
      if (member.key != "scope") continue;
      const std::string& text = member.value.text;
      if (text.starts_with("site "))
        scope = {Level::site, text.substr(5)};
      else if (text.starts_with("node "))
        scope = {Level::node, text.substr(5)};
      const auto dot = scope.name.find('.');
      const bool good =
          scope.level == Level::global ? text == "all"
          : scope.level == Level::site
              ? is_label(scope.name)
              : dot != std::string::npos && is_label(scope.name.substr(0, dot)) &&
                    is_label(scope.name.substr(dot + 1));
      if (!good) return refuse(member.line, "scope is all, site S or node N.S", "");
    }
    if (!first_ && scope != out_.scope)
      return refuse(root.line,
                    fmt::format("this is about {}, a file before it about {}", fleet_text(scope),
                                fleet_text(out_.scope)),
                    "give all files of one call the same scope");
    first_ = false;
    out_.scope = scope;
    return {};
  }

  Status add_member(const YamlMember& member) {
    if (member.key == "scope") return {};
    if (member.key == "kind") {
      if (member.value.text == "Intent") return {};
      return refuse(member.line, fmt::format("kind is Intent, not \"{}\"", member.value.text),
                    kHelp);
    }
    if (member.key == "sequence") {  // where an export comes from
      auto number = integer(member.value);
      if (number && *number >= 0) return {};
      return refuse(member.line, "sequence is a number", "leave it out");
    }
    if (member.key == "global") {
      if (out_.scope.level != Level::global)
        return refuse(member.line, "global attributes are outside " + fleet_text(out_.scope),
                      "leave scope out, or global");
      return add_values(member.value, "global", kAtGlobal, out_.intent.global);
    }
    if (member.key == "sites") return add_sites(member.value);
    return unknown(member, {"scope", "global", "sites"});
  }

  std::unexpected<Error> unknown(const YamlMember& member,
                                 std::initializer_list<std::string_view> known) const {
    return refuse(member.line, fmt::format("\"{}\" is not known here", member.key),
                  fmt::format("known are {}", fmt::join(known, ", ")));
  }

  Status want_map(const YamlValue& value, std::string_view what) const {
    if (value.kind == YamlValue::Kind::map || value.kind == YamlValue::Kind::null) return {};
    return refuse(value.line, fmt::format("{} is a map of names", what), kHelp);
  }

  Status add_sites(const YamlValue& sites) {
    MESH_TRY(want_map(sites, "sites"));
    for (const YamlMember& member : sites.members) {
      MESH_TRY(once("site " + member.key, member.line));
      MESH_TRY(want_map(member.value, "site " + member.key));
      MESH_TRY(check_label("site", member));
      if (out_.intent.sites.size() >= kSitesMax)
        return refuse(member.line, fmt::format("more than {} sites", kSitesMax), "");
      DesiredSite site{member.key, {}};
      for (const YamlMember& part : member.value.members) {
        if (part.key == "attributes")
          MESH_TRY(add_values(part.value, "site " + site.name, kAtSite, site.attributes));
        else if (part.key == "nodes")
          MESH_TRY(add_nodes(part.value, site.name));
        else
          return unknown(part, {"attributes", "nodes"});
      }
      if (out_.scope.level == Level::node && !site.attributes.empty())
        return refuse(member.line, "attributes of a site are outside " + fleet_text(out_.scope), "");
      if (out_.scope.level == Level::site && site.name != out_.scope.name)
        return refuse(member.line, fmt::format("site {} is outside {}", site.name,
                                               fleet_text(out_.scope)), "leave scope out");
      if (out_.scope.level != Level::node) out_.intent.sites.push_back(std::move(site));
    }
    return {};
  }

  Status add_nodes(const YamlValue& nodes, const std::string& site) {
    MESH_TRY(want_map(nodes, "nodes"));
    for (const YamlMember& member : nodes.members) {
      DesiredNode node{{}, member.key + "." + site, {}};
      MESH_TRY(once("node " + node.fullname, member.line));
      MESH_TRY(want_map(member.value, "node " + node.fullname));
      MESH_TRY(check_label("node", member));
      for (const YamlMember& part : member.value.members) {
        if (part.key == "attributes") {
          MESH_TRY(add_values(part.value, "node " + node.fullname, kAtNode, node.attributes));
        } else if (part.key == "id") {
          auto number = integer(part.value);
          if (!number || *number < kNodeIdMin || *number > UINT32_MAX)
            return refuse(part.line, fmt::format("a node's id is a number from {}", kNodeIdMin),
                          "leave it out for a new node");
          node.id = NodeId(static_cast<uint32_t>(*number));
          MESH_TRY(once(fmt::format("the number {}", *number), part.line));
        } else {
          return unknown(part, {"id", "attributes"});
        }
      }
      if (out_.scope.level == Level::node && node.fullname != out_.scope.name)
        return refuse(member.line, fmt::format("node {} is outside {}", node.fullname,
                                               fleet_text(out_.scope)), "leave scope out");
      if (out_.intent.nodes.size() >= kNodesMax)
        return refuse(member.line, fmt::format("more than {} nodes", kNodesMax), "");
      out_.intent.nodes.push_back(std::move(node));
    }
    return {};
  }

  Status check_label(std::string_view what, const YamlMember& member) const {
    if (is_label(member.key)) return {};
    return refuse(member.line, fmt::format("\"{}\" is no name of a {}", printable(member.key), what),
                  "use a-z, 0-9 and -, not at the ends, at most 63 characters, not only digits");
  }

  Status add_values(const YamlValue& values, const std::string& where, ScopeMask level,
                    Values& out) {
    MESH_TRY(want_map(values, "the attributes of " + where));
    return add_values(values, where, "", level, out);
  }

  /// A map below an attribute's name is the rest of dotted names.
  Status add_values(const YamlValue& values, const std::string& where, const std::string& prefix,
                    ScopeMask level, Values& out) {
    for (const YamlMember& member : values.members) {
      const std::string name = prefix + member.key;
      if (member.value.kind == YamlValue::Kind::map && !file_of(name)) {
        MESH_TRY(add_values(member.value, where, name + ".", level, out));
        continue;
      }
      auto value = file_of(name) ? file_of_map(member.value) : value_of(member.value);
      Status good = value ? check_attribute_name(name) : std::unexpected(value.error());
      if (good) good = check_attribute(name, *value, level);
      const size_t most = attribute_bytes_max(name, kRulesNewest);
      if (good && mesh::to_text(*value).size() > most)
        good = fail(Errc::invalid, fmt::format("a value has at most {} bytes", most));
      if (good) good = once(fmt::format("{} of {}", name, where), member.line);
      if (!good) {
        Error error = good.error();
        if (!error.message.starts_with(file_ + ":"))
          error.message = fmt::format("{}:{}: {} of {}: {}", file_, member.line, printable(name),
                                      where, error.message);
        return std::unexpected(std::move(error));
      }
      if (out.size() >= kAttributesPerScopeMax)
        return refuse(member.line, fmt::format("{} has more than {} attributes", where,
                                               kAttributesPerScopeMax), "");
      out.emplace(name, std::move(*value));
    }
    return {};
  }

  static std::optional<int64_t> integer(const YamlValue& value) {
    if (value.kind != YamlValue::Kind::scalar || value.quoted) return std::nullopt;
    int64_t number = 0;
    const char* end = value.text.data() + value.text.size();
    const auto [stop, error] = std::from_chars(value.text.data(), end, number);
    if (error != std::errc() || stop != end) return std::nullopt;
    return number;
  }

  /// As an export names it; the content is the controller's already.
  static Result<AttributeValue> file_of_map(const YamlValue& value) {
    FileRef out;
    bool digest = false, size = false;
    for (const YamlMember& member : value.members) {
      if (member.key == "sha256") {
        auto read = array_from_hex<Digest>(member.value.text);
        digest = read.has_value();
        if (read) out.digest = *read;
      } else if (member.key == "bytes") {
        auto read = integer(member.value);
        size = read && *read >= 0;
        out.size = static_cast<uint64_t>(read.value_or(0));
      }
    }
    if (!digest || !size || value.members.size() != 2)
      return fail(Errc::invalid, "a file is {sha256: HEX, bytes: N}, as an export names it",
                  "give the content by `put file` or `files push`");
    return AttributeValue(out);
  }

  static Result<AttributeValue> value_of(const YamlValue& value) {
    if (value.kind != YamlValue::Kind::list) {
      auto one = scalar_of(value);
      if (!one) return std::unexpected(one.error());
      return std::visit([](auto& v) { return AttributeValue(std::move(v)); }, *one);
    }
    std::vector<Scalar> list;
    for (const YamlValue& item : value.items) {
      auto one = scalar_of(item);
      if (!one) return std::unexpected(one.error());
      list.push_back(std::move(*one));
    }
    return AttributeValue(std::move(list));
  }

  static Result<Scalar> scalar_of(const YamlValue& value) {
    if (value.kind == YamlValue::Kind::null)
      return fail(Errc::invalid, "it has no value", "leave it out, or write \"\" for an empty text");
    if (value.kind != YamlValue::Kind::scalar)
      return fail(Errc::invalid, "a list holds numbers, texts, true and false only");
    if (value.quoted) return Scalar(value.text);
    if (value.text == "true" || value.text == "false") return Scalar(value.text == "true");
    if (auto number = integer(value)) return Scalar(*number);
    return Scalar(value.text);
  }

  std::string file_;
  std::map<std::string, std::string> places_;
  bool first_ = true;
  WantedIntent out_;
};

}  // namespace

Json intent_json(const DesiredIntent& intent, const Target& scope, Sequence at) {
  Json out{{"kind", "Intent"}, {"sequence", at.value()}, {"scope", fleet_text(scope)}};
  const Json body = body_json(intent, scope);
  for (const auto& [key, value] : body.items()) out[key] = value;
  return out;
}

std::string intent_yaml(const DesiredIntent& intent, const Target& scope, Sequence at) {
  Json out = Json::object();
  if (scope.level != Level::global) out["scope"] = fleet_text(scope);
  const Json body = body_json(intent, scope);
  for (const auto& [key, value] : body.items()) out[key] = value;
  return fmt::format("# {} as of #{}; meshcli apply -f reads it\n", fleet_text(scope), at.value()) +
         yaml_text(out);
}

Result<WantedIntent> read_intent(const std::vector<IntentFile>& files) {
  Reader reader;
  for (const IntentFile& file : files) MESH_TRY(reader.add(file));
  return reader.finish();
}

}  // namespace mesh::cli
