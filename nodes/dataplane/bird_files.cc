#include "nodes/dataplane/bird_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace mesh {
namespace {

constexpr size_t kBytesMax = 8 * 1024 * 1024;  // of all that is included, also repeatedly
constexpr size_t kDepthMax = 8;
constexpr std::string_view kUsualPlace = "/etc/bird/";
constexpr std::string_view kRefused[] = {"eval", "mrtdump", "filename"};

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }
bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

class Assembly {
 public:
  explicit Assembly(const std::map<std::string, std::string>& files) : files_(files) {}

  Status add(const std::string& name, size_t depth) {
    const std::string& text = files_.at(name);
    bytes_ += text.size();
    if (bytes_ > kBytesMax || depth > kDepthMax)
      return fail(Errc::invalid, fmt::format("{}: its includes go around in a circle, or are too many", name));
    unsigned line = 1;
    bool comment = false;
    for (size_t begin = 0; begin < text.size(); ++line) {
      const size_t end = std::min(text.find('\n', begin), text.size());
      const std::string_view whole(text.data() + begin, end - begin);
      begin = end + 1;
      MESH_TRY(take_line(whole, {name, line}, comment, depth));
    }
    if (comment) return wrong({name, line - 1}, "a comment does not end");
    return {};
  }

  Result<BirdConfig> take() {
    if (in_log_) return wrong(log_at_, "the log statement does not end");
    return std::move(out_);
  }

 private:
  std::unexpected<Error> wrong(const BirdConfig::Origin& at, std::string_view what, std::string fix = {}) const {
    return fail(Errc::invalid, fmt::format("{}:{}: {}", at.file, at.line, what), std::move(fix));
  }

  void put(std::string_view line, const BirdConfig::Origin& at) {
    out_.text += line;
    out_.text += '\n';
    out_.lines.push_back(at);
  }

  /// BIRD sees an include only where it begins a line, outside of comments.
  Status take_line(std::string_view line, const BirdConfig::Origin& at, bool& comment, size_t depth) {
    if (!comment) {
      std::string_view rest = line;
      while (!rest.empty() && is_blank(rest.front())) rest.remove_prefix(1);
      if (rest.starts_with("include") && !in_log_ && (rest.size() == 7 || !is_word(rest[7])))
        return include(rest.substr(7), at, depth);
    }
    std::string kept;
    MESH_TRY(scan(line, at, comment, kept));
    put(kept, at);
    return {};
  }

  Status include(std::string_view rest, const BirdConfig::Origin& at, size_t depth) {
    const size_t open = rest.find('"'), close = rest.find('"', open == std::string_view::npos ? open : open + 1);
    if (open == std::string_view::npos || close == std::string_view::npos)
      return wrong(at, "this include cannot be read", "include \"NAME\";");
    std::string_view name = rest.substr(open + 1, close - open - 1), behind = rest.substr(close + 1);
    if (name.starts_with(kUsualPlace)) name.remove_prefix(kUsualPlace.size());
    while (!behind.empty() && is_blank(behind.front())) behind.remove_prefix(1);
    if (!behind.starts_with(';')) return wrong(at, "an include ends with ; on its own line");
    const auto last = behind.find_first_not_of("; \t\r");
    if (last != std::string_view::npos && behind[last] != '#')
      return wrong(at, "nothing stands behind an include on its line");
    const std::string file(name);
    if (!files_.contains(file))
      return wrong(at, fmt::format("{} is no file of this version, and nothing else is included", file),
                   fmt::format("put file ... {}", file));
    return add(file, depth + 1);
  }

  /// One line: `kept` is what BIRD gets of it.
  Status scan(std::string_view line, const BirdConfig::Origin& at, bool& comment, std::string& kept) {
    for (size_t i = 0; i < line.size();) {
      const std::string_view rest = line.substr(i);
      size_t size = 1;
      if (comment) {
        const size_t end = rest.find("*/");
        comment = end == std::string_view::npos;
        size = comment ? rest.size() : end + 2;
      } else if (rest.starts_with("/*")) {
        comment = true;
        size = 2;
      } else if (rest.front() == '#') {
        size = rest.size();
      } else if (rest.front() == '"') {
        const size_t end = rest.find('"', 1);
        if (end == std::string_view::npos) return wrong(at, "a text does not end on its line");
        size = end + 1;
        take_token(at, kept, "\"");
      } else if (is_word(rest.front())) {
        while (size < rest.size() && is_word(rest[size])) ++size;
        MESH_TRY(take_word(lower(rest.substr(0, size)), at, kept));
      } else if (!is_blank(rest.front())) {
        take_token(at, kept, rest.substr(0, 1));
        if (in_log_ && rest.front() == ';') {
          in_log_ = false;
          ++i;
          continue;
        }
      }
      if (!in_log_) kept += rest.substr(0, size);
      i += size;
    }
    return {};
  }

  Status take_word(const std::string& word, const BirdConfig::Origin& at, std::string& kept) {
    take_token(at, kept, word);
    if (in_log_) return {};
    if (word == "include") return wrong(at, "include stands at the begin of its own line");
    if (std::ranges::find(kRefused, word) != std::end(kRefused))
      return wrong(at, fmt::format("{} is not allowed in a template", word));
    log_begins_ = word == "log";
    log_at_ = at;
    if (log_begins_) kept_before_log_ = kept.size();
    return {};
  }

  /// What follows `log` tells whether it writes to a file.
  void take_token(const BirdConfig::Origin& at, std::string& kept, std::string_view token) {
    if (!std::exchange(log_begins_, false) || in_log_) return;
    if (token == "syslog" || token == "stderr") return;
    in_log_ = true;
    kept.resize(std::min(kept.size(), at.line == log_at_.line ? kept_before_log_ : 0));
    if (at.line != log_at_.line || at.file != log_at_.file) drop_word_log();
    out_.notes.push_back(fmt::format("{}:{}: the log to a file is left out: BIRD logs to the system's log",
                                     log_at_.file, log_at_.line));
  }

  /// `log` stood alone at the end of a line that is out already.
  void drop_word_log() {
    const size_t word = lower(out_.text).rfind("log");
    if (word != std::string::npos) out_.text.erase(word, 3);
  }

  const std::map<std::string, std::string>& files_;
  BirdConfig out_;
  size_t bytes_ = 0;
  bool log_begins_ = false, in_log_ = false;
  size_t kept_before_log_ = 0;
  BirdConfig::Origin log_at_;
};

}  // namespace

Result<BirdConfig> assemble_bird(const std::map<std::string, std::string>& files) {
  Assembly assembly(files);
  MESH_TRY(assembly.add(std::string(kBirdMain), 0));
  return assembly.take();
}

std::string name_lines(const BirdConfig& config, std::string message) {
  const std::string mark = std::string(kBirdMain) + ":";
  const size_t at = message.find(mark);
  if (at == std::string::npos) return message;
  size_t line = 0;
  const char* begin = message.data() + at + mark.size();
  const auto parsed = std::from_chars(begin, message.data() + message.size(), line);
  if (parsed.ec != std::errc() || line == 0 || line > config.lines.size()) return message;
  const auto& origin = config.lines[line - 1];
  return message.replace(at, static_cast<size_t>(parsed.ptr - message.data()) - at,
                         fmt::format("{}:{}", origin.file, origin.line));
}

}  // namespace mesh
