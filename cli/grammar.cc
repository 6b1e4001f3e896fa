#include "cli/grammar.h"

#include <fmt/format.h>

#include <algorithm>

#include "eventstore/model/attribute_table.h"

namespace mesh::cli {

namespace {

/// "-1", "-2.5", "-2h", "-30m": numbers and instants, since no option is a digit.
bool is_below_zero(std::string_view word) {
  return word.size() > 1 && word[0] == '-' && word[1] >= '0' && word[1] <= '9';
}

/// Options and positional words, told apart without knowing the verb: an option's name has one
/// meaning, only the letter -f has two.
class Scanner {
 public:
  Scanner(const Grammar& grammar, std::span<const std::string> words, Invocation& out)
      : grammar_(grammar), words_(words), out_(out) {}

  Status run() {
    for (; at_ < words_.size(); ++at_) {
      const std::string& word = words_[at_];
      if (literal_ || word.size() < 2 || word[0] != '-' || is_below_zero(word)) {
        out_.positional.push_back(word);
        literal_ = literal_ || passes_on(word);
      } else if (word == "--") {
        literal_ = true;
      } else if (word == "-?") {
        out_.help = true;
      } else if (word[1] == '-') {
        MESH_TRY(long_option(std::string_view(word).substr(2)));
      } else {
        MESH_TRY(letters(std::string_view(word).substr(1)));
      }
    }
    return {};
  }

 private:
  Status long_option(std::string_view text) {
    const size_t equals = text.find('=');
    const std::string_view name = text.substr(0, equals);
    const Option* option = grammar_.find_option(name);
    if (!option) return unknown(name);
    if (equals != std::string_view::npos) {
      if (option->value.empty())
        return fail(Errc::usage, fmt::format("option --{} takes no value", name),
                    fmt::format("write --{} alone", name));
      return add(*option, std::string(text.substr(equals + 1)));
    }
    return option->takes_word() ? next_word(*option, "--" + std::string(name)) : add(*option, "");
  }

  Status letters(std::string_view text) {
    for (size_t i = 0; i < text.size(); ++i) {
      const Option* option = grammar_.find_letter(text[i], verb());
      if (!option)
        return fail(Errc::usage, fmt::format("unknown option -{}", text[i]), help_hint());
      if (!option->takes_word()) {
        MESH_TRY(add(*option, ""));
        continue;
      }
      std::string_view rest = text.substr(i + 1);
      if (rest.starts_with('=')) rest.remove_prefix(1);
      if (i + 1 < text.size()) return add(*option, std::string(rest));
      return next_word(*option, fmt::format("-{}", text[i]));
    }
    return {};
  }

  /// Whether `word` is the verb, and what stands behind it is meant for another program.
  bool passes_on(std::string_view word) const {
    if (out_.positional.size() != 1) return false;
    const auto rows = grammar_.rows(word);
    return !rows.empty() && !rows.front()->arguments.empty() && rows.front()->arguments.back().rest;
  }

  /// The verb, also when it stands behind the options.
  std::string_view verb() const {
    if (!out_.positional.empty()) return out_.positional[0];
    for (const std::string& word : words_.subspan(at_))
      if (!grammar_.rows(word).empty()) return word;
    return {};
  }

  Status next_word(const Option& option, const std::string& typed) {
    if (at_ + 1 >= words_.size())
      return fail(Errc::usage, fmt::format("option {} needs a value", typed),
                  fmt::format("{} {}", typed, option.value));
    std::string value = words_[++at_];
    if (value.find(' ') == std::string::npos)
      for (size_t more = form_of(option, value).size(); more > 1 && at_ + 1 < words_.size(); --more)
        value += " " + words_[++at_];
    return add(option, std::move(value));
  }

  Status check_form(const Option& option, const std::string& value) const {
    const auto words = split(value, ' ');
    const auto form = form_of(option, words.empty() ? "" : words[0]);
    if (!form.empty() && form.size() == words.size()) return {};
    const auto forms = split(option.forms, '|');
    return fail(Errc::usage, fmt::format("option --{} does not take \"{}\"", option.name, value),
                fmt::format("--{} {}", option.name, fmt::join(forms, fmt::format(", --{} ", option.name))));
  }

  Status add(const Option& option, std::string value) {
    if (option.name == "help") {
      out_.help = true;
      return {};
    }
    if (!option.choices.empty()) {
      const auto choices = split(option.choices, '|');
      if (std::ranges::find(choices, value) == choices.end())
        return fail(Errc::usage,
                    fmt::format("option --{} does not take \"{}\"", option.name, value),
                    fmt::format("one of {}", fmt::join(choices, ", ")));
    }
    if (!option.forms.empty()) MESH_TRY(check_form(option, value));
    out_.options[option.name].push_back(std::move(value));
    return {};
  }

  Status unknown(std::string_view name) const {
    std::vector<std::string_view> names;
    for (const Option& option : grammar_.options) names.push_back(option.name);
    const auto near = nearest(name, names);
    return fail(Errc::usage, fmt::format("unknown option --{}", name),
                near ? fmt::format("did you mean --{}?", *near) : help_hint());
  }

