#include <fmt/format.h>

#include <algorithm>
#include <iostream>

#include "cli/completer.h"
#include "cli/environment.h"
#include "cli/session.h"
#include "cli/verbs.h"

namespace mesh::cli {

namespace {

/// What could not be done: "cannot commit: " of `commit site ams`, "cannot add site: " of `add site
/// ams`, "cannot revoke node: " of `node revoke r1`; nothing for words that are no verbs.
std::string cannot(const Verb& verb) {
  using Words = std::initializer_list<std::string_view>;
  const auto among = [&](Words words) {
    return std::ranges::find(words, verb.verb) != words.end();
  };
  if (among({"status", "log", "whoami", "doctor", "checkpoint", "controller", "completion",
             "version", "help"}))
    return {};
  if (among({"token", "node", "operator"}))
    return fmt::format("cannot {} {}: ", verb.noun, verb.verb);
  if (verb.verb == "files") return fmt::format("cannot {} files: ", verb.noun);
  if (among({"ansible", "ansible_playbook", "git"})) return fmt::format("cannot run {}: ", verb.verb);
  if (verb.verb == "inventory") return {};
  if (among({"list", "add", "del", "rename"}))
    return fmt::format("cannot {} {}: ", verb.verb, verb.noun);
  return fmt::format("cannot {}: ", verb.verb);
}

/// The format can be wanted by a command line that is otherwise wrong.
bool wants_json_errors(const Invocation& invocation) {
  const std::string format = invocation.option("output");
  return format == "json" || format == "jsonl";
}

int report(Environment& environment, const Invocation& invocation, const Error& error,
           std::optional<Exit> wanted = {}) {
  const bool tlm = environment.program == "tlm";
  const int exit = wanted ? exit_code(int{*wanted}, tlm) : exit_code(error.code, tlm);
  if (wants_json_errors(invocation)) {
    *environment.err << error_json(error, exit) << "\n";
    return exit;
  }
  const std::string action =
      invocation.verb && error.code != Errc::usage ? cannot(*invocation.verb) : std::string();
  *environment.err << fmt::format("{}: {}{}\n", environment.program, action,
                                  printable(error.message));
  if (!error.fix.empty()) *environment.err << fmt::format("fix: {}\n", printable(error.fix));
  return exit;
}

std::string help_for(const Grammar& grammar, std::string_view program,
                     const Invocation& invocation) {
  if (invocation.positional.empty() || grammar.rows(invocation.positional[0]).empty())
    return overview(grammar, program);
  const std::string noun = invocation.verb ? std::string(invocation.verb->noun) : std::string();
  return verb_help(grammar, program, invocation.positional[0], noun);
}

}  // namespace

int run(Environment& environment, std::span<const std::string> arguments) {
  const Grammar& grammar = meshcli_grammar();
  if (!arguments.empty() && arguments[0] == kCompleteWord)
    return print_candidates(environment, grammar, arguments.subspan(1));
  Invocation invocation;
  if (auto parsed = parse(grammar, arguments, &invocation); !parsed)
    return report(environment, invocation, parsed.error());
  if (invocation.help) {
    *environment.out << help_for(grammar, environment.program, invocation) << std::flush;
    return kSuccess;
  }
  Result<int> result = kSuccess;
  std::optional<Exit> wanted;
  {
    Session session(environment, grammar, invocation);
    result = invocation.verb->handler(session);
    wanted = session.error_exit();
  }
  if (!result) return report(environment, invocation, result.error(), wanted);
  if (!environment.out->flush())
    return report(environment, invocation,
                  Error{Errc::io, "standard output does not take what was printed", {}});
  return exit_code(*result, environment.program == "tlm");
}

}  // namespace mesh::cli
