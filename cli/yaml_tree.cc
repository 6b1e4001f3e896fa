#include "cli/yaml_tree.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <set>
#include <sstream>

namespace mesh::cli {

namespace {

/// Leaves the parser, which knows no other way; caught in parse_yaml.
struct Refused {
  Error error;
};

class Builder final : public YAML::EventHandler {
 public:
  explicit Builder(std::string_view name) : name_(name) {}

  YamlValue root;

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    take(value(mark, YamlValue::Kind::null, "", anchor));
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { refuse_alias(mark); }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    YamlValue scalar = value(mark, YamlValue::Kind::scalar, tag, anchor);
    scalar.text = text;
    scalar.quoted = tag == "!";
    take(std::move(scalar));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(value(mark, YamlValue::Kind::list, tag, anchor));
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(value(mark, YamlValue::Kind::map, tag, anchor));
  }
  void OnMapEnd() override { close(); }

 private:
  struct Open {
    YamlValue value;
    std::set<std::string> keys;
    YamlMember member;  // of a map: what stands before the colon
    bool has_key = false;
  };

  [[noreturn]] void refuse(int line, Errc code, const std::string& what, std::string fix) const {
    throw Refused{{code, fmt::format("{}:{}: {}", name_, line, what), std::move(fix)}};
  }
  [[noreturn]] void refuse_alias(const YAML::Mark& mark) const {
    refuse(mark.line + 1, Errc::invalid, "an anchor or alias (& or *) is not read here",
           "write the value out, or put quotes around the text");
  }

  YamlValue value(const YAML::Mark& mark, YamlValue::Kind kind, const std::string& tag,
                  YAML::anchor_t anchor) {
    const int line = mark.line + 1;
    if (anchor != 0) refuse_alias(mark);
    if (!tag.empty() && tag != "?" && tag != "!")
      refuse(line, Errc::invalid, "a tag (!) is not read here", "leave it out");
    if (++values_ > kDocumentValuesMax)
      refuse(line, Errc::exhausted, fmt::format("more than {} values", kDocumentValuesMax),
             "apply it in parts, a site each");
    YamlValue out;
    out.kind = kind;
    out.line = line;
    return out;
  }

  void open(YamlValue value) {
    if (open_.size() == kDocumentDepthMax)
      refuse(value.line, Errc::exhausted, fmt::format("more than {} levels", kDocumentDepthMax), "");
    if (!open_.empty() && open_.back().value.kind == YamlValue::Kind::map && !open_.back().has_key)
      refuse(value.line, Errc::invalid, "a key is a name, not a list or a map", "");
    open_.push_back({std::move(value), {}, {}, false});
  }

  void close() {
    YamlValue done = std::move(open_.back().value);
    open_.pop_back();
    take(std::move(done));
  }

  void take(YamlValue value) {
    if (open_.empty()) {
      root = std::move(value);
      return;
    }
    Open& top = open_.back();
    if (top.value.kind == YamlValue::Kind::list) {
      top.value.items.push_back(std::move(value));
    } else if (!top.has_key) {
      if (value.kind != YamlValue::Kind::scalar)
        refuse(value.line, Errc::invalid, "a key is missing before the colon", "");
      if (!top.keys.insert(value.text).second)
        refuse(value.line, Errc::invalid, fmt::format("\"{}\" stands here twice", value.text),
               "remove one of them");
      top.member = {std::move(value.text), value.line, {}};
      top.has_key = true;
    } else {
      top.member.value = std::move(value);
      top.value.members.push_back(std::move(top.member));
      top.has_key = false;
    }
  }

  std::string name_;
  std::vector<Open> open_;
  size_t values_ = 0;
};

}  // namespace

Result<YamlValue> parse_yaml(std::string_view name, std::string_view text) {
  if (text.size() > kDocumentBytesMax)
    return fail(Errc::exhausted,
                fmt::format("{}: {} bytes, at most {} are read", name, text.size(), kDocumentBytesMax),
                "apply it in parts, a site each");
  if (text.find('\0') != std::string_view::npos)
    return fail(Errc::invalid, fmt::format("{}: it is no text", name));
  std::istringstream in{std::string(text)};
  try {
    YAML::Parser parser(in);
    Builder builder(name);
    parser.HandleNextDocument(builder);
    Builder second(name);
    if (parser.HandleNextDocument(second))
      return fail(Errc::invalid,
                  fmt::format("{}:{}: a second document begins", name, second.root.line),
                  "one file holds one document: take several files in a directory");
    return std::move(builder.root);
  } catch (Refused& refused) {
    return std::unexpected(std::move(refused.error));
  } catch (const YAML::Exception& error) {
    return fail(Errc::invalid,
                fmt::format("{}:{}: this is no YAML: {}", name, error.mark.line + 1, error.msg));
  }
}

}  // namespace mesh::cli