  static std::string help_hint() { return "see `meshcli help`"; }

  const Grammar& grammar_;
  std::span<const std::string> words_;
  Invocation& out_;
  size_t at_ = 0;
  bool literal_ = false;
};

std::unexpected<Error> unknown_verb(const Grammar& grammar, const std::string& word) {
  std::vector<std::string_view> names;
  for (const Verb& verb : grammar.verbs) names.push_back(verb.verb);
  for (const Synonym& synonym : grammar.verb_synonyms) names.push_back(synonym.word);
  const auto near = nearest(word, names);
  return fail(Errc::usage, fmt::format("unknown command \"{}\"", word),
              near ? fmt::format("did you mean \"{}\"?", *near) : "see `meshcli help`");
}

std::unexpected<Error> unknown_noun(const std::vector<const Verb*>& rows, const std::string* word) {
  std::vector<std::string_view> nouns;
  for (const Verb* row : rows)
    if (!row->noun.empty()) nouns.push_back(row->noun);
  const std::string all = fmt::format("{} {}", rows.front()->verb, fmt::join(nouns, "|"));
  if (!word) return fail(Errc::usage, fmt::format("{}: what?", rows.front()->verb), all);
  const auto near = nearest(*word, nouns);
  return fail(Errc::usage, fmt::format("\"{}\" cannot stand after {}", *word, rows.front()->verb),
              near ? fmt::format("did you mean \"{} {}\"?", rows.front()->verb, *near) : all);
}

/// The row for the words, and how many of them name it.
Result<std::pair<const Verb*, size_t>> choose(const Grammar& grammar,
                                              const std::vector<std::string>& words) {
  const auto rows = grammar.rows(words.front());
  if (rows.empty()) return unknown_verb(grammar, words.front());
  if (words.size() > 1) {
    const std::string_view noun = grammar.canonical_noun(words[1]);
    for (const Verb* row : rows)
      if (!row->noun.empty() && (row->noun == words[1] || row->noun == noun))
        return std::pair(row, size_t{2});
  }
  for (const Verb* row : rows) {
    const bool word_left = words.size() > 1 && row->arguments.empty() && rows.size() > 1;
    if (row->noun.empty() && !word_left) return std::pair(row, size_t{1});
  }
  return unknown_noun(rows, words.size() > 1 ? &words[1] : nullptr);
}

/// Whether a scope that begins with `word` has a name behind it.
bool takes_name(std::string_view word) { return word == "site" || word == "node"; }

/// How many words are left for optional arguments.
size_t spare_words(const Verb& verb, std::span<const std::string> words) {
  size_t needed = 0, given = words.size();
  if (!verb.arguments.empty() && verb.arguments[0].hint == Hint::scope && given > 1 && takes_name(words[0])) --given;
  for (const Argument& argument : verb.arguments) {
    if (argument.rest) continue;
    if (!argument.keyword.empty()) {
      if (std::ranges::find(words, argument.keyword) != words.end()) given -= std::min<size_t>(given, 2);
    } else if (!argument.optional) {
      ++needed;
    }
  }
  return given - std::min(given, needed);
}

Status bind_arguments(const Verb& verb, std::span<const std::string> words, Invocation& out) {
  const std::string usage = "usage: " + usage_line(verb);
  size_t next = 0, spare = spare_words(verb, words);
  for (size_t i = 0; i < words.size(); ++i) {
    const auto keyword = std::ranges::find_if(verb.arguments, [&](const Argument& argument) {
      return !argument.keyword.empty() && argument.keyword == words[i] &&
             !out.arguments.contains(argument.name);
    });
    if (keyword != verb.arguments.end()) {
      if (i + 1 == words.size())
        return fail(Errc::usage, fmt::format("\"{}\" needs a name after it", words[i]), usage);
      out.arguments[keyword->name] = words[++i];
      continue;
    }
    for (; next < verb.arguments.size(); ++next) {
      const Argument& argument = verb.arguments[next];
      if (!argument.keyword.empty()) continue;
      if (argument.rest) break;
      if (argument.optional && spare == 0) continue;
      spare -= argument.optional;
      break;
    }
    if (next == verb.arguments.size())
      return fail(Errc::usage, fmt::format("\"{}\" is one word too many", words[i]), usage);
    const Argument& argument = verb.arguments[next];
    if (argument.rest) {
      out.rest.assign(words.begin() + static_cast<ptrdiff_t>(i), words.end());
      break;
    }
    ++next;
    out.arguments[argument.name] = words[i];
    if (argument.hint != Hint::scope) continue;
    if (!takes_name(words[i])) {
      if (words[i] == "global" || words[i] == "all") continue;
      if (!argument.choices.empty() && words[i] == argument.choices) continue;
      return fail(Errc::usage, fmt::format("\"{}\" is neither global, site S nor node N", words[i]), usage);
    }
    if (++i == words.size()) return fail(Errc::usage, fmt::format("\"{}\" needs a name after it", words[i - 1]), usage);
    out.arguments[argument.name] += " " + words[i];
  }
  for (const Argument& argument : verb.arguments)
    if (!argument.optional && !out.arguments.contains(argument.name))
      return fail(Errc::usage, fmt::format("{} is missing", argument.name), usage);
  return {};
}

Status check_options(const Grammar& grammar, const Invocation& invocation) {
  const Verb& verb = *invocation.verb;
  for (const auto& [name, values] : invocation.options)
    if (!grammar.allows(verb, name)) {
      const std::string words =
          verb.noun.empty() ? std::string(verb.verb) : fmt::format("{} {}", verb.verb, verb.noun);
      if (name == "at" && grammar.allows(verb, "dry-run"))
        return fail(Errc::usage, fmt::format("--at reads the past, but `{}` changes what is", words),
                    "leave --at away; what was is read with list, show, show_all, plan and diff");
      return fail(Errc::usage, fmt::format("option --{} means nothing to `{}`", name, words),
                  fmt::format("see `meshcli help {}`", words));
    }
  return {};
}

}  // namespace

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const size_t end = text.find(separator);
    out.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return out;
}

