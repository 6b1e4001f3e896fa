#include "nodes/version_fetch.h"

#include <fmt/core.h>

#include <algorithm>

#include "eventstore/model/attribute_table.h"
#include "eventstore/model/crypto.h"
#include "eventstore/model/limits.h"
#include "schemas/config_text.h"

namespace mesh {

Status VersionFetch::begin(const VersionRow& row) {
  if (row_ == row) return {};
  forget();
  row_ = row;
  auto config = store_.fetched(row.digest);
  if (!config) return store_.forget_fetched();  // of another version
  MESH_TRY(take_config(as_text(*config)));
  for (auto each = open_.begin(); each != open_.end();) {
    auto content = store_.fetched(each->first);
    if (content && content->size() == each->second) {
      contents_[each->first] = as_text(*content);
      each = open_.erase(each);
    } else {
      ++each;
    }
  }
  return {};
}

void VersionFetch::forget() {
  row_.reset();
  config_.reset();
  text_.clear();
  open_.clear();
  contents_.clear();
}

std::vector<Digest> VersionFetch::missing() const {
  std::vector<Digest> out;
  if (row_ && !config_) out.push_back(row_->digest);
  for (const auto& [digest, size] : open_) {
    if (out.size() == kAtOnce) break;
    out.push_back(digest);
  }
  return out;
}

bool VersionFetch::wants(const Digest& digest) const {
  return row_ && (config_ ? open_.contains(digest) : row_->digest == digest);
}

std::string VersionFetch::progress() const {
  if (!config_ || config_->files.empty()) return {};
  return fmt::format("{} of {} files are here", contents_.size(), contents_.size() + open_.size());
}

Status VersionFetch::take(const Digest& digest, ByteView bytes) {
  if (!wants(digest)) return {};
  if (sha256(bytes) != digest) {
    return fail(Errc::corrupt, fmt::format("what was fetched for v{} has another digest", row_->version.value()));
  }
  if (!config_) {
    MESH_TRY(take_config(as_text(bytes)));
    return store_.keep_fetched(digest, bytes);
  }
  const auto open = open_.find(digest);
  if (open->second != bytes.size()) {
    return refuse(fmt::format("a file of {} bytes is named with {}", bytes.size(), open->second));
  }
  MESH_TRY(store_.keep_fetched(digest, bytes));
  contents_[digest] = as_text(bytes);
  open_.erase(open);
  return {};
}

Status VersionFetch::refuse(std::string reason) {
  MESH_TRY(store_.refuse_version(row_->version, reason));
  const auto version = row_->version;
  forget();
  (void)store_.forget_fetched();  // the next fetch does it, else
  return fail(Errc::corrupt, fmt::format("the fetched v{} is refused: {}", version.value(), reason));
}

Status VersionFetch::take_config(std::string_view text) {
  auto config = parse_config_text(text);
  if (!config && config.error().code == Errc::unsupported) {
    return fail_in(fmt::format("reading the fetched v{}", row_->version.value()), config.error());
  }
  if (!config) return refuse(config.error().message);
  if (const auto wrong = problem_of(*config); !wrong.empty()) return refuse(wrong);
  config_ = std::move(*config);
  text_ = text;
  for (const auto& file : config_->files) open_[file.digest] = file.size;
  reuse();
  return {};
}

/// What no honest controller makes; empty = nothing.
std::string VersionFetch::problem_of(const NodeConfig& config) const {
  if (config.node != node_) return fmt::format("it is for node {}", config.node.value());
  auto own = config;
  own.files.clear();
  const auto base = store_.base_of(row_->version);
  if (base && *base != config_digest(own)) {
    return fmt::format("without its files its digest is {}, but the log gives {}",
                       to_hex(config_digest(own).view()), to_hex(base->view()));
  }
  if (!config.files.empty() && !has_rendered_files(config)) return "it has files, but nothing that they were made from";
  if (config.files.size() > kFilesPerNodeMax) return fmt::format("it has {} files", config.files.size());
  uint64_t bytes = 0;
  std::string_view before;
  for (const auto& file : config.files) {
    if (auto name = check_file_name(file.name); !name) return name.error().message;
    if (ReplicaStore::is_reserved(file.name)) return fmt::format("no file can be named {}", file.name);
    if (file.name <= before) return fmt::format("its files are not in order: {}", file.name);
    before = file.name;
    if (file.size > kFileBytesMax) return fmt::format("{} has {} bytes", file.name, file.size);
    bytes += file.size;
  }
  if (bytes > kVersionFilesBytesMax) return fmt::format("its files have {} bytes together", bytes);
  return {};
}

/// What another version on this disk has too, and what is empty, need not come.
void VersionFetch::reuse() {
  const auto have = [this](const Digest& digest, std::string_view content) {
    const auto open = open_.find(digest);
    if (open == open_.end() || open->second != content.size()) return;
    contents_[digest] = content;
    open_.erase(open);
  };
  have(sha256({}), {});
  auto versions = store_.list_versions();
  std::ranges::reverse(versions);
  for (const auto version : versions) {
    if (open_.empty()) return;
    auto stored = store_.get_version(version);
    if (!stored) continue;
    for (const auto& file : stored->files) have(file.digest, stored->contents[file.name]);
  }
}

Result<bool> VersionFetch::settle(const Overlay& overlay) {
  if (!config_ || !open_.empty()) return false;
  auto files = rendered_files(*config_, overlay);
  for (const auto& file : config_->files) files[file.name] = contents_.at(file.digest);
  MESH_TRY(store_.put_version(row_->version, text_, files));
  forget();
  (void)store_.forget_fetched();  // the next fetch does it, else
  return true;
}

}  // namespace mesh
