#include "cli/towalink/towalink_tree.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>

#include "eventstore/model/json_text.h"
#include "eventstore/model/limits.h"

namespace mesh::cli {

namespace {

namespace fs = std::filesystem;

constexpr size_t kGeneratedBytesMax = 64 * 1024 * 1024;  // 700 bytes for each link of 400 nodes in a full mesh
constexpr std::string_view kConfig = "config.toml", kSitePrefix = "site_", kNodePrefix = "node_";
constexpr std::string_view kGenerated = "generated/config.toml";

bool is_collected(std::string_view name) { return name.ends_with(".conf") || name.ends_with(".jinja"); }

/// A date or time as TOML writes it.
template <class T>
std::string written(const T& value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

/// The line of a key with more parts than the name of an attribute can have; 0 = none. toml++ makes a table of each
/// part and goes down them one in the other: a key of a megabyte would end the program.
size_t line_of_deep_key(std::string_view text) {
  constexpr size_t kPartsMax = 128;
  size_t line = 1, parts = 0;
  char quote = 0, before = '\n';
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n') {
      ++line;
      parts = 0;
      quote = 0;
    } else if (quote != 0) {
      if (c == '\\' && quote == '"') ++i;
      if (c == quote) quote = 0;
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (c == '#') {
      i = std::min(text.find('\n', i), text.size()) - 1;
    } else if (std::string_view("=,[]{}").contains(c)) {
      parts = 0;
    } else if (c == '.' && before != '.' && ++parts > kPartsMax) {
      return line;
    }
    if (c != ' ' && c != '\t') before = c;
  }
  return 0;
}

class TreeReader {
 public:
  explicit TreeReader(const fs::path& root) : root_(root) {}

  Result<TowalinkTree> run() {
    std::error_code failed;
    if (!fs::is_directory(root_, failed))
      return fail(Errc::not_found, fmt::format("{} is no folder", root_.string()), "Towalink's is /etc/towalink");
    if (!fs::exists(root_ / kConfig, failed))
      return fail(Errc::not_found,
                  fmt::format("{} holds no config.toml: it is none of Towalink's folders", root_.string()),
                  "name the folder with config.toml and site_NAME, as /etc/towalink");
    out_.global.folder = "";
    auto sites = read_level(out_.global, kSitePrefix);
    if (!sites) return std::unexpected(std::move(sites).error());
    for (const std::string& name : *sites) MESH_TRY(read_site(name));
    read_generated();
    return std::move(out_);
  }

 private:
  Status read_site(const std::string& folder) {
    TowalinkSite site{folder.substr(kSitePrefix.size()), {}, {}};
    site.level.folder = folder;
    auto nodes = read_level(site.level, kNodePrefix);
    if (!nodes) return std::unexpected(std::move(nodes).error());
    for (const std::string& name : *nodes) {
      TowalinkNode node{name.substr(kNodePrefix.size()), {}};
      node.level.folder = folder + "/" + name;
      MESH_TRY(read_level(node.level, {}));
      site.nodes.push_back(std::move(node));
    }
    out_.sites.push_back(std::move(site));
    return {};
  }

  /// Returns the folders in it whose names begin with `prefix`.
  Result<std::vector<std::string>> read_level(TowalinkLevel& level, std::string_view prefix) {
    const fs::path folder = root_ / level.folder;
    std::vector<std::string> names, below;
    std::error_code failed;
    for (fs::directory_iterator it(folder, failed), end; !failed && it != end; it.increment(failed))
      names.push_back(it->path().filename().string());
    if (failed)
      return fail(Errc::io, fmt::format("cannot read {}: {}", folder.string(), failed.message()), "check its mode");
    std::ranges::sort(names);
    for (const std::string& name : names) {
      const std::string where = level.folder.empty() ? name : level.folder + "/" + name;
      std::error_code unknown;
      const auto kind = fs::status(folder / name, unknown).type();
      if (!is_utf8(name)) {
        problem(level.folder.empty() ? "the folder" : level.folder, "a name in it is not UTF-8", "rename it");
      } else if (kind == fs::file_type::directory && !prefix.empty() && name.starts_with(prefix)) {
        below.push_back(name);
      } else if (kind == fs::file_type::regular && name == kConfig) {
        read_config(where, level);
      } else if (is_collected(name)) {
        read_file(where, name, kind, level);
      } else if (!is_towalinks_own(level, name)) {
        out_.ignored.push_back(where);
      }
    }
    return below;
  }

  static bool is_towalinks_own(const TowalinkLevel& level, const std::string& name) {
    constexpr std::string_view kOwn[] = {".git", ".gitignore", "certs", "effective", "generated"};
    return level.folder.empty() && std::ranges::find(kOwn, name) != std::end(kOwn);
  }

  void problem(std::string where, std::string what, std::string fix, Errc code = Errc::invalid) {
    out_.problems.push_back({std::move(where), Error{code, std::move(what), std::move(fix)}});
  }

