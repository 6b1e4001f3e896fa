// The raw parts, as simple as they can be used: what our figures are measured against. None of them
// checks rights, signs or keeps a history.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "broker/bus/keys.h"
#include "eventstore/model/result.h"

namespace mesh::bench {

/// RocksDB, one writer, one synced batch after the other.
class RawLog {
 public:
  explicit RawLog(const std::filesystem::path& directory);
  ~RawLog();
  /// Writes `batches` batches of `per_batch` values of `value_bytes`; returns values per second.
  double write(size_t batches, size_t per_batch, size_t value_bytes);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// A CURVE ROUTER in a thread of its own that returns every frame to its sender.
class RawEcho {
 public:
  RawEcho();
  ~RawEcho();
  const std::string& endpoint() const;
  const BoxKey& key() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// A CURVE PUSH or PUB socket; send() runs in a thread of its own.
class RawSender {
 public:
  enum class Kind : uint8_t { push, pub };
  explicit RawSender(Kind kind);
  ~RawSender();
  const std::string& endpoint() const;
  const BoxKey& key() const;
  /// Sends `count` frames of `bytes` bytes; returns at once. Waits first for the send before it.
  void send(size_t count, size_t bytes);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::bench
