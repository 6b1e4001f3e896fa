// MemoryFiles: a disk for the simulator and for fault tests. It loses what was not synced, runs full, and fails or dies
// at any chosen step.
#pragma once

#include <map>
#include <memory>
#include <optional>

#include "nodes/files.h"

namespace mesh {

class MemoryFiles : public Files {
 public:
  Result<Bytes> read(const std::string& path) override;
  Status write(const std::string& path, ByteView bytes, uint32_t mode) override;
  Status append(const std::string& path, ByteView bytes) override;
  Status truncate(const std::string& path, uint64_t size) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status symlink(const std::string& target, const std::string& path) override;
  Result<std::string> read_link(const std::string& path) override;
  Status make_dir(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& path) override;
  Status remove(const std::string& path) override;
  Status sync_dir(const std::string& path) override;

  /// Bytes of all files together that fit; past it writes fail with exhausted, after the part that fitted.
  void set_space(std::optional<uint64_t> bytes) { space_ = bytes; }
  /// The machine dies during the `step`-th change from now (1 = the next): `torn_percent` of its bytes are written, and
  /// every further call fails with io until crash(). 0 = never.
  void die_at(uint64_t step, unsigned torn_percent = 50) {
    die_at_ = step == 0 ? 0 : changes_ + step;
    torn_percent_ = torn_percent;
  }
  /// It dies now, between two changes.
  void die() { dead_ = true; }
  bool dead() const { return dead_; }
  /// The machine comes back. Names that were not synced are as at the last sync_dir of their directory, or, when
  /// `lucky`, as they were changed: a file system may write them earlier.
  void crash(bool lucky);
  /// How many changes were made; the steps of die_at().
  uint64_t changes() const { return changes_; }
  /// The bytes of a file, to damage them. nullptr when there is no such file.
  Bytes* raw(const std::string& path);

 private:
  /// A file, a link, or a directory, whose names exist as they are now and as they were when it was synced.
  struct Node;
  using NodePtr = std::shared_ptr<Node>;
  using Names = std::map<std::string, NodePtr>;
  struct Node {
    enum class Kind : uint8_t { file, link, directory } kind = Kind::file;
    Bytes bytes;
    std::string target;
    Names now, synced;
  };
  struct Place { Node* directory = nullptr; std::string name; };

  Status alive() const;
  /// Counts a change. False when it is the one that the machine dies in.
  bool survives();
  Node* find(const std::string& path) const;
  /// Errors: not_found when the directory does not exist.
  Result<Place> place(const std::string& path) const;
  Status grow(const std::string& path, Node& file, ByteView bytes);

  static NodePtr directory();
  static uint64_t used(const Node& node);
  static void settle(Node& node, bool lucky);

  NodePtr root_ = directory();
  std::optional<uint64_t> space_;
  uint64_t changes_ = 0, die_at_ = 0;
  unsigned torn_percent_ = 50;
  bool dead_ = false;
};

}  // namespace mesh
