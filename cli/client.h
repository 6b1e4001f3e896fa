// Requests and queries: what meshcli says to a controller, and what it checks of the answers.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/context.h"
#include "cli/environment.h"
#include "cli/json.h"
#include "cli/transport.h"
#include "eventstore/model/checkpoint.h"

namespace mesh::cli {

using QueryArguments = std::map<std::string, std::string>;

/// Where the log stands, proven by the log key's signature.
struct Position {
  Sequence sequence;
  uint32_t epoch = 0;
  std::string note;  // the signed checkpoint
  Checkpoint checkpoint;
};

/// What goes into a request beside its commands.
struct RequestNotes {
  std::string message, reference;
  Sequence expect_sequence;  // 0 = none
  bool dry_run = false;
};

class Client {
 public:
  /// Borrows all three.
  Client(const OperatorContext& context, Transport& transport, Environment& environment)
      : context_(context), transport_(transport), environment_(environment) {}

  const OperatorContext& context() const { return context_; }
  Transport& transport() { return transport_; }

  /// From now on every query is answered as it would have been after entry `at`; 0 = as of now.
  void set_at(Sequence at) { at_ = at; }
  Sequence at() const { return at_; }

  /// All pages joined into one document. Errors: those of the controller, corrupt (an answer that
  /// is no JSON).
  Result<Json> query(const std::string& kind, const QueryArguments& arguments = {});
  /// The same as of entry `at`, whatever set_at() said; 0 = as of now.
  Result<Json> query_at(Sequence at, const std::string& kind, const QueryArguments& arguments = {});
  /// One page: an empty `cursor` is the first; on return it is the next page's, or empty.
  Result<Json> query_page(const std::string& kind, QueryArguments arguments, std::string& cursor);

  /// Errors: corrupt (not signed by the log key that the context pins, or of another log).
  Result<Position> position();

  /// Signs `commands` as one request, based on the newest sequence, and submits it. Repeats the
  /// same bytes when an answer is lost, so that it happens once. `attachments`: blobs of files that
  /// the commands name and the controller may not have (file_contents.h).
  Result<Reply> submit(std::vector<Command> commands, const RequestNotes& notes,
                       std::vector<Bytes> attachments = {});
  Result<Prepared> prepare(const Prepare& question);
  /// A blob that the log names. Errors: not_found, not_permitted, corrupt (other bytes than that digest's).
  Result<Bytes> fetch(const Digest& digest);

  Timestamp now() { return environment_.now(); }
  /// Fresh bytes, for salts.
  void random(std::span<uint8_t> bytes) { environment_.random(bytes); }

 private:
  Result<Json> ask_page(Sequence at, const std::string& kind, QueryArguments arguments,
                        std::string& cursor);

  const OperatorContext& context_;
  Transport& transport_;
  Environment& environment_;
  Sequence at_;
};

/// Whether `note` is a checkpoint of the log that `connection` pins, and what it says. Errors:
/// corrupt.
Result<Position> open_position(const Connection& connection, const std::string& note);

}  // namespace mesh::cli
