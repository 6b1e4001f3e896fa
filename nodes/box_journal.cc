#include "nodes/box_journal.h"

#include <algorithm>

#include "schemas/json_reader.h"

namespace mesh {

namespace {

constexpr auto kJournal = "journal";
constexpr std::string_view kWords[] = {"applied", "failed", "reverted", "refused", "healthy"};

std::string line_text(const JournalLine& line) {
  const Json json = {{"serial", line.serial},
                     {"kind", outcome_word(line.kind)},
                     {"activation", line.activation.value()},
                     {"version", line.version.value()},
                     {"message", line.message},
                     {"sequence", line.sequence.value()},
                     {"time", static_cast<uint64_t>(line.time.value())}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<JournalLine> parse_line(std::string_view text) {
  const auto json = Json::parse(text, nullptr, false);
  JournalLine line;
  std::string kind;
  uint64_t time = 0;
  JsonReader in(json);
  in.get("serial", line.serial);
  in.get("kind", kind);
  in.get("activation", line.activation);
  in.get("version", line.version);
  in.get("message", line.message);
  in.get("sequence", line.sequence);
  in.get("time", time);
  MESH_TRY(in.status());
  const auto word = std::ranges::find(kWords, kind);
  if (word == std::end(kWords)) return fail(Errc::corrupt, "kind is not known");
  line.kind = static_cast<OutcomeKind>(word - std::begin(kWords) + 1);
  line.time = Timestamp(static_cast<int64_t>(time));
  return line;
}

}  // namespace

std::string_view outcome_word(OutcomeKind kind) {
  const auto index = static_cast<size_t>(kind) - 1;
  return index < std::size(kWords) ? kWords[index] : "unknown";
}

BoxJournal::BoxJournal(Files& files) : files_(files) {
  auto bytes = files_.read(kJournal);
  if (!bytes) return;
  auto rest = as_text(*bytes);
  torn_ = !rest.empty() && !rest.ends_with('\n');
  while (!rest.empty()) {
    const auto text = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), text.size() + 1));
    if (auto line = parse_line(text)) lines_.push_back(std::move(*line));
  }
}

Status BoxJournal::take(const std::vector<SignedOutcome>& outcomes, Sequence sequence, Timestamp time) {
  const auto before = lines_.size();
  std::string added;
  for (const auto& [bytes, signature, outcome] : outcomes) {
    if (outcome.serial <= newest()) continue;
    lines_.push_back({outcome.serial, outcome.kind, outcome.activation, outcome.version, outcome.message, sequence,
                      time});
    added += line_text(lines_.back());
  }
  if (added.empty()) return {};
  Status done;
  if (torn_ || before == 0 || lines_.size() > 2 * kKept) {
    if (lines_.size() > 2 * kKept) lines_.erase(lines_.begin(), lines_.end() - kKept);
    std::string all;
    for (const auto& line : lines_) all += line_text(line);
    done = write_atomic(files_, kJournal, as_bytes(all));
  } else {
    done = files_.append(kJournal, as_bytes(added));
  }
  torn_ = !done;
  if (!done && lines_.size() > before) lines_.resize(before);
  return done;
}

}  // namespace mesh
