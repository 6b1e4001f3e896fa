// What Services remembers of what it placed and ran.
#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "nodes/services/services.h"
#include "schemas/json_reader.h"

namespace mesh {

namespace {

const char* const kManifest = "manifest.json";

Json texts(const std::vector<std::string>& list) { return Json(list); }

std::vector<std::string> read_texts(const Json& json) {
  std::vector<std::string> out;
  for (const auto& each : json) out.push_back(each.get<std::string>());
  return out;
}

}  // namespace

Services::Manifest& Services::manifest() {
  if (manifest_) return *manifest_;
  manifest_.emplace();
  auto bytes = machine_.read(own(kManifest));
  if (!bytes) return *manifest_;
  try {
    const auto json = Json::parse(as_text(*bytes));
    Manifest out;
    for (const auto& [name, each] : json.at("services").items())
      out.services[name] = {each.at("reload").get<std::string>(), each.at("unsettled").get<bool>(),
                            each.at("files").get<std::map<std::string, std::string>>()};
    for (const auto& [name, each] : json.at("scripts").items())
      out.scripts[name] = {each.at("sha256").get<std::string>(), each.at("boot").get<std::string>(),
                           each.at("code").get<int>(), each.at("output").get<std::string>()};
    for (const auto& [name, each] : json.at("tunnels").items())
      out.tunnels[name] = {{read_texts(each.at("up")), read_texts(each.at("down"))},
                           each.at("boot").get<std::string>()};
    out.keys = json.at("keys").get<bool>();
    *manifest_ = std::move(out);
  } catch (const Json::exception&) {
    steps_.push_back(fmt::format("{}/services/{} is damaged: what was placed is not known any more", options_.data,
                                 kManifest));
  }
  return *manifest_;
}

Status Services::save() {
  const auto& now = manifest();
  Json services = Json::object(), scripts = Json::object(), tunnels = Json::object();
  for (const auto& [name, each] : now.services)
    services[name] = {{"reload", each.reload}, {"unsettled", each.unsettled}, {"files", each.files}};
  for (const auto& [name, each] : now.scripts)
    scripts[name] = {{"sha256", each.digest}, {"boot", each.boot}, {"code", each.code}, {"output", each.output}};
  for (const auto& [name, each] : now.tunnels)
    tunnels[name] = {{"up", texts(each.commands.up)}, {"down", texts(each.commands.down)}, {"boot", each.boot}};
  const Json json = {{"services", services}, {"scripts", scripts}, {"tunnels", tunnels}, {"keys", now.keys}};
  MESH_TRY(make_dirs(own("")));
  // What a script prints is anybody's bytes.
  const auto text = json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
  return write_atomic(machine_, own(kManifest), as_bytes(text));
}

}  // namespace mesh
