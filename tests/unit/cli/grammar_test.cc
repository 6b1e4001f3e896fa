// Claim: the one table of verbs parses every spelling that cli.md promises, refuses the rest with
// the nearest word, and gives help and completion for every verb. Method: the table itself is
// walked; spellings are parsed in pairs.
#include "cli/grammar.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "cli/verbs.h"
#include "tests/unit/cli/run_cli.h"

namespace mesh::cli::test {
namespace {

Result<Invocation> parse_line(const std::string& line) {
  const auto words = words_of(line);
  return parse(meshcli_grammar(), words);
}

Error error_of(const std::string& line) {
  const auto parsed = parse_line(line);
  EXPECT_FALSE(parsed.has_value()) << line;
  return parsed ? Error{} : parsed.error();
}

TEST(Grammar, EveryRowIsCompleteAndUnambiguous) {
  std::set<std::string> seen;
  for (const Verb& verb : meshcli_grammar().verbs) {
    const std::string words = std::string(verb.verb) + " " + std::string(verb.noun);
    EXPECT_TRUE(seen.insert(words).second) << words << " stands twice";
    EXPECT_FALSE(verb.summary.empty()) << words;
    EXPECT_NE(verb.handler, nullptr) << words;
    std::set<std::string_view> names;
    bool optional = false, required_after = false;
    for (const Argument& argument : verb.arguments) {
      EXPECT_TRUE(names.insert(argument.name).second)
          << words << " has " << argument.name << " twice";
      EXPECT_FALSE(argument.optional && required_after) << words << ": optional arguments on both sides";
      required_after = required_after || (optional && !argument.optional);
      optional = optional || argument.optional;
    }
    for (const std::string_view option : verb.options)
      EXPECT_NE(meshcli_grammar().find_option(option), nullptr) << words << " --" << option;
  }
}

TEST(Grammar, EveryOptionHasAMeaningAndAnOwner) {
  const Grammar& grammar = meshcli_grammar();
  for (const Verb& verb : grammar.verbs) {
    std::set<char> letters;
    for (const Option& option : grammar.options)
      EXPECT_TRUE(!option.letter || !grammar.allows(verb, option.name) ||
                  letters.insert(option.letter).second)
          << verb.verb << " -" << option.letter;
  }
  for (const Option& option : grammar.options) {
    EXPECT_FALSE(option.help.empty()) << option.name;
    EXPECT_TRUE(std::ranges::any_of(
        grammar.verbs, [&](const Verb& verb) { return grammar.allows(verb, option.name); }))
        << "--" << option.name << " is taken by no verb";
  }
}

TEST(Grammar, EveryVerbHasHelpThatNamesItsOptions) {
  const Grammar& grammar = meshcli_grammar();
  const std::string all = overview(grammar, "meshcli");
  for (const Verb& verb : grammar.verbs) {
    EXPECT_NE(all.find(usage_line(verb)), std::string::npos) << usage_line(verb);
    const auto help =
        topic_help(grammar, "meshcli", std::string(verb.verb), std::string(verb.noun));
    ASSERT_TRUE(help.has_value()) << usage_line(verb);
    EXPECT_NE(help->find(verb.summary), std::string::npos) << usage_line(verb);
    for (const std::string_view option : verb.options)
      EXPECT_NE(help->find("--" + std::string(option)), std::string::npos)
          << usage_line(verb) << " --" << option;
  }
  for (const std::string_view topic : help_topics())
    EXPECT_FALSE(topic_help(grammar, "meshcli", std::string(topic), "")->empty());
  EXPECT_EQ(topic_help(grammar, "meshcli", "comit", "").error().fix, "did you mean \"commit\"?");
}

bool offers(const std::vector<std::string>& words, std::string_view wanted) {
  Hint hint{};
  const auto candidates = complete(meshcli_grammar(), words, hint);
  return std::ranges::find(candidates, wanted) != candidates.end();
}

TEST(Grammar, EveryWordOfEveryVerbCompletes) {
  const Grammar& grammar = meshcli_grammar();
  for (const Verb& verb : grammar.verbs) {
    const std::string word(verb.verb), noun(verb.noun);
    EXPECT_TRUE(offers({word.substr(0, 1)}, word)) << word;
    EXPECT_TRUE(noun.empty() || offers({word, noun.substr(0, 1)}, noun)) << word << " " << noun;
    std::vector<std::string> words{word};
    if (!noun.empty()) words.push_back(noun);
    words.push_back("--");
    for (const std::string_view option : verb.options)
      EXPECT_TRUE(offers(words, "--" + std::string(option))) << word << " " << option;
    EXPECT_TRUE(offers(words, "--output")) << word;
  }
  EXPECT_TRUE(offers({"set", "global", "wg_k"}, "wg_keepalive"));
  EXPECT_TRUE(offers({"list", "nodes", "-o", "j"}, "jsonl"));
  EXPECT_TRUE(offers({"-m", "why", "comm"}, "commit"))
      << "an option's value is not taken for a verb";
  EXPECT_TRUE(offers({"status", ""}, "node"));
  Hint hint{};
  complete(grammar, {"show", "node", ""}, hint);
  EXPECT_EQ(hint, Hint::node);
  complete(grammar, {"diff", "active", "working", "node", "r"}, hint);
  EXPECT_EQ(hint, Hint::node);
  for (const std::string_view shell : {"bash", "zsh", "fish"})
    EXPECT_NE(completion_script(shell, "meshcli").find("meshcli __complete"), std::string::npos)
        << shell;
}

TEST(Grammar, TheFourSpellingsOfAnOptionAreOne) {
  for (const char* line : {"list nodes -o json", "list nodes -ojson", "list nodes --output json",
                           "list nodes --output=json", "-o json list nodes", "list -ojson nodes",
                           "list nodes -o=json", "list nodes -qojson"}) {
    const auto parsed = parse_line(line);
    ASSERT_TRUE(parsed.has_value()) << line;
    EXPECT_EQ(parsed->option("output"), "json") << line;
    EXPECT_EQ(parsed->verb->verb, "list") << line;
  }
}

TEST(Grammar, SynonymsOfTowalinkMeanTheSame) {
  const std::pair<const char*, const char*> same[] = {
      {"create site a", "add site a"},          {"delete node a.b", "del node a.b"},
      {"remove site a", "del site a"},          {"query node a.b", "show node a.b"},
      {"show-all node 11", "show_all node 11"}, {"list site", "list sites"},
      {"add nodes a.b", "add node a.b"},        {"list node all", "list nodes all"}};
  for (const auto& [left, right] : same) {
    const auto a = parse_line(left), b = parse_line(right);
    ASSERT_TRUE(a && b) << left;
    EXPECT_EQ(a->verb, b->verb) << left;
    EXPECT_EQ(a->arguments, b->arguments) << left;
  }
}

TEST(Grammar, ArgumentsAndKeywords) {
  EXPECT_EQ(parse_line("diff v1 node r1.ams v2")->arguments,
            (std::map<std::string_view, std::string>{{"A", "v1"}, {"B", "v2"}, {"N", "r1.ams"}}));
  EXPECT_EQ(parse_line("set node r1.ams x -- -o")->argument("VALUE"), "-o")
      << "-- ends the options";
  EXPECT_EQ(parse_line("set node r1.ams x -5")->argument("VALUE"), "-5") << "a number is no option";
  EXPECT_EQ(parse_line("activate node r1.ams v3")->argument("VERSION"), "v3");
  EXPECT_EQ(parse_line("log --since -2h")->option("since"), "-2h")
      << "a value may begin with a dash";
  EXPECT_EQ(parse_line("extend 5m")->argument("DURATION"), "5m");
  EXPECT_EQ(parse_line("extend 7 5m")->argument("ID"), "7");
  EXPECT_EQ(parse_line("extend 7 5m")->argument("DURATION"), "5m");
  EXPECT_TRUE(parse_line("activate all --confirmed v3")->has("confirmed")) << "only = gives it a value";
  EXPECT_EQ(parse_line("activate all --confirmed v3")->argument("VERSION"), "v3");
  EXPECT_EQ(parse_line("activate all --confirmed=5m")->option("confirmed"), "5m");
  EXPECT_TRUE(parse_line("commit all --help")->help);
  EXPECT_TRUE(parse_line("-?")->help);
  EXPECT_TRUE(parse_line("")->help);
}

TEST(Grammar, AValueOfSeveralWordsIsOne) {
  const auto failures = [](const std::string& line) {
    const auto parsed = parse_line(line);
    EXPECT_TRUE(parsed) << line;
    return parsed ? parsed->options.at("fail") : std::vector<std::string>();
  };
  EXPECT_EQ(failures("simulate --fail link r1.a r1.b --fail node r1.c -q"),
            (std::vector<std::string>{"link r1.a r1.b", "node r1.c"}));
  EXPECT_EQ(failures("--fail site lab simulate"), std::vector<std::string>{"site lab"});
  EXPECT_EQ(failures("simulate --fail 'link r1.a r1.b'"), std::vector<std::string>{"link r1.a r1.b"});
  EXPECT_EQ(failures("simulate '--fail=link r1.a r1.b'"), std::vector<std::string>{"link r1.a r1.b"});
  EXPECT_EQ(parse_line("simulate --reach r1.a 10.2.0.0/24 --working")->option("reach"), "r1.a 10.2.0.0/24");
  const std::string fix = "--fail link A B, --fail node N, --fail site S";
  for (const char* line : {"simulate --fail link r1.a", "simulate --fail r1.a r1.b", "simulate --fail=node"}) {
    EXPECT_EQ(error_of(line).code, Errc::usage) << line;
    EXPECT_EQ(error_of(line).fix, fix) << line;
  }
  EXPECT_EQ(error_of("simulate --fail node r1.a r1.b").message, "\"r1.b\" is one word too many");
  EXPECT_TRUE(offers({"simulate", "--fail", ""}, "link"));
  EXPECT_TRUE(offers({"simulate", "--fail", "link", "a", "b", "--n"}, "--n-1"));
  EXPECT_FALSE(offers({"simulate", "--fail", "link", "a", ""}, "--n-1"));
}

TEST(Grammar, MistakesNameTheNearestWord) {
  const std::pair<const char*, const char*> fixes[] = {
      {"comit all", "did you mean \"commit\"?"},
      {"list nods", "did you mean \"list nodes\"?"},
      {"list nodes --outptu json", "did you mean --output?"},
      {"list nodes -o jsno", "one of table, wide, json, yaml, jsonl, name"},
      {"list", "list sites|nodes|changed|changes|links|versions|tokens|operators|tags|files|activations"},
      {"plan everything", "plan all|site|node"},
      {"commit all -m", "-m TEXT"},
      {"add site", "usage: add site SITE"},
      {"add site a b", "usage: add site SITE"},
      {"diff v1 v2 node", "usage: diff [A] [B] [node N]"},
      {"extend", "usage: extend [ID] DURATION"},
      {"extend 1 2 3", "usage: extend [ID] DURATION"},
      {"list nodes --force", "see `meshcli help list nodes`"}};
  for (const auto& [line, fix] : fixes) {
    const Error error = error_of(line);
    EXPECT_EQ(error.code, Errc::usage) << line;
    EXPECT_EQ(error.fix, fix) << line;
  }
  EXPECT_EQ(error_of("list nodes --quiet=yes").message, "option --quiet takes no value");
}

}  // namespace
}  // namespace mesh::cli::test
