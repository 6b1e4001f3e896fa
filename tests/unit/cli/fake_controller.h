// A controller in memory behind the CLI's Transport: the real core decides, what the core does not
// know (lists, status) is canned. It records every message, and can be made to lie.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "broker/bus/keys.h"
#include "cli/context.h"
#include "cli/transport.h"
#include "eventstore/model/compile.h"
#include "eventstore/model/encoded_entry.h"
#include "eventstore/model/replay.h"

namespace mesh::cli::test {

/// Keys from fixed seeds, so that a log is the same in every run.
SignSecret sign_secret(uint8_t seed);
BoxSecret box_secret(uint8_t seed);

class FakeController {
 public:
  FakeController();

  /// What `alice`, the first administrator, uses.
  OperatorContext context() const;
  /// Decides and appends as the controller would. Errors: those of decide.
  Result<Reply> submit(const SignedRequest& request, bool dry_run = false,
                       const std::vector<Bytes>& attachments = {});
  /// A piece of one of `blobs`, as the controller gives it.
  Result<Body> piece(const Fetch& fetch) const;
  /// Appends by an administrator, for a test's "given".
  void given(std::vector<Command> commands);
  /// The same by the controller itself.
  void given_by_controller(std::vector<Command> commands);
  Result<Body> answer(const Body& question);
  /// The checkpoint at `size`, signed by the log key.
  std::string checkpoint(uint64_t size) const;
  /// The requests that were submitted, decoded.
  std::vector<Request> requests() const;
  /// The heard bodies of one kind.
  template <class T>
  std::vector<T> heard_of() const {
    std::vector<T> out;
    for (const Body& body : heard)
      if (const T* found = std::get_if<T>(&body)) out.push_back(*found);
    return out;
  }

  SignSecret log_secret, admin_sign;
  BoxSecret admin_box, controller_box;
  Replica replica;
  std::vector<EncodedEntry> entries;
  std::map<std::string, std::string>
      documents;            // query kind -> canned JSON, before what the fake knows
  std::map<Digest, Bytes> blobs;  // of the commits
  std::vector<Body> heard;        // everything, in order
  std::function<void(const Body&)> before_answer;  // a test's hook: something happens in between
  bool unreachable = false;  // nothing is answered
  uint32_t random_calls = 0;                       // of the programs that talk to it
  Timestamp time{1'767'225'600'000'000};           // 2026-01-01T00:00:00Z

 private:
  Result<Body> answer_query(const Query& query);
  Status take_attachments(const Request& request, const std::vector<Bytes>& attachments);
  /// Every source is rendered as it is, without .jinja.
  FileRenderer renderer();
  void append(const EntryHeader& header, const EntryBody& body);
  void given_by(const Principal& who, const SignSecret& secret, std::vector<Command> commands);
  Timestamp now() const { return Timestamp(time.value() + 1'000'000 * static_cast<int64_t>(entries.size())); }
  /// As the controller tells it, every node having applied it.
  std::string activation_json(ActivationId id) const;
  std::string activations_json(const Query& query) const;
  /// What a number, a time, a tag or v3 means, as the controller resolves it.
  Result<Body> answer_moment(const Query& query) const;
  std::map<uint64_t, Digest> roots_;
  std::vector<MeshState> states_;  // after each entry
};

/// A connection to it; borrows it.
class FakeTransport final : public Transport {
 public:
  explicit FakeTransport(FakeController& controller) : controller_(controller) {}
  Result<Body> call(const Body& question, int timeout_ms) override;
  Status send(const Body& body) override;
  Result<std::optional<Body>> receive(int timeout_ms) override;

 private:
  FakeController& controller_;
  std::deque<Result<Body>> pieces_;  // of blobs, that wait to be received
  Sequence sent_;
  uint64_t credit_ = 0;
  bool subscribed_ = false;
};

}  // namespace mesh::cli::test