  /// Nothing when it cannot be read, and a problem then.
  std::optional<std::string> read_bytes(const std::string& where, size_t most) {
    std::ifstream in(root_ / where, std::ios::binary);
    std::string text(most + 1, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (!in && !in.eof()) {
      problem(where, "it cannot be read", "check its mode", Errc::io);
      return std::nullopt;
    }
    text.resize(static_cast<size_t>(in.gcount()));
    if (text.size() <= most) return text;
    problem(where, fmt::format("it has more than {} bytes", most), "files are for templates and configuration");
    return std::nullopt;
  }

  bool is_below(const std::string& where) const {
    std::error_code failed;
    const fs::path root = fs::canonical(root_, failed), file = fs::canonical(root_ / where, failed);
    return !failed && std::mismatch(root.begin(), root.end(), file.begin(), file.end()).first == root.end();
  }

  void read_file(const std::string& where, const std::string& name, fs::file_type kind, TowalinkLevel& level) {
    if (kind != fs::file_type::regular)
      return problem(where, "it is no regular file, or a link to nowhere", "remove it, or put the file there");
    if (!is_below(where))
      return problem(where, "it is a link that leads out of the folder", "put the file itself there");
    if (auto content = read_bytes(where, kFileBytesMax)) level.files[name] = {where, std::move(*content)};
  }

  std::optional<toml::table> parse(const std::string& where, size_t most) {
    auto text = read_bytes(where, most);
    if (!text) return std::nullopt;
    if (const size_t line = line_of_deep_key(*text); line > 0) {
      problem(fmt::format("{}:{}", where, line), "its key has too many parts",
              "no attribute has such a name: shorten it");
      return std::nullopt;
    }
    try {
      return toml::parse(*text, where);
    } catch (const toml::parse_error& error) {
      // The description quotes the line, which can be one of a secret.
      problem(fmt::format("{}:{}", where, error.source().begin.line), "it is not TOML",
              "Towalink does not read it either: correct that line");
      return std::nullopt;
    }
  }

  void read_config(const std::string& where, TowalinkLevel& level) {
    if (!is_below(where))
      return problem(where, "it is a link that leads out of the folder", "put the file itself there");
    if (auto table = parse(where, kFileBytesMax)) flatten(*table, "", where, level);
  }

  void flatten(const toml::table& table, const std::string& prefix, const std::string& file, TowalinkLevel& level) {
    for (const auto& [key, node] : table) {
      std::string name = prefix.empty() ? std::string(key.str()) : fmt::format("{}.{}", prefix, key.str());
      if (const toml::table* inner = node.as_table()) {
        flatten(*inner, name, file, level);
        continue;
      }
      std::string where = fmt::format("{}:{}", file, node.source().begin.line);
      auto value = read_value(name, node, where);
      if (value && !level.attributes.emplace(name, TowalinkAttribute{std::move(*value), where}).second)
        problem(where, fmt::format("{} is named twice", name), "remove one");
    }
  }

  std::optional<AttributeValue> read_value(const std::string& name, const toml::node& node,
                                           const std::string& where) {
    const toml::array* list = node.as_array();
    if (list == nullptr) {
      auto scalar = read_scalar(name, node, where);
      if (!scalar) return std::nullopt;
      return std::visit([](auto& value) { return AttributeValue(std::move(value)); }, *scalar);
    }
    std::vector<Scalar> items;
    for (const toml::node& item : *list) {
      if (item.is_table() || item.is_array()) {
        problem(where, fmt::format("{} is a list of {}", name, item.is_table() ? "tables" : "lists"),
                "lists hold texts, numbers and booleans: write it flat, or into the template");
        return std::nullopt;
      }
      auto scalar = read_scalar(name, item, where);
      if (!scalar) return std::nullopt;
      items.push_back(std::move(*scalar));
    }
    return AttributeValue(std::move(items));
  }

  std::optional<Scalar> read_scalar(const std::string& name, const toml::node& node, const std::string& where) {
    if (const auto* text = node.as_string()) return Scalar(text->get());
    if (const auto* number = node.as_integer()) return Scalar(number->get());
    if (const auto* flag = node.as_boolean()) return Scalar(flag->get());
    std::string text;
    if (const auto* fraction = node.as_floating_point()) {
      text = fmt::format("{}", fraction->get());
      if (text.find_first_of(".ein") == std::string::npos) text += ".0";  // as Python prints it
    }
    if (const auto* date = node.as_date()) text = written(date->get());
    if (const auto* time = node.as_time()) text = written(time->get());
    if (const auto* both = node.as_date_time()) text = written(both->get());
    out_.changed.push_back({where, fmt::format("{} = {} becomes the text \"{}\"", name, text, text)});
    return Scalar(std::move(text));
  }

  void read_generated() {
    std::error_code failed;
    if (!fs::is_regular_file(root_ / kGenerated, failed)) return;
    auto table = parse(std::string(kGenerated), kGeneratedBytesMax);
    const toml::table* links = table ? (*table)["links"].as_table() : nullptr;
    if (links == nullptr) return;
    for (const auto& [name, node] : *links) {
      const toml::table* link = node.as_table();
      if (link == nullptr) continue;
      for (const auto& [key, value] : *link)
        out_.generated_keys += value.is_string() && (key.str().starts_with("wg_p") || key.str() == "bgp_password");
      if ((*link)["active"].value_or(false) && !(*link)["wg_active"].value_or(true))
        out_.without_tunnel.emplace_back(name.str());
    }
  }

  fs::path root_;
  TowalinkTree out_;
};

}  // namespace

Result<TowalinkTree> read_towalink(const std::filesystem::path& folder) { return TreeReader(folder).run(); }

}  // namespace mesh::cli
