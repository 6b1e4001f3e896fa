#include "broker/node_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <thread>

#include "eventstore/model/candidates.h"
#include "eventstore/model/crypto.h"
#include "eventstore/model/json_text.h"
#include "eventstore/model/limits.h"
#include "eventstore/model/overlay.h"
#include "eventstore/model/template_variables.h"

namespace mesh {

namespace {

/// Fewer are done before a thread has started.
constexpr size_t kNodesPerThread = 4;

Result<Bytes> read_source(const EventLog& log, const ConfigFile& source) {
  auto blob = log.get_blob(source.digest);
  if (!blob) return std::unexpected(blob.error());
  if (blob->size() != source.size + kFileSaltBytes)
    return fail(Errc::corrupt, fmt::format("its blob has {} bytes, expected {}", blob->size(),
                                           source.size + kFileSaltBytes));
  return Bytes(blob->begin() + kFileSaltBytes, blob->end());
}

std::string readable(const Bytes& content) {
  std::string text(content.begin(), content.end());
  return is_utf8(text) ? text : fmt::format("({} bytes that are no text)\n", content.size());
}

}  // namespace

Result<Candidates> NodeFiles::candidates(const Scope& scope, bool with_neighbours) {
  const CandidateNodes nodes(state_, scope, with_neighbours);
  const FileRenderer renders = [this](const Node& node, const NodeConfig& config) { return render(node, config); };
  std::vector<Candidates> made(nodes.size());
  std::atomic<size_t> next = 0;
  std::mutex mutex;
  std::optional<std::pair<size_t, Error>> refused;
  auto work = [&] {
    for (size_t at; (at = next++) < made.size();) {
      auto added = nodes.add(at, renders, made[at]);
      if (added) continue;
      next = made.size();
      std::lock_guard lock(mutex);
      if (!refused || at < refused->first) refused.emplace(at, added.error());
    }
  };
  {
    const size_t cores = std::max(std::thread::hardware_concurrency(), 1u);
    std::vector<std::jthread> helpers(std::min(cores - 1, made.size() / kNodesPerThread));
    for (std::jthread& helper : helpers) helper = std::jthread(work);
    work();
  }
  if (refused) return std::unexpected(refused->second);
  Candidates out;
  for (Candidates& each : made) {
    std::ranges::move(each.rows, std::back_inserter(out.rows));
    out.configs.merge(each.configs);
    out.contents.merge(each.contents);
  }
  return out;
}

Result<std::vector<RenderedFile>> NodeFiles::render(const Node& node, const NodeConfig& config) {
  if (renderer_ == nullptr)
    return fail(Errc::unsupported, "its files are rendered by the controller, and this one renders none");
  auto variables = template_variables(state_, config);
  if (!variables) return std::unexpected(variables.error());
  RenderTask task{node.fullname(), variables_json(*variables), config.sources,
                  config.routing == RoutingStyle::loopback,
                  [this](const ConfigFile& source) { return read_source(log_, source); }};
  auto rendering = renderer_->render(task);
  if (!rendering) return std::unexpected(rendering.error());
  if (!(*rendering)->warnings.empty()) {
    std::lock_guard lock(mutex_);
    for (const std::string& warning : (*rendering)->warnings) warnings_[warning].insert(node.id);
  }
  return (*rendering)->files;
}

Result<NodeConfig> NodeFiles::complete(NodeConfig config) {
  if (!has_rendered_files(config)) return config;
  const Node* node = state_.find_node(config.node);
  if (node == nullptr) return fail(Errc::not_found, fmt::format("node {} does not exist", config.node.value()));
  auto files = render(*node, config);
  if (!files) return fail_in("node " + node->fullname(), files.error());
  for (RenderedFile& file : *files) {
    const Digest digest = sha256(file.content);
    config.files.push_back({file.name, digest, file.content.size()});
    contents_.emplace(digest, std::move(file.content));
  }
  return config;
}

std::map<std::string, std::string> NodeFiles::texts(const NodeConfig& config) const {
  auto out = rendered_files(config);
  for (const ConfigFile& file : config.files) {
    auto known = contents_.find(file.digest);
    if (known != contents_.end()) {
      out[file.name] = readable(known->second);
      continue;
    }
    auto blob = log_.get_blob(file.digest);
    out[file.name] = blob ? readable(*blob) : fmt::format("(not readable: {})\n", blob.error().message);
  }
  return out;
}

std::vector<std::string> NodeFiles::warnings() {
  std::lock_guard lock(mutex_);
  std::vector<std::string> out;
  for (const auto& [text, nodes] : warnings_) {
    const std::string first = state_.find_node(*nodes.begin())->fullname();
    out.push_back(nodes.size() == 1 ? fmt::format("{} ({})", text, first)
                                    : fmt::format("{} ({} and {} more)", text, first, nodes.size() - 1));
  }
  return out;
}

}  // namespace mesh
