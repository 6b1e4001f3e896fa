#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <toml++/toml.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "broker/bus/keys.h"
#include "broker/meshd.h"

namespace mesh::meshd {

std::filesystem::path log_path(const std::filesystem::path& data) { return data / "log"; }
std::filesystem::path log_key_path(const std::filesystem::path& data) { return data / "log.key"; }
std::filesystem::path controller_key_path(const std::filesystem::path& data) {
  return data / "controller.key";
}

namespace {

/// One text, or a list of them.
std::vector<std::string> texts(const toml::node_view<toml::node>& value) {
  std::vector<std::string> out;
  if (auto one = value.value<std::string>()) out.push_back(*one);
  if (const toml::array* list = value.as_array())
    for (const toml::node& item : *list)
      if (auto text = item.value<std::string>()) out.push_back(*text);
  return out;
}

void insert(toml::table& table, std::string_view name, const std::vector<std::string>& texts) {
  if (texts.size() == 1) {
    table.insert(name, texts.front());
    return;
  }
  toml::array list;
  for (const std::string& each : texts) list.push_back(each);
  table.insert(name, std::move(list));
}

}  // namespace

Result<Settings> load_settings(const std::filesystem::path& data) {
  auto path = data / "meshd.toml";
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored))
    return fail(
        Errc::not_found,
        fmt::format("{} is not a controller's directory: meshd.toml is missing", data.string()),
        fmt::format("meshd init --data {}", data.string()));
  try {
    toml::table table = toml::parse_file(path.string());
    Settings settings{texts(table["listen"]), texts(table["enrol"]), texts(table["publish"]),
                      table["python"].value_or(""), table["bird"].value_or(""), texts(table["hello"])};
    if (settings.listen.empty() || settings.enrol.empty())
      return fail(Errc::invalid,
                  fmt::format("{} has no listen or no enrol endpoint", path.string()));
    return settings;
  } catch (const toml::parse_error& error) {
    return fail(Errc::invalid, fmt::format("{}:{}: {}", path.string(), error.source().begin.line,
                                           error.description()));
  }
}

Status save_settings(const std::filesystem::path& data, const Settings& settings) {
  auto path = data / "meshd.toml", temporary = data / "meshd.toml.new";
  toml::table table;
  insert(table, "listen", settings.listen);
  insert(table, "enrol", settings.enrol);
  insert(table, "publish", settings.publish);
  if (!settings.python.empty()) table.insert("python", settings.python);
  if (!settings.bird.empty()) table.insert("bird", settings.bird);
  if (!settings.hello.empty()) insert(table, "hello", settings.hello);
  std::FILE* file = std::fopen(temporary.c_str(), "w");
  if (!file) return fail(Errc::io, fmt::format("{} cannot be written", temporary.string()));
  std::ostringstream text;
  text << table << "\n";
  bool written = std::fputs(text.str().c_str(), file) >= 0 && std::fflush(file) == 0 &&
                 fsync(fileno(file)) == 0;
  std::fclose(file);
  std::error_code error;
  if (written) std::filesystem::rename(temporary, path, error);
  if (!written || error)
    return fail(Errc::io, fmt::format("{} cannot be written", path.string()), "is the disk full?");
  return {};
}

Bytes load_orphans(const std::filesystem::path& data) {
  std::ifstream file(data / "orphans", std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(file), {});
}

Status save_orphans(const std::filesystem::path& data, ByteView bytes) {
  const auto path = data / "orphans", temporary = data / "orphans.new";
  std::error_code error;
  std::filesystem::remove(temporary, error);
  MESH_TRY(write_secret_file(temporary, bytes));
  std::filesystem::rename(temporary, path, error);
  const int directory = error ? -1 : ::open(data.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = directory >= 0 && ::fsync(directory) == 0;
  if (directory >= 0) ::close(directory);
  if (!synced)
    return fail(Errc::io, fmt::format("{} cannot be written", path.string()), "is the disk full?");
  return {};
}

Result<uint16_t> port_of(const std::string& endpoint) {
  auto colon = endpoint.rfind(':');
  unsigned port = 0;
  int used = 0;
  bool good = endpoint.starts_with("tcp://") && colon != std::string::npos && colon > 5 &&
              std::sscanf(endpoint.c_str() + colon + 1, "%5u%n", &port, &used) == 1 &&
              colon + 1 + static_cast<size_t>(used) == endpoint.size() && port <= 65'535;
  if (!good)
    return fail(Errc::usage, fmt::format("\"{}\" is no endpoint", endpoint),
                "write it as tcp://ADDRESS:PORT");
  return static_cast<uint16_t>(port);
}

Result<std::string> with_port(const std::string& endpoint, uint16_t port) {
  MESH_TRY(port_of(endpoint));
  return endpoint.substr(0, endpoint.rfind(':') + 1) + std::to_string(port);
}

Result<uint16_t> free_port() {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  bool good = fd >= 0 && bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
              getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  if (fd >= 0) close(fd);
  if (!good) return fail(Errc::io, "no free port was found");
  return ntohs(address.sin_port);
}

int exit_code(Errc code) {
  switch (code) {
    case Errc::usage:
      return 64;
    case Errc::unauthenticated:
    case Errc::not_permitted:
      return 4;
    case Errc::not_found:
      return 5;
    case Errc::conflict:
      return 6;
    case Errc::invalid:
      return 7;
    case Errc::unavailable:
      return 8;
    case Errc::timeout:
      return 9;
    case Errc::corrupt:
      return 12;
    case Errc::exhausted:
    case Errc::io:
    case Errc::unsupported:
      return 1;
  }
  return 1;
}

int report(const Error& error, const std::string& output) {
  int code = exit_code(error.code);
  if (output == "json") {
    nlohmann::json document = {{"error",
                                {{"code", errc_name(error.code)},
                                 {"exit", code},
                                 {"message", error.message},
                                 {"fix", error.fix}}}};
    fmt::print(stderr, "{}\n", document.dump());
    return code;
  }
  fmt::print(stderr, "meshd: {}\n", error.message);
  if (!error.fix.empty()) fmt::print(stderr, "fix: {}\n", error.fix);
  return code;
}

}  // namespace mesh::meshd
