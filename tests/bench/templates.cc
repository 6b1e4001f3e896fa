// The preparation of a commit of a full mesh whose files are rendered, by the built-in templates and by own ones.
#include <fmt/format.h>

#include "broker/prepare.h"
#include "broker/render/template_renderer.h"
#include "eventstore/log/memory_event_log.h"
#include "eventstore/model/attribute_table.h"
#include "eventstore/model/crypto.h"
#include "tests/bench/benches.h"
#include "tests/bench/peers.h"
#include "tests/unit/compile/states.h"

namespace mesh::bench {

namespace {

using namespace testing;

MeshState rendered_mesh(uint32_t nodes) {
  MeshState state = towalink_state();
  state.rules = kRulesNewest;
  set(state.global, {{"routing_style", "loopback"}});
  for (uint32_t id = 11; id < 11 + nodes; ++id) {
    const std::string number = std::to_string(id);
    add_node(state, id, "r1.site" + number, {{"endpoint", "r" + number + ".example.net"}});
    add_site(state, "site" + number, {{"lans", fmt::format("10.{}.{}.0/24", id / 256, id % 256)}});
  }
  return state;
}

/// The built-in templates as files of the log, and one that a site might add.
Status add_own_templates(MeshState& state, MemoryEventLog& log) {
  auto put = [&](std::string_view name, std::string_view text) -> Status {
    Blob blob;
    blob.bytes.assign(kFileSaltBytes, 1);
    blob.bytes.insert(blob.bytes.end(), text.begin(), text.end());
    blob.digest = sha256(blob.bytes);
    state.global[std::string(kFilePrefix).append(name)] = {FileRef{blob.digest, text.size()}, Sequence(2)};
    return log.put_blobs({&blob, 1});
  };
  for (const DefaultTemplate& each : default_templates()) MESH_TRY(put(each.name, each.text));
  return put("hosts.conf.jinja",
             "{% for id, peer in bgp_peers.items()|sort %}{{ peer.ip }} {{ peer.name }}\n{% endfor %}");
}

Result<PreparedPlan> prepare_all(const MeshState& state, const EventLog& log, Renderer& renderer) {
  return prepare_commit(state, log, Prepare{mesh::Target{}, true, false}, "bench", &renderer);
}

/// As a commit does: the candidates are the latest versions, and their blobs are kept.
Status pin(MeshState& state, MemoryEventLog& log, const Candidates& candidates) {
  std::vector<Blob> blobs;
  for (const VersionRow& row : candidates.rows) {
    const std::string text = config_text(candidates.configs.at(row.node));
    blobs.push_back({row.digest, Bytes(text.begin(), text.end())});
    state.nodes[row.node].edit().versions.push_back({row.version, row.digest, Sequence(3)});
  }
  for (const auto& [digest, content] : candidates.contents) blobs.push_back({digest, content});
  return log.put_blobs(blobs);
}

Status measure(Report& report, const std::string& name, uint32_t nodes, bool own) {
  MeshState state = rendered_mesh(nodes);
  MemoryEventLog log{LogId()};
  if (own) MESH_TRY(add_own_templates(state, log));
  TemplateRendererOptions options;
  options.bird = find_program("bird");
  TemplateRenderer renderer(options);
  Result<PreparedPlan> plan = fail(Errc::invalid, "");
  auto time = [&](const char* what, size_t expected) -> Status {
    const int64_t begin = now_us();
    plan = prepare_all(state, log, renderer);
    report.sample(name + "." + what, "ms", kPure, static_cast<double>(now_us() - begin) / 1e3);
    if (!plan) return std::unexpected(plan.error());
    if (plan->candidates.rows.size() != expected)
      return fail(Errc::corrupt, fmt::format("{} nodes change, expected {}", plan->candidates.rows.size(), expected));
    return pin(state, log, plan->candidates);
  };
  MESH_TRY(time("all_changed", nodes));
  set(state.nodes[NodeId(11)].edit().attributes, {{"wg_links.12.wg_peer_keepalive", "10"}});
  MESH_TRY(time("one_changed", 1));
  return time("none_changed", 0);
}

}  // namespace

Status bench_templates(Report& report, const Scale& scale) {
  const auto nodes = static_cast<uint32_t>(scale.count(100, 4));
  TemplateRenderer probe({});
  RenderTask task{"probe", R"({"wg_links":{}})", {{"x.jinja", Digest(), 1}}, false,
                  [](const ConfigFile&) -> Result<Bytes> { return Bytes{'x'}; }};
  const bool can_render = probe.render(task).has_value();
  report.fact("templates.can_render", can_render ? 1 : 0);
  if (!can_render) return {};
  report.fact("templates.bird_checks", find_program("bird").empty() ? 0 : 1);
  for (Repetitions run(report, scale); run.next();) {
    MESH_TRY(measure(report, fmt::format("templates.{}_nodes.built_in", nodes), nodes, false));
    MESH_TRY(measure(report, fmt::format("templates.{}_nodes.own", nodes), nodes, true));
  }
  return {};
}

}  // namespace mesh::bench
