#include "broker/render/bird_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "broker/render/child.h"
#include "eventstore/model/crypto.h"

namespace mesh {

namespace {

constexpr int64_t kCheckMs = 20'000;
constexpr uint64_t kCheckBytes = 1024 * 1024 * 1024;  // of memory: files that include each other grow without end
constexpr size_t kTakenMax = 16'384;  // then all are forgotten

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
  /// The last line is a comment and does not end.
  bool ends_in_comment() const { return ends_in_comment_; }
  /// Whether there is another quote before the line ends.
  bool quote_follows() const {
    const size_t quote = source_.find('"', at_);
    return quote != std::string_view::npos && quote < source_.find('\n', at_);
  }

 private:
  void advance() { line_ += source_[at_++] == '\n'; }

  void skip() {
    while (at_ < source_.size()) {
      const std::string_view rest = source_.substr(at_);
      if (rest[0] == '#') {
        while (at_ < source_.size() && source_[at_] != '\n') ++at_;
        ends_in_comment_ = at_ == source_.size();
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
  bool ends_in_comment_ = false;
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
  /// In memory where that is possible: a hundred nodes are a hundred directories.
  Directory() {
    std::error_code ignored;
    for (const std::filesystem::path& parent : {std::filesystem::path("/dev/shm"),
                                                std::filesystem::temp_directory_path(ignored)}) {
      std::string pattern = (parent / "meshd-bird-XXXXXX").string();
      if (mkdtemp(pattern.data()) == nullptr) continue;
      path_ = pattern;
      return;
    }
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
  const std::string_view text(reinterpret_cast<const char*>(content.data()), content.size());
  const std::string there = "\"" + std::string(kBirdDirectory);
  std::string out;
  for (size_t at = 0;; out += '"') {
    const size_t found = text.find(there, at);
    out += text.substr(at, found - at);
    if (found == std::string_view::npos) return out;
    at = found + there.size();
  }
}

/// "bird: ./bird.conf:3:1 syntax error" as "bird.conf:3:1: syntax error".
std::string first_problem(std::string text, const std::filesystem::path& directory) {
  constexpr size_t kShown = 500;
  text = text.substr(0, std::min(text.find('\n'), kShown));
  for (const std::string& noise : {directory.string() + "/", std::string("./"), std::string("bird: ")})
    for (size_t at; (at = text.find(noise)) != std::string::npos;) text.erase(at, noise.size());
  if (const size_t space = text.find(' '); space != std::string::npos && space > 0 && text[space - 1] >= '0' &&
                                           text[space - 1] <= '9')
    text.insert(space, ":");
  return text;
}

}  // namespace

namespace {

/// What a statement that begins with `word` and goes on with `next` may not be. A file can be named by a constant too:
/// so not the text counts but what else may stand there.
Status check_statement(const std::string& name, size_t line, const std::string& word, const Tokens& next) {
  const bool is_word = next.kind == Kind::word;
  if (word == "eval" || word == "filename" || (word == "mrtdump" && !(is_word && next.value == "protocols")))
    return refuse(name, line, word + " is not for managed files", "take it out");
  if (word != "log" || next.kind == Kind::text) return {};
  if (is_word && (next.value == "stderr" || next.value == "syslog" || next.value == "udp")) return {};
  return refuse(name, line, "log goes neither to stderr nor to syslog", "write: log stderr all;");
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
    // Some BIRDs take all up to the last quote of the line for the statement, the beginning of a comment too.
    if (word == "include" && named && token.quote_follows())
      return refuse(name, line, "more than an include stands on its line", "give it a line of its own");
    if (first) MESH_TRY(check_statement(name, line, word, token));
    if (!first || word != "log" || !named) continue;
    warnings.push_back(fmt::format("{}:{}: log \"{}\" was left out: BIRD logs to its standard error", name, line,
                                   token.value));
    while (token.kind != Kind::end && token.value != ";") token.next();
    comments.emplace_back(begin, token.end());
    if (source.substr(begin, token.end() - begin).contains("*/"))
      return refuse(name, line, "log has a comment in it", "take it out");
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
  // BIRD would take the rest of the line that includes this file, or the first of the next one, for the comment's end.
  if (token.ends_in_comment()) content.push_back('\n');
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
  (*child)->limit(kCheckBytes);
  const int64_t deadline = monotonic_ms() + kCheckMs;
  std::string said;
  for (;;) {
    auto more = (*child)->read(deadline);
    if (!more) return fail(Errc::exhausted, "bird.conf: BIRD did not read it in time");
    if (more->empty()) break;
    if (said.size() < 64 * 1024) said += *more;
  }
  auto code = (*child)->wait(deadline);
  if (!code) return fail(Errc::exhausted, "bird.conf: BIRD did not end in time");
  if (*code > 128) return fail(Errc::exhausted, fmt::format("bird.conf: BIRD ended by signal {}", *code - 128));
  if (*code == 0) return {};
  return fail(Errc::invalid, said.empty() ? "bird.conf: BIRD does not take it" : first_problem(said, scratch.path()),
              "correct the template");
}

Status BirdCheck::check(const std::map<std::string, Bytes>& files) {
  Sha256 hash;
  for (const auto& [name, content] : files) {
    if (!is_bird_file(name)) continue;
    hash.add(sha256(as_bytes(name)).view());  // of a fixed length, so that nothing can run into its neighbour
    hash.add(sha256(content).view());
  }
  const Digest key = hash.finish();
  {
    std::lock_guard lock(mutex_);
    if (taken_.contains(key)) return {};
  }
  MESH_TRY(check_bird_files(bird_, files));
  std::lock_guard lock(mutex_);
  if (taken_.size() >= kTakenMax) taken_.clear();
  taken_.insert(key);
  return {};
}

}  // namespace mesh
