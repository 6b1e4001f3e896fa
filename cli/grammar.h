// The grammar of meshcli: VERB NOUN NAME..., options before or after. Data (verbs.h) and one
// parser; help, completion and the tests read the same data.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/model/result.h"

namespace mesh::cli {

class Session;
/// Runs a verb. The number is the exit code; an error is printed by the caller and mapped to one.
using Handler = Result<int> (*)(Session& session);

/// What may stand in a place, for completion.
/// scope: `global`, `site S` or `node N`, kept as one text: one word or two.
enum class Hint : uint8_t {
  none, word, file, site, node, attribute, value, topic, instant, tag, activation, scope
};

struct Option {
  std::string_view name;       // without the dashes
  char letter = 0;             // 0 = only the long form
  std::string_view value;      // "FORMAT"; empty = a flag; "=TIME": only behind =, else a flag
  std::string_view help;       // one line
  std::string_view choices{};  // "table|wide|json"; empty = free text
  Hint hint = Hint::none;
  // Of a value of several words the forms, "link A B|node N": small letters stand for themselves. Such a
  // value is given as several words or as one with blanks, and kept as one.
  std::string_view forms{};

  /// Whether the next word is its value when there is no =.
  bool takes_word() const { return !value.empty() && value.front() != '='; }
};

struct Argument {
  std::string_view name;  // "SITE", unique within the verb
  Hint hint = Hint::none;
  bool optional = false;
  std::string_view
      keyword{};  // when not empty, this word stands before the value: `diff A B node N`
  std::string_view choices{};  // words that complete; others are accepted too
  bool rest = false;           // the last one: all words behind it, as they are, options too
};

/// One row: `list nodes`, `commit site`. A verb is all rows with one `verb`. Words go to the arguments in order; with
/// fewer words than arguments, optional ones stay empty from the left: `extend [ID] DURATION` takes one as DURATION.
struct Verb {
  std::string_view verb;
  std::string_view noun;  // empty: the verb stands alone
  std::vector<Argument> arguments;
  std::vector<std::string_view>
      options;               // names in the option table; the global ones are not repeated
  std::string_view summary;  // one line
  std::string_view details;  // examples and what is not obvious; may be empty
  Handler handler = nullptr;
  bool offline = false;  // never talks to a controller
};

struct Synonym {
  std::string_view word, canonical;
};

struct Grammar {
  std::span<const Verb> verbs;
  std::span<const Option> options;
  std::span<const std::string_view> global_options;
  std::span<const Synonym> verb_synonyms;
  std::span<const Synonym> noun_synonyms;

  const Option* find_option(std::string_view name) const;
  /// A letter can mean one thing with one verb and another with others.
  const Option* find_letter(char letter, std::string_view verb = {}) const;
  /// Also through synonyms; the first row of the verb and all of them are one run in `verbs`.
  std::vector<const Verb*> rows(std::string_view verb) const;
  const Verb* find(std::string_view verb, std::string_view noun) const;
  std::string_view canonical_verb(std::string_view word) const;
  std::string_view canonical_noun(std::string_view word) const;
  /// Whether `option` may stand with `verb`.
  bool allows(const Verb& verb, std::string_view option) const;
};

/// A parsed command line.
struct Invocation {
  const Verb* verb = nullptr;
  std::map<std::string_view, std::string> arguments;             // by Argument::name
  std::map<std::string_view, std::vector<std::string>> options;  // by Option::name; a flag has ""
  std::vector<std::string> rest;                                 // of Argument::rest
  bool help = false;                                             // -h, -?, --help
  std::vector<std::string> positional;                           // all of them, as typed

  bool has(std::string_view option) const { return options.contains(option); }
  /// The last one wins; empty when it was not given.
  std::string option(std::string_view name) const;
  std::string argument(std::string_view name) const;
};

/// Errors: usage, with the nearest word as the fix. `positional`, `help` and the options read so
/// far are kept in `partial` when it is given, so that an error can be printed in the format that
/// was asked for.
Result<Invocation> parse(const Grammar& grammar, std::span<const std::string> words,
                         Invocation* partial = nullptr);

/// Of the forms of `option` the words of the one that begins with `first`; empty when none does.
std::vector<std::string> form_of(const Option& option, std::string_view first);
/// "list nodes [all|SITE]"
std::string usage_line(const Verb& verb);
/// The candidate nearest to `word`, when it is near enough to be a typing mistake.
std::optional<std::string> nearest(std::string_view word,
                                   std::span<const std::string_view> candidates);
/// `text` at every `separator`; nothing for an empty text.
std::vector<std::string> split(std::string_view text, char separator);

}  // namespace mesh::cli
