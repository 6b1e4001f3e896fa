#include "nodes/services/services.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "eventstore/model/crypto.h"

namespace mesh {

namespace {

constexpr size_t kTellBytes = 1024, kTellLines = 8;  // of a command's output, in manifests and messages
constexpr std::string_view kShellCharacters = "|&;<>$`\"'\\\n";
constexpr std::string_view kAside = ".meshnode";
constexpr std::string_view kBegin = "# BEGIN meshnode", kEnd = "# END meshnode";

std::string digest_text(std::string_view content) { return to_hex(sha256(as_bytes(content)).view()); }

std::string last_lines(std::string_view text) {
  while (text.ends_with('\n') || text.ends_with(' ')) text.remove_suffix(1);
  size_t begin = text.size(), lines = 0;
  while (begin > 0 && text.size() - begin < kTellBytes && lines < kTellLines)
    if (text[--begin] == '\n' && ++lines == kTellLines) ++begin;
  return std::string(text.substr(begin));
}

std::string last_line(std::string_view text) {
  const auto lines = last_lines(text);
  return lines.substr(lines.rfind('\n') == std::string::npos ? 0 : lines.rfind('\n') + 1);
}

std::string path_of(const WantedService& service, std::string_view name) {
  return fmt::format("{}/{}", service.destination, name);
}

std::string directory_of(std::string_view path) { return std::string(path.substr(0, path.rfind('/'))); }

std::string replaced(std::string text, std::string_view mark, std::string_view by) {
  for (size_t at = 0; (at = text.find(mark, at)) != std::string::npos; at += by.size())
    text.replace(at, mark.size(), by);
  return text;
}

/// A command in words. Errors: invalid.
Result<std::vector<std::string>> words_of(std::string_view command, std::string_view stage) {
  if (command.find_first_of(kShellCharacters) != std::string_view::npos)
    return fail(Errc::invalid, fmt::format("\"{}\" needs a shell, and none is used", command),
                "put what it does into a script on the router, and name that");
  std::vector<std::string> out;
  for (size_t begin = 0; begin < command.size();) {
    const size_t end = std::min(command.find_first_of(" \t", begin), command.size());
    if (end > begin) out.push_back(replaced(std::string(command.substr(begin, end - begin)), "{}", stage));
    begin = end + 1;
  }
  if (out.empty()) return fail(Errc::invalid, "a command without a word");
  return out;
}

void keep_first(Status& first, Status done) {
  if (first && !done) first = std::move(done);
}

}  // namespace

std::string Services::at(std::string_view path) {
  while (path.starts_with('/')) path.remove_prefix(1);
  return std::string(path);
}

/// Those that are not there; their names are durable on return, or what is in them would not be.
Status Services::make_dirs(const std::string& path) {
  for (size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const auto part = path.substr(0, end);
    if (!machine_.list(part)) {
      MESH_TRY(machine_.make_dir(part));
      const size_t parent = part.rfind('/');
      MESH_TRY(machine_.sync_dir(parent == std::string::npos ? "." : part.substr(0, parent)));
    }
    if (end == std::string::npos || end + 1 == path.size()) return {};
  }
}

/// Aside under a name that daemons pass over, synced, renamed; the caller syncs the directory.
Status Services::replace(const std::string& directory, const std::string& name, std::string_view content,
                         uint32_t mode) {
  const auto aside = fmt::format("{}/.{}{}", at(directory), name, kAside);
  Status done = machine_.write(aside, as_bytes(content), mode);
  if (done) done = machine_.rename(aside, fmt::format("{}/{}", at(directory), name));
  if (!done) (void)machine_.remove(aside);  // the first error is the one to tell
  return done;
}

// --- what is permitted ---

Result<Allow> Services::allowed() const {
  auto text = options_.allow();
  if (!text && text.error().code == Errc::not_found) return Allow{};
  if (!text) return std::unexpected(text.error());
  auto allow = parse_allow(*text);
  if (!allow) return fail_in(options_.allow_file, allow.error());
  return allow;
}

std::unexpected<Error> Services::not_permitted(const std::vector<std::string>& lines) const {
  std::string all;
  for (const auto& line : lines) all += (all.empty() ? "" : " and ") + line;
  return fail(Errc::not_permitted, fmt::format("{} on this router does not permit it", options_.allow_file),
              fmt::format("put into {}: {}", options_.allow_file, all));
}

Status Services::check_permitted(const WantedServices& wanted) const {
  auto allow = allowed();
  if (!allow) return std::unexpected(allow.error());
  Allow needed;
  const auto need = [](std::vector<std::string>& list, const std::string& text) {
    if (!text.empty() && std::ranges::find(list, text) == list.end()) list.push_back(text);
  };
  for (const auto& service : wanted.services) {
    need(needed.destinations, service.destination);
    need(needed.commands, service.check);
    need(needed.commands, service.reload);
  }
  for (const auto& [name, commands] : wanted.tunnels) {
    for (const auto& each : commands.up) need(needed.commands, each);
    for (const auto& each : commands.down) need(needed.commands, each);
  }
  needed.startup_scripts = !wanted.scripts.empty();
  needed.ssh_keys = !wanted.ssh_keys.empty();
  const auto lines = lines_to_add(*allow, needed);
  return lines.empty() ? Status() : not_permitted(lines);
}

// --- commands ---

void Services::keep_output(const std::string& name, const CommandResult& result) {
  // For people; what is told of it is in the manifest.
  if (make_dirs(own("output")))
    (void)machine_.write(own("output/" + replaced(name, " ", "-")), as_bytes(result.output), 0600);
}

Result<CommandResult> Services::run(const std::string& name, std::string_view command, std::string_view stage,
                                    std::chrono::milliseconds limit) {
  auto words = words_of(command, stage);
  if (!words) return std::unexpected(words.error());
  auto result = options_.run(*words, limit);
  if (result) keep_output(name, *result);
  return result;
}

Status Services::run_well(const std::string& name, std::string_view command, std::string_view stage,
                          std::chrono::milliseconds limit) {
  if (command.empty()) return {};
  auto result = run(name, command, stage, limit);
  if (!result) return fail_in(name, result.error());
  steps_.push_back(fmt::format("{}: {}, ended with {}", name, command, result->code));
  if (result->code == 0) return {};
  return fail(Errc::invalid, fmt::format("{} ({}) ended with {}: {}", name, command, result->code,
                                         last_line(result->output)));
}

// --- check ---

bool Services::permits_otherwise() {
  if (!refused_by_ || options_.allow().value_or("") == *refused_by_) return false;
  refused_by_.reset();
  return true;
}

Status Services::check(const WantedServices& wanted) {
  refused_by_.reset();
  if (auto permitted = check_permitted(wanted); !permitted) {
    refused_by_ = options_.allow().value_or("");
    return permitted;
  }
  std::set<std::string> paths;
  for (const auto& service : wanted.services) {
    for (const auto& [name, content] : service.files)
      if (!paths.insert(path_of(service, name)).second)
        return fail(Errc::conflict, fmt::format("two services place {}", path_of(service, name)));
    MESH_TRY(check_place(service));
    if (!service.reload.empty())
      if (auto words = words_of(service.reload, {}); !words) return std::unexpected(words.error());
    if (differs(service)) MESH_TRY(check_by_service(service));
  }
  for (const auto& [name, commands] : wanted.tunnels)
    for (const auto* list : {&commands.up, &commands.down})
      for (const auto& command : *list)
        if (auto words = words_of(command, {}); !words) return fail_in("tunnel " + name, words.error());
  if (!wanted.ssh_keys.empty())
    if (auto text = keys_text(wanted.ssh_keys); !text) return std::unexpected(text.error());
  return {};
}

Status Services::check_place(const WantedService& service) {
  const auto& directory = service.destination;
  const auto in = fmt::format("service {}", service.name);
  if (!directory.starts_with('/') || directory.ends_with('/') || (directory + "/").contains("/../"))
    return fail(Errc::invalid, fmt::format("{}: its destination \"{}\" is no absolute directory", in, directory),
                fmt::format("set service.{}.destination /etc/...", service.name));
  if (options_.make_destinations) MESH_TRY(make_dirs(at(directory)));
  if (auto there = machine_.list(at(directory)); !there)
    return fail(Errc::not_found, fmt::format("{}: {} is no directory on this router", in, directory),
                "install the daemon, or make the directory");
  for (const auto& [name, content] : service.files) {
    const auto path = path_of(service, name);
    const bool ours = std::ranges::any_of(manifest().services,
                                          [&](const auto& each) { return each.second.files.contains(path); });
    if (ours) continue;
    auto there = machine_.read(at(path));
    const bool free = !there && there.error().code == Errc::not_found;
    if (free || (there && as_text(*there) == content)) continue;
    return fail(Errc::conflict, fmt::format("{}: {} is there already, and not from meshnode", in, path),
                fmt::format("look at it, then: rm {}", path));
  }
  return {};
}

Status Services::check_by_service(const WantedService& service) {
  if (service.check.empty()) return {};
  const auto stage = own("stage/" + service.name);
  const auto prepare = [&]() -> Status {
    MESH_TRY(machine_.remove(stage));
    MESH_TRY(make_dirs(stage));
    for (const auto& [name, content] : service.files)
      MESH_TRY(machine_.write(stage + "/" + name, as_bytes(content), 0644));
    return {};
  };
  Status done = prepare();
  if (done) done = run_well("check " + service.name, service.check, "/" + stage, kCheckLimit);
  (void)machine_.remove(own("stage"));  // only what was asked about
  return done;
}

bool Services::differs(const WantedService& service) {
  const auto placed = manifest().services.find(service.name);
  if (placed == manifest().services.end() || placed->second.unsettled ||
      placed->second.files.size() != service.files.size())
    return true;
  return std::ranges::any_of(service.files, [&](const auto& file) {
    const auto path = path_of(service, file.first);
    auto there = machine_.read(at(path));
    return !placed->second.files.contains(path) || !there || as_text(*there) != file.second;
  });
}

// --- scripts ---

bool Services::starts(const WantedServices& wanted) {
  return std::ranges::any_of(wanted.scripts, [&](const auto& script) {
    const auto ran = manifest().scripts.find(script.first);
    return ran == manifest().scripts.end() || ran->second.digest != digest_text(script.second) ||
           ran->second.boot != options_.boot_id;
  });
}

void Services::start(const WantedServices& wanted) {
  not_started_.clear();
  auto& ran = manifest().scripts;
  std::vector<std::string> gone;
  for (const auto& [name, script] : ran)
    if (!wanted.scripts.contains(name)) gone.push_back(name);
  for (const auto& name : gone) {
    ran.erase(name);
    (void)machine_.remove(own("scripts/" + name));  // it is not run any more
    steps_.push_back(fmt::format("{} is gone: what it did stays until the machine boots", name));
  }
  if (!gone.empty()) (void)save();  // with the next change, when the disk is full
  if (!starts(wanted)) return;
  WantedServices scripts;
  scripts.scripts = wanted.scripts;
  if (auto permitted = check_permitted(scripts); !permitted) {
    not_started_ = fmt::format("start-up scripts are not run: {} ({})", permitted.error().message,
                               permitted.error().fix);
    return;
  }
  for (const auto& [name, content] : wanted.scripts) {
    const auto before = ran.find(name);
    const bool same = before != ran.end() && before->second.digest == digest_text(content) &&
                      before->second.boot == options_.boot_id;
    if (!same) run_script(name, content);
  }
}

void Services::run_script(const std::string& name, const std::string& content) {
  const auto path = own("scripts/" + name);
  const auto prepare = [&]() -> Status {
    MESH_TRY(make_dirs(own("scripts")));
    MESH_TRY(machine_.write(path, as_bytes(content), 0700));
    MESH_TRY(machine_.sync_dir(own("scripts")));
    manifest().scripts[name] = {digest_text(content), options_.boot_id, -1, "it did not come to its end"};
    return save();
  };
  if (auto ready = prepare(); !ready) {
    manifest().scripts.erase(name);  // tried again
    not_started_ = fmt::format("{} is not run: {}", name, ready.error().message);
    return;
  }
  std::vector<std::string> words{"/" + path};
  if (!content.starts_with("#!")) words.insert(words.begin(), "/bin/sh");
  auto result = options_.run(words, kScriptLimit);
  auto& entry = manifest().scripts[name];
  if (result) keep_output(name, *result);
  entry.code = result ? result->code : -1;
  entry.output = result ? last_lines(result->output) : result.error().message;
  steps_.push_back(fmt::format("{} ended with {}", name, entry.code));
  (void)save();  // else it counts as one that did not come to its end
}

std::vector<CommandReport> Services::reports() {
  std::vector<CommandReport> out;
  for (const auto& [name, script] : manifest().scripts) out.push_back({name, script.code, script.output});
  return out;
}

std::string Services::problem() {
  if (!not_started_.empty()) return not_started_;
  for (const auto& [name, script] : manifest().scripts)
    if (script.code != 0)
      return fmt::format("{} ended with {}: {} (all of it: {}/services/output/{})", name, script.code,
                         last_line(script.output), options_.data, name);
  return {};
}

// --- apply ---

Status Services::apply(const WantedServices& wanted, const WantedServices* previous) {
  if (auto permitted = check_permitted(wanted); !permitted) {
    failed_ = failed_ || previous == nullptr;
    return permitted;
  }
  auto done = place(wanted, previous == nullptr);
  if (done || previous == nullptr) return done;
  auto error = done.error();
  if (auto back = place(*previous, true); back) {
    error.message += "; the former files are back";
  } else {
    error.message += "; going back: " + back.error().message;
  }
  return std::unexpected(std::move(error));
}

/// `all`: goes on after a failure.
Status Services::place(const WantedServices& wanted, bool all) {
  auto first = run_tunnels(wanted, all);
  if (first || all) keep_first(first, place_files(wanted, all));
  if (first || all) keep_first(first, write_keys(wanted.ssh_keys));
  failed_ = !first;
  return first;
}

Status Services::place_files(const WantedServices& wanted, bool all) {
  auto& placed = manifest().services;
  const auto before = placed;
  Status first;
  std::vector<const WantedService*> todo;
  std::set<std::string> stays, touched;
  for (const auto& service : wanted.services) {
    stays.insert(service.name);
    if (!differs(service)) {
      placed[service.name].reload = service.reload;
      continue;
    }
    if (auto possible = check_place(service); !possible) {
      keep_first(first, possible);
      continue;
    }
    auto& entry = placed[service.name];
    entry.reload = service.reload;
    entry.unsettled = true;
    for (const auto& [name, content] : service.files) entry.files[path_of(service, name)] = digest_text(content);
    todo.push_back(&service);
    touched.insert(service.name);
  }
  if (!first && !all) return placed = before, first;
  for (auto& [name, entry] : placed)
    if (!stays.contains(name)) entry.unsettled = true, touched.insert(name);
  if (placed != before) MESH_TRY(save());
  if (touched.empty()) return first;

  std::map<std::string, Status> switched;
  for (const auto* service : todo) switched[service->name] = switch_files(*service);
  for (const auto& name : touched)
    if (!stays.contains(name)) switched[name] = switch_files({name, {}, {}, {}, {}});
  for (const auto& name : touched) {
    auto done = switched[name];
    if (done) done = reload(name, stays.contains(name));
    keep_first(first, done);
    if (!done && !all) return first;
    if (done && !stays.contains(name)) placed.erase(name);
    if (done && stays.contains(name)) placed[name].unsettled = false;
  }
  keep_first(first, save());
  return first;
}

/// Exactly `service.files` of what the manifest names as this service's.
Status Services::switch_files(const WantedService& service) {
  auto& entry = manifest().services[service.name];
  std::set<std::string> directories, stay;
  for (const auto& [path, digest] : entry.files) MESH_TRY(remove_leftovers(at(directory_of(path))));
  for (const auto& [name, content] : service.files) {
    const auto path = path_of(service, name);
    stay.insert(path);
    auto there = machine_.read(at(path));
    if (there && as_text(*there) == content) continue;
    MESH_TRY(replace(service.destination, name, content, 0644));
    directories.insert(at(service.destination));
    steps_.push_back(fmt::format("{}: placed", path));
  }
  const auto taken_over = [&](const std::string& path) {  // by another name, or another pattern
    return std::ranges::any_of(manifest().services, [&](const auto& other) {
      return other.first != service.name && other.second.files.contains(path);
    });
  };
  for (const auto& [path, digest] : entry.files) {
    if (stay.contains(path) || taken_over(path)) continue;
    if (!machine_.read(at(path)) && !machine_.list(at(directory_of(path)))) continue;  // its directory is gone
    MESH_TRY(machine_.remove(at(path)));
    directories.insert(at(directory_of(path)));
    steps_.push_back(fmt::format("{}: removed", path));
  }
  for (const auto& directory : directories) MESH_TRY(machine_.sync_dir(directory));
  std::erase_if(entry.files, [&](const auto& file) { return !stay.contains(file.first); });
  return {};
}

/// Of a crash between writing and renaming.
Status Services::remove_leftovers(const std::string& directory) {
  auto names = machine_.list(directory);
  if (!names) return {};  // what is wrong with it is told where it is written to
  for (const auto& name : *names)
    if (name.starts_with('.') && name.ends_with(kAside)) MESH_TRY(machine_.remove(directory + "/" + name));
  return {};
}

Status Services::reload(const std::string& name, bool stays) {
  const auto& command = manifest().services[name].reload;
  if (command.empty()) return {};
  auto allow = allowed();
  if (!allow) return std::unexpected(allow.error());
  if (allow->command(command)) return run_well("reload " + name, command, {}, kReloadLimit);
  if (stays) return not_permitted(lines_to_add(*allow, {{}, {command}, false, false}));
  steps_.push_back(fmt::format("reload {}: not permitted any more, left out", name));
  return {};
}

bool Services::unsettled() {
  return failed_ || !not_started_.empty() ||
         std::ranges::any_of(manifest().services, [](const auto& each) { return each.second.unsettled; });
}

/// PostDown of what goes or changes, then PostUp of what is new. `all`: goes on after a failure.
Status Services::run_tunnels(const WantedServices& wanted, bool all) {
  auto& ran = manifest().tunnels;
  Status first;
  const auto run_all = [&](const std::string& tunnel, std::string_view what, const std::vector<std::string>& commands) {
    const auto name = fmt::format("{} {}", what, tunnel);
    Status done;
    for (const auto& command : commands)
      keep_first(done, run_well(name, replaced(command, "%i", tunnel), {}, kReloadLimit));
    keep_first(first, done);
    return done.has_value();
  };
  const auto stands = [&](const std::string& name, const RanCommands& each) {
    const auto want = wanted.tunnels.find(name);
    return want != wanted.tunnels.end() && want->second == each.commands && each.boot == options_.boot_id;
  };
  const auto before = ran;
  for (const auto& [name, each] : before) {
    if (stands(name, each)) continue;
    ran.erase(name);
    MESH_TRY(save());
    auto allow = allowed();
    const auto may = [&](const std::string& command) { return allow && allow->command(command); };
    const bool permitted = std::ranges::all_of(each.commands.down, may);
    if (each.boot == options_.boot_id && permitted) (void)run_all(name, "postdown", each.commands.down);
  }
  for (const auto& [name, commands] : wanted.tunnels) {
    if (ran.contains(name)) continue;
    ran[name] = {commands, options_.boot_id};
    MESH_TRY(save());
    if (run_all(name, "postup", commands.up)) continue;
    ran.erase(name);  // tried again
    MESH_TRY(save());
    if (!all) return first;
  }
  return first;
}

// --- keys ---

/// The whole file with the block as it shall be. Errors: conflict (half a block), invalid (no key), io.
Result<std::string> Services::keys_text(const std::vector<std::string>& keys) {
  auto bytes = machine_.read(at(options_.authorized_keys));
  if (!bytes && bytes.error().code != Errc::not_found) return std::unexpected(bytes.error());
  std::string out;
  bool inside = false;
  std::string_view rest = bytes ? as_text(*bytes) : std::string_view();
  while (!rest.empty()) {
    const auto line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    const bool begins = line.starts_with(kBegin), ends = line.starts_with(kEnd);
    if (begins == inside && (begins || ends))
      return fail(Errc::conflict, fmt::format("the block of meshnode in {} is cut", options_.authorized_keys),
                  fmt::format("remove its lines \"{}\" and \"{}\", and the keys between them", kBegin, kEnd));
    if (!inside && !begins) out += fmt::format("{}\n", line);
    inside = begins || (inside && !ends);
  }
  if (inside)
    return fail(Errc::conflict, fmt::format("the block of meshnode in {} does not end", options_.authorized_keys),
                fmt::format("remove its line \"{}\" and the keys below it", kBegin));
  if (keys.empty()) return out;
  out += fmt::format("{}: node_sshauthkeys; what is changed between these lines is overwritten\n", kBegin);
  for (const auto& key : keys) {
    // With lines of its own one would end the block, and stay when the block goes.
    if (key.starts_with('#') || std::ranges::any_of(key, [](unsigned char c) { return c < ' '; }))
      return fail(Errc::invalid, "a key of node_sshauthkeys is not one line");
    out += key + "\n";
  }
  return out + fmt::format("{}\n", kEnd);
}

Status Services::write_keys(const std::vector<std::string>& keys) {
  if (keys.empty() && !manifest().keys) return {};
  auto text = keys_text(keys);
  if (!text) return std::unexpected(text.error());
  if (!manifest().keys) {
    manifest().keys = true;
    MESH_TRY(save());
  }
  const auto directory = directory_of(options_.authorized_keys);
  auto there = machine_.read(at(options_.authorized_keys));
  if (!there || as_text(*there) != *text) {
    if (!machine_.list(at(directory))) MESH_TRY(make_dirs(at(directory)));
    MESH_TRY(replace(directory, options_.authorized_keys.substr(directory.size() + 1), *text, 0600));
    MESH_TRY(machine_.sync_dir(at(directory)));
    steps_.push_back(fmt::format("{}: {} keys of meshnode", options_.authorized_keys, keys.size()));
  }
  if (!keys.empty()) return {};
  manifest().keys = false;
  return save();
}

// --- what was edited ---

std::vector<Drift> Services::look(const WantedServices& wanted) {
  std::vector<Drift> out;
  const auto compare = [&](const std::string& path, std::string_view expected) {
    auto there = machine_.read(at(path));
    if (there && as_text(*there) == expected) return;
    out.push_back(text_drift("file", path, expected, there ? as_text(*there) : std::string_view()));
    if (out.back().expected == out.back().found) out.back().found = there ? "not as it was placed" : "missing";
  };
  for (const auto& service : wanted.services) {
    const auto placed = manifest().services.find(service.name);
    if (placed == manifest().services.end()) continue;  // it never was
    for (const auto& [name, content] : service.files)
      if (placed->second.files.contains(path_of(service, name))) compare(path_of(service, name), content);
  }
  if (!wanted.ssh_keys.empty() && manifest().keys)
    if (auto text = keys_text(wanted.ssh_keys)) compare(options_.authorized_keys, *text);
  return out;
}

Status Services::remove_all() {
  auto done = place({}, true);
  // A daemon that is gone already, or does not reload, keeps nobody from leaving.
  const auto& left = manifest();
  const bool gone = left.tunnels.empty() && !left.keys &&
                    std::ranges::all_of(left.services, [](const auto& each) { return each.second.files.empty(); });
  if (!done && !gone) return done;
  if (!done) steps_.push_back(fmt::format("all is removed, but {}", done.error().message));
  return machine_.remove(at(options_.data) + "/services");
}

}  // namespace mesh
