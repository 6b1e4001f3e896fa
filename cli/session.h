// One run of one verb: its options, its output, its connection.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/client.h"
#include "cli/environment.h"
#include "cli/exit_code.h"
#include "cli/grammar.h"
#include "cli/json.h"
#include "cli/render.h"
#include "cli/times.h"

namespace mesh::cli {

class Session {
 public:
  /// Borrows all three.
  Session(Environment& environment, const Grammar& grammar, const Invocation& invocation);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session();

  Environment& environment() { return environment_; }
  const Grammar& grammar() const { return grammar_; }
  std::string argument(std::string_view name) const { return invocation_.argument(name); }
  std::string option(std::string_view name) const { return invocation_.option(name); }
  bool has(std::string_view option) const { return invocation_.has(option); }
  const Verb& verb() const { return *invocation_.verb; }
  const Invocation& invocation() const { return invocation_; }

  Format format() const { return format_; }
  /// Table, wide or name: for people. The others are documents.
  bool for_people() const { return format_ == Format::table || format_ == Format::wide; }
  bool colour_out() const { return colour_out_; }
  bool colour_err() const { return colour_err_; }
  bool quiet() const { return has("quiet") || option("loglevel") == "error"; }

  // stdout
  void print(std::string_view text);
  void print_list(const Json& document, const ListView& view);
  void print_document(const Json& document);
  // stderr; all but errors vanish with -q, and all but warnings with --loglevel warning
  bool talks() const { return !quiet() && option("loglevel") != "warning"; }
  void hint(std::string_view text);  // the next step
  void note(std::string_view text);  // what happened
  void warn(std::string_view text);

  /// Loads the context on first use.
  Result<const OperatorContext*> context();
  /// Opens the connection on first use. With --at, what it names is resolved and told, and all
  /// queries are answered as of then. Errors: also those of resolve_moment.
  Result<Client*> client();

  /// -m, --ref, --expect-sequence and --dry-run. Errors: usage.
  Result<RequestNotes> notes() const;

  /// Shows `blast` and, on a terminal, waits for `name` to be typed. Nothing is asked with --yes or
  /// --no-input, nor when nobody could answer. Errors: usage (something else was typed).
  Status confirm(const std::vector<std::string>& blast, std::string_view name);

  /// An error that ends the program with `exit` instead of its code's.
  std::unexpected<Error> fail_with(Exit exit, Error error) {
    error_exit_ = exit;
    return std::unexpected(std::move(error));
  }
  std::optional<Exit> error_exit() const { return error_exit_; }

 private:
  Result<Client*> connect();
  /// The node that "v3" is about: the verb's NODE, or its `node N`.
  std::string node_meant() const;

  Environment& environment_;
  const Grammar& grammar_;
  const Invocation& invocation_;
  Format format_ = Format::table;
  bool colour_out_ = false, colour_err_ = false;
  std::unique_ptr<OperatorContext> context_;
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<Client> client_;
  bool at_resolved_ = false;
  std::optional<Exit> error_exit_;
};

/// A bar with counts on a terminal's stderr, one line for each change elsewhere; nothing in the
/// first 100 ms.
class Progress {
 public:
  explicit Progress(Session& session);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  /// `counts`: "ok 35  waiting 2  failed 0"
  void show(std::string_view what, uint64_t done, uint64_t total, std::string_view counts);

 private:
  Session& session_;
  int64_t since_;
  std::string last_;
  bool open_ = false;
};

/// A decimal without sign. Errors: usage, naming `what`.
Result<uint64_t> parse_number(std::string_view what, std::string_view text);
/// "v5", "5", "latest", "current", in small or capital letters: 0 = latest, which "current" means, too. Errors: usage.
Result<Version> parse_version(std::string_view text);
/// What the program `name` said that was run with -o json and failed.
Error error_of_program(std::string_view name, const Environment::Finished& finished);
/// JSON text of an error, as -o json prints it.
std::string error_json(const Error& error, int exit);

}  // namespace mesh::cli
