#include "cli/files/file_tree.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "cli/grammar.h"
#include "cli/json.h"
#include "eventstore/model/attribute_table.h"
#include "eventstore/model/crypto.h"
#include "eventstore/model/limits.h"

namespace mesh::cli {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kMarker = ".meshlog", kSite = "site_", kNode = "node_";
constexpr std::string_view kHead =
    "# Written by meshcli from the log. To change attributes: meshcli set, or meshcli apply.\n";

std::string toml_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      (out += '\\') += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string toml_value(const AttributeValue& value) {
  if (const auto* number = value.number()) return fmt::format("{}", *number);
  if (const auto* text = value.text()) return toml_string(*text);
  if (const auto* list = value.list()) {
    std::string out;
    for (const Scalar& member : *list)
      out +=
          (out.empty() ? "" : ", ") + toml_value(std::visit([](const auto& v) { return AttributeValue(v); }, member));
    return "[" + out + "]";
  }
  return std::get<bool>(value.data) ? "true" : "false";
}

/// A dotted name, as one key when a part of it is an attribute itself: that cannot be a table, too.
std::string toml_key(const std::string& name, const Attributes& all) {
  for (size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', dot + 1))
    if (all.contains(name.substr(0, dot))) return toml_string(name);
  return name;
}

void add_level(const std::string& prefix, const Attributes& attributes, std::string first, FileTree& out) {
  std::string text = std::string(kHead) + std::move(first);
  for (const auto& [name, attribute] : attributes) {
    if (const auto file = file_of(name); file && attribute.value.file())
      out[prefix + std::string(*file)].file = *attribute.value.file();
    else
      text += fmt::format("{} = {}\n", toml_key(name, attributes), toml_value(attribute.value));
  }
  out[prefix + std::string(kLevelFile)] = {std::nullopt, std::move(text)};
}

std::unexpected<Error> io_error(std::string_view what, const fs::path& path) {
  return fail(Errc::io, fmt::format("cannot {} {}: {}", what, path.string(), std::strerror(errno)));
}

Result<std::string> read_bounded(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::string text(kFileBytesMax + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad() || (!in && in.gcount() == 0 && !in.eof())) return io_error("read", path);
  text.resize(static_cast<size_t>(in.gcount()));
  if (text.size() > kFileBytesMax)
    return fail(Errc::exhausted, fmt::format("{} has more than {} bytes", path.string(), kFileBytesMax),
                "files are for templates and configuration");
  return text;
}

class FolderReader {
 public:
  explicit FolderReader(const fs::path& root) : root_(root) {}

  Result<Folder> run() {
    MESH_TRY(level("", 0));
    return std::move(out_);
  }

 private:
  /// `depth`: 0 = global, 1 = a site, 2 = a node.
  Status level(const std::string& prefix, int depth) {
    std::error_code error;
    std::vector<fs::directory_entry> entries;
    for (fs::directory_iterator it(root_ / prefix, error), end; !error && it != end; it.increment(error))
      entries.push_back(*it);
    if (error) return fail(error == std::errc::no_such_file_or_directory ? Errc::not_found : Errc::io,
                           fmt::format("cannot read {}: {}", (root_ / prefix).string(), error.message()));
    std::ranges::sort(entries);
    for (const fs::directory_entry& entry : entries) MESH_TRY(take(entry, prefix, depth));
    return {};
  }

  Status take(const fs::directory_entry& entry, const std::string& prefix, int depth) {
    const std::string name = entry.path().filename().string(), path = prefix + name;
    if (name.starts_with('.')) return {};
    std::error_code error;
    const fs::file_type kind = entry.symlink_status(error).type();
    if (kind == fs::file_type::directory) {
      const std::string_view wanted = depth == 0 ? kSite : kNode;
      if (depth < 2 && name.starts_with(wanted) && name.size() > wanted.size()) return level(path + "/", depth + 1);
      if (depth > 0 || (name != "generated" && name != "effective" && name != "certs"))
        out_.warnings.push_back(path + " is no site and no node: left out");
      return {};
    }
    if (kind != fs::file_type::regular) {
      out_.warnings.push_back(path + " is no regular file: left out");
      return {};
    }
    auto content = read_bounded(entry.path());
    if (!content) return std::unexpected(std::move(content).error());
    if (name == kLevelFile) return out_.levels[path] = std::move(*content), Status();
    if (auto good = check_file_name(name); !good) {
      if (name.ends_with('~') || name.starts_with('#')) {
        out_.warnings.push_back(path + " is an editor's copy: left out");
        return {};
      }
      return fail_in(path, good.error());
    }
    out_.files[path] = std::move(*content);
    return {};
  }

  fs::path root_;
  Folder out_;
};

}  // namespace

FileTree file_tree(const MeshState& state) {
  FileTree out;
  add_level("", state.global, "", out);
  for (const auto& [name, site] : state.sites) add_level(path_of({{Level::site, name}, ""}), site->attributes, "", out);
  for (const auto& [id, node] : state.nodes)
    add_level(path_of({{Level::node, node->fullname()}, ""}), node->attributes,
              fmt::format("node_id = {}\n", id.value()), out);
  return out;
}

std::string path_of(const FilePlace& place) {
  if (place.level.level == Level::global) return place.name;
  if (place.level.level == Level::site) return fmt::format("{}{}/{}", kSite, place.level.name, place.name);
  const size_t dot = place.level.name.find('.');
  return fmt::format("{}{}/{}{}/{}", kSite, place.level.name.substr(dot + 1), kNode, place.level.name.substr(0, dot),
                     place.name);
}

std::optional<FilePlace> place_of(const std::string& path) {
  const std::vector<std::string> parts = split(path, '/');
  const auto name_in = [](const std::string& part, std::string_view prefix) {
    return part.starts_with(prefix) ? part.substr(prefix.size()) : std::string();
  };
  if (parts.size() == 1) return FilePlace{{}, parts[0]};
  const std::string site = name_in(parts[0], kSite);
  if (parts.size() > 3 || site.empty()) return std::nullopt;
  if (parts.size() == 2) return FilePlace{{Level::site, site}, parts[1]};
  const std::string node = name_in(parts[1], kNode);
  if (node.empty()) return std::nullopt;
  return FilePlace{{Level::node, node + "." + site}, parts[2]};
}

Result<std::optional<Pulled>> read_pulled(const fs::path& folder) {
  const fs::path path = folder / kMarker;
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return std::nullopt;
  std::ifstream in(path, std::ios::binary);
  const Json document = Json::parse(std::string(std::istreambuf_iterator<char>(in), {}), nullptr, false);
  const auto damaged = [&] {
    return fail(Errc::invalid, fmt::format("{} is damaged", path.string()),
                "remove it: then nobody knows what changed since the folder was pulled");
  };
  Pulled out;
  auto log = array_from_hex<LogId>(text_at(document, "log"));
  if (!log) return damaged();
  out.log = *log;
  out.at = Sequence(static_cast<uint64_t>(number_at(document, "sequence")));
  for (const auto& [name, item] : value_at(document, "files").items()) {
    auto content = array_from_hex<Digest>(text_at(item, "content"));
    auto blob = array_from_hex<Digest>(text_at(item, "sha256"));
    if (!content || !blob) return damaged();
    out.files[name] = {{*blob, static_cast<uint64_t>(number_at(item, "bytes"))}, *content};
  }
  return out;
}

Status write_pulled(const fs::path& folder, const Pulled& pulled) {
  Json files = Json::object();
  for (const auto& [path, item] : pulled.files)
    files[path] = {{"sha256", to_hex(item.file.digest.view())},
                   {"bytes", item.file.size},
                   {"content", to_hex(item.content.view())}};
  const Json document{{"log", to_hex(pulled.log.view())}, {"sequence", pulled.at.value()}, {"files", std::move(files)}};
  return write_whole(folder / kMarker, document.dump(1) + "\n");
}

Result<Folder> read_folder(const fs::path& folder) { return FolderReader(folder).run(); }

Status write_whole(const fs::path& path, std::string_view content, bool secret) {
  std::error_code error;
  if (path.has_parent_path()) fs::create_directories(path.parent_path(), error);
  if (error) return fail(Errc::io, fmt::format("cannot make {}: {}", path.parent_path().string(), error.message()));
  // Hidden, so that one that a crash left is nobody's file.
  std::string temporary = (path.parent_path() / ("." + path.filename().string() + ".XXXXXX")).string();
  const int file = ::mkstemp(temporary.data());  // 0600
  if (file < 0) return io_error("write", path);
  bool good = true;
  for (std::string_view left = content; good && !left.empty();) {
    const ssize_t written = ::write(file, left.data(), left.size());
    good = written >= 0 || errno == EINTR;
    if (written > 0) left.remove_prefix(static_cast<size_t>(written));
  }
  const mode_t mask = ::umask(0);
  ::umask(mask);
  good = good && (secret || ::fchmod(file, 0666 & ~mask) == 0);
  good = ::close(file) == 0 && good;
  if (good && ::rename(temporary.c_str(), path.c_str()) == 0) return {};
  const auto failed = io_error("write", path);
  ::unlink(temporary.c_str());
  return failed;
}

}  // namespace mesh::cli
