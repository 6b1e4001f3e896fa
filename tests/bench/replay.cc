#include "eventstore/model/limits.h"
#include "schemas/codec.h"
#include "tests/bench/benches.h"
#include "tests/bench/follower.h"
#include "tests/bench/network.h"
#include "tests/bench/peers.h"
#include "tests/bench/raw.h"

namespace mesh::bench {

namespace {

constexpr size_t kRawFrameBytes = 64 * 1024;
constexpr uint64_t kCreditStep = kCreditBytesDefault / 8;  // both as meshnode
constexpr int64_t kStuckUs = 20'000'000;

/// Receives until `done`; grants credit as it consumes. Errors: timeout, and the follower's.
template <class Done>
Status follow(Peers& peers, size_t subscriber, Follower& follower, const Done& done) {
  Status status;
  uint64_t consumed = 0;
  int64_t last = now_us();
  while (status && !done()) {
    size_t got = peers.receive(100'000, [&](size_t peer, ByteView frame) {
      if (peer != subscriber || !status) return;
      status = follower.take(frame);
      consumed += frame.size();
    });
    if (consumed >= kCreditStep || done()) {
      peers.send(subscriber, encode_message({0, Credit{consumed}}));
      consumed = 0;
    }
    if (got > 0) last = now_us();
    if (now_us() - last > kStuckUs) return fail(Errc::timeout, "the entries do not come");
  }
  return status;
}

void subscribe(Peers& peers, size_t peer, Sequence after) {
  peers.send(peer, encode_message({0, Subscribe{after, kCreditBytesDefault, false}}));
}

struct Setup {
  const Network& network;
  Peers& peers;  // 0 subscribes, 1 submits
  Sequence head;
};

Status replay_log(Report& report, Setup& setup, bool whole) {
  Follower follower(setup.network.log, setup.network.log_key, whole);
  int64_t begin = now_us();
  subscribe(setup.peers, 0, Sequence());
  MESH_TRY(follow(setup.peers, 0, follower, [&] { return follower.verified() >= setup.head; }));
  double seconds = static_cast<double>(now_us() - begin) / 1e6;
  std::string name = whole ? "replay.everything_checked" : "replay.root_and_fold";
  Nature nature{false, true, whole};
  report.sample(name + ".entries_per_s", "entries/s", nature,
                static_cast<double>(setup.head.value()) / seconds);
  report.sample(name + ".bytes_per_s", "bytes/s", nature,
                static_cast<double>(follower.bytes()) / seconds);
  report.check("replay.reached_the_head", follower.replica().head() == setup.head);
  return {};
}

void raw_frames(Report& report, RawSender& sender, Peers& pull, uint64_t total) {
  size_t count = total / kRawFrameBytes + 1, got = 0;
  int64_t begin = now_us();
  sender.send(count, kRawFrameBytes);
  while (got < count) got += pull.receive(100'000, [](size_t, ByteView) {});
  report.sample(
      "raw_curve_push_pull.64_KiB", "bytes/s", kRawCurve,
      1e6 * static_cast<double>(count * kRawFrameBytes) / static_cast<double>(now_us() - begin));
}

/// From sending a request to its entry received, checked and folded, beside the same request's
/// answer.
Status live(Report& report, Setup& setup, Follower& follower, size_t requests, uint64_t round) {
  std::vector<double> acks, nodes;
  for (auto& commands : attribute_requests(requests, 1, round)) {
    Bytes frame = submit_frame(setup.network, 1, setup.head, std::move(commands));
    setup.head = next(setup.head);
    int64_t begin = now_us(), acked = 0, seen = 0;
    uint64_t consumed = 0;
    Status status;
    setup.peers.send(1, frame);
    while (status && (acked == 0 || seen == 0)) {
      size_t got = setup.peers.receive(1'000'000, [&](size_t peer, ByteView bytes) {
        if (peer == 1) acked = now_us();
        if (peer != 0 || !status) return;
        status = follower.take(bytes);
        consumed += bytes.size();
        if (follower.verified() >= setup.head) seen = now_us();
      });
      if (got == 0 && now_us() - begin > kStuckUs)
        return fail(Errc::timeout, "the live entry does not come");
    }
    MESH_TRY(status);
    setup.peers.send(0, encode_message({0, Credit{consumed}}));
    acks.push_back(static_cast<double>(acked - begin));
    nodes.push_back(static_cast<double>(seen - begin));
  }
  report.sample("live.ack_p50", "us", kTrusted, median(acks));
  report.sample("live.node_checked_and_folded_p50", "us", kTrusted, median(nodes));
  return {};
}

struct Filled {
  Sequence head;
  uint64_t bytes = 0;
};

Result<Filled> fill(const Network& network, const Scale& scale) {
  auto filler = Filler::open(network);
  if (!filler) return std::unexpected(filler.error());
  MESH_TRY((*filler)->submit(add_sites()));
  MESH_TRY((*filler)->submit(attribute_requests(scale.count(10'000, 1'000), 1, 1)));
  auto bytes = (*filler)->entry_bytes();
  if (!bytes) return std::unexpected(bytes.error());
  return Filled{(*filler)->head(), *bytes};
}

Status measure_all(Report& report, const Scale& scale, Setup& setup, uint64_t log_bytes) {
  RawSender sender(RawSender::Kind::push);
  BoxSecret key = BoxSecret::generate();
  Peers pull(PeerKind::pull, sender.endpoint(), sender.key(), {&key});
  for (Repetitions run(report, scale); run.next();) {
    raw_frames(report, sender, pull, log_bytes);
    MESH_TRY(replay_log(report, setup, false));
    MESH_TRY(replay_log(report, setup, true));
  }
  uint64_t round = 1;
  Follower follower(setup.network.log, setup.network.log_key, true);
  subscribe(setup.peers, 0, Sequence());
  MESH_TRY(follow(setup.peers, 0, follower, [&] { return follower.verified() >= setup.head; }));
  for (Repetitions run(report, scale); run.next();) {
    MESH_TRY(live(report, setup, follower, scale.count(100, 20), ++round));
  }
  report.ratio("replay, root and fold / raw CURVE 64 KiB, bytes",
               "replay.root_and_fold.bytes_per_s", "raw_curve_push_pull.64_KiB",
               Target{"T4", 0.35});
  report.ratio("replay, everything checked / raw CURVE 64 KiB, bytes",
               "replay.everything_checked.bytes_per_s", "raw_curve_push_pull.64_KiB");
  report.ratio("entry checked at a node / own ack, p50", "live.node_checked_and_folded_p50",
               "live.ack_p50", Target{"T5", 1.2, true});
  return {};
}

}  // namespace

Status bench_replay(Report& report, const Scale& scale) {
  TemporaryDirectory directory;
  auto network = make_network(directory.path() / "data");
  if (!network) return std::unexpected(network.error());
  auto filled = fill(*network, scale);
  if (!filled) return std::unexpected(filled.error());
  report.fact("replay.entries", static_cast<double>(filled->head.value()));
  report.fact("replay.bytes_per_entry",
              static_cast<double>(filled->bytes) / static_cast<double>(filled->head.value()));
  auto meshd = ControllerProcess::start(*network);
  if (!meshd) return std::unexpected(meshd.error());
  Peers peers(PeerKind::dealer, (*meshd)->endpoint(), network->controller,
              {&network->admin_box, &network->admin_box});
  Setup setup{*network, peers, filled->head};
  MESH_TRY(measure_all(report, scale, setup, filled->bytes));
  MESH_TRY((*meshd)->stop());
  auto entries = verify_log(*network);
  if (!entries) return std::unexpected(entries.error());
  report.check("replay.log_verified_afterwards", *entries == setup.head.value());
  return {};
}

}  // namespace mesh::bench
