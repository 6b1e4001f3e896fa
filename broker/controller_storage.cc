// A log that was restored, the start of an epoch, and blobs for those who may have them.
#include <fmt/format.h>

#include <algorithm>

#include "broker/controller.h"
#include "eventstore/model/json_text.h"
#include "eventstore/model/limits.h"
#include "schemas/config_text.h"

namespace mesh {

namespace {
constexpr uint64_t kBlobChunkBytes = 256 * 1024;
constexpr uint64_t kFetchedBytesMax = 2 * kVersionFilesBytesMax;  // of one session before anything is sent to it
constexpr size_t kFileDigestsMax = 1'000'000;  // remembered: a storm of 1,000 nodes with 100 tunnels, each once
}

bool Controller::is_administrator(const Peer& peer) const {
  const Operator* asker = state_.find_operator(peer.principal.name);
  return peer.principal.kind == PrincipalKind::human && asker && asker->role == Role::admin;
}

std::string Controller::read_only() const {
  if (!options_.restored || state_.epoch > options_.restored->epoch) return {};
  return fmt::format("its log was restored from a backup that ends at #{}, epoch {}",
                     options_.restored->sequence.value(), options_.restored->epoch);
}

Status Controller::check_writable(const Request& request) const {
  std::string why = read_only();
  if (why.empty()) return {};
  if (request.commands.size() == 1 && std::holds_alternative<StartEpoch>(request.commands.front()))
    return {};
  return fail(Errc::unavailable, "the controller is read-only: " + why,
              "an administrator goes on with meshcli controller start-epoch");
}

/// decide() knows no tree: whether an epoch stands on this history is seen here, and by every
/// reader.
Status Controller::check_base(const std::vector<Event>& events) const {
  const auto started = std::ranges::find_if(
      events, [](const Event& event) { return std::holds_alternative<EpochStarted>(event); });
  if (started == events.end()) return {};
  MerkleFrontier tree = log_->frontier();
  for (const Staged& staged : staged_) tree.append(leaf_hash(staged.encoded.header));
  if (std::get<EpochStarted>(*started).base_root == tree.root()) return {};
  return fail(Errc::conflict,
              fmt::format("the epoch stands on another history: root {}, this log has {}",
                          to_hex(std::get<EpochStarted>(*started).base_root.view()),
                          to_hex(tree.root().view())),
              "meshcli controller start-epoch");
}

/// Its own configurations, and the files that the newest of them name, or the one that is active: a configuration is
/// read once, not for each of its files.
bool Controller::may_fetch(const Node& node, const Digest& digest) {
  if (std::ranges::find(node.versions, digest, &VersionRecord::digest) != node.versions.end()) return true;
  NodeFiles& known = node_files_[node.id];
  if (known.digests.contains(digest)) return true;
  const size_t newest = node.versions.size() - std::min(node.versions.size(), kVersionsKept);
  for (size_t i = 0; i < node.versions.size(); ++i) {
    const VersionRecord& record = node.versions[i];
    if ((i < newest && record.version != node.active) || !known.read.insert(record.version).second) continue;
    auto text = log_->get_blob(record.digest);
    auto config = text ? parse_config_text(as_text(*text)) : fail(Errc::not_found, {});
    if (!config) continue;  // then it has no files that anybody could name
    for (const ConfigFile& file : config->files) node_files_count_ += known.digests.insert(file.digest).second;
  }
  const bool found = known.digests.contains(digest);
  if (node_files_count_ > kFileDigestsMax) node_files_.clear(), node_files_count_ = 0;
  return found;
}

void Controller::on_fetch(const ReplyTo& to, const Peer& peer, const Fetch& fetch) {
  if (const Node* node = state_.find_node(peer.node)) {
    if (!may_fetch(*node, fetch.digest))
      return fail_to(to, {Errc::not_permitted, "a node fetches only its own configurations and their files", {}});
  }  // whoever reads the log may read what it names: a digest is known from there alone
  uint64_t& fetched = fetched_[to.session];
  if (fetched >= kFetchedBytesMax)
    return fail_to(to, {Errc::exhausted, "more was asked for at once than fits in memory", "ask for the rest again"});
  auto bytes = log_->get_blob(fetch.digest);
  if (!bytes) return fail_to(to, bytes.error());
  if (fetch.offset > bytes->size())
    return fail_to(to,
                   {Errc::usage,
                    fmt::format("a blob of {} bytes has no byte {}", bytes->size(), fetch.offset),
                    {}});
  uint64_t end = bytes->size();
  if (fetch.limit > 0) end = fetch.offset + std::min(fetch.limit, end - fetch.offset);
  uint64_t offset = fetch.offset;
  fetched += end - offset;
  do {
    const uint64_t size = std::min(kBlobChunkBytes, end - offset);
    const auto begin = bytes->begin() + static_cast<int64_t>(offset);
    send(to, BlobChunk{fetch.digest, offset, bytes->size(),
                       Bytes(begin, begin + static_cast<int64_t>(size))});
    offset += size;
  } while (offset < end);
}

void Controller::on_optimise(const ReplyTo& to, const Peer& peer, const Query& query) {
  if (!is_administrator(peer))
    return fail_to(to, {Errc::not_permitted, "only an administrator optimises the log", {}});
  if (query.arguments.contains("start") && !optimisation_.running) {
    optimisation_ = {};
    optimisation_.running = true;
    optimisation_.bytes_before = options_.log_bytes();
    optimise_part(0);
  }
  const Optimisation& now = optimisation_;
  std::string problem;
  append_json_string(problem, now.problem);
  send(to,
       QueryResult{fmt::format(R"({{"kind":"Optimisation","sequence":{},"running":{},"done":{},)"
                               R"("total":{},"bytes_before":{},"bytes_after":{},"problem":{}}})",
                               state_.sequence.value(), now.running, now.done,
                               options_.optimise_parts, now.bytes_before, now.bytes_after, problem),
                   false,
                   {}});
}

/// Part by part, so that other long work comes in between and the log can be opened anew.
void Controller::optimise_part(unsigned part) {
  if (part == options_.optimise_parts || !broken_.empty()) return finish_optimisation(broken_);
  start_job([this, part]() -> Completion {
    return [this, part, done = options_.optimise(part)] {
      if (!done) return finish_optimisation(done.error().message);
      optimisation_.done = part + 1;
      optimise_part(part + 1);
    };
  });
}

void Controller::finish_optimisation(std::string problem) {
  optimisation_.running = false;
  optimisation_.bytes_after = options_.log_bytes();
  optimisation_.problem = std::move(problem);
}

}  // namespace mesh
