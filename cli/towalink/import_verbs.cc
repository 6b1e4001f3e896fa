// import: another system's configuration becomes one signed entry.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/files/file_contents.h"
#include "cli/handlers.h"
#include "cli/intent_plan.h"
#include "cli/intent_source.h"
#include "cli/propose.h"
#include "cli/towalink/towalink_import.h"

namespace mesh::cli {

namespace {

constexpr size_t kProblemsShown = 50;

/// All mistakes at once, for people a line each: who moves a network wants to correct them in one go.
std::unexpected<Error> refuse(Session& session, const std::string& folder,
                              const std::vector<TowalinkProblem>& problems) {
  const size_t shown = std::min(kProblemsShown, problems.size());
  std::string all;
  for (size_t i = 0; i < shown; ++i) {
    const std::string line =
        fmt::format("{}: {}; {}", problems[i].where, problems[i].error.message, problems[i].error.fix);
    if (session.for_people()) *session.environment().err << printable(line) << "\n";
    all += (i == 0 ? "" : ", ") + line;
  }
  std::string text = fmt::format("{} has {}", folder, count_text(problems.size(), "mistake"));
  if (!session.for_people()) text += ": " + all;
  return fail(problems.front().error.code, std::move(text), "nothing was imported: correct them, then again");
}

std::string report_text(const std::vector<ImportNote>& notes, bool colour) {
  std::string out;
  for (const ImportNote& note : notes) {
    const bool loud = note.topic == ImportTopic::differs || note.topic == ImportTopic::commit;
    const std::string topic = fmt::format("{:<8}", topic_name(note.topic));
    out += paint(topic, loud ? Tone::warn : Tone::plain, colour) + " " +
           printable(note.where.empty() ? note.text : note.where + ": " + note.text) + "\n";
  }
  return out;
}

Json report_json(const std::vector<ImportNote>& notes) {
  Json out = Json::array();
  for (const ImportNote& note : notes)
    out.push_back({{"topic", std::string(topic_name(note.topic))}, {"where", note.where}, {"text", note.text}});
  return out;
}

}  // namespace

Result<int> import_from_towalink(Session& session) {
  const std::string folder = session.argument("DIR");
  auto tree = read_towalink(folder);
  if (!tree) return std::unexpected(std::move(tree).error());
  auto client = session.client();
  if (!client) return std::unexpected(std::move(client).error());
  auto now = fetch_state(**client, Sequence());
  if (!now) return std::unexpected(std::move(now).error());
  FileContents contents(**client);
  auto found = import_towalink(
      *tree, *now, [&](const std::string& content, const FileRef* stored) { return contents.put(content, stored); });
  if (!found) return std::unexpected(std::move(found).error());
  if (!found->problems.empty()) return refuse(session, folder, found->problems);
  auto after = state_after((*client)->context(), *now, found->commands);
  if (!after) return std::unexpected(std::move(after).error());
  std::vector<ImportNote>& notes = found->notes;
  for (ImportNote& note : judge_import(*now, *after)) notes.push_back(std::move(note));
  std::ranges::stable_sort(notes, {}, &ImportNote::topic);

  const Json extra{{"kind", "Import"},      {"sites", found->sites},
                   {"nodes", found->nodes}, {"attributes", found->attributes},
                   {"files", found->files}, {"report", report_json(notes)}};
  const std::string line = fmt::format("{}: {}, {}, {} and {} imported", folder, count_text(found->sites, "site"),
                                       count_text(found->nodes, "node"), count_text(found->attributes, "attribute"),
                                       count_text(found->files, "file"));
  return propose(session, **client, *now,
                 {std::move(found->commands),
                  {},
                  line,
                  folder,
                  contents.take_attachments(),
                  report_text(notes, session.colour_out()),
                  &extra,
                  "next: meshcli plan; meshcli attach node NODE for each router; meshcli commit all --activate"});
}

}  // namespace mesh::cli
