// An operator with meshcli: asks one thing after the other, sends the same signed bytes again until
// there is an answer, and remembers what was acknowledged. Beside it `log -f`: a replica of the
// whole log, from which it decides what to do next and on which its requests are based.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "broker/bus/keys.h"
#include "tests/sim/history_book.h"
#include "tests/sim/network.h"
#include "tests/sim/workload.h"

namespace mesh::sim {

struct OperatorHostOptions {
  bool hostile = false;
  uint64_t credit = kCreditBytesDefault;
  int64_t pause_ms = 1'500;  // between two questions, on average
};

class OperatorHost final : public ClientEnd {
 public:
  /// Who is there, and somebody new.
  struct Town {
    std::function<Fleet()> fleet;
    std::function<void(Invitation)> invite;
  };

  OperatorHost(Scheduler& clock, Trace& trace, Network& network, HistoryBook& book, Random random,
               std::string name, OperatorHostOptions options, Town town);

  void start();
  /// No new questions.
  void retire() { retired_ = true; }
  /// Asks this next, as soon as the question before it is answered.
  void ask(Intention intention);
  LineId line() const { return line_; }
  const Replica& replica() const { return replica_; }
  const std::string& name() const { return name_; }
  bool busy() const { return question_.has_value() || next_.has_value(); }
  size_t acknowledged() const { return acknowledged_.size(); }
  const std::optional<Error>& last_error() const { return last_error_; }
  /// Every acknowledgement against the log.
  void check_acknowledged() const;
  /// Empty, or what is missing.
  std::string unfinished() const;

  void connected() override;
  void disconnected() override;
  void refused() override {}
  void arrived(const Bytes& frame) override;

 private:
  struct Question {
    Intention intention;
    Body body;
    RequestId request;            // of a Submit
    std::set<uint64_t> asked_as;  // correlations
    int64_t again_at = 0;
  };
  struct Acknowledged {
    RequestId request;
    Sequence sequence;  // 0 = nothing changed
    std::vector<Event> events;
  };

  bool may_ask() const;
  void tick();
  void begin(Intention intention);
  Body submit(const Intention& intention, RequestId& id);
  void send_question();
  void subscribe();
  void follow(const Entries& entries, size_t frame_bytes);
  void on_reply(const Reply& reply);
  void on_error(const Error& error);
  void on_prepared(const Prepared& prepared);
  void on_result(const QueryResult& result);
  void finish(int64_t pause_ms);

  Scheduler& clock_;
  Trace& trace_;
  Network& network_;
  HistoryBook& book_;
  Random random_;
  std::string name_;
  OperatorHostOptions options_;
  Town town_;
  SignSecret sign_;
  LineId line_;
  Workload workload_;
  Replica replica_;
  std::optional<Question> question_;
  std::optional<Intention> next_;
  std::vector<Acknowledged> acknowledged_;
  std::optional<Error> last_error_;
  bool retired_ = false, connected_ = false;
  uint64_t correlation_ = 1;
  int64_t ask_at_ = 0, heard_at_ = 0, progress_at_ = 0;
  Sequence told_head_;
};

}  // namespace mesh::sim
