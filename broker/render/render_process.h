// The process that renders: started when it is needed, ended when it does not answer, and started again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "broker/render/child.h"
#include "eventstore/model/ids.h"
#include "eventstore/model/limits.h"
#include "eventstore/model/result.h"

namespace mesh {

/// Of one node.
struct RenderLimits {
  int64_t cpu_ms = 5'000;    // then the template is named with its line
  int64_t wall_ms = 20'000;  // then the process is killed
  uint64_t memory_bytes = 512 * 1024 * 1024;
  uint64_t file_bytes = kFileBytesMax;
  uint64_t output_bytes = 32 * 1024 * 1024;  // all files: what a router takes for one version
};

class RenderProcess {
 public:
  RenderProcess(std::filesystem::path python, RenderLimits limits) : python_(std::move(python)), limits_(limits) {}

  /// `sources` that are no UTF-8 are left out by the caller. Errors: as Renderer::render.
  Result<std::map<std::string, Bytes>> render(const std::string& variables,
                                              const std::map<std::string, std::string_view>& sources);
  /// Whether the kernel keeps the process that rendered last from all system calls that it does not need. Where it does
  /// not, limits and Jinja2's sandbox are what is left.
  bool confined() const { return confined_; }

 private:
  Status start();
  Status send(std::string_view body, int64_t deadline_ms);
  /// The next frame. Errors: timeout, unavailable (the process is gone).
  Result<std::string> receive(int64_t deadline_ms);

  std::filesystem::path python_;
  RenderLimits limits_;
  std::unique_ptr<Child> child_;
  bool confined_ = false;
  std::string buffer_;  // received and not yet read
};

}  // namespace mesh
