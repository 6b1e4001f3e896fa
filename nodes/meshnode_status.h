// `meshnode status` and the local socket that it asks.
#pragma once

#include <filesystem>
#include <string>

#include "nodes/agent.h"

namespace mesh {

/// The document of `meshnode status -o json`; keys are never removed. `trouble`: why there is no connection.
std::string status_json(const AgentStatus& status, const std::string& trouble, bool running);

/// DATA/status.sock (0600): whoever connects is given one document and hung up on.
class StatusSocket {
 public:
  /// Replaces a left-over one. Precondition: the data directory is locked. Errors: io, exhausted.
  static Result<StatusSocket> listen(const std::filesystem::path& data);
  StatusSocket(StatusSocket&& other) noexcept;
  ~StatusSocket();

  int fd() const { return fd_; }
  /// Answers who is waiting; never blocks for longer than 200 ms.
  void answer(const std::string& document) const;

 private:
  StatusSocket(int fd, std::filesystem::path path) : fd_(fd), path_(std::move(path)) {}
  int fd_;
  std::filesystem::path path_;
};

}  // namespace mesh
