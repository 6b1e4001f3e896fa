// An adoption on its way (adoption.h): from a token to the new log. Only meshnode*.cc include it.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "nodes/meshnode.h"
#include "nodes/meshnode_asking.h"

namespace mesh {

/// Writes adopt/ for the log of `token`. What was under way for another log is forgotten; for the same one it goes on
/// with the same keys, so that an admission whose answer was lost counts. `node`: whom to be there, when the token says
/// nothing. Errors: conflict (this node is of that log), exhausted, io, corrupt.
Status stage_adoption(const std::filesystem::path& data, const TokenText& token, const SignSecret& token_key,
                      const NodeIdentity& identity, const NodeKeys& keys, const std::string& node);
/// What is under way is given up. Errors: io.
Status drop_adoption(const std::filesystem::path& data);

/// Of an error of AdoptionRun::turn(): it was the controller's last word. Else the disk did not take it.
bool is_final(const Error& error);

class AdoptionRun {
 public:
  /// Goes on with adopt/; nothing when nothing is under way. Errors: corrupt, io, not_permitted, usage.
  static Result<std::optional<AdoptionRun>> open(const std::filesystem::path& data);

  /// One turn of at most `wait_ms`. True when the new log has admitted this node: adopt() may follow. Errors: what the
  /// new controller refused it with; exhausted and io of this disk: then again.
  Result<bool> turn(int wait_ms);
  const NodeIdentity& identity() const { return identity_; }
  std::string trouble() const;

 private:
  AdoptionRun(std::filesystem::path data, NodeIdentity identity, std::optional<Asking> asking)
      : data_(std::move(data)), identity_(std::move(identity)), asking_(std::move(asking)) {}
  std::filesystem::path data_;
  NodeIdentity identity_;
  std::optional<Asking> asking_;  // nothing: it was admitted
  std::optional<Admitted> admitted_;
};

}  // namespace mesh
