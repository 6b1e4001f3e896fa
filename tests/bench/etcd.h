// etcd as a peer in the same run: its own process and directory, as durable as it always is, asked
// by a client that costs as little as ours.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "eventstore/model/result.h"
#include "tests/bench/peers.h"

namespace mesh::bench {

/// One member on loopback. The destructor ends it.
class Etcd {
 public:
  static bool installed();
  /// Errors: io (it does not start or does not answer).
  static Result<std::unique_ptr<Etcd>> start(const std::filesystem::path& directory);
  ~Etcd();
  Etcd(const Etcd&) = delete;
  Etcd& operator=(const Etcd&) = delete;

  /// Puts `count` values of `value_bytes` under new keys, over `clients` connections, each with one
  /// request under way. Raw gRPC (HTTP/2 frames written by hand) in one thread, woken by epoll.
  /// Errors: timeout, io (a put failed).
  Result<LoadResult> put(size_t clients, size_t count, size_t value_bytes);
  /// Processor time so far, of all its threads.
  double processor_seconds() const;
  /// How many keys it has now. Errors: io.
  Result<uint64_t> keys();

 private:
  struct Impl;
  explicit Etcd(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::bench
