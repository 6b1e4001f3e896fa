#include "nodes/memory_files.h"

#include <fmt/core.h>

#include <algorithm>

namespace mesh {

namespace {

std::unexpected<Error> missing(const std::string& path) {
  return fail(Errc::not_found, fmt::format("{} does not exist", path));
}

}  // namespace

MemoryFiles::NodePtr MemoryFiles::directory() {
  auto node = std::make_shared<Node>();
  node->kind = Node::Kind::directory;
  return node;
}

Status MemoryFiles::alive() const {
  if (dead_) return fail(Errc::io, "the machine is down");
  return {};
}

bool MemoryFiles::survives() {
  ++changes_;
  if (changes_ == die_at_) dead_ = true;
  return !dead_;
}

MemoryFiles::Node* MemoryFiles::find(const std::string& path) const {
  if (path == ".") return root_.get();
  Node* node = root_.get();
  size_t begin = 0;
  while (begin <= path.size()) {
    const auto end = std::min(path.find('/', begin), path.size());
    const auto found = node->now.find(path.substr(begin, end - begin));
    if (found == node->now.end()) return nullptr;
    node = found->second.get();
    begin = end + 1;
  }
  return node;
}

Result<MemoryFiles::Place> MemoryFiles::place(const std::string& path) const {
  const auto slash = path.rfind('/');
  const auto parent = slash == std::string::npos ? "." : path.substr(0, slash);
  auto* node = find(parent);
  if (!node || node->kind != Node::Kind::directory) return missing(parent);
  return Place{node, slash == std::string::npos ? path : path.substr(slash + 1)};
}

Bytes* MemoryFiles::raw(const std::string& path) {
  auto* node = find(path);
  return node && node->kind == Node::Kind::file ? &node->bytes : nullptr;
}

Status MemoryFiles::grow(const std::string& path, Node& file, ByteView bytes) {
  const bool lives = survives();
  if (!lives) bytes = bytes.first(bytes.size() * torn_percent_ / 100);
  const auto free = space_.value_or(UINT64_MAX) - std::min(space_.value_or(UINT64_MAX), used(*root_));
  const bool full = bytes.size() > free;
  if (full) bytes = bytes.first(static_cast<size_t>(free));
  file.bytes.insert(file.bytes.end(), bytes.begin(), bytes.end());
  if (lives && full) return fail(Errc::exhausted, fmt::format("writing {}: no space left on device", path));
  return alive();
}

uint64_t MemoryFiles::used(const Node& node) {
  uint64_t sum = node.bytes.size();
  for (const auto& [name, below] : node.now) sum += used(*below);
  return sum;
}

Result<Bytes> MemoryFiles::read(const std::string& path) {
  if (auto up = alive(); !up) return std::unexpected(up.error());
  const auto* bytes = raw(path);
  if (!bytes) return missing(path);
  return *bytes;
}

Status MemoryFiles::write(const std::string& path, ByteView bytes, uint32_t) {
  MESH_TRY(alive());
  auto there = place(path);
  if (!there) return std::unexpected(there.error());
  auto node = std::make_shared<Node>();
  there->directory->now[there->name] = node;
  return grow(path, *node, bytes);
}

Status MemoryFiles::append(const std::string& path, ByteView bytes) {
  MESH_TRY(alive());
  auto there = place(path);
  if (!there) return std::unexpected(there.error());
  auto& node = there->directory->now[there->name];
  if (!node) node = std::make_shared<Node>();
  return grow(path, *node, bytes);
}

Status MemoryFiles::truncate(const std::string& path, uint64_t size) {
  MESH_TRY(alive());
  auto* bytes = raw(path);
  if (!bytes) return missing(path);
  if (survives()) bytes->resize(static_cast<size_t>(size));
  return alive();
}

Status MemoryFiles::rename(const std::string& from, const std::string& to) {
  MESH_TRY(alive());
  auto source = place(from), target = place(to);
  if (!source || !target || !find(from)) return missing(from);
  if (const auto* there = find(to); there && there->kind == Node::Kind::directory) {
    return fail(Errc::io, fmt::format("renaming to {}: a directory is there", to));
  }
  if (!survives()) return alive();
  auto node = source->directory->now.extract(source->name);
  target->directory->now[target->name] = node.mapped();
  return {};
}

Status MemoryFiles::symlink(const std::string& target, const std::string& path) {
  MESH_TRY(alive());
  auto there = place(path);
  if (!there) return std::unexpected(there.error());
  if (find(path)) return fail(Errc::io, fmt::format("linking {}: it exists", path));
  if (!survives()) return alive();
  auto node = std::make_shared<Node>();
  node->kind = Node::Kind::link;
  node->target = target;
  there->directory->now[there->name] = node;
  return {};
}

Result<std::string> MemoryFiles::read_link(const std::string& path) {
  if (auto up = alive(); !up) return std::unexpected(up.error());
  const auto* node = find(path);
  if (!node || node->kind != Node::Kind::link) return missing(path);
  return node->target;
}

Status MemoryFiles::make_dir(const std::string& path) {
  MESH_TRY(alive());
  auto there = place(path);
  if (!there) return std::unexpected(there.error());
  if (find(path)) return {};
  if (survives()) there->directory->now[there->name] = directory();
  return alive();
}

Result<std::vector<std::string>> MemoryFiles::list(const std::string& path) {
  if (auto up = alive(); !up) return std::unexpected(up.error());
  const auto* node = find(path);
  if (!node || node->kind != Node::Kind::directory) return missing(path);
  std::vector<std::string> names;
  for (const auto& [name, below] : node->now) names.push_back(name);
  return names;
}

Status MemoryFiles::remove(const std::string& path) {
  MESH_TRY(alive());
  auto there = place(path);
  if (!there || !find(path)) return {};
  if (survives()) there->directory->now.erase(there->name);
  return alive();
}

Status MemoryFiles::sync_dir(const std::string& path) {
  MESH_TRY(alive());
  auto* node = find(path);
  if (!node || node->kind != Node::Kind::directory) return missing(path);
  if (survives()) node->synced = node->now;
  return alive();
}

void MemoryFiles::settle(Node& node, bool lucky) {
  if (lucky) node.synced = node.now;
  node.now = node.synced;
  for (auto& [name, below] : node.now) settle(*below, lucky);
}

void MemoryFiles::crash(bool lucky) {
  settle(*root_, lucky);
  dead_ = false;
  die_at_ = 0;
}

}  // namespace mesh
