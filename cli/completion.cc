// Completion: the shells ask this program, so that one table serves all three.
#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "cli/completer.h"
#include "cli/handlers.h"
#include "cli/verbs.h"
#include "eventstore/model/attribute_table.h"

namespace mesh::cli {

namespace {

constexpr std::string_view kBash = R"sh(# {0} completion for bash: source <({0} completion bash)
_{0}() {{
  local IFS=$'\n'
  local candidates="$({0} __complete "${{COMP_WORDS[@]:1:COMP_CWORD}}" 2>/dev/null)"
  COMPREPLY=($(compgen -W "$candidates" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _{0} {0}
)sh";

constexpr std::string_view kZsh = R"sh(#compdef {0}
# {0} completion for zsh: source <({0} completion zsh)
_{0}() {{
  local -a candidates
  candidates=("${{(@f)$({0} __complete "${{(@)words[2,CURRENT]}}" 2>/dev/null)}}")
  if (( ${{#candidates}} )) && [[ -n "$candidates[1]" ]]; then compadd -- $candidates; else _files; fi
}}
compdef _{0} {0}
)sh";

constexpr std::string_view kFish = R"sh(# {0} completion for fish: {0} completion fish | source
function __{0}_complete
  set -l words (commandline -opc) (commandline -ct)
  {0} __complete $words[2..-1] 2>/dev/null
end
complete -c {0} -f -a '(__{0}_complete)'
)sh";

/// The words of a command line, without the last, sorted into options and the rest.
struct Typed {
  std::vector<std::string> positional;
  const Option* open = nullptr;  // an option whose value comes next
  std::vector<std::string> value;  // the words of it that were typed
};

Typed read_typed(const Grammar& grammar, std::span<const std::string> words) {
  Typed out;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (!word.starts_with('-') || word.size() < 2) {
      out.positional.push_back(word);
      continue;
    }
    const Option* option = word.starts_with("--")
                               ? grammar.find_option(std::string_view(word).substr(2))
                           : word.size() == 2 ? grammar.find_letter(word[1], words.front())
                                              : nullptr;
    if (!option || !option->takes_word()) continue;
    size_t wanted = 1;
    out.value.clear();
    for (; out.value.size() < wanted && i + 1 < words.size(); ++i) {
      out.value.push_back(words[i + 1]);
      if (out.value.size() == 1) wanted = std::max<size_t>(1, form_of(*option, out.value[0]).size());
    }
    if (out.value.size() < wanted) out.open = option;
  }
  return out;
}

void add_choices(std::string_view choices, std::vector<std::string>& out) {
  for (std::string& choice : split(choices, '|')) out.push_back(std::move(choice));
}

/// Candidates for the next word of an option's value.
void add_value(const Option& option, std::span<const std::string> given,
               std::vector<std::string>& out, Hint& hint) {
  add_choices(option.choices, out);
  hint = option.hint;
  if (option.forms.empty()) return;
  if (given.empty()) {
    for (const std::string& form : split(option.forms, '|'))
      if (form[0] >= 'a' && form[0] <= 'z') out.push_back(split(form, ' ')[0]);
  } else if (given[0] == "site") {
    hint = Hint::site;
  } else {
    hint = Hint::node;
  }
}

/// Candidates for the argument that stands at `index` behind the words of `verb`.
void add_argument(const Verb& verb, std::span<const std::string> given,
                  std::vector<std::string>& out, Hint& hint) {
  size_t place = 0;
  for (size_t i = 0; i < given.size(); ++i) {
    const auto keyword = std::ranges::find_if(verb.arguments, [&](const Argument& argument) {
      return !argument.keyword.empty() && argument.keyword == given[i];
    });
    const bool scope = i == 0 && !verb.arguments.empty() && verb.arguments[0].hint == Hint::scope;
    if (scope && (given[0] == "site" || given[0] == "node")) {
      ++place;
      if (++i == given.size()) {
        hint = given[0] == "site" ? Hint::site : Hint::node;
        return;
      }
    } else if (keyword == verb.arguments.end()) {
      ++place;
    } else if (++i == given.size()) {
      hint = keyword->hint;  // the keyword was typed, its value is next
      return;
    }
  }
  for (const Argument& argument : verb.arguments) {
    if (!argument.keyword.empty()) {
      out.emplace_back(argument.keyword);
    } else if (place-- == 0) {
      add_choices(argument.choices, out);
      if (argument.hint == Hint::scope) add_choices("global|site|node", out);
      hint = argument.hint;
    }
  }
}

void add_options(const Grammar& grammar, const Verb* verb, std::vector<std::string>& out) {
  for (const Option& option : grammar.options)
    if (verb ? grammar.allows(*verb, option.name)
             : std::ranges::find(grammar.global_options, option.name) !=
                   grammar.global_options.end())
      out.push_back(fmt::format("--{}", option.name));
}

/// Where the names come from that may stand in a place.
struct KnownNames {
  Hint hint;
  std::string_view query, key;
  std::map<std::string, std::string> arguments = {};
};
const KnownNames kKnownNames[] = {{Hint::site, "sites", "name"},
                                      {Hint::node, "nodes", "fullname"},
                                      {Hint::tag, "tags", "name"},
                                      {Hint::instant, "tags", "name"},
                                  {Hint::activation, "activations", "id", {{"limit", "0"}}}};

/// Names that only the controller knows. Silence is better than a late answer.
std::vector<std::string> ask_names(Environment& environment, Hint hint) {
  std::vector<std::string> out;
  const auto names = std::ranges::find(kKnownNames, hint, &KnownNames::hint);
  if (names == std::end(kKnownNames)) return out;
  auto path = find_context({}, environment.variable);
  if (!path) return out;
  auto context = load_context(*path);
  if (!context) return out;
  auto transport = environment.connect(*context, [](const std::string&) {});
  if (!transport) return out;
  constexpr int kPatienceMs = 1000;
  auto body = (*transport)->call(Query{std::string(names->query), names->arguments, Sequence()}, kPatienceMs);
  const auto* result = body ? std::get_if<QueryResult>(&*body) : nullptr;
  if (!result) return out;
  const Json document = Json::parse(result->json, nullptr, false);
  for (const Json& item : value_at(document, "items"))
    out.push_back(cell_text(value_at(item, names->key), Cell::text, true));
  return out;
}

}  // namespace

std::string completion_script(std::string_view shell, std::string_view program) {
  if (shell == "zsh") return fmt::format(kZsh, program);
  if (shell == "fish") return fmt::format(kFish, program);
  return fmt::format(kBash, program);
}

std::vector<std::string> complete(const Grammar& grammar, const std::vector<std::string>& words,
                                  Hint& hint) {
  hint = Hint::none;
  std::vector<std::string> out;
  const std::string last = words.empty() ? std::string() : words.back();
  const Typed typed =
      read_typed(grammar, std::span(words).first(words.empty() ? 0 : words.size() - 1));
  const auto rows =
      typed.positional.empty() ? std::vector<const Verb*>() : grammar.rows(typed.positional[0]);
  const Verb* verb = rows.empty() ? nullptr
                     : typed.positional.size() > 1
                         ? grammar.find(typed.positional[0], typed.positional[1])
                         : nullptr;
  const bool by_noun = verb && !verb->noun.empty();
  if (!by_noun) verb = rows.empty() ? nullptr : grammar.find(typed.positional[0], "");
  if (typed.open) {
    add_value(*typed.open, typed.value, out, hint);
  } else if (last.starts_with('-')) {
    // Before the noun is known, what any row of the verb takes.
    for (const Verb* row : verb ? std::vector<const Verb*>{verb} : rows)
      add_options(grammar, row, out);
    if (rows.empty()) add_options(grammar, nullptr, out);
  } else if (typed.positional.empty()) {
    for (const Verb& row : grammar.verbs) out.emplace_back(row.verb);
  } else {
    if (typed.positional.size() == 1)
      for (const Verb* row : rows)
        if (!row->noun.empty()) out.emplace_back(row->noun);
    if (verb) add_argument(*verb, std::span(typed.positional).subspan(by_noun ? 2 : 1), out, hint);
  }
  if (hint == Hint::attribute)
    for (const AttributeSpec& spec : attribute_table()) out.emplace_back(spec.name);
  if (hint == Hint::topic) {
    for (const std::string_view topic : help_topics()) out.emplace_back(topic);
    for (const Verb& row : grammar.verbs) out.emplace_back(row.verb);
  }
  std::erase_if(out, [&](const std::string& candidate) { return !candidate.starts_with(last); });
  std::ranges::sort(out);
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

int print_candidates(Environment& environment, const Grammar& grammar,
                     std::span<const std::string> words) {
  Hint hint = Hint::none;
  const std::vector<std::string> all(words.begin(), words.end());
  for (const std::string& candidate : complete(grammar, all, hint))
    *environment.out << candidate << "\n";
  const std::string last = all.empty() ? std::string() : all.back();
  for (const std::string& name : ask_names(environment, hint))
    if (name.starts_with(last)) *environment.out << name << "\n";
  return 0;
}

Result<int> print_completion(Session& session) {
  const std::string shell = session.argument("SHELL");
  if (shell != "bash" && shell != "zsh" && shell != "fish")
    return fail(Errc::usage, fmt::format("no completion for \"{}\"", shell), "bash, zsh or fish");
  session.print(completion_script(shell, session.environment().program));
  return int{kSuccess};
}

}  // namespace mesh::cli
