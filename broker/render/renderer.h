// Rendering: from templates and variables to files. The only step between the log and a configuration that is not
// pure: Jinja2 runs in another process.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "eventstore/model/compile.h"
#include "eventstore/model/node_config.h"

namespace mesh {

struct RenderTask {
  std::string node;       // full name, for messages
  std::string variables;  // variables_json()
  std::vector<ConfigFile> sources;
  bool defaults = false;  // the built-in templates stand in for what `sources` lack
  /// The content of a source, without its salt. Errors: not_found, corrupt, io.
  std::function<Result<Bytes>(const ConfigFile&)> read;
};

struct Rendering {
  std::vector<RenderedFile> files;  // ascending by name
  std::vector<std::string> warnings;
};

/// Thread-safe. The same task gives the same files.
class Renderer {
 public:
  virtual ~Renderer() = default;
  /// Errors: invalid (names file and line), exhausted (time, memory or size; names the file), unavailable (nothing
  /// here can render, with the fix), and those of RenderTask::read.
  virtual Result<std::shared_ptr<const Rendering>> render(const RenderTask& task) = 0;
};

/// A file of the program itself, as the level below global of nodes with routing_style loopback.
struct DefaultTemplate {
  std::string_view name, text;
};
/// Ascending by name.
std::vector<DefaultTemplate> default_templates();

}  // namespace mesh
