#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <random>
#include <thread>

#include "broker/past.h"
#include "broker/read_ahead.h"
#include "eventstore/log/rocks_event_log.h"
#include "eventstore/model/decide.h"
#include "schemas/codec.h"
#include "schemas/json.h"
#include "tests/bench/benches.h"
#include "tests/bench/history_writer.h"
#include "tests/bench/network.h"
#include "tests/bench/peers.h"

namespace mesh::bench {

namespace {

namespace fs = std::filesystem;

constexpr int64_t kStuckUs = 120'000'000;
constexpr size_t kStates = 20;
constexpr size_t kProofs = 200;
constexpr uint64_t kVerifiedWithSignatures = 200'000;
constexpr Nature kReading{false, true, false};

/// One line on standard error that is written over; nothing where nobody looks.
class Progress {
 public:
  explicit Progress(uint64_t wanted) : wanted_(wanted) {}
  ~Progress() {
    if (shown_us_ > 0) fmt::print(stderr, "\n");
  }
  void operator()(uint64_t now) {
    const int64_t time = now_us();
    if (!isatty(STDERR_FILENO) || time - shown_us_ < 200'000) return;
    shown_us_ = time;
    const double seconds = static_cast<double>(time - begin_us_) / 1e6;
    const double share = std::min(1.0, static_cast<double>(now) / static_cast<double>(wanted_));
    const auto filled = static_cast<size_t>(share * kWidth);
    fmt::print(stderr, "\r[{:#<{}}{:.<{}}] {:3.0f} % {:.2f} M entries, {:.0f} k/s, {:.0f} s left ",
               "", filled, "", kWidth - filled, 100 * share, static_cast<double>(now) / 1e6,
               static_cast<double>(now) / seconds / 1e3, seconds * (1 - share) / share);
    std::fflush(stderr);
  }

 private:
  static constexpr size_t kWidth = 40;
  uint64_t wanted_;
  int64_t begin_us_ = now_us(), shown_us_ = 0;
};

double ms_since(int64_t begin_us) { return static_cast<double>(now_us() - begin_us) / 1e3; }

Result<Network> make_history(Report& report, const fs::path& data, uint64_t entries) {
  if (fs::exists(data / "admin.context")) return open_network(data);
  auto network = make_network(data);
  if (!network) return network;
  Progress progress(entries);
  auto written = write_history(*network, entries, [&](uint64_t now) { progress(now); });
  if (!written) return std::unexpected(written.error());
  report.fact("history.written_entries_per_s",
              static_cast<double>(written->entries) / written->seconds);
  return network;
}

struct Setup {
  Network network;
  Sequence head;
  std::mt19937_64 random{1};
  Sequence any() { return Sequence(1 + random() % head.value()); }
};

Result<std::unique_ptr<const RocksEventLog>> open_log(const Setup& setup) {
  return RocksEventLog::open_read_only(setup.network.data / "log");
}

Result<Message> ask(Peers& peers, ByteView frame) {
  peers.send(0, frame);
  Result<Message> out = fail(Errc::timeout, "no answer");
  for (bool answered = false; !answered;)
    if (peers.receive(kStuckUs, [&](size_t, ByteView bytes) {
          answered = true;
          out = decode_message(bytes);
        }) == 0)
      break;
  if (out)
    if (const auto* error = std::get_if<ErrorReply>(&out->body))
      return std::unexpected(error->error);
  return out;
}

/// From starting the program to the answer of a first request, which is on the disk then.
Status measure_start(Report& report, Setup& setup) {
  const int64_t begin = now_us();
  auto meshd = ControllerProcess::start(setup.network);
  if (!meshd) return std::unexpected(meshd.error());
  report.sample("history.start_to_ready", "ms", kTrusted, ms_since(begin));
  Peers peers(PeerKind::dealer, (*meshd)->endpoint(), setup.network.controller,
              {&setup.network.admin_box});
  AttributeValue value(static_cast<int64_t>(setup.head.value()));
  Bytes frame = submit_frame(setup.network, 1, setup.head,
                             {SetAttribute{{Level::global, {}}, "bench.start", value}});
  auto answer = ask(peers, frame);
  if (!answer) return std::unexpected(answer.error());
  report.sample("history.start_to_first_ack", "ms", kTrusted, ms_since(begin));
  const auto* reply = std::get_if<Reply>(&answer->body);
  report.check("history.first_ack_is_the_next_entry", reply && reply->sequence == next(setup.head));
  setup.head = next(setup.head);
  report.sample("history.meshd_resident", "MB", kTrusted,
                static_cast<double>((*meshd)->resident_bytes()) / 1e6);
  return (*meshd)->stop();
}

struct Question {
  std::string figure, kind;
  std::map<std::string, std::string> arguments;
  bool at_any = false;  // asked of any past sequence, else of the head
};

/// Answers of a running meshd, over the bus.
Status measure_questions(Report& report, Setup& setup, const Scale& scale) {
  auto meshd = ControllerProcess::start(setup.network);
  if (!meshd) return std::unexpected(meshd.error());
  Peers peers(PeerKind::dealer, (*meshd)->endpoint(), setup.network.controller,
              {&setup.network.admin_box});
  auto log = open_log(setup);
  if (!log) return std::unexpected(log.error());
  auto late = Past(**log).time_of(Sequence(setup.head.value() - setup.head.value() / 20));
  if (!late) return std::unexpected(late.error());
  const std::vector<Question> questions = {
      {"history.ask_sites_at_any_past_entry", "sites", {}, true},
      {"history.ask_show_all_of_a_node_at_any_past_entry",
       "show_all",
       {{"scope", "node 54"}},
       true},
      {"history.ask_log_of_a_node_since",
       "log",
       {{"node", "54"}, {"since", time_text(*late)}, {"limit", "100"}}},
      {"history.ask_newest_log_of_a_node",
       "log",
       {{"node", "54"}, {"newest", "1"}, {"limit", "20"}}},
      {"history.ask_a_proof", "prove", {{"sequence", "1"}}},
  };
  for (Repetitions run(report, scale); run.next();)
    for (Question question : questions) {
      if (question.kind == "prove")
        question.arguments["sequence"] = std::to_string(setup.any().value());
      Query query{question.kind, question.arguments, question.at_any ? setup.any() : Sequence()};
      const int64_t begin = now_us();
      auto answer = ask(peers, encode_message({1, std::move(query)}));
      if (!answer) return fail_in(question.figure, answer.error());
      report.sample(question.figure, "ms", kReading, ms_since(begin));
    }
  report.fact("history.meshd_resident_after_questions_bytes",
              static_cast<double>((*meshd)->resident_bytes()));
  return (*meshd)->stop();
}

Status measure_states(Report& report, Setup& setup) {
  auto log = open_log(setup);
  if (!log) return std::unexpected(log.error());
  const Past past(**log);
  report.begin_repetition(false);
  for (size_t i = 0; i < kStates; ++i) {
    const Sequence sequence = setup.any();
    const int64_t begin = now_us();
    auto state = past.at(sequence);
    if (!state) return std::unexpected(state.error());
    report.sample("history.state_at_any_past_entry", "ms", kPure, ms_since(begin));
    report.check("history.state_is_of_its_entry", state->sequence == sequence);
  }
  report.bound("history.state_at_any_past_entry", Target{"T9", 200, true});
  return {};
}

/// Of entries all over the log, by a program that has just opened it.
Status measure_proofs(Report& report, Setup& setup, const Scale& scale) {
  auto log = open_log(setup);
  if (!log) return std::unexpected(log.error());
  const uint64_t size = (*log)->head().value();
  const Digest root = (*log)->frontier().root();
  for (Repetitions run(report, scale); run.next();) {
    std::vector<double> times;
    for (size_t i = 0; i < kProofs; ++i) {
      const uint64_t index = setup.any().value() - 1;
      const int64_t begin = now_us();
      auto proof = inclusion_proof(index, size, (*log)->hash_reader());
      times.push_back(static_cast<double>(now_us() - begin));
      if (!proof) return std::unexpected(proof.error());
      auto entry = (*log)->read(Sequence(index + 1), 1, 1);
      report.check(
          "history.proofs_verify",
          entry && verify_inclusion(leaf_hash(entry->front().header), index, size, *proof, root));
    }
    report.sample("history.proof_p50", "us", kPure, median(times));
    report.sample("history.proof_p99", "us", kPure, quantile(times, 0.99));
  }
  report.bound("history.proof_p50", Target{"T8", 200, true});
  return {};
}

/// What `meshd verify` does with each entry, up to `last`. Without their signatures the entries
/// come as if those had been checked.
Result<Replica> verify_entries(const RocksEventLog& log, Sequence last, bool signatures) {
  auto read = [&](Sequence from) { return log.read(from, 1 << 20, SIZE_MAX); };
  ReadAhead ahead(read, Sequence(1), last, std::max(std::thread::hardware_concurrency(), 2u) - 1,
                  signatures ? ReadAhead::Signatures::check : ReadAhead::Signatures::leave);
  Replica replica;
  while (replica.head() < last) {
    auto entry = ahead.next();
    if (!entry) return std::unexpected(entry.error());
    if (!entry->checked) {
      auto key = signer_key(replica.state, entry->body->request);
      if (!key) return std::unexpected(key.error());
      if (signatures)
        ahead.learn(entry->header.principal, *key);
      else
        entry->checked = *key;
    }
    MESH_TRY(replay(replica, *entry, log.id()));
  }
  return replica;
}

Status measure_verification(Report& report, Setup& setup, const Scale& scale) {
  auto log = open_log(setup);
  if (!log) return std::unexpected(log.error());
  const Sequence some(std::min(setup.head.value(), scale.count(kVerifiedWithSignatures, 10'000)));
  auto run = [&](const std::string& figure, Nature nature, Sequence last,
                 bool signatures) -> Result<Replica> {
    const int64_t begin = now_us();
    const std::clock_t processor = std::clock();
    auto replica = verify_entries(**log, last, signatures);
    if (!replica) return replica;
    const auto entries = static_cast<double>(last.value());
    report.sample(figure, "entries/s", nature, 1e3 * entries / ms_since(begin));
    // Of all threads: what a busy machine changes least.
    report.sample(figure + ".processor_us", "us/entry", nature,
                  1e6 * static_cast<double>(std::clock() - processor) / CLOCKS_PER_SEC / entries);
    return replica;
  };
  for (Repetitions runs(report, scale); runs.next();) {
    MESH_TRY(run("history.verify_some_without_signatures", kPure, some, false));
    MESH_TRY(run("history.verify_some", Nature{false, false, true}, some, true));
  }
  report.begin_repetition(false);
  auto all = run("history.verify_all_without_signatures", kPure, setup.head, false);
  if (!all) return std::unexpected(all.error());
  report.bound("history.verify_all_without_signatures", Target{"T8", 500'000});
  report.check("history.root_is_the_logs", all->frontier.root() == (*log)->frontier().root());
  return {};
}

}  // namespace

Status bench_history(Report& report, const Scale& scale) {
  std::optional<TemporaryDirectory> temporary;
  if (scale.directory.empty()) temporary.emplace();
  const fs::path directory = temporary ? temporary->path() : scale.directory;
  std::error_code failed;
  fs::create_directories(directory, failed);
  auto network = make_history(report, directory / "data", scale.entries);
  if (!network) return std::unexpected(network.error());
  Setup setup{std::move(*network), {}, std::mt19937_64(1)};
  {
    auto log = open_log(setup);
    if (!log) return std::unexpected(log.error());
    setup.head = (*log)->head();
    report.fact("history.entries", static_cast<double>(setup.head.value()));
    report.fact("history.snapshots", static_cast<double>((*log)->snapshots().size()));
    report.fact("history.disk_bytes", static_cast<double>((*log)->disk_bytes()));
  }
  for (Repetitions run(report, scale); run.next();) MESH_TRY(measure_start(report, setup));
  report.bound("history.start_to_first_ack", Target{"T9", 500, true});
  MESH_TRY(measure_questions(report, setup, scale));
  MESH_TRY(measure_states(report, setup));
  MESH_TRY(measure_proofs(report, setup, scale));
  return measure_verification(report, setup, scale);
}

}  // namespace mesh::bench
