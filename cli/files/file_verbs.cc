// put, get, list, edit and del file: one file of the log.
#include <fmt/format.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "cli/files/file_contents.h"
#include "cli/files/file_tree.h"
#include "cli/handlers.h"
#include "cli/intent_source.h"
#include "cli/mutate.h"
#include "cli/scope.h"
#include "cli/views.h"
#include "eventstore/model/attribute_table.h"
#include "eventstore/model/crypto.h"
#include "eventstore/model/json_text.h"
#include "eventstore/model/limits.h"

namespace mesh::cli {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPlanNext = "next: meshcli plan, then meshcli commit all";

/// One file of one level, as it is in a state.
struct Place {
  Target target;  // a node by its full name
  std::string name;
  std::optional<FileRef> file;        // of this level
  std::optional<Target> inherited_at;  // the level that it comes from when it is not of this one
  std::optional<FileRef> inherited;
  Sequence sequence;  // of the entry that put it

  std::string attribute() const { return std::string(kFilePrefix) + name; }
  std::string words() const { return to_text(target) + " " + name; }
};

std::optional<FileRef> file_in(const Attributes& attributes, const std::string& attribute) {
  const auto found = attributes.find(attribute);
  if (found == attributes.end() || !found->second.value.file()) return std::nullopt;
  return *found->second.value.file();
}

Result<Place> place_in(const MeshState& state, const Session& session) {
  Place out{target_of(session), session.argument("NAME"), {}, {}, {}, {}};
  MESH_TRY(check_file_name(out.name));
  auto scope = resolve(state, out.target);
  if (!scope) return std::unexpected(std::move(scope).error());
  std::vector<std::pair<Target, const Attributes*>> levels;
  std::string site = scope->site;
  if (scope->level == Level::node) {
    const Node& node = *state.find_node(scope->node);
    site = node.site;
    levels.push_back({{Level::node, node.fullname()}, &node.attributes});
    out.target.name = node.fullname();
  }
  if (const Site* known = state.find_site(site); known && !site.empty())
    levels.push_back({{Level::site, site}, &known->attributes});
  levels.push_back({{}, &state.global});
  for (size_t i = 0; i < levels.size(); ++i) {
    const auto file = file_in(*levels[i].second, out.attribute());
    if (!file) continue;
    if (i == 0) {
      out.file = file;
      out.sequence = levels[i].second->find(out.attribute())->second.sequence;
    } else {
      out.inherited = file;
      out.inherited_at = levels[i].first;
    }
    break;
  }
  return out;
}

/// A controller, and what it holds now or as of --at.
struct Opened {
  Client* client;
  Place place;
};
Result<Opened> open_place(Session& session, bool past = false) {
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  auto state = fetch_state(**client, past ? (*client)->at() : Sequence());
  if (!state) return std::unexpected(std::move(state).error());
  auto place = place_in(*state, session);
  if (!place) return std::unexpected(std::move(place).error());
  return Opened{*client, std::move(*place)};
}

constexpr std::string_view kBuiltIn = "built-in";

/// The text of one of the program's own templates; nothing when it has none of that name.
Result<std::optional<std::string>> built_in(Client& client, const std::string& name) {
  auto document = client.query("level_files", {{"scope", std::string(kBuiltIn)}});
  if (!document) return std::unexpected(std::move(document).error());
  for (const Json& item : value_at(*document, "items"))
    if (text_at(item, "name") == name) return text_at(item, "text");
  return std::nullopt;
}

std::unexpected<Error> not_there(const Place& place, std::string_view verb) {
  return fail(Errc::not_found, fmt::format("{} has no file {}", to_text(place.target), place.name),
              place.inherited_at
                  ? fmt::format("it comes from above: meshcli {} file {} {}", verb, to_text(*place.inherited_at),
                                place.name)
                  : "meshcli list files");
}

Result<std::string> read_input(Session& session, const std::string& path) {
  std::istream* in = session.environment().in;
  std::ifstream file;
  if (!path.empty() && path != "-") {
    std::error_code ignored;
    if (fs::is_directory(path, ignored))
      return fail(Errc::usage, fmt::format("{} is a directory", path), "meshcli files push takes a whole one");
    file.open(path, std::ios::binary);
    if (!file) return fail(Errc::not_found, fmt::format("cannot read {}", path), "check the path");
    in = &file;
  } else if (path.empty() && session.environment().in_terminal) {
    return fail(Errc::usage, "what shall be in the file?", "name a PATH, or - to type it");
  }
  std::string content(kFileBytesMax + 1, '\0');
  in->read(content.data(), static_cast<std::streamsize>(content.size()));
  content.resize(static_cast<size_t>(in->gcount()));
  return content;
}

/// Submits one file. `computed_on`: as in Mutation.
Result<int> put(Session& session, Client& client, const Place& place, const std::string& content,
                Sequence computed_on = {}) {
  FileContents contents(client);
  auto file = contents.put(content, place.file ? &*place.file : nullptr);
  if (!file) return std::unexpected(std::move(file).error());
  Mutation mutation{.changes = {}, .uncommitted = true, .next = std::string(kPlanNext), .computed_on = computed_on,
                    .attachments = contents.take_attachments()};
  mutation.changes.push_back({SetAttribute{place.target, place.attribute(), AttributeValue(*file)},
                              fmt::format("{}: {} = {}", to_text(place.target), place.name, file_text(*file))});
  return mutate(session, std::move(mutation));
}

/// A file in a directory of its own that nobody else can read; gone at the end unless it is kept.
class PrivateFile {
 public:
  PrivateFile() = default;
  PrivateFile(const PrivateFile&) = delete;
  PrivateFile& operator=(const PrivateFile&) = delete;
  ~PrivateFile() {
    std::error_code ignored;
    if (!folder_.empty() && !kept_) fs::remove_all(folder_, ignored);
  }

