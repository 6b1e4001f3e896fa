#include "cli/towalink/towalink_import.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <optional>
#include <set>

#include "cli/files/file_contents.h"
#include "eventstore/model/address.h"
#include "eventstore/model/attribute_table.h"
#include "eventstore/model/compile.h"
#include "eventstore/model/intent.h"
#include "eventstore/model/limits.h"

namespace mesh::cli {

namespace {

constexpr std::string_view kComputed[] = {"config_filename", "node_fullname", "node_id", "node_name", "site_name"};

bool is_label(std::string_view name) {
  return !name.empty() && name.size() <= kNameBytesMax && name.front() != '-' && name.back() != '-' &&
         name.find_first_not_of("0123456789") != std::string::npos &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
}

/// Whether the letters of an attribute's name are allowed: what check_attribute_name still refuses reads like a
/// secret.
bool is_attribute_form(std::string_view name) {
  return !name.empty() && name.size() <= kAttributeNameBytesMax && name.front() != '.' && name.back() != '.' &&
         !name.contains("..") && std::ranges::all_of(name, [](unsigned char c) {
           return (c < 0x80 && std::isalnum(c) != 0) || c == '_' || c == '-' || c == '.';
         });
}

/// The nearest name that is allowed here: small letters, and - for what is neither a letter nor a digit.
std::string label_for(std::string_view name) {
  std::string out;
  for (const unsigned char c : name)
    out += c < 0x80 && std::isalnum(c) != 0 ? static_cast<char>(std::tolower(c)) : '-';
  return out;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const size_t begin = text.find_first_not_of(kBlank);
  return begin == std::string_view::npos ? std::string_view()
                                         : text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

/// Networks and numbers that decide addresses, with Towalink's defaults.
struct Base {
  std::string_view name;
  AttributeValue value;
};
std::vector<Base> bases() {
  return {{"loopbacknet_ipv4", "192.88.99.0/24"},
          {"loopbacknet_ipv6", "fd3e:970c:e7ec:edb5::/64"},
          {"internode_transfernet_ipv4", "192.88.99.0/24"},
          {"internode_transfernet_ipv6", "fe80::/64"},
          {"bgp_as_base", int64_t{65'000}}};
}

AttributeValue canonical(const AttributeValue& value) {
  if (value.text() == nullptr) return value;
  auto prefix = parse_prefix(*value.text());
  return prefix ? AttributeValue(to_text(*prefix)) : value;
}

bool is_base(std::string_view name) {
  const auto all = bases();
  return std::ranges::find(all, name, &Base::name) != all.end();
}

struct NumberedNode {
  NodeId id;
  std::string fullname;
  const TowalinkNode* node;
};

class Importer {
 public:
  Importer(const TowalinkTree& tree, const MeshState& now, const PutFile& put) : tree_(tree), now_(now), put_(put) {}

  Result<TowalinkImport> run() {
    if (now_.rules < kFileRules)
      return fail(Errc::unsupported,
                  fmt::format("this log has rules {}, and files need rules {}", now_.rules, kFileRules),
                  fmt::format("meshcli controller rules {}", kFileRules));
    out_.problems = tree_.problems;
    for (const TowalinkNote& note : tree_.changed) say(ImportTopic::differs, note.where, note.text);
    add_bases();
    MESH_TRY(add_level({}, tree_.global));
    refuse_global_changes();
    for (const TowalinkSite& site : tree_.sites) MESH_TRY(add_site(site));
    MESH_TRY(add_nodes());
    say_what_is_left();
    return std::move(out_);
  }

 private:
  void say(ImportTopic topic, std::string where, std::string text) {
    out_.notes.push_back({topic, std::move(where), std::move(text)});
  }
  void problem(std::string where, std::string what, std::string fix, Errc code = Errc::invalid) {
    out_.problems.push_back({std::move(where), Error{code, std::move(what), std::move(fix)}});
  }

  // What has to be said explicitly, so that nothing moves.

  void set_global(std::string_view name, AttributeValue value, std::string why) {
    say(ImportTopic::set, "", fmt::format("global {} = {}: {}", name, to_text(value), why));
    out_.commands.push_back(SetAttribute{{}, std::string(name), std::move(value)});
    ++out_.attributes;
  }

  const AttributeValue* in_tree(std::string_view name) const {
    const auto found = tree_.global.attributes.find(std::string(name));
    return found == tree_.global.attributes.end() ? nullptr : &found->second.value;
  }

  void add_bases() {
    const auto effective = effective_attributes(now_, Scope{});
    auto has = [&](std::string_view name) {
      const auto found = effective.find(std::string(name));
      return found == effective.end() ? std::optional<AttributeValue>() : canonical(found->second.value);
    };
    for (Base& base : bases()) {
      if (in_tree(base.name) != nullptr) continue;
      AttributeValue value = base.value;
      if (const auto* loopbacks = in_tree("loopbacknet_ipv4"); base.name == "internode_transfernet_ipv4" && loopbacks)
        value = canonical(*loopbacks);
      if (has(base.name) != value)
        set_global(base.name, std::move(value), "Towalink's default; addresses stay as they were");
    }
    if (in_tree("routing_style") == nullptr && has("routing_style") != AttributeValue("loopback"))
      set_global("routing_style", "loopback", "BGP sessions between loopbacks, as Towalink's templates make them");
    if (in_tree("uplinks") == nullptr && has("uplinks") != AttributeValue(int64_t{0}))
      set_global("uplinks", int64_t{0}, "nodes without node_hostname keep their links to all nodes of their groups");
  }

  /// A log with nodes is somebody's network: what is global there is not changed by an import.
  void refuse_global_changes() {
    if (now_.nodes.empty()) return;
    for (const Command& command : out_.commands)
      if (const auto* set = std::get_if<SetAttribute>(&command))
        problem("global", fmt::format("{} would change for the nodes that this log has", set->name),
                "import into a new log: meshd init --profile towalink", Errc::conflict);
  }

  // Levels.

  Status add_level(const Target& target, const TowalinkLevel& level) {
    size_t attach = 0;
    for (const auto& [name, attribute] : level.attributes) {
      if (name.starts_with("attach_")) {
        ++attach;
        dropped_names_.insert(name);
      } else {
        add_attribute(target, name, attribute);
      }
    }
    if (attach > 0)
      say(ImportTopic::dropped, level.folder + "/config.toml",
          fmt::format("{} attribute{} attach_*: the node is attached anew", attach, attach == 1 ? "" : "s"));
    for (const auto& [name, file] : level.files) MESH_TRY(add_file(target, name, file));
    return {};
  }

  void drop(const std::string& name, const std::string& where, std::string_view why) {
    say(ImportTopic::dropped, where, fmt::format("{}: {}", name, why));
    dropped_names_.insert(name);
  }

  void add_attribute(const Target& target, const std::string& name, const TowalinkAttribute& attribute) {
    const std::string& where = attribute.where;
    if (std::ranges::find(kComputed, name) != std::end(kComputed)) {
      if (name != "node_id" || target.level != Level::node)
        say(ImportTopic::dropped, where, fmt::format("{}: it is computed", name));
      return;
    }
    if (name == "controller_wg_public") return drop(name, where, "the controller has new keys");
    if (auto valid = check_attribute_name(name); !valid) {
      if (is_attribute_form(name)) return drop(name, where, "it looks like a secret, and the log is not secret");
      return problem(where, valid.error().message, valid.error().fix + "; templates have to use the new name");
    }
    if (name == "node_sshauthkeys") return add_ssh_keys(target, attribute);
    AttributeValue value = is_base(name) ? canonical(attribute.value) : attribute.value;
    if (is_base(name) && target.level != Level::global) return add_base_below(name, value, where);
    add_value(target, name, std::move(value), where);
    say_about(target, name, attribute);
  }

  /// Towalink merges these like every attribute, so that a node could count its own addresses by another network than
  /// its peers do.
  void add_base_below(const std::string& name, const AttributeValue& value, const std::string& where) {
    AttributeValue global;
    for (const Base& base : bases())
      if (base.name == name) global = base.value;
    if (const AttributeValue* set = in_tree(name)) global = canonical(*set);
    if (value == global) return drop(name, where, "the same as the global one, and only global here");
    problem(where, fmt::format("{} = {} differs from the global {}", name, to_text(value), to_text(global)),
            "it is one for the whole network: move it to the config.toml of the folder itself");
  }

  /// Lines of .pub files, as they stand in them.
  void add_ssh_keys(const Target& target, const TowalinkAttribute& attribute) {
    std::vector<Scalar> keys;
    for (const std::string& text : attribute.value.strings()) {
      for (std::string_view left = text; !left.empty();) {
        const size_t end = std::min(left.find('\n'), left.size());
        const std::string line(trimmed(left.substr(0, end)));
        left.remove_prefix(std::min(end + 1, left.size()));
        if (line.empty() || line.starts_with('#')) continue;
        const AttributeValue one(std::vector<Scalar>{line});
        if (auto valid = check_attribute("node_sshauthkeys", one, kAtGlobal, now_.rules))
          keys.emplace_back(line);
        else
          say(ImportTopic::dropped, attribute.where,
              fmt::format("node_sshauthkeys \"{}...\": only public keys without options are installed",
                          line.substr(0, 16)));
      }
    }
    ssh_keys_ = ssh_keys_ || !keys.empty();
    // Below the global level no key at all is something else than nothing said.
    if (!keys.empty() || target.level != Level::global)
      add_value(target, "node_sshauthkeys", AttributeValue(std::move(keys)), attribute.where);
  }

  void add_value(const Target& target, const std::string& name, AttributeValue value, const std::string& where) {
    const ScopeMask mask = target.level == Level::global ? kAtGlobal
                           : target.level == Level::site ? kAtSite
                                                         : kAtNode;
    if (auto valid = check_attribute(name, value, mask, now_.rules); !valid)
      return problem(where, valid.error().message, valid.error().fix);
    if (target.level == Level::global)
      if (auto there = now_.global.find(name); there != now_.global.end()) {
        if (canonical(there->second.value) != value)
          problem(
              where,
              fmt::format("{} is {} there and {} in this log", name, to_text(value), to_text(there->second.value)),
              fmt::format("make them the same: meshcli set global {} ...", name), Errc::conflict);
        return;
      }
    out_.commands.push_back(SetAttribute{target, name, std::move(value)});
    ++out_.attributes;
  }

  void say_about(const Target& target, const std::string& name, const TowalinkAttribute& attribute) {
    if (name == "wg_keepalive")
      say(ImportTopic::differs, attribute.where,
          fmt::format(
              "wg_keepalive = {} is the keepalive of every link without wg_peer_keepalive; Towalink's templates "
              "did not read it and used 25",
              to_text(attribute.value)));
    if (name == "groups" && attribute.value.text() != nullptr)
      say(ImportTopic::differs, attribute.where,
          fmt::format("groups = \"{}\" is one group; Towalink took each letter as one", *attribute.value.text()));
    if (name == "wg_listenport_base" && target.level != Level::global)
      say(ImportTopic::differs, attribute.where,
          "peers dial this node's own wg_listenport_base; Towalink took that of the one who dials");
    if (find_attribute(name) == nullptr) unknown_[name].push_back(attribute.where);
  }

  Status add_file(const Target& target, const std::string& name, const TowalinkFile& file) {
    if (auto valid = check_file_name(name); !valid) {
      problem(file.where, valid.error().message, valid.error().fix);
      return {};
    }
    if (const size_t line = secret_line(file.content); line > 0) {
      problem(fmt::format("{}:{}", file.where, line),
              "it holds a key that has to stay secret, and the log is not secret",
              "leave the link to the controller, or write {{ wg_private }} and {{ wg_peer_preshared }}");
      return {};
    }
    const std::string attribute = std::string(kFilePrefix) + name;
    const auto there = now_.global.find(attribute);
    const FileRef* stored =
        target.level == Level::global && there != now_.global.end() ? there->second.value.file() : nullptr;
    auto ref = put_(file.content, stored);
    if (!ref) return fail_in(file.where, std::move(ref).error());
    if (stored != nullptr && *ref == *stored) return {};
    if (stored != nullptr)
      problem(file.where, fmt::format("this log has another global {}", name),
              fmt::format("make them the same: meshcli put file global {}", name), Errc::conflict);
    out_.commands.push_back(SetAttribute{target, attribute, *ref});
    ++out_.files;
    return {};
  }

  // Sites and nodes.

  std::optional<std::string> take_name(std::string_view what, const std::string& name, const std::string& folder) {
    if (is_label(name)) return name;
    std::string label = label_for(name);
    if (!is_label(label)) {
      problem(folder, fmt::format("\"{}\" is no name for a {} here, and none can be made of it", name, what),
              "rename the folder: a-z, 0-9 and -, not at the ends, at most 63 characters, not only digits");
      return std::nullopt;
    }
    say(ImportTopic::renamed, folder,
        fmt::format("{} {} becomes {}: names are of small letters, digits and -", what, name, label));
    return label;
  }

  Status add_site(const TowalinkSite& site) {
    auto name = take_name("site", site.name, site.level.folder);
    if (!name) return {};
    if (!site_names_.insert(*name).second) {
      problem(site.level.folder, fmt::format("two sites would be {}", *name), "rename one of the folders");
      return {};
    }
    if (now_.find_site(*name) != nullptr)
      problem(site.level.folder, fmt::format("this log has a site {}", *name),
              "rename one of them, or import into a new log", Errc::conflict);
    out_.commands.push_back(AddSite{*name});
    ++out_.sites;
    MESH_TRY(add_level({Level::site, *name}, site.level));
    std::set<std::string> names;
    for (const TowalinkNode& node : site.nodes) {
      auto label = take_name("node", node.name, node.level.folder);
      if (!label) continue;
      if (!names.insert(*label).second)
        problem(node.level.folder, fmt::format("two nodes of site {} would be {}", *name, *label),
                "rename one of the folders");
      number_node(*label + "." + *name, node);
    }
    return {};
  }

  void number_node(std::string fullname, const TowalinkNode& node) {
    const auto found = node.level.attributes.find("node_id");
    const int64_t* number = found == node.level.attributes.end() ? nullptr : found->second.value.number();
    if (number == nullptr)
      return problem(node.level.folder + "/config.toml", "it has no number node_id",
                     "as Towalink made it: node_id = N, from 11 upward, a number of its own");
    const std::string& where = found->second.where;
    const int64_t next = now_.next_node.value();
    if (*number < int64_t{kNodeIdMin} || *number > int64_t{kNodeNumberMax})
      return problem(where, fmt::format("node_id {} is not one of {} to {}", *number, kNodeIdMin, kNodeNumberMax),
                     "1 to 10 are reserved: choose a free one; the node's addresses and ports follow it");
    if (*number < next)
      return problem(where, fmt::format("node_id {} is used up in this log, whose next is {}", *number, next),
                     "import into a new log, or choose another; the node's addresses and ports follow it",
                     Errc::conflict);
    const NodeId id(static_cast<uint32_t>(*number));
    const auto [other, fresh] = numbers_.emplace(id, where);
    if (!fresh)
      return problem(where, fmt::format("node_id {} stands also in {}", *number, other->second),
                     "give one of them another number");
    nodes_.push_back({id, std::move(fullname), &node});
  }

  Status add_nodes() {
    std::ranges::sort(nodes_, {}, &NumberedNode::id);
    for (const NumberedNode& node : nodes_) {
      out_.commands.push_back(AddNode{node.fullname, node.id});
      ++out_.nodes;
      MESH_TRY(add_level({Level::node, node.fullname}, node.node->level));
      for (const auto& [name, attribute] : node.node->level.attributes) check_peer(name, attribute);
    }
    return {};
  }

  /// wg_links.13.x where there is no node 13.
  void check_peer(const std::string& name, const TowalinkAttribute& attribute) {
    constexpr std::string_view kLinks = "wg_links.";
    if (!name.starts_with(kLinks)) return;
    const std::string peer = name.substr(kLinks.size(), name.find('.', kLinks.size()) - kLinks.size());
    const bool known =
        std::ranges::any_of(nodes_, [&](const NumberedNode& n) { return fmt::format("{}", n.id.value()) == peer; });
    if (!known)
      say(ImportTopic::differs, attribute.where, fmt::format("{} is about node {}, which is not there", name, peer));
  }

  // The rest of the report.

  void say_what_is_left() {
    for (const auto& [name, places] : unknown_) {
      const auto near = suggest_attribute(name);
      say(ImportTopic::unknown, places.front(),
          fmt::format("{}{}: only templates can use it{}", name,
                      places.size() > 1 ? fmt::format(" (also in {} more)", places.size() - 1) : "",
                      near ? fmt::format("; did you mean {}?", *near) : ""));
    }
    if (tree_.generated_keys > 0)
      say(ImportTopic::dropped, "generated/config.toml",
          fmt::format("{} keys and passwords: nodes make their own, which never leave them", tree_.generated_keys));
    for (const std::string& link : tree_.without_tunnel)
      say(ImportTopic::differs, "generated/config.toml",
          fmt::format(
              "link {} had wg_active = false by hand and gets a tunnel here; without a common group there is none",
              link));
    if (!tree_.ignored.empty())
      say(ImportTopic::dropped, tree_.ignored.front(),
          fmt::format("{}neither *.conf nor *.jinja: Towalink did not collect it either",
                      tree_.ignored.size() > 1 ? fmt::format("and {} more: ", tree_.ignored.size() - 1) : ""));
    if (!tree_.global.files.contains("bird.conf.jinja") && !tree_.global.files.contains("bird.conf"))
      say(ImportTopic::differs, "",
          "there is no global bird.conf.jinja, and the one that is built in announces the attribute lans alone: set "
          "site S lans; Towalink's announced every connected network");
    size_t templates = 0;
    each_file([&](const std::string& name, const TowalinkFile& file) { templates += say_about_file(name, file); });
    if (templates > 0)
      say(ImportTopic::check, "",
          fmt::format("{} template{} rendered and checked at the commit: meshcli plan says what is "
                      "wrong with them",
                      templates, templates == 1 ? " is" : "s are"));
    std::string permitted;
    if (startup_) permitted = "startup_scripts = true (startup_*)";
    if (ssh_keys_) permitted += std::string(startup_ ? " and " : "") + "ssh_keys = true (node_sshauthkeys)";
    if (!permitted.empty())
      say(ImportTopic::check, "",
          fmt::format("a node activates this only when its /etc/meshnode/allow.toml says {}", permitted));
  }

  template <class Visit>
  void each_file(Visit visit) const {
    auto level = [&](const TowalinkLevel& at) {
      for (const auto& [name, file] : at.files) visit(name, file);
    };
    level(tree_.global);
    for (const TowalinkSite& site : tree_.sites) {
      level(site.level);
      for (const TowalinkNode& node : site.nodes) level(node.level);
    }
  }

  /// Whether it is a template.
  bool say_about_file(const std::string& name, const TowalinkFile& file) {
    startup_ = startup_ || name.starts_with("startup_");
    if (!name.ends_with(".jinja")) return false;
    for (const std::string& dropped : dropped_names_)
      if (file.content.contains(dropped))
        say(ImportTopic::differs, file.where,
            fmt::format("it uses {}, which is not taken over: it renders as empty", dropped));
    return true;
  }

  const TowalinkTree& tree_;
  const MeshState& now_;
  const PutFile& put_;
  TowalinkImport out_;
  std::vector<NumberedNode> nodes_;
  std::map<NodeId, std::string> numbers_;  // where each was said
  std::set<std::string> site_names_, dropped_names_;
  std::map<std::string, std::vector<std::string>> unknown_;
  bool startup_ = false, ssh_keys_ = false;
};

bool share_a_group(const NodeIntent& a, const NodeIntent& b) {
  return std::ranges::any_of(a.groups, [&](uint32_t group) { return std::ranges::binary_search(b.groups, group); });
}

/// What Towalink linked and cannot be linked here, as "a and b, c and d and 7 more".
std::string some_pairs(const std::vector<std::string>& pairs) {
  constexpr size_t kShown = 3;
  const size_t shown = std::min(kShown, pairs.size());
  std::string out = fmt::format("{}", fmt::join(pairs.begin(), pairs.begin() + static_cast<long>(shown), ", "));
  return pairs.size() > shown ? out + fmt::format(" and {} more", pairs.size() - shown) : out;
}

}  // namespace

std::string_view topic_name(ImportTopic topic) {
  constexpr std::string_view kNames[] = {"differs", "commit", "set", "renamed", "dropped", "unknown", "check"};
  return kNames[static_cast<size_t>(topic)];
}

Result<TowalinkImport> import_towalink(const TowalinkTree& tree, const MeshState& now, const PutFile& put) {
  return Importer(tree, now, put).run();
}

std::vector<ImportNote> judge_import(const MeshState& now, const MeshState& after) {
  std::vector<ImportNote> out;
  auto refused = [&](const Error& error) {
    out.push_back({ImportTopic::commit, "", error.fix.empty() ? error.message : error.message + "; " + error.fix});
  };
  const Intent intent(after);
  for (const Error& error : intent.errors()) refused(error);
  const Compilation compilation(after);
  std::vector<std::string> pairs;
  for (size_t i = 0; i < intent.nodes().size(); ++i) {
    const NodeIntent& node = intent.nodes()[i];
    if (now.find_node(node.node->id) != nullptr) continue;
    for (const Error& error : node.errors) refused(error);
    size_t linked = 0;
    for (size_t j = 0; j < intent.nodes().size(); ++j) {
      const NodeIntent& peer = intent.nodes()[j];
      if (i == j || !share_a_group(node, peer)) continue;
      ++linked;
      if (i < j && !node.outside && !peer.outside)
        pairs.push_back(fmt::format("{} and {}", node.node->fullname(), peer.node->fullname()));
    }
    if (linked == 0 && intent.nodes().size() > 1)
      out.push_back({ImportTopic::differs, "",
                     fmt::format("node {} shares no group with any other: it has no link, in Towalink neither",
                                 node.node->fullname())});
    if (!intent.errors().empty() || !node.errors.empty()) continue;
    if (auto config = compilation.node(node.node->id); !config) refused(config.error());
  }
  if (!pairs.empty())
    out.push_back({ImportTopic::differs, "",
                   fmt::format("{} without a link: neither end has a node_hostname, so neither can dial: {}",
                               pairs.size() == 1 ? "one pair is" : fmt::format("{} pairs are", pairs.size()),
                               some_pairs(pairs))});
  return out;
}

}  // namespace mesh::cli
