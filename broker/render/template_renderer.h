// TemplateRenderer: the Renderer of meshd. Python with Jinja2 in a sandbox (render_worker.py), checks of what came out,
// and a memory of what was rendered before.
//
// X.jinja gives X; tlwg.conf.jinja gives tlwg_<p>.conf for each link; other files are taken as they are. Of two that
// give one name the rendered one stays, as in Towalink.
#pragma once

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <set>

#include "broker/render/bird_files.h"
#include "broker/render/render_process.h"
#include "broker/render/renderer.h"

namespace mesh {

struct TemplateRendererOptions {
  RenderLimits limits;
  std::filesystem::path python;  // empty: /usr/bin/python3, else the python3 of PATH
  std::filesystem::path bird;    // checks BIRD files; empty: nothing does, and a warning says so
  size_t cache_bytes = 128 * 1024 * 1024;
};

class TemplateRenderer : public Renderer {
 public:
  explicit TemplateRenderer(TemplateRendererOptions options);
  ~TemplateRenderer() override;
  Result<std::shared_ptr<const Rendering>> render(const RenderTask& task) override;

  /// How many tasks were not answered from memory, for tests.
  uint64_t rendered() const { return rendered_; }

 private:
  using Outcome = Result<std::shared_ptr<const Rendering>>;
  /// Errors of templates too: one that uses up its time shall do so once, not with every question.
  struct Known {
    Outcome outcome;
    size_t bytes = 0;
    std::list<Digest>::iterator used;
  };
  Result<Rendering> render_anew(const RenderTask& task);
  void remember(const Digest& key, Outcome outcome);

  TemplateRendererOptions options_;
  BirdCheck bird_;
  std::mutex process_mutex_;  // one process, one node at a time
  RenderProcess process_;
  std::mutex mutex_;  // of what follows
  std::condition_variable ended_;
  std::set<Digest> running_;  // who asks for the same meanwhile waits
  std::map<Digest, Known> known_;
  std::list<Digest> order_;  // oldest use first
  size_t bytes_ = 0;
  std::atomic<uint64_t> rendered_ = 0;
};

/// Refuses what no router takes as a tunnel (tlwg_<p>.conf), secrets above all: keys are placeholders, Table is off,
/// AllowedIPs all of both families. Errors: invalid.
Status check_tunnel_file(const std::string& name, std::string_view text);

/// The program `name` in PATH or where system programs lie; empty when it is nowhere.
std::filesystem::path find_program(const std::string& name);

}  // namespace mesh