  Status make(const std::string& name, std::string_view content) {
    std::error_code error;
    std::string pattern = (fs::temp_directory_path(error) / "meshcli-edit-XXXXXX").string();
    if (error || ::mkdtemp(pattern.data()) == nullptr) return fail(Errc::io, "cannot make a temporary directory");
    folder_ = pattern;
    path_ = folder_ / name;
    return write_whole(path_, content, true);
  }
  Result<std::string> read() const {
    std::ifstream in(path_, std::ios::binary);
    if (!in) return fail(Errc::io, fmt::format("the editor left no {}", path_.string()), "nothing was changed");
    return std::string(std::istreambuf_iterator<char>(in), {});
  }
  const fs::path& path() const { return path_; }
  void keep() { kept_ = true; }

 private:
  fs::path folder_, path_;
  bool kept_ = false;
};

Status run_editor(Session& session, const fs::path& path) {
  std::string editor;
  for (const char* name : {"VISUAL", "EDITOR"})
    if (editor.empty()) editor = session.environment().variable(name).value_or("");
  if (editor.empty()) editor = "vi";
  // As git does it: the variable may hold options.
  auto done = session.environment().run_program(
      {.words = {"/bin/sh", "-c", editor + " \"$@\"", editor, path.string()}});
  if (!done) return std::unexpected(std::move(done).error());
  if (done->status == 0) return {};
  return fail(Errc::io, fmt::format("the editor \"{}\" ended with {}; nothing was changed", editor, done->status),
              "EDITOR or VISUAL names one");
}

}  // namespace

Result<int> put_file(Session& session) {
  auto content = read_input(session, session.argument("PATH"));
  if (!content) return std::unexpected(std::move(content).error());
  auto opened = open_place(session);
  if (!opened) return std::unexpected(std::move(opened).error());
  const auto& [client, place] = *opened;
  if (place.name == kLevelFile)
    return fail(Errc::invalid, fmt::format("{} stands for the attributes of a level in a folder", kLevelFile),
                "choose another name, or set attributes with meshcli set or apply");
  return put(session, *client, place, *content);
}

