#include "cli/intent_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "cli/yaml_tree.h"
#include "eventstore/model/canonical.h"
#include "schemas/codec.h"

namespace mesh::cli {

namespace {

Status read_file(const std::filesystem::path& path, std::vector<IntentFile>& out) {
  std::ifstream in(path, std::ios::binary);
  std::error_code ignored;
  if (!in || std::filesystem::is_directory(path, ignored))
    return fail(Errc::not_found, fmt::format("cannot read {}", path.string()), "check the path");
  std::string text(kDocumentBytesMax + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));
  out.push_back({path.filename().string(), std::move(text)});
  return {};
}

}  // namespace

Result<MeshState> fetch_state(Client& client, Sequence at) {
  auto document = client.query_at(at, "export", {{"form", "state"}});
  if (!document) return std::unexpected(std::move(document).error());
  auto bytes = from_base64(text_at(*document, "state"));
  if (!bytes) return fail(Errc::corrupt, "the controller's answer holds no state");
  auto state = decode_state(*bytes);
  if (!state) return fail_in("the controller's answer", state.error());
  if (state->log != client.context().connection.log || (at != Sequence() && state->sequence != at))
    return fail(Errc::corrupt, "the controller answered with another state than was asked for");
  return state;
}

Result<std::vector<IntentFile>> read_files(Session& session, const std::string& where) {
  std::vector<IntentFile> out;
  if (where == "-") {
    std::string text(std::istreambuf_iterator<char>(*session.environment().in), {});
    out.push_back({"standard input", std::move(text)});
    return out;
  }
  std::error_code failed;
  if (!std::filesystem::is_directory(where, failed)) {
    MESH_TRY(read_file(where, out));
    return out;
  }
  std::vector<std::filesystem::path> paths;
  for (std::filesystem::directory_iterator it(where, failed), end; !failed && it != end;
       it.increment(failed))
    for (const char* suffix : {".yaml", ".yml", ".json"})
      if (it->path().extension() == suffix) paths.push_back(it->path());
  if (failed) return fail(Errc::io, fmt::format("cannot read {}: {}", where, failed.message()), "");
  if (paths.empty())
    return fail(Errc::not_found, fmt::format("{} holds no .yaml, .yml or .json file", where),
                "check the path");
  std::sort(paths.begin(), paths.end());
  for (const std::filesystem::path& path : paths) MESH_TRY(read_file(path, out));
  return out;
}

}  // namespace mesh::cli
