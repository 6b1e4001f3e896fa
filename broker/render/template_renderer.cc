#include "broker/render/template_renderer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "broker/render/embedded.h"
#include "eventstore/model/address.h"
#include "eventstore/model/attribute_table.h"
#include "eventstore/model/crypto.h"
#include "eventstore/model/json_text.h"
#include "eventstore/model/template_variables.h"

namespace mesh {

namespace {

constexpr std::string_view kSuffix = ".jinja";

bool is_template(std::string_view name) { return name.ends_with(kSuffix) && name.size() > kSuffix.size(); }

Digest key_of(const RenderTask& task) {
  Sha256 hash;
  hash.add(as_bytes(task.variables));
  for (const ConfigFile& source : task.sources) {
    hash.add(as_bytes(source.name));
    hash.add(source.digest.view());  // of a fixed length, so that names cannot run into each other
  }
  const uint8_t defaults = task.defaults;
  hash.add(ByteView(&defaults, 1));
  return hash.finish();
}

/// A built-in template gives way to a file of its name and to one that it would make.
void add_defaults(std::map<std::string, Bytes>& sources) {
  for (const DefaultTemplate& each : default_templates()) {
    const std::string name(each.name), made = name.substr(0, name.size() - kSuffix.size());
    if (!sources.contains(name) && !sources.contains(made)) sources[name] = Bytes(each.text.begin(), each.text.end());
  }
}

std::string_view text_of(const Bytes& bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

}  // namespace

std::vector<DefaultTemplate> default_templates() {
  std::vector<DefaultTemplate> out;
  for (std::string_view name :
       {"bird.conf.jinja", "bird_neighbors.conf.jinja", "bird_site-template.conf.jinja", "tlwg.conf.jinja"})
    out.push_back({name, embedded(name)});
  return out;
}

std::filesystem::path find_program(const std::string& name) {
  const char* path = std::getenv("PATH");
  std::string rest = path == nullptr ? "" : path;
  rest += ":/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin";
  for (size_t colon = 0; !rest.empty(); rest.erase(0, colon == std::string::npos ? colon : colon + 1)) {
    colon = rest.find(':');
    const std::filesystem::path candidate = std::filesystem::path(rest.substr(0, colon)) / name;
    std::error_code ignored;
    if (candidate.is_absolute() && std::filesystem::is_regular_file(candidate, ignored)) return candidate;
  }
  return {};
}

namespace {

/// A key and its value, both without blanks; the key in small letters.
std::pair<std::string, std::string> setting_of(std::string_view line) {
  std::string text(line.substr(0, line.find('#')));
  std::erase_if(text, [](unsigned char c) { return std::isspace(c) != 0; });
  std::string key = text.substr(0, text.find('='));
  std::ranges::transform(key, key.begin(), [](unsigned char c) { return std::tolower(c); });
  return {key, key.size() < text.size() ? text.substr(key.size() + 1) : std::string()};
}

/// Whether everything of a family may go through; BGP decides what does.
bool allows_all(std::string_view list, bool v6) {
  for (size_t comma = 0; !list.empty(); list.remove_prefix(comma == std::string_view::npos ? list.size() : comma + 1)) {
    comma = list.find(',');
    auto prefix = parse_prefix(list.substr(0, comma));
    if (prefix && prefix->length == 0 && prefix->v6() == v6) return true;
  }
  return false;
}

}  // namespace

Status check_tunnel_file(const std::string& name, std::string_view text) {
  std::map<std::string, std::string> found;
  size_t number = 0;
  auto refuse = [&](std::string what, std::string fix) {
    return fail(Errc::invalid, fmt::format("{}{}: {}", name, number > 0 ? fmt::format(":{}", number) : "", what), fix);
  };
  for (std::string_view rest = text; !rest.empty();) {
    const size_t end = rest.find('\n');
    const auto [key, value] = setting_of(rest.substr(0, end));
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    ++number;
    if ((key == "privatekey" && !value.starts_with(kPrivateKeyPlaceholder)) ||
        (key == "presharedkey" && !value.starts_with(kPresharedKeyPlaceholder)))
      return refuse("a secret key stands in the file",
                    "write {{ wg_private }} and {{ wg_peer_preshared }}: the router puts in its own keys");
    if (key == "publickey" && !value.starts_with(kPublicKeyPlaceholder))
      return refuse("a key stands in the file", "write {{ wg_peer_public }}: the router puts in the peer's key");
    if (key == "table" && value != "off") return refuse("Table is not off", "write Table = off: BGP makes the routes");
    std::string& known = found[key];
    known += (known.empty() ? "" : ",") + value;
  }
  number = 0;
  if (!found.contains("privatekey") || !found.contains("publickey"))
    return refuse("it has no PrivateKey or no PublicKey", "write {{ wg_private }} and {{ wg_peer_public }}");
  if (!allows_all(found["allowedips"], false) || !allows_all(found["allowedips"], true))
    return refuse("AllowedIPs leave traffic out", "add 0.0.0.0/0 and ::/0: BGP makes the routes");
  return {};
}

namespace {

/// tlwg_<p>.conf: what the router makes a link's tunnel of.
bool is_tunnel_file(std::string_view name) {
  constexpr std::string_view kPrefix = "tlwg_", kEnd = ".conf";
  if (!name.starts_with(kPrefix) || !name.ends_with(kEnd) || name.size() <= kPrefix.size() + kEnd.size()) return false;
  const auto number = name.substr(kPrefix.size(), name.size() - kPrefix.size() - kEnd.size());
  return number.find_first_not_of("0123456789") == std::string_view::npos;
}

/// Names that a version's directory has for itself.
bool is_reserved(std::string_view name) { return name == "config.json" || name == "digest" || name == "sums"; }

}  // namespace

TemplateRenderer::TemplateRenderer(TemplateRendererOptions options)
    : options_(std::move(options)), bird_(options_.bird), process_(options_.python, options_.limits) {}
TemplateRenderer::~TemplateRenderer() = default;

Result<std::shared_ptr<const Rendering>> TemplateRenderer::render(const RenderTask& task) {
  const Digest key = key_of(task);
  std::unique_lock lock(mutex_);
  ended_.wait(lock, [&] { return !running_.contains(key); });
  if (auto known = known_.find(key); known != known_.end()) {
    order_.splice(order_.end(), order_, known->second.used);
    return known->second.outcome;
  }
  ++rendered_;
  running_.insert(key);
  lock.unlock();
  auto made = render_anew(task);
  lock.lock();
  running_.erase(key);
  ended_.notify_all();
  // Other errors are of this machine and this moment.
  if (!made && made.error().code != Errc::invalid) return std::unexpected(made.error());
  Outcome outcome = fail(Errc::invalid, "");
  if (made)
    outcome = std::make_shared<const Rendering>(std::move(*made));
  else
    outcome = std::unexpected(made.error());
  remember(key, outcome);
  return outcome;
}

Result<Rendering> TemplateRenderer::render_anew(const RenderTask& task) {
  std::map<std::string, Bytes> sources;
  for (const ConfigFile& source : task.sources) {
    auto content = task.read(source);
    if (!content) return fail_in(source.name, content.error());
    sources[source.name] = std::move(*content);
  }
  if (task.defaults) add_defaults(sources);
  Rendering out;
  std::map<std::string, Bytes> files;
  std::map<std::string, std::string_view> texts;
  bool any = false;
  for (const auto& [name, content] : sources) {
    const bool readable = is_utf8(text_of(content));
    if (is_template(name) && !readable) return fail(Errc::invalid, name + ": a template has to be UTF-8");
    any = any || is_template(name);
    if (readable) texts[name] = text_of(content);
    if (!is_template(name)) files[name] = content;
  }
  if (any) {
    bool confined = true;
    auto rendered = [&] {
      std::lock_guard lock(process_mutex_);
      auto made = process_.render(task.variables, texts);
      confined = process_.confined();
      return made;
    }();
    if (!rendered) return std::unexpected(rendered.error());
    for (auto& [name, content] : *rendered) files[name] = std::move(content);
    if (!confined)
      out.warnings.push_back("system calls of templates cannot be forbidden on this machine: the sandbox is Jinja2's");
  }
  if (files.size() > kFilesPerNodeMax)
    return fail(Errc::exhausted, fmt::format("{} files, at most {} are possible", files.size(), kFilesPerNodeMax));
  size_t bytes = 0;
  for (auto& [name, content] : files) {
    MESH_TRY(check_file_name(name));
    if (is_reserved(name)) return fail(Errc::invalid, name + " is a name of the version itself", "take another one");
    if ((bytes += content.size()) > options_.limits.output_bytes)
      return fail(Errc::exhausted, fmt::format("its files have more than {} bytes", options_.limits.output_bytes));
    if (is_tunnel_file(name)) MESH_TRY(check_tunnel_file(name, text_of(content)));
    if (is_bird_file(name)) MESH_TRY(confine_bird_file(name, content, out.warnings));
  }
  if (options_.bird.empty() && files.contains("bird.conf"))
    out.warnings.push_back("BIRD is not installed on the controller, so its files are not checked");
  else if (!options_.bird.empty())
    MESH_TRY(bird_.check(files));
  for (auto& [name, content] : files) out.files.push_back({name, std::move(content)});
  return out;
}

void TemplateRenderer::remember(const Digest& key, Outcome outcome) {
  size_t bytes = sizeof(Known) + sizeof key;
  if (outcome)
    for (const RenderedFile& file : (*outcome)->files) bytes += sizeof file + file.name.size() + file.content.size();
  known_.emplace(key, Known{std::move(outcome), bytes, order_.insert(order_.end(), key)});
  bytes_ += bytes;
  while (bytes_ > options_.cache_bytes && order_.size() > 1) {
    auto oldest = known_.find(order_.front());
    bytes_ -= oldest->second.bytes;
    known_.erase(oldest);
    order_.pop_front();
  }
}

}  // namespace mesh