namespace {

/// To PATH, to people, or as a document with what is known of it.
Result<int> give_out(Session& session, const std::string& name, const std::string& content, const std::string& size,
                     Json document) {
  std::string path = session.argument("PATH");
  if (!path.empty() && path != "-") {
    std::error_code ignored;
    if (fs::is_directory(path, ignored)) path = (fs::path(path) / name).string();
    MESH_TRY(write_whole(path, content));
    session.note(fmt::format("{}: {}", path, size));
  } else if (session.for_people() || session.format() == Format::name) {
    session.print(content);
  } else {
    const bool text = is_utf8(content);
    document[text ? "text" : "base64"] = text ? content : to_base64(as_bytes(content));
    session.print_document(document);
  }
  return int{kSuccess};
}

Result<int> get_built_in(Session& session) {
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  const std::string name = session.argument("NAME");
  auto content = built_in(**client, name);
  if (!content) return std::unexpected(std::move(content).error());
  if (!*content) return fail(Errc::not_found, fmt::format("no file {} is built in", name), "list files built-in");
  return give_out(session, name, **content, fmt::format("{} bytes", (*content)->size()),
                  {{"kind", "File"},
                   {"scope", kBuiltIn},
                   {"name", name},
                   {"bytes", (*content)->size()},
                   {"sha256", to_hex(sha256(as_bytes(**content)).view())}});
}

}  // namespace

Result<int> get_file(Session& session) {
  if (session.argument("SCOPE") == kBuiltIn) return get_built_in(session);
  auto opened = open_place(session, true);
  if (!opened) return std::unexpected(std::move(opened).error());
  const auto& [client, place] = *opened;
  if (!place.file) return not_there(place, "get");
  auto content = FileContents(*client).get(*place.file);
  if (!content) return fail_in(place.words(), content.error());
  return give_out(session, place.name, *content, file_text(*place.file),
                  {{"kind", "File"},
                   {"sequence", place.sequence.value()},
                   {"scope", to_text(place.target)},
                   {"name", place.name},
                   {"bytes", place.file->size},
                   {"sha256", to_hex(place.file->digest.view())}});
}

Result<int> list_files(Session& session) {
  QueryArguments arguments;
  if (const std::string scope = session.argument("SCOPE"); !scope.empty())
    arguments["scope"] = scope == kBuiltIn ? scope : to_text(target_of(session));
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  auto document = (*client)->query("level_files", arguments);
  if (!document) return std::unexpected(std::move(document).error());
  session.print_list(*document, kFilesView);
  return int{kSuccess};
}

Result<int> delete_file(Session& session) {
  auto opened = open_place(session);
  if (!opened) return std::unexpected(std::move(opened).error());
  const auto& [client, place] = *opened;
  if (!place.file) return not_there(place, "del");
  Mutation mutation{{}, true, std::string(kPlanNext)};
  mutation.changes.push_back({UnsetAttribute{place.target, place.attribute()},
                              fmt::format("{}: {} removed", to_text(place.target), place.name)});
  return mutate(session, std::move(mutation));
}

Result<int> edit_file(Session& session) {
  auto opened = open_place(session);
  if (!opened) return std::unexpected(std::move(opened).error());
  const auto& [client, place] = *opened;
  std::string before;
  if (const auto& base = place.file ? place.file : place.inherited) {
    auto content = FileContents(*client).get(*base);
    if (!content) return fail_in(place.words(), content.error());
    before = std::move(*content);
    if (!place.file)
      session.note(fmt::format("{} starts as that of {}", place.words(), to_text(*place.inherited_at)));
  } else {
    auto content = built_in(*client, place.name);
    if (!content) return std::unexpected(std::move(content).error());
    before = content->value_or("");
    if (*content) session.note(fmt::format("{} starts as the one that is built in", place.words()));
  }
  PrivateFile file;
  MESH_TRY(file.make(place.name, before));
  MESH_TRY(run_editor(session, file.path()));
  auto after = file.read();
  if (!after) return std::unexpected(std::move(after).error());
  if (*after == before) {
    session.note(fmt::format("{}: unchanged", place.words()));
    return int{session.has("error-unchanged") ? kUnchanged : kSuccess};
  }
  // Hours may have passed: what somebody else wrote meanwhile is not written over.
  auto now = fetch_state(*client, Sequence());
  auto now_place = now ? place_in(*now, session) : std::unexpected(now.error());
  Result<int> done = !now_place ? Result<int>(std::unexpected(now_place.error()))
                     : now_place->file != place.file
                         ? Result<int>(fail(Errc::conflict, place.words() + " was changed while it was edited"))
                         : put(session, *client, *now_place, *after, now->sequence);
  if (done) return done;
  file.keep();
  Error error = done.error();
  error.fix += fmt::format("{}what was edited is kept in {}", error.fix.empty() ? "" : "; ", file.path().string());
  return std::unexpected(std::move(error));
}

}  // namespace mesh::cli
