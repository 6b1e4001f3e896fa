// The file that --recovery-out writes: a recovery secret, and whose keys its owner has seen.
//
//   # lines for people
//   mlrec1-...                        the secret (broker/bus/recovery_secret.h)
//   router LOG NAME FINGERPRINT       a router that may be adopted with it, and by which key it is known
//
// 0600, never overwritten; adding a router replaces it as a whole.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/bus/recovery_secret.h"
#include "cli/session.h"
#include "eventstore/model/command.h"

namespace mesh::cli {

struct KnownRouter {
  LogId log;
  std::string name;         // when it was written down
  std::string fingerprint;  // of its Ed25519 key
  bool operator==(const KnownRouter&) const = default;
};

struct RecoveryFile {
  RecoverySecret secret;
  std::vector<KnownRouter> routers;  // at most kRecoveryRoutersMax
};
inline constexpr size_t kRecoveryRoutersMax = 20'000;

/// Errors: corrupt (which line), and those of read_secret_file.
Result<RecoveryFile> load_recovery_file(const std::string& path);
/// Durable on return. Errors: conflict (it exists), io.
Status create_recovery_file(const std::string& path, const RecoverySecret& secret);
/// Writes down that router, in the place of an older line about it. Durable on return. Errors: as both.
Status remember_router(const std::string& path, const KnownRouter& router);

/// What --recovery-out FILE or --recovery FILE ask for, of a verb that changes a node.
class RecoveryChoice {
 public:
  /// Nothing when neither was given. With --recovery-out the file is there on return, because a secret that is lost
  /// after the log knows it is of no use; not with --dry-run. Errors: usage (both), those of the file.
  static Result<std::optional<RecoveryChoice>> of(Session& session);

  SetRecovery command(const std::string& node) const;
  /// The request failed: a file that was made for it goes, unless nobody knows what became of the request.
  void withdraw(const Error& error) const;
  /// The request was accepted. `router`: nothing when its key is not known yet.
  Status keep(Session& session, const std::optional<KnownRouter>& router) const;

 private:
  RecoveryChoice(std::string path, bool made, bool dry_run, RecoverySecret secret)
      : path_(std::move(path)), made_(made), dry_run_(dry_run), secret_(std::move(secret)) {}
  std::string path_;
  bool made_, dry_run_;
  RecoverySecret secret_;
};

}  // namespace mesh::cli
