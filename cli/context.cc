#include "cli/context.h"

#include <fmt/format.h>
#include <sodium.h>
#include <sys/stat.h>
#include <toml++/toml.h>

#include <algorithm>
#include <sstream>

#include "eventstore/model/limits.h"

namespace mesh::cli {

namespace {

constexpr size_t kContextBytesMax = 64 * 1024;
constexpr std::string_view kPublicTag = "meshlog-operator";

std::unexpected<Error> bad(const std::filesystem::path& path, std::string what,
                           std::string fix = {}) {
  return fail(Errc::invalid, fmt::format("context {}: {}", path.string(), what), std::move(fix));
}

/// Reads the fields of one file, and zeroes the secret text that toml++ copied.
class Reader {
 public:
  Reader(toml::table& table, const std::filesystem::path& path) : table_(table), path_(path) {}

  Result<std::string> text(std::string_view key) {
    auto value = table_[key].value<std::string>();
    if (!value || value->empty()) return missing(key);
    return *value;
  }

  template <class Array>
  Result<Array> key(std::string_view name, bool hex = false) {
    auto value = text(name);
    if (!value) return std::unexpected(value.error());
    auto out = hex ? array_from_hex<Array>(*value) : array_from_base64<Array>(*value);
    if (!out)
      return bad(path_, fmt::format("{} is not {} bytes in {}", name, Array::kSize,
                                    hex ? "hex" : "base64"));
    return *out;
  }

  Result<SecretBytes> secret(std::string_view name) {
    toml::value<std::string>* node = table_[name].as_string();
    if (!node) return missing(name);
    auto bytes = from_base64(node->get());
    sodium_memzero(node->get().data(), node->get().size());
    if (!bytes || bytes->size() != 32)
      return bad(path_, fmt::format("{} is not 32 bytes in base64", name));
    SecretBytes out(bytes->size());
    std::ranges::copy(*bytes, out.writable().begin());
    sodium_memzero(bytes->data(), bytes->size());
    return out;
  }

  Result<std::vector<std::string>> endpoints() {
    std::vector<std::string> out;
    if (const toml::array* list = table_["endpoints"].as_array())
      for (const toml::node& node : *list)
        if (auto value = node.value<std::string>()) out.push_back(*value);
    if (out.empty()) return missing("endpoints");
    if (out.size() > kEndpointsMax)
      return bad(path_, fmt::format("{} endpoints, at most {}", out.size(), kEndpointsMax));
    return out;
  }

 private:
  std::unexpected<Error> missing(std::string_view key) const {
    const bool connection = key == "endpoints" || key == "controller_key" || key.starts_with("log");
    return bad(path_, fmt::format("{} is missing", key),
               connection
                   ? "append what `meshcli controller connection` prints for an administrator"
                   : "make a new one with `meshcli operator keygen NAME --out FILE`");
  }

