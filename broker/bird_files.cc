#include "broker/bird_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "broker/child.h"

namespace mesh {

namespace {

constexpr int64_t kCheckMs = 20'000;

bool is_word_char(char c) {
  return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/// The words, texts and signs of a BIRD file, without comments.
class Tokens {
 public:
  enum class Kind { end, word, text, sign };

  explicit Tokens(std::string_view source) : source_(source) {}

  Kind kind = Kind::end;
  std::string_view value;  // a text without its quotes
  size_t begin = 0, line = 1;

  void next() {
    skip();
    begin = at_;
    line = line_;
    if (at_ >= source_.size()) {
      kind = Kind::end;
      value = {};
    } else if (source_[at_] == '"' || source_[at_] == '\'') {
      quoted();
    } else if (is_word_char(source_[at_])) {
      while (at_ < source_.size() && is_word_char(source_[at_])) ++at_;
      kind = Kind::word;
      value = source_.substr(begin, at_ - begin);
    } else {
      ++at_;
      kind = Kind::sign;
      value = source_.substr(begin, 1);
    }
  }
  size_t end() const { return at_; }

 private:
  void advance() { line_ += source_[at_++] == '\n'; }

  void skip() {
    while (at_ < source_.size()) {
      const std::string_view rest = source_.substr(at_);
      if (rest[0] == '#') {
        while (at_ < source_.size() && source_[at_] != '\n') ++at_;
      } else if (rest.starts_with("/*")) {
        const size_t close = source_.find("*/", at_ + 2);
        const size_t stop = close == std::string_view::npos ? source_.size() : close + 2;
        while (at_ < stop) advance();
      } else if (rest[0] == ' ' || rest[0] == '\t' || rest[0] == '\r' || rest[0] == '\n') {
        advance();
      } else {
        return;
      }
    }
  }

  /// A symbol in single quotes is a word, whatever it says.
  void quoted() {
    const char quote = source_[at_++];
    const size_t first = at_;
    while (at_ < source_.size() && source_[at_] != quote && source_[at_] != '\n') ++at_;
    kind = quote == '"' ? Kind::text : Kind::sign;
    value = source_.substr(first, at_ - first);
    if (at_ < source_.size() && source_[at_] == quote) ++at_;
  }

  std::string_view source_;
  size_t at_ = 0, line_ = 1;
};

using Kind = Tokens::Kind;

std::unexpected<Error> refuse(const std::string& name, size_t line, std::string_view what, std::string fix) {
  return fail(Errc::invalid, fmt::format("{}:{}: {}", name, line, what), std::move(fix));
}

/// Where Towalink's routers had BIRD's files: there, too, a sibling is meant.
constexpr std::string_view kBirdDirectory = "/etc/bird/";

/// A sibling by its name, or several by a pattern.
bool is_sibling(std::string_view path) {
  if (path.starts_with(kBirdDirectory)) path.remove_prefix(kBirdDirectory.size());
  return !path.empty() && path.find('/') == std::string_view::npos && path.find("..") == std::string_view::npos;
}

class Directory {
 public:
  Directory() {
    std::error_code ignored;
    std::string pattern = (std::filesystem::temp_directory_path(ignored) / "meshd-bird-XXXXXX").string();
    if (mkdtemp(pattern.data()) != nullptr) path_ = pattern;
  }
  ~Directory() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// As it is checked: with all files in one directory.
std::string relocated(const Bytes& content) {
  std::string text(content.begin(), content.end());
  const std::string there = "\"" + std::string(kBirdDirectory);
  for (size_t at; (at = text.find(there)) != std::string::npos;) text.erase(at + 1, kBirdDirectory.size());
  return text;
}

/// "bird: ./bird.conf:3:1 syntax error" as "bird.conf:3:1: syntax error".
std::string first_problem(std::string text, const std::filesystem::path& directory) {
  for (const std::string& noise : {directory.string() + "/", std::string("./"), std::string("bird: ")})
    for (size_t at; (at = text.find(noise)) != std::string::npos;) text.erase(at, noise.size());
  text = text.substr(0, text.find('\n'));
  if (const size_t space = text.find(' '); space != std::string::npos && space > 0 && text[space - 1] >= '0' &&
                                           text[space - 1] <= '9')
    text.insert(space, ":");
  return text;
}

}  // namespace

bool is_bird_file(std::string_view name) { return name.starts_with("bird") && name.ends_with(".conf"); }

Status confine_bird_file(const std::string& name, Bytes& content, std::vector<std::string>& warnings) {
  const std::string source(content.begin(), content.end());
  Tokens token(source);
  std::vector<std::pair<size_t, size_t>> comments;
  bool starts = true;  // whether a statement begins here
  for (token.next(); token.kind != Kind::end;) {
    const std::string word(token.kind == Kind::word ? token.value : "");
    const size_t begin = token.begin, line = token.line;
    const bool first = starts;
    starts = token.kind == Kind::sign && (token.value == ";" || token.value == "{" || token.value == "}");
    token.next();
    const bool named = token.kind == Kind::text;
    if (word == "include" && named && !is_sibling(token.value))
      return refuse(name, line, fmt::format("include \"{}\" is no file of the node", token.value),
                    "put the file beside it and include it by its name");
    if (first && (word == "eval" || (word == "mrtdump" && named) || (word == "filename" && named)))
      return refuse(name, line, word + " is not for managed files", "take it out");
    if (!first || word != "log" || !named) continue;
    warnings.push_back(fmt::format("{}:{}: log \"{}\" was left out: BIRD logs to its standard error", name, line,
                                   token.value));
    while (token.kind != Kind::end && token.value != ";") token.next();
    comments.emplace_back(begin, token.end());
  }
  std::string out;
  size_t done = 0;
  for (const auto& [begin, end] : comments) {
    out += source.substr(done, begin - done) + "/* " + source.substr(begin, end - begin) + " */";
    done = end;
  }
  if (done > 0) {
    out += source.substr(done);
    content.assign(out.begin(), out.end());
  }
  return {};
}

Status check_bird_files(const std::filesystem::path& bird, const std::map<std::string, Bytes>& files) {
  if (!files.contains("bird.conf")) return {};
  Directory scratch;
  if (scratch.path().empty()) return fail(Errc::unavailable, "no directory to check BIRD files in");
  for (const auto& [name, content] : files) {
    if (!is_bird_file(name)) continue;
    std::ofstream file(scratch.path() / name, std::ios::binary);
    file << relocated(content);
    if (!file.flush()) return fail(Errc::unavailable, "a BIRD file cannot be written to be checked");
  }
  auto child = Child::start({bird.string(), "-p", "-c", "bird.conf"}, true, scratch.path());
  if (!child) return std::unexpected(child.error());
  const int64_t deadline = monotonic_ms() + kCheckMs;
  std::string said;
  for (;;) {
    auto more = (*child)->read(deadline);
    if (!more) return fail(Errc::exhausted, "bird.conf: BIRD did not read it in time");
    if (more->empty()) break;
    if (said.size() < 64 * 1024) said += *more;
  }
  auto code = (*child)->wait(deadline);
  if (code && *code == 0) return {};
  return fail(Errc::invalid, said.empty() ? "bird.conf: BIRD does not take it" : first_problem(said, scratch.path()),
              "correct the template");
}

}  // namespace mesh