std::vector<std::string> form_of(const Option& option, std::string_view first) {
  for (const std::string& form : split(option.forms, '|')) {
    auto words = split(form, ' ');
    const bool stands_for_itself = words[0][0] >= 'a' && words[0][0] <= 'z';
    if (!stands_for_itself || words[0] == first) return words;
  }
  return {};
}

std::optional<std::string> nearest(std::string_view word,
                                   std::span<const std::string_view> candidates) {
  // One slip in three letters, two in longer words: more would suggest words that nobody meant.
  const size_t limit = word.size() <= 3 ? 1 : 2;
  std::optional<std::string> best;
  size_t best_distance = limit + 1;
  for (const std::string_view candidate : candidates) {
    const size_t distance = edit_distance(word, candidate);
    if (distance < best_distance && distance < candidate.size()) {
      best_distance = distance;
      best = std::string(candidate);
    }
  }
  return best;
}

const Option* Grammar::find_option(std::string_view name) const {
  const auto found = std::ranges::find(options, name, &Option::name);
  return found == options.end() ? nullptr : &*found;
}

const Option* Grammar::find_letter(char letter, std::string_view verb) const {
  for (const Verb* row : rows(verb))
    for (const Option& option : options)
      if (option.letter == letter && allows(*row, option.name)) return &option;
  const auto found = std::ranges::find(options, letter, &Option::letter);
  return found == options.end() ? nullptr : &*found;
}

std::string_view Grammar::canonical_verb(std::string_view word) const {
  const auto found = std::ranges::find(verb_synonyms, word, &Synonym::word);
  return found == verb_synonyms.end() ? word : found->canonical;
}

std::string_view Grammar::canonical_noun(std::string_view word) const {
  const auto found = std::ranges::find(noun_synonyms, word, &Synonym::word);
  return found == noun_synonyms.end() ? word : found->canonical;
}

std::vector<const Verb*> Grammar::rows(std::string_view word) const {
  std::vector<const Verb*> out;
  const std::string_view wanted = canonical_verb(word);
  for (const Verb& verb : verbs)
    if (verb.verb == wanted) out.push_back(&verb);
  return out;
}

const Verb* Grammar::find(std::string_view verb, std::string_view noun) const {
  for (const Verb* row : rows(verb))
    if (row->noun == noun || (!noun.empty() && row->noun == canonical_noun(noun))) return row;
  return nullptr;
}

bool Grammar::allows(const Verb& verb, std::string_view option) const {
  return std::ranges::find(global_options, option) != global_options.end() ||
         std::ranges::find(verb.options, option) != verb.options.end();
}

std::string Invocation::option(std::string_view name) const {
  const auto found = options.find(name);
  return found == options.end() ? std::string() : found->second.back();
}

std::string Invocation::argument(std::string_view name) const {
  const auto found = arguments.find(name);
  return found == arguments.end() ? std::string() : found->second;
}

std::string usage_line(const Verb& verb) {
  std::string out(verb.verb);
  if (!verb.noun.empty()) out += fmt::format(" {}", verb.noun);
  for (const Argument& argument : verb.arguments) {
    std::string word(argument.name);
    if (!argument.keyword.empty()) word = fmt::format("{} {}", argument.keyword, word);
    out += argument.optional ? fmt::format(" [{}]", word) : " " + word;
  }
  return out;
}

Result<Invocation> parse(const Grammar& grammar, std::span<const std::string> words,
                         Invocation* partial) {
  Invocation local;
  Invocation& out = partial ? *partial : local;
  out = Invocation();
  MESH_TRY(Scanner(grammar, words, out).run());
  if (out.positional.empty()) {
    out.help = true;
    return out;
  }
  auto chosen = choose(grammar, out.positional);
  if (!chosen) {
    if (out.help) return out;
    return std::unexpected(std::move(chosen).error());
  }
  out.verb = chosen->first;
  if (out.help) return out;
  MESH_TRY(bind_arguments(*out.verb, std::span(out.positional).subspan(chosen->second), out));
  MESH_TRY(check_options(grammar, out));
  return out;
}

}  // namespace mesh::cli