  toml::table& table_;
  const std::filesystem::path& path_;
};

bool is_there(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

}  // namespace

Result<std::filesystem::path> find_context(const std::string& option, const Variable& variable) {
  if (!option.empty()) return std::filesystem::path(option);
  if (const auto named = variable("MESHCLI_CONTEXT"); named && !named->empty())
    return std::filesystem::path(*named);
  std::vector<std::filesystem::path> places;
  if (const auto config = variable("XDG_CONFIG_HOME"); config && !config->empty())
    places.push_back(std::filesystem::path(*config) / "meshlog/context.toml");
  else if (const auto home = variable("HOME"); home && !home->empty())
    places.push_back(std::filesystem::path(*home) / ".config/meshlog/context.toml");
  places.emplace_back("/etc/meshlog/context.toml");
  for (const auto& place : places)
    if (is_there(place)) return place;
  return fail(Errc::not_found,
              fmt::format("no context: {} does not exist", places.front().string()),
              "name one with --context FILE or MESHCLI_CONTEXT; `meshd init` writes admin.context");
}

Result<OperatorContext> load_context(const std::filesystem::path& path) {
  if (!is_there(path))
    return fail(Errc::not_found, fmt::format("context {} does not exist", path.string()),
                "name one with --context FILE or MESHCLI_CONTEXT");
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0 && (info.st_mode & 077) != 0)
    return fail(Errc::not_permitted,
                fmt::format("context {} holds secrets and others may read it (mode {:o})",
                            path.string(), info.st_mode & 0777),
                fmt::format("chmod 600 {}", path.string()));
  auto bytes = read_secret_file(path, kContextBytesMax);
  if (!bytes) return fail_in(fmt::format("context {}", path.string()), bytes.error());
  return parse_context(as_text(bytes->view()), path);
}

Result<OperatorContext> parse_context(std::string_view text, const std::filesystem::path& path) {
  toml::table table;
  try {
    table = toml::parse(text, path.string());
  } catch (const toml::parse_error& error) {
    // The description can quote the line, and the line can be a secret: only its place is said.
    return bad(path, fmt::format("line {} is not TOML", error.source().begin.line));
  }
  Reader read(table, path);
  auto sign_seed = read.secret("sign_seed");
  auto box_secret = read.secret("box_secret");
  auto name = read.text("operator");
  auto endpoints = read.endpoints();
  auto controller_key = read.key<BoxKey>("controller_key");
  auto log = read.key<LogId>("log_id", true);
  auto log_key = read.key<SignKey>("log_key");
  if (!sign_seed) return std::unexpected(sign_seed.error());
  if (!box_secret) return std::unexpected(box_secret.error());
  MESH_TRY(name);
  MESH_TRY(endpoints);
  MESH_TRY(controller_key);
  MESH_TRY(log);
  MESH_TRY(log_key);
  auto sign = SignSecret::from_seed(sign_seed->view());
  if (!sign) return std::unexpected(sign.error());
  auto box = BoxSecret::from_bytes(box_secret->view());
  if (!box) return std::unexpected(box.error());
  return OperatorContext{path, Connection{*endpoints, *controller_key, *log, *log_key}, *name,
                         std::move(*sign), std::move(*box), table["git_tree"].value_or(std::string())};
}

std::string connection_text(const Connection& connection) {
  std::vector<std::string> quoted;
  for (const std::string& endpoint : connection.endpoints)
    quoted.push_back(fmt::format("\"{}\"", endpoint));
  return fmt::format(
      "endpoints = [{}]\ncontroller_key = \"{}\"\nlog_id = \"{}\"\nlog_key = \"{}\"\n",
      fmt::join(quoted, ", "), to_base64(connection.controller_key.view()),
      to_hex(connection.log.view()), to_base64(connection.log_key.view()));
}

std::string context_text(const Connection* connection, std::string_view name,
                         const SignSecret& sign, const BoxSecret& box) {
  return fmt::format(
      "# An operator's identity: keep it secret.\noperator = \"{}\"\nsign_seed = \"{}\"\n"
      "box_secret = \"{}\"\n{}",
      name, to_base64(sign.reveal_seed()), to_base64(box.reveal()),
      connection ? connection_text(*connection) : std::string());
}

std::string public_keys_text(const PublicKeys& keys) {
  return fmt::format("{} {} {} {}\n", kPublicTag, keys.name, to_base64(keys.sign_key.view()),
                     to_base64(keys.box_key.view()));
}

Result<PublicKeys> parse_public_keys(std::string_view text) {
  std::istringstream words{std::string(text)};
  std::string tag, name, sign, box, rest;
  words >> tag >> name >> sign >> box;
  if (tag != kPublicTag) {
    const bool secret = text.find("sign_seed") != std::string_view::npos;
    return fail(Errc::invalid,
                secret ? "this is the secret half of an identity"
                       : "this is not an operator's public key file",
                secret ? "give the file that ends with .pub, and keep the other"
                       : "the newcomer makes one with `meshcli operator keygen NAME --out FILE`");
  }
  const auto sign_key = array_from_base64<SignKey>(sign);
  const auto box_key = array_from_base64<BoxKey>(box);
  if (name.empty() || !sign_key || !box_key || (words >> rest))
    return fail(Errc::invalid,
                "malformed public key file: expected a name and two keys of 32 bytes in base64");
  return PublicKeys{name, *sign_key, *box_key};
}

}  // namespace mesh::cli
