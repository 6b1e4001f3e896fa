#include "eventstore/model/attribute_table.h"

#include <algorithm>
#include <array>
#include <vector>

#include "eventstore/model/address.h"
#include "eventstore/model/json_text.h"
#include "eventstore/model/limits.h"

namespace mesh {

namespace {

using enum AttributeType;
using enum Effect;

constexpr uint8_t kSiteOrNode = kAtSite | kAtNode;

// "<peer>" stands for a node's number. A name with "_ipv4" or "_ipv6" in it fixes the family of its
// prefix.
constexpr std::array kTable = {
    AttributeSpec{"activation_confirm", integer, 0, kConfirmSecondsMax, "", kAnywhere, none,
                  "Seconds within which an activation has to be confirmed, or its nodes go back; 0 = acts at once", 3},
    AttributeSpec{"activation_health", gates, 0, 0, "", kAnywhere, none,
                  "Gates that confirm an activation that waits: controller, bgp, bfd, reach:SITE", 3},
    AttributeSpec{"activation_health_for", integer, 1, kHealthSecondsMax, "", kAnywhere, none,
                  "Seconds for which the gates of activation_health have to hold", 3},
    AttributeSpec{"bfd_interval_ms", integer, 10, 60'000, "300", kAnywhere, hot,
                  "Milliseconds between BFD packets; both ends use the larger value"},
    AttributeSpec{"bfd_multiplier", integer, 2, 50, "3", kAnywhere, hot,
                  "Lost BFD packets until a link counts as down; both ends use the larger value"},
    AttributeSpec{"bgp_as_base", integer, 64'501, 4'294'967'283, "", kAtGlobal, session_reset,
                  "AS number of a node = this + its number; private ranges only"},
    AttributeSpec{"controller_hostname", host, 0, 0, "", kAtGlobal, hot,
                  "Where nodes dial the management hub; the hub's endpoint when there is none", 4},
    AttributeSpec{"controller_wg_listenport", integer, 1, 65'535, "51820", kAtGlobal, hot,
                  "UDP port of the management hub", 4},
    AttributeSpec{"drift", choice, 0, 0, "report", kAnywhere, hot,
                  "What a node does about hand edits: report names them, heal sets them back too",
                  3, "report|heal"},
    AttributeSpec{
        "endpoint", endpoint, 0, 0, "", kSiteOrNode, hot,
        "Where peers dial, host or host:PORT with PORT as the outside view of wg_listenport_base; "
        "none = behind NAT"},
    AttributeSpec{"groups", text_list, 0, 0, "[\"default\"]", kAnywhere, hot,
                  "Two nodes are linked when they share a group"},
    AttributeSpec{"internode_transfernet_ipv4", prefix, 1, 30, "", kAtGlobal, none,
                  "IPv4 network reserved for links; no LAN may overlap it"},
    AttributeSpec{"internode_transfernet_ipv6", prefix, 64, 64, "", kAtGlobal, session_reset,
                  "Link-local network of the links; address = network + number"},
    AttributeSpec{"lans", prefix_list, 1, 128, "", kSiteOrNode, hot,
                  "Networks that the site announces when its routers are connected to them"},
    AttributeSpec{"loopbacknet_ipv4", prefix, 8, 30, "", kAtGlobal, session_reset,
                  "IPv4 loopback of a node = this network + its number"},
    AttributeSpec{"loopbacknet_ipv6", prefix, 16, 120, "", kAtGlobal, hot,
                  "IPv6 loopback of a node = this network + its number"},
    AttributeSpec{"management_hub", node, 0, 0, "", kAtGlobal, hot,
                  "The node on whose machine the management network ends, by number or name; none without one", 4},
    AttributeSpec{"management_mtu", integer, 1'280, 9'000, "1392", kAnywhere, hot, "MTU of the management network", 4},
    AttributeSpec{"management_net_ipv6", prefix, 64, 64, "", kAtGlobal, hot,
                  "Network of the management addresses; address = network + number; by default made from the log's id",
                  4},
    AttributeSpec{"node_hostname", host, 0, 0, "", kSiteOrNode, hot,
                  "Where peers dial when there is no endpoint; localhost counts as none"},
    AttributeSpec{"node_sshauthkeys", ssh_keys, 0, 0, "", kAnywhere, hot,
                  "Public keys that may log in as root, where the machine permits it", 4},
    AttributeSpec{"routing_style", choice, 0, 0, "link", kAnywhere, session_reset,
                  "link: a session for each link; loopback: Towalink's sessions between loopbacks, by its templates", 4,
                  "link|loopback"},
    AttributeSpec{"service.<name>.check", text, 0, 0, "", kAnywhere, none,
                  "Command that checks staged files before they are used; {} stands for their directory", 4},
    AttributeSpec{"service.<name>.destination", text, 0, 0, "", kAnywhere, hot,
                  "Directory on the router where the service's files belong", 4},
    AttributeSpec{"service.<name>.files", text, 0, 0, "", kAnywhere, hot,
                  "Which files are the service's, as a pattern: dnsmasq*.conf", 4},
    AttributeSpec{"service.<name>.reload", text, 0, 0, "", kAnywhere, hot,
                  "Command that makes the service use its files after they changed", 4},
    AttributeSpec{"topology_seed", integer, 0, INT64_MAX, "0", kAtGlobal, hot,
                  "Another seed spreads nodes behind NAT over other uplinks"},
    AttributeSpec{"uplinks", integer, 0, 1'000, "2", kAnywhere, hot,
                  "How many public peers a node behind NAT dials; 0 = all of its groups"},
    AttributeSpec{"wg_keepalive", integer, 0, 65'535, "25", kAnywhere, hot,
                  "Seconds between keepalives on every link of a node; 0 = none"},
    AttributeSpec{"wg_links.<peer>.wg_peer_keepalive", integer, 0, 65'535, "", kAnywhere, hot,
                  "Seconds between keepalives on the link to this peer"},
    AttributeSpec{"wg_listenport_base", integer, 1, 65'524, "51820", kAnywhere, session_reset,
                  "UDP port on a node for a peer = this + the peer's number"},
    AttributeSpec{"wg_mtu", integer, 1'280, 9'000, "1420", kAnywhere, hot,
                  "MTU of a node's links; a link uses the smaller of both ends"},
};
static_assert(std::ranges::is_sorted(kTable, {}, &AttributeSpec::name));

constexpr std::string_view kPeerLabel = "<peer>", kNameLabel = "<name>", kServicePrefix = "service.";

bool is_number(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

/// `name` with its numeric labels replaced, and that of a service, as the table writes it; `number` is the last one
/// replaced.
std::string generic_name(std::string_view name, std::string* number) {
  std::string out;
  if (const size_t end = name.find('.', kServicePrefix.size());
      name.starts_with(kServicePrefix) && end != std::string_view::npos)
    return std::string(kServicePrefix) + std::string(kNameLabel) + std::string(name.substr(end));
  for (size_t begin = 0; begin <= name.size();) {
    size_t end = std::min(name.find('.', begin), name.size());
    std::string_view label = name.substr(begin, end - begin);
    if (begin > 0) out += '.';
    if (is_number(label) && number != nullptr) *number = label;
    out += is_number(label) ? kPeerLabel : label;
    begin = end + 1;
  }
  return out;
}

/// Words of a name: "wg-private.a_b" has wg, private, a, b; lower case.
std::vector<std::string> words_of(std::string_view name) {
  std::vector<std::string> out(1);
  for (char c : name) {
    if (c == '_' || c == '-' || c == '.') {
      out.emplace_back();
    } else {
      out.back() += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
  }
  return out;
}

bool secret_like(std::string_view name) {
  static constexpr std::string_view kWords[] = {
      "password",   "passwd",  "passphrase",   "secret",    "secrets", "psk",
      "privatekey", "privkey", "presharedkey", "preshared", "token",   "apikey"};
  static constexpr std::pair<std::string_view, std::string_view> kPairs[] = {{"private", "key"},
                                                                             {"wg", "private"},
                                                                             {"api", "key"},
                                                                             {"recovery", "key"},
                                                                             {"config", "key"}};
  auto words = words_of(name);
  for (size_t i = 0; i < words.size(); ++i) {
    if (std::ranges::find(kWords, words[i]) != std::end(kWords)) return true;
    for (auto [first, second] : kPairs)
      if (i + 1 < words.size() && words[i] == first && words[i + 1] == second) return true;
  }
  return false;
}

std::unexpected<Error> wrong(std::string_view name, std::string what, std::string fix) {
  return fail(Errc::invalid, std::string(name) + ": " + std::move(what), std::move(fix));
}

Status check_size(std::string_view name, const AttributeValue& value, size_t most) {
  auto strings = value.strings();
  if (strings.size() > kAttributeListMax)
    return wrong(name, "a list of " + std::to_string(strings.size()) + " items is too long",
                 "at most " + std::to_string(kAttributeListMax) + " items");
  size_t bytes = 0;
  for (const auto& text : strings) {
    bytes += text.size();
    if (!is_utf8(text)) return wrong(name, "the value is not UTF-8", "");
  }
  if (bytes > most)
    return wrong(name, "a value of " + std::to_string(bytes) + " bytes is too long",
                 "at most " + std::to_string(most) + " bytes; put more into a file");
  return {};
}

Status check_integer(const AttributeSpec& spec, std::string_view name, const AttributeValue& value, uint32_t rules) {
  std::string range = std::to_string(spec.min) + " to " + std::to_string(spec.max);
  auto number = value.number();
  if (number == nullptr)
    return wrong(name, to_text(value) + " is not a number", "a number from " + range);
  if (*number < spec.min || *number > spec.max)
    return wrong(name, std::to_string(*number) + " is out of range", "a number from " + range);
  if (rules >= 4 && spec.name == "activation_confirm" && *number > 0 && *number < kConfirmSecondsMin)
    return wrong(name, std::to_string(*number) + " s are too short for a confirmation",
                 "0 for none, or a number from " + std::to_string(kConfirmSecondsMin) + " to " +
                     std::to_string(spec.max));
  return {};
}

Status check_groups(std::string_view name, const AttributeValue& value) {
  for (const auto& text : value.strings())
    if (text.empty() || text.size() > kNameBytesMax)
      return wrong(
          name, "an item has " + std::to_string(text.size()) + " bytes",
          "names of 1 to " + std::to_string(kNameBytesMax) + " bytes: [\"hub\", \"default\"]");
  return {};
}

Status check_gates(std::string_view name, const AttributeValue& value) {
  const auto items = value.strings();
  if (items.size() > kHealthGatesMax)
    return wrong(name, std::to_string(items.size()) + " gates", "at most " + std::to_string(kHealthGatesMax));
  for (const auto& gate : items)
    if (gate != "controller" && gate != "bgp" && gate != "bfd" && (!gate.starts_with("reach:") || gate.size() < 7))
      return wrong(name, "\"" + gate + "\" is no gate", "gates are controller, bgp, bfd and reach:SITE");
  return {};
}

Result<IpPrefix> network_of(std::string_view name, const std::string& text) {
  auto prefix = parse_prefix(text);
  if (!prefix) return fail_in(name, prefix.error());
  if (prefix->has_host_bits())
    return wrong(name, text + " has host bits set",
                 "use the network: " + to_text(prefix->network()));
  return prefix;
}

Status check_prefix(const AttributeSpec& spec, std::string_view name, const AttributeValue& value) {
  bool v6 = spec.name.contains("_ipv6");
  std::string example = v6 ? "fd00:1:2::/48" : "100.64.0.0/16";
  if (value.text() == nullptr)
    return wrong(name, to_text(value) + " is not a network", "as in " + example);
  auto prefix = network_of(name, *value.text());
  if (!prefix) return std::unexpected(prefix.error());
  if (prefix->v6() != v6)
    return wrong(name, *value.text() + " is of the wrong family",
                 std::string("an IPv") + (v6 ? "6" : "4") + " network");
  if (prefix->length < spec.min || prefix->length > spec.max)
    return wrong(name, "prefix length " + std::to_string(prefix->length) + " is out of range",
                 "a length from " + std::to_string(spec.min) + " to " + std::to_string(spec.max));
  if (spec.name == "internode_transfernet_ipv6" && !is_link_local(*prefix))
    return wrong(name, *value.text() + " is not link-local", "use fe80::/64");
  return {};
}

Status check_lans(std::string_view name, const AttributeValue& value) {
  for (const auto& text : value.strings()) {
    auto prefix = network_of(name, text);
    if (!prefix) return std::unexpected(prefix.error());
    if (prefix->length == 0)
      return wrong(name, text + " is the default route", "name the networks themselves");
    if (!is_unicast(*prefix))
      return wrong(name, text + " is no network that can be routed",
                   "not link-local, multicast, loopback or reserved");
  }
  return {};
}

Status check_host(const AttributeSpec& spec, std::string_view name, const AttributeValue& value) {
  if (value.text() == nullptr)
    return wrong(name, to_text(value) + " is not a host", "a host name or an address");
  if (spec.type == endpoint && *value.text() == "none") return {};
  auto parsed = parse_host_port(*value.text());
  if (!parsed) return fail_in(name, parsed.error());
  if (spec.type == host && parsed->port)
    return wrong(name, "takes no port", "use endpoint for host:port");
  return {};
}

Status check_choice(const AttributeSpec& spec, std::string_view name, const AttributeValue& value) {
  for (std::string_view left = spec.choices; value.text() != nullptr && !left.empty();) {
    std::string_view word = left.substr(0, left.find('|'));
    if (word == *value.text()) return {};
    left.remove_prefix(std::min(word.size() + 1, left.size()));
  }
  std::string words(spec.choices);
  for (size_t at; (at = words.find('|')) != std::string::npos;) words.replace(at, 1, " or ");
  return wrong(name, to_text(value) + " is none of its values", words);
}

bool is_one_line(std::string_view text) {
  return std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

Status check_text(std::string_view name, const AttributeValue& value) {
  if (value.text() == nullptr || value.text()->empty() || !is_one_line(*value.text()))
    return wrong(name, to_text(value) + " is not a line of text", "one line, not empty");
  return {};
}

/// TYPE KEY [COMMENT], options before it are not taken: they could hold anything.
Status check_ssh_keys(std::string_view name, const AttributeValue& value) {
  for (const auto& line : value.strings()) {
    const auto blank = line.find(' ');
    const auto type = std::string_view(line).substr(0, blank);
    const bool known = type.starts_with("ssh-") || type.starts_with("ecdsa-sha2-") || type.starts_with("sk-");
    if (known && blank != std::string::npos && blank + 1 < line.size() && is_one_line(line)) continue;
    return wrong(name, "an item is no public key",
                 "lines of a .pub file: [\"ssh-ed25519 AAAA... name\"], without options");
  }
  return {};
}

std::string level_names(uint8_t scopes) {
  std::string out;
  for (auto [bit, word] : {std::pair(kAtGlobal, "global"), {kAtSite, "site"}, {kAtNode, "node"}})
    if (scopes & bit) out += (out.empty() ? "" : " or ") + std::string(word);
  return out;
}

}  // namespace

std::span<const AttributeSpec> attribute_table() { return kTable; }

const AttributeSpec* find_attribute(std::string_view name) {
  auto find = [](std::string_view key) {
    auto at = std::ranges::lower_bound(kTable, key, {}, &AttributeSpec::name);
    return at != kTable.end() && at->name == key ? &*at : nullptr;
  };
  if (!name.contains('.')) return find(name);
  return name.contains('<') ? nullptr : find(generic_name(name, nullptr));
}

std::optional<std::string_view> file_of(std::string_view attribute) {
  if (!attribute.starts_with(kFilePrefix)) return std::nullopt;
  return attribute.substr(kFilePrefix.size());
}

Status check_file_name(std::string_view name) {
  auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '.';
  };
  if (!name.empty() && name.size() <= kFileNameBytesMax && std::ranges::all_of(name, allowed) &&
      name.front() != '.' && name.front() != '-')
    return {};
  return fail(Errc::invalid,
              is_utf8(name) ? "file name \"" + std::string(name) + "\" is not valid" : "file name is not UTF-8",
              "letters, digits, _, - and ., beginning with none of - and ., at most " +
                  std::to_string(kFileNameBytesMax) + " characters");
}

size_t attribute_bytes_max(std::string_view name, uint32_t rules) {
  const AttributeSpec* spec = find_attribute(name);
  return spec != nullptr && spec->type == ssh_keys && spec->rules <= rules ? kSshKeysBytesMax : kAttributeValueBytesMax;
}

Status check_attribute_name(std::string_view name) {
  if (auto file = file_of(name)) return check_file_name(*file);
  static constexpr std::string_view kForm = "letters, digits, _ and - in labels joined by dots";
  if (name.empty() || name.size() > kAttributeNameBytesMax)
    return fail(Errc::invalid, "attribute name has " + std::to_string(name.size()) + " bytes",
                "1 to " + std::to_string(kAttributeNameBytesMax) + " bytes");
  auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  };
  bool label_open = false;
  for (char c : name) {
    if (!allowed(c) && !(c == '.' && label_open))
      return fail(Errc::invalid,
                  is_utf8(name) ? "attribute name \"" + std::string(name) + "\" is not valid"
                                : "attribute name is not UTF-8",
                  std::string(kForm));
    label_open = c != '.';
  }
  if (!label_open)
    return fail(Errc::invalid, "attribute name \"" + std::string(name) + "\" ends with a dot",
                std::string(kForm));
  if (secret_like(name))
    return fail(
        Errc::invalid,
        "attribute \"" + std::string(name) + "\" looks like a secret, and the log is not secret",
        "keep secrets out of attributes");
  return {};
}

Status check_attribute(std::string_view name, const AttributeValue& value, ScopeMask level, uint32_t rules) {
  MESH_TRY(check_size(name, value, attribute_bytes_max(name, rules)));
  if (file_of(name).has_value() != (value.file() != nullptr))
    return wrong(name, value.file() ? "is no name of a file" : "holds a file and no value", "meshcli put file");
  if (value.file() != nullptr && rules < 4)
    return fail(Errc::unsupported, std::string(name) + ": files need rules 4", "meshcli controller rules 4");
  if (value.file() != nullptr && value.file()->size > kFileBytesMax)
    return wrong(name, "a file of " + std::to_string(value.file()->size) + " bytes is too long",
                 "at most " + std::to_string(kFileBytesMax) + " bytes");
  const AttributeSpec* spec = find_attribute(name);
  if (spec == nullptr || spec->rules > rules) return {};
  if ((spec->scopes & level) == 0)
    return wrong(name, "cannot be set at " + level_names(level),
                 "set it at " + level_names(spec->scopes));
  switch (spec->type) {
    case integer:
      return check_integer(*spec, name, value, rules);
    case text_list:
      return check_groups(name, value);
    case gates:
      return check_gates(name, value);
    case prefix:
      return check_prefix(*spec, name, value);
    case prefix_list:
      return check_lans(name, value);
    case host:
    case endpoint:
      return check_host(*spec, name, value);
    case choice:
      return check_choice(*spec, name, value);
    case text:
      return check_text(name, value);
    case node:
      return value.number() != nullptr ? Status{} : check_text(name, value);
    case ssh_keys:
      return check_ssh_keys(name, value);
  }
  return {};
}

std::optional<std::string> suggest_attribute(std::string_view name) {
  std::string number;
  std::string wanted = generic_name(name, &number);
  const AttributeSpec* best = nullptr;
  size_t best_distance = std::max<size_t>(1, wanted.size() / 3) + 1;
  for (const auto& spec : kTable) {
    bool has_peer = spec.name.contains(kPeerLabel);
    size_t distance = has_peer == number.empty() || spec.name.contains(kNameLabel)
                          ? best_distance
                          : edit_distance(wanted, spec.name);
    if (distance < best_distance) best = &spec, best_distance = distance;
  }
  if (best == nullptr || best_distance == 0) return std::nullopt;
  std::string out(best->name);
  if (size_t at = out.find(kPeerLabel); at != std::string::npos)
    out.replace(at, kPeerLabel.size(), number);
  return out;
}

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), now(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    now[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      now[j] = std::min({last[j] + 1, now[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        now[j] = std::min(now[j], before[j - 2] + 1);
    }
    std::swap(before, last);
    std::swap(last, now);
  }
  return last[b.size()];
}

}  // namespace mesh
