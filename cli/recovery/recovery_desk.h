// RecoveryDesk: answers routers that have lost their controller, with a recovery secret. Sans-IO: a frame in, an answer
// out.
//
// Who calls has proved its CURVE key; the call is a Join for the log that was lost, signed by the router's key there.
// The log's other members know the secret's public keys, too, and could call in a router's name: so nobody gets a token
// whose fingerprint is not in the secret's file with the name that it calls with, or was not given by the operator.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "cli/recovery/recovery_file.h"
#include "schemas/adoption.h"
#include "schemas/message.h"

namespace mesh::cli {

/// A router that called.
struct RecoveryCaller {
  enum class Stage : uint8_t { unknown, refused, answered, adopted } stage{};
  std::string name;         // as it says, by its own log
  std::string fingerprint;
  std::string hostname, machine;
  std::string detail;       // why it was refused
};
std::string_view stage_name(RecoveryCaller::Stage stage);

class RecoveryDesk {
 public:
  /// A token of the new log for the node of that name, as text (secret).
  using MakeToken = std::function<Result<std::string>(const std::string& name)>;

  /// `more`: fingerprints beside those of the file.
  RecoveryDesk(RecoveryFile file, const std::vector<std::string>& more, MakeToken make_token);

  /// The answer to one frame of the peer with that key, or nothing: it is not worth one.
  std::optional<Message> answer(const BoxKey& user, ByteView frame);
  /// Its new node is there: it needs nothing any more.
  void adopted(const std::string& fingerprint);
  /// Each gets a new one with its next call: the old ones may be too old.
  void forget_tokens() { tokens_.clear(); }
  /// In the order of their first calls; at most kCallersMax, strangers are forgotten first.
  const std::vector<RecoveryCaller>& callers() const { return callers_; }

  static constexpr size_t kCallersMax = 4'096;
  static constexpr uint32_t kAnswerSeconds = 60;

 private:
  Body answer_call(const JoinStatement& call);
  Result<std::string> token_of(const JoinStatement& call, const std::string& print);
  RecoveryCaller* caller(const JoinStatement& call, bool known);

  RecoveryFile file_;
  SignSecret sign_;
  std::map<std::string, std::string> known_;  // names by fingerprint; empty = whatever it says, which the operator saw
  MakeToken make_token_;
  std::vector<RecoveryCaller> callers_;
  std::map<std::string, std::string> tokens_;  // by fingerprint: one for each router, however often it calls
};

}  // namespace mesh::cli
