// Help: made from the table, so that it cannot forget a verb.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/handlers.h"
#include "cli/verbs.h"
#include "eventstore/model/attribute_table.h"

namespace mesh::cli {

namespace {

struct Topic {
  std::string_view name, summary, text;
};

constexpr std::string_view kConfirmedText =
    "  activate all --confirmed=5m      every node goes back after 5m unless `confirm` comes first\n"
    "  commit all --activate --confirmed=5m\n"
    "  confirm                          keep it; refused while a node has not applied it\n"
    "  confirm --partial                keep it where it was applied; the others go back\n"
    "  cancel                           go back at once\n"
    "  extend 15m                       15 minutes more, from now\n"
    "  activate all --health controller,bgp,reach:lab --for 30s\n"
    "                                   confirmed by itself when every node has seen all of that hold for 30s;\n"
    "                                   all go back at once when a node has not, or lost it\n"
    "  status --watch, list activations what waits, and for how long; -o wide says more\n"
    "Each node counts down by itself: it goes back also when it cannot reach the controller, when the controller is\n"
    "down, and when the machine is rebooted. A confirmation has to come 10 seconds before, so that all nodes hear\n"
    "of it. Until it is confirmed, `active` stays what it was, and no other activation may touch the same nodes or\n"
    "their neighbours (exit 6).\n"
    "Of several that wait one is named: `confirm 7`. A node that went back before it heard of a confirmation is\n"
    "`diverged` in `list nodes`, until the next activation.\n"
    "`set global activation_confirm 600` makes it the default; activation_health and activation_health_for are its\n"
    "gates; --unconfirmed goes without. Exit 11: it was rolled back.\n";

constexpr std::string_view kTowalinkText =
    "A symbolic link with the name tlm makes this program take tlm's place:\n"
    "  tlm [-l LEVEL] [-m TEXT] OPERATION ENTITY ...\n"
    "  list sites | nodes all|SITE | changed          show (query) global | site S | node N\n"
    "  add (create), del (delete, remove) site S | node N.S\n"
    "  show_all (show-all) site S | node N            set global A V | site S A V | node N A V\n"
    "  commit all | site S | node N                   activate all | site S [V] | node N [V]\n"
    "A node is 15 or primary.mysite1, a version v5, 5, latest or current (which is the latest), a value `empty`\n"
    "(removes it), digits (a number), '[ \"a\", \"b\" ]' in JSON or Python (a list), or text. Options stand\n"
    "anywhere.\n"
    "What differs:\n"
    "  exit codes  2 for usage errors and 1 for all others as in Towalink, but also where that ended with 0:\n"
    "              an unknown site or node. As meshcli: see `help exit-codes`\n"
    "  values      as tlm, true, false, {...} and \"...\" are text as in Towalink; as meshcli they are booleans,\n"
    "              several attributes, and text whatever it looks like. Lists hold no lists and no fractions\n"
    "  numbers     of removed nodes are never used again\n"
    "  names       small letters, digits and -\n"
    "  del         of an enrolled node, or of a site with nodes, needs --force\n"
    "  commit      refuses as a whole what cannot work; other operators' changes need --include-others\n"
    "  activate    waits until the routers have reported (--no-wait); all takes a version, too\n"
    "  wg_keepalive is the keepalive of every link; Towalink's own templates did not read it\n"
    "`help import` brings an existing network here.\n";

constexpr std::string_view kRecoveryText =
    "When a controller and its keys are lost, and there is no backup, its routers route on; a new controller can\n"
    "adopt them. An administrator prepares it at enrolment: a secret that is kept apart from every controller.\n"
    "  attach node r1.ams --recovery-out fleet.recovery      the first; the file is never overwritten\n"
    "  token create --node r2.ams --recovery fleet.recovery  the same secret for another node\n"
    "  node recovery r3.ams --recovery fleet.recovery        for one that is enrolled; also writes down its key\n"
    "The log gets two public keys of it. Keep `export all` and `show_all global` beside it. The drill:\n"
    "  1. a new controller: `meshd init`, then `apply -f` with the export: the same nodes with the same numbers, none\n"
    "     is enrolled. Set loopbacknet_ipv4, loopbacknet_ipv6 and management_net_ipv6 as they were: where nobody\n"
    "     set them they follow from the log's id\n"
    "  2. with the secret: `recover --recovery fleet.recovery --listen tcp://OLD-ADDRESS:7400`, at the address where\n"
    "     the routers look for the old controller; they call after an hour without it\n"
    "     without it, as root on each router: `meshnode adopt --data /var/lib/meshnode --token-file TOKEN`, with a\n"
    "     token of the new controller; meshnode may run meanwhile\n"
    "  3. when all are adopted: `commit all`, `activate all`. Until then each router runs what it ran\n"
    "A router takes only an answer that is signed with the secret, for itself and for its newest call. Nobody who\n"
    "only has the old log can be adopted in its name: a caller is known by the fingerprint of its key, which is in\n"
    "the file or compared by you (--fingerprint; `meshnode status` shows it). Without a secret nobody is called.\n"
    "Whoever has the secret can take over routers that cannot reach their controller. `node recovery NODE --none`\n"
    "makes it worthless for a node, --recovery-out replaces it. Only administrators may give or take it.\n";

constexpr Topic kTopics[] = {
    {"output", "formats, colours, what goes where",
     "Data goes to standard output; progress, hints and warnings go to standard error and vanish "
     "with -q.\n"
     "  -o table|wide   for people\n"
     "  -o json|yaml    one document; lists are {\"kind\", \"sequence\", \"items\"}; keys are "
     "never removed\n"
     "  -o jsonl        one item a line\n"
     "  -o name         names only\n"
     "--output json, --output=json, -o json and -ojson are the same. An empty list is [] and exit "
     "0.\n"
     "With -o json an error is {\"error\": {\"code\", \"exit\", \"message\", \"fix\"}} on standard "
     "error.\n"
     "Times are RFC 3339 in UTC. Colour: --color auto|always|never; NO_COLOR.\n"},
    {"exit-codes", "what the exit code says",
     "   0  success, also nothing to do\n"
     "   1  failed\n"
     "   2  only with --detailed-exitcode: there are changes\n"
     "   3  only with --error-unchanged: nothing changed\n"
     "   4  not authenticated or not permitted\n"
     "   5  not found\n"
     "   6  conflict\n"
     "   7  refused by validation; nothing was written\n"
     "   8  controller unreachable\n"
     "   9  timed out waiting; it continues\n"
     "  10  partly failed; the state is named\n"
     "  11  was rolled back\n"
     "  12  integrity failure\n"
     "  64  usage error\n"
     " 130  interrupted\n"
     "A program named tlm exits with 2 on usage errors and with 1 on all others.\n"},
    {"contexts", "where the controller is and who you are",
     "--context FILE, MESHCLI_CONTEXT, ~/.config/meshlog/context.toml, /etc/meshlog/context.toml: "
     "the first one.\n"
     "The file holds endpoints, the controller's and the log's keys, and your identity; its mode "
     "must be 600.\n"
     "`meshd init` writes the first as admin.context. A new operator:\n"
     "  bob$    meshcli operator keygen bob --out bob.toml\n"
     "  admin$  meshcli operator add bob --key bob.toml.pub --role operator\n"
     "  admin$  meshcli controller connection > connection\n"
     "  bob$    cat connection >> bob.toml\n"},
    {"changes", "from set to the routers",
     "  set, add, del, rename   change the working state; no router notices\n"
     "  plan                    shows what a commit would change, and how disruptive it is\n"
     "  commit                  pins the configuration of each changed node as its next version\n"
     "  activate                brings versions to the routers; any earlier one, too; see `help confirmed`\n"
     "  discard                 drops what was not committed\n"
     "  rollback, undo          bring back what was, by a new entry; plan and commit follow\n"
     "  export, apply           the whole intent as a file, and back\n"
     "Operators, tokens, approvals and revocations act at once.\n"
     "Every change takes --dry-run, -m TEXT, --ref TICKET and --expect-sequence N.\n"},
    {"confirmed", "changes that undo themselves", kConfirmedText},
    {"recovery", "when the controller and its keys are lost", kRecoveryText},
    {"instants", "how to name an instant of history",
     "  1234, #1234                  after that entry of the log\n"
     "  -2h, -30m, -1d12h            so long ago\n"
     "  2026-01-02, \"2026-01-02 03:04\", 2026-01-02T03:04:05Z\n"
     "                               the newest entry then; without a zone it is local time\n"
     "  -3                           three entries before the newest\n"
     "  before-move                  a tag: see `add tag` and `list tags`\n"
     "  v3                           the commit of that version, where a node is named\n"
     "--at takes them with every command that reads: the attributes, links, versions, plans and\n"
     "configurations of then. What nodes report of themselves is not kept and stays empty.\n"
     "diff compares any two of them; replay takes them as --until; rollback goes\n"
     "back to one.\n"},
    {"towalink", "tlm's commands here, and what differs", kTowalinkText},
    {"attributes", "every known attribute", ""},
};

std::string option_line(const Option& option) {
  std::string names = option.letter ? fmt::format("-{}, --{}", option.letter, option.name)
                                    : fmt::format("    --{}", option.name);
  if (option.takes_word()) names += fmt::format(" {}", option.value);
  else if (!option.value.empty()) names += fmt::format("[{}]", option.value);
  std::string help(option.help);
  if (!option.choices.empty()) help += fmt::format(" ({})", option.choices);
  return fmt::format("  {:<27} {}\n", names, help);
}

void add_options(const Grammar& grammar, std::span<const std::string_view> names,
                 std::string& out) {
  for (const std::string_view name : names)
    if (const Option* option = grammar.find_option(name)) out += option_line(*option);
}

std::string synonyms_of(const Grammar& grammar, std::string_view verb) {
  std::string out;
  for (const Synonym& synonym : grammar.verb_synonyms)
    if (synonym.canonical == verb)
      out += fmt::format("{}{}", out.empty() ? "" : ", ", synonym.word);
  return out;
}

std::string attribute_topic() {
  static constexpr std::string_view kTypes[] = {"integer", "list",      "gates",  "prefix", "prefixes",
                                                "host",    "host:port", "one of", "text",   "keys"};
  std::string out;
  for (const AttributeSpec& spec : attribute_table()) {
    out += fmt::format("{:<28} {}", spec.name, kTypes[static_cast<size_t>(spec.type)]);
    if (spec.type == AttributeType::integer) out += fmt::format(" {}..{}", spec.min, spec.max);
    if (!spec.choices.empty()) out += fmt::format(" {}", spec.choices);
    if (!spec.default_text.empty()) out += fmt::format(", default {}", spec.default_text);
    out += fmt::format("\n    {}\n", spec.doc);
  }
  return out;
}

const Topic* find_topic(std::string_view name) {
  const auto found = std::ranges::find(kTopics, name, &Topic::name);
  return found == std::end(kTopics) ? nullptr : &*found;
}

}  // namespace

std::vector<std::string_view> help_topics() {
  std::vector<std::string_view> out;
  for (const Topic& topic : kTopics) out.push_back(topic.name);
  return out;
}

std::string overview(const Grammar& grammar, std::string_view program) {
  std::string out = fmt::format(
      "{0}: changes and shows a Meshlog network.\n\nusage: {0} [options] COMMAND ...\n\n", program);
  std::string_view last;
  for (const Verb& verb : grammar.verbs) {
    if (!last.empty() && last != verb.verb &&
        (grammar.rows(verb.verb).size() > 1 || grammar.rows(last).size() > 1))
      out += "\n";
    last = verb.verb;
    out += fmt::format("  {:<44} {}\n", usage_line(verb), verb.summary);
  }
  out += "\nOptions everywhere:\n";
  add_options(grammar, grammar.global_options, out);
  out += fmt::format("\n`{} help COMMAND` says more. Topics:\n", program);
  for (const Topic& topic : kTopics) out += fmt::format("  {:<14} {}\n", topic.name, topic.summary);
  return out;
}

std::string verb_help(const Grammar& grammar, std::string_view program, std::string_view verb,
                      std::string_view noun) {
  std::vector<const Verb*> rows;
  if (const Verb* one = grammar.find(verb, noun); one && !noun.empty())
    rows = {one};
  else
    rows = grammar.rows(verb);
  std::string out;
  std::vector<std::string_view> options;
  size_t width = 0;
  for (const Verb* row : rows) width = std::max(width, usage_line(*row).size());
  std::string details;
  for (const Verb* row : rows) {
    out += fmt::format("{} {:<{}}  {}\n", program, usage_line(*row), width, row->summary);
    if (!row->details.empty()) details += fmt::format("{}\n", row->details);
    for (const std::string_view option : row->options)
      if (std::ranges::find(options, option) == options.end()) options.push_back(option);
  }
  if (!details.empty()) out += "\n" + details;
  if (const std::string synonyms = synonyms_of(grammar, rows.front()->verb); !synonyms.empty())
    out += fmt::format("\nAlso: {}\n", synonyms);
  if (!options.empty()) out += "\nOptions:\n";
  add_options(grammar, options, out);
  out += "\nOptions everywhere:\n";
  add_options(grammar, grammar.global_options, out);
  return out;
}

Result<std::string> topic_help(const Grammar& grammar, std::string_view program,
                               const std::string& topic, const std::string& noun) {
  if (topic.empty()) return overview(grammar, program);
  if (!grammar.rows(topic).empty()) {
    if (!noun.empty() && !grammar.find(topic, noun))
      return fail(Errc::not_found, fmt::format("there is no command \"{} {}\"", topic, noun),
                  fmt::format("see `{} help {}`", program, topic));
    return verb_help(grammar, program, topic, noun);
  }
  if (topic == "attributes") return attribute_topic();
  if (const Topic* found = find_topic(topic)) return std::string(found->text);
  std::vector<std::string_view> names = help_topics();
  for (const Verb& verb : grammar.verbs) names.push_back(verb.verb);
  const auto near = nearest(topic, names);
  return fail(
      Errc::not_found, fmt::format("there is no help about \"{}\"", topic),
      near ? fmt::format("did you mean \"{}\"?", *near) : fmt::format("see `{} help`", program));
}

Result<int> show_help(Session& session) {
  auto text = topic_help(session.grammar(), session.environment().program,
                         session.argument("TOPIC"), session.argument("NOUN"));
  if (!text) return std::unexpected(std::move(text).error());
  if (session.for_people() || session.format() == Format::name)
    session.print(*text);
  else
    session.print_document(
        {{"kind", "Help"}, {"topic", session.argument("TOPIC")}, {"text", *text}});
  return int{kSuccess};
}

}  // namespace mesh::cli
