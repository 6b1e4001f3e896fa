// Asking a controller's enrolment to be admitted, as `meshnode join`, `adopt` and `run` do it. Only meshnode*.cc
// include it.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "broker/bus/client.h"
#include "nodes/meshnode.h"
#include "schemas/codec.h"

namespace mesh {

struct MadeJoin {
  SignedJoin join;
  Digest nonce;
};
/// The statement of the node with these keys that it be admitted to `log` as `node` (number or full name, or empty),
/// with its name and facts of its machine. `token` = 0 and no `token_key`: without a token.
MadeJoin make_join(const LogId& log, const std::string& node, TokenId token, const SignSecret& sign,
                   const BoxSecret& box, const WireGuardKey& wireguard, const SignSecret* token_key);

/// The token in a file, or of standard input ("-"): arguments and environment are readable by others. Secret: the
/// caller zeroes it. Errors: not_found, not_permitted, io, invalid.
Result<std::string> read_token_text(const std::string& path);
/// What it says; its key goes to `key`. Errors: those of decode_token.
Result<TokenText> open_token(std::string_view text, std::optional<SignSecret>& key);
std::vector<Endpoint> controllers(const std::vector<std::string>& endpoints, const BoxKey& key);

inline constexpr int kRefusalsOfACrowd = 20;  // who is too many for the room; a wrong key is refused for ever

/// Asks until there is an answer that is final.
class Asking {
 public:
  struct Options {
    std::vector<Endpoint> endpoints;
    bool patient = false;      // the room may be full, or the controller not ready, for now
    int refusals_max = 1;      // of connections, in a row; then it is the wrong key
    std::string approve_with;  // what an operator types before the fingerprint
  };
  /// Borrows `box` for the call. Errors: usage (malformed endpoints).
  static Result<Asking> open(const BoxSecret& box, Bytes question, Options options);

  /// One turn of at most `wait_ms`: nothing while there is no answer. Errors: what the controller refused it with;
  /// unauthenticated (it does not take the connection).
  Result<std::optional<Admitted>> turn(int wait_ms);
  /// Turns until there is one. Errors: also timeout, and unavailable (nobody answers).
  Result<Admitted> run(int timeout_s);
  /// The fingerprint that waits for an approval; empty while none does.
  const std::string& waiting() const { return waiting_; }
  /// Why it goes on, when it does; empty when nothing is wrong.
  const std::string& trouble() const { return unreachable_; }

 private:
  using Clock = std::chrono::steady_clock;
  Asking(std::unique_ptr<BusClient> bus, Bytes question, Options options)
      : bus_(std::move(bus)), question_(std::move(question)), options_(std::move(options)) {}
  Status take(const ClientEvent& event);
  Status answer(ByteView frame);

  std::unique_ptr<BusClient> bus_;
  Bytes question_;
  Options options_;
  Clock::time_point ask_at_{};
  std::optional<Admitted> admitted_;
  std::string waiting_, unreachable_;
  int refusals_ = 0;
};

}  // namespace mesh
