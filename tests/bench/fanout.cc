#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "eventstore/model/checkpoint.h"
#include "schemas/codec.h"
#include "tests/bench/benches.h"
#include "tests/bench/network.h"
#include "tests/bench/peers.h"
#include "tests/bench/raw.h"

namespace mesh::bench {

namespace {

constexpr int64_t kStuckUs = 30'000'000;
constexpr uint64_t kCredit =
    16 * 1024 * 1024;  // more than all repetitions use: nobody has to grant

/// The entries that one frame carries; no first one when it carries none.
struct Span {
  Sequence first, last;
};

/// Looks into frames. A thousand nodes get the same bytes, so each is decoded once.
class FrameReader {
 public:
  explicit FrameReader(const Network& network) : network_(network) {}

  /// Errors: corrupt (entries with a gap, or a checkpoint that is not theirs or not the log's).
  Result<Span> read(ByteView frame) {
    auto known = spans_.find(as_text(frame));
    if (known != spans_.end()) return known->second;
    auto span = decode(frame);
    if (span) spans_.emplace(std::string(as_text(frame)), *span);
    return span;
  }
  void forget() { spans_.clear(); }

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };

  Result<Span> decode(ByteView frame) const {
    auto message = decode_message(frame);
    if (!message) return std::unexpected(message.error());
    const auto* entries = std::get_if<Entries>(&message->body);
    if (!entries || entries->entries.empty()) return Span{};
    Span span;
    for (const EncodedEntry& encoded : entries->entries) {
      auto header = decode_header(encoded.header);
      if (!header || (span.last != Sequence() && header->sequence != next(span.last)))
        return fail(Errc::corrupt, "a frame holds entries with a gap");
      if (span.first == Sequence()) span.first = header->sequence;
      span.last = header->sequence;
    }
    auto checkpoint =
        open_checkpoint(entries->checkpoint, checkpoint_origin(network_.log, 1), network_.log_key);
    if (!checkpoint || checkpoint->size != span.last.value())
      return fail(Errc::corrupt, "a live entry came without the checkpoint that covers it");
    return span;
  }

  const Network& network_;
  std::unordered_map<std::string, Span, Hash, std::equal_to<>> spans_;
};

struct Setup {
  const Network& network;
  Peers& peers;  // the nodes, then the administrator
  Sequence head;
  std::vector<Sequence> seen;  // by node
  FrameReader reader;
  uint64_t round = 0;
  size_t frame_bytes = 0;  // of a live entry with its checkpoint
  size_t admin() const { return seen.size(); }
};

struct Burst {
  double acked_us = 0, first_us = 0, last_us = 0;
  size_t deliveries = 0;  // of one entry to one node
};

/// Moves node `peer` on by what `frame` carries; returns the number of entries. Errors: corrupt,
/// also when an entry is missing or comes twice.
Result<size_t> advance(Setup& setup, size_t peer, ByteView frame) {
  auto span = setup.reader.read(frame);
  if (!span) return std::unexpected(span.error());
  if (span->first == Sequence()) return 0;
  if (span->first != next(setup.seen[peer]))
    return fail(Errc::corrupt, fmt::format("node {} is at #{} and got #{}", peer,
                                           setup.seen[peer].value(), span->first.value()));
  setup.seen[peer] = span->last;
  if (span->first == span->last) setup.frame_bytes = frame.size();
  return span->last.value() - span->first.value() + 1;
}

/// Submits `changes` requests at once and receives until every node is at the head.
/// Errors: timeout, corrupt.
Result<Burst> publish(Setup& setup, size_t changes) {
  std::vector<Bytes> requests;
  for (auto& commands : attribute_requests(changes, 1, ++setup.round))
    requests.push_back(submit_frame(setup.network, 1, setup.head, std::move(commands)));
  setup.head = Sequence(setup.head.value() + changes);
  setup.reader.forget();
  Burst burst;
  Status status;
  size_t acked = 0, complete = 0;
  int64_t begin = now_us(), last = begin;
  auto got = [&](size_t peer, ByteView frame) {
    last = now_us();
    auto since = static_cast<double>(last - begin);
    if (peer == setup.admin()) {
      burst.acked_us = since;
      ++acked;
      return;
    }
    auto moved = advance(setup, peer, frame);
    if (!moved) status = std::unexpected(moved.error());
    if (!moved || *moved == 0) return;
    if (burst.deliveries == 0) burst.first_us = since;
    burst.deliveries += *moved;
    burst.last_us = since;
    complete += setup.seen[peer] == setup.head;
  };
  for (const Bytes& request : requests) setup.peers.send(setup.admin(), request);
  while (status && (complete < setup.seen.size() || acked < changes)) {
    if (setup.peers.receive(100'000, got) == 0 && now_us() - last > kStuckUs)
      return fail(Errc::timeout,
                  fmt::format("{} of {} nodes have reached the head", complete, setup.seen.size()));
  }
  if (!status) return std::unexpected(status.error());
  return burst;
}

void sample(Report& report, const std::string& name, Nature nature, const Burst& one,
            const Burst& stream) {
  report.sample(name + ".first_us", "us", nature, one.first_us);
  report.sample(name + ".last_us", "us", nature, one.last_us);
  report.sample(name + ".deliveries_per_s", "deliveries/s", nature,
                1e6 * static_cast<double>(stream.deliveries) / stream.last_us);
}

Status measure(Report& report, Setup& setup, size_t changes) {
  auto one = publish(setup, 1);
  if (!one) return std::unexpected(one.error());
  auto stream = publish(setup, changes);
  if (!stream) return std::unexpected(stream.error());
  sample(report, "fanout", kTrusted, *one, *stream);
  report.sample("fanout.ack_us", "us", kTrusted, one->acked_us);
  report.sample("fanout.first_to_last_us", "us", kTrusted, one->last_us - one->first_us);
  report.check("fanout.all_reached_the_head",
               std::ranges::all_of(setup.seen, [&](Sequence at) { return at == setup.head; }));
  return {};
}

/// The raw publisher's side of it: the same bytes, nothing decided, stored or checked.
Result<Burst> publish_raw(RawSender& sender, Peers& subscribers, size_t count, size_t bytes) {
  Burst burst;
  int64_t begin = now_us(), last = begin;
  sender.send(count, bytes);
  while (burst.deliveries < count * subscribers.size()) {
    size_t got = subscribers.receive(100'000, [&](size_t, ByteView) {
      last = now_us();
      if (burst.deliveries++ == 0) burst.first_us = static_cast<double>(last - begin);
    });
    if (got == 0 && now_us() - last > kStuckUs)
      return fail(Errc::timeout, "raw subscribers miss frames");
  }
  burst.last_us = static_cast<double>(last - begin);
  return burst;
}

Status measure_raw(Report& report, RawSender& sender, Peers& subscribers, size_t changes,
                   size_t bytes) {
  auto one = publish_raw(sender, subscribers, 1, bytes);
  if (!one) return std::unexpected(one.error());
  auto stream = publish_raw(sender, subscribers, changes, bytes);
  if (!stream) return std::unexpected(stream.error());
  sample(report, "raw_curve_pub", kRawCurve, *one, *stream);
  report.sample("raw_curve_pub.first_to_last_us", "us", kRawCurve, one->last_us - one->first_us);
  return {};
}

/// A publisher drops what it sends before a subscription has arrived: it repeats until each has
/// one, and then what is still under way is taken away.
Status wait_subscribed(RawSender& sender, Peers& subscribers) {
  std::vector<bool> subscribed(subscribers.size());
  auto got = [&](size_t peer, ByteView) { subscribed[peer] = true; };
  for (int64_t begin = now_us(); std::ranges::count(subscribed, false) > 0;) {
    if (now_us() - begin > kStuckUs)
      return fail(Errc::timeout, "the raw subscribers do not connect");
    sender.send(1, 1);
    while (subscribers.receive(50'000, got) > 0) {
    }
  }
  while (subscribers.receive(300'000, got) > 0) {
  }
  return {};
}

/// Connects and subscribes every node at the head, and waits until the controller has heard all: an
/// answer on the same connection says so.
Status subscribe_all(Setup& setup) {
  for (size_t node = 0; node < setup.seen.size(); ++node) {
    setup.peers.send(node, encode_message({0, Subscribe{setup.head, kCredit, false}}));
    setup.peers.send(node, encode_message({1, Query{"sites", {}, {}}}));  // refused: a node may not
  }
  size_t heard = 0;
  int64_t last = now_us();
  while (heard < setup.seen.size()) {
    size_t got = setup.peers.receive(100'000, [&](size_t, ByteView frame) {
      last = now_us();
      heard += frame_correlation(frame) == 1;
    });
    if (got == 0 && now_us() - last > kStuckUs)
      return fail(Errc::timeout,
                  fmt::format("{} of {} nodes are connected", heard, setup.seen.size()));
  }
  return {};
}

Status measure_all(Report& report, const Scale& scale, Setup& setup) {
  RawSender sender(RawSender::Kind::pub);
  BoxSecret key = BoxSecret::generate();
  Peers raw(PeerKind::sub, sender.endpoint(), sender.key(),
            std::vector<const BoxSecret*>(scale.subscribers, &key));
  MESH_TRY(wait_subscribed(sender, raw));
  const size_t changes = scale.count(50, 5);
  for (Repetitions run(report, scale); run.next();) {
    MESH_TRY(measure(report, setup, changes));
    MESH_TRY(measure_raw(report, sender, raw, changes, setup.frame_bytes));
  }
  report.fact("fanout.frame_bytes", static_cast<double>(setup.frame_bytes));
  report.ratio("fan-out / raw CURVE PUB, deliveries", "fanout.deliveries_per_s",
               "raw_curve_pub.deliveries_per_s", Target{"T6", 0.8});
  report.ratio("fan-out / raw CURVE PUB, time to the last", "fanout.last_us",
               "raw_curve_pub.last_us", Target{"T6", 1.3, true});
  return {};
}

struct Prepared {
  std::vector<NodeKeys> nodes;
  Sequence head;
};

Result<Prepared> prepare(const Network& network, size_t subscribers) {
  auto filler = Filler::open(network);
  if (!filler) return std::unexpected(filler.error());
  MESH_TRY((*filler)->submit(add_sites()));
  auto nodes = (*filler)->enrol("fleet", subscribers);
  if (!nodes) return std::unexpected(nodes.error());
  return Prepared{std::move(*nodes), (*filler)->head()};
}

}  // namespace

Status bench_fanout(Report& report, const Scale& scale) {
  raise_descriptor_limit();
  TemporaryDirectory directory;
  auto network = make_network(directory.path() / "data");
  if (!network) return std::unexpected(network.error());
  auto prepared = prepare(*network, scale.subscribers);
  if (!prepared) return std::unexpected(prepared.error());
  auto meshd = ControllerProcess::start(*network);
  if (!meshd) return std::unexpected(meshd.error());
  const auto before = static_cast<double>((*meshd)->resident_bytes());
  std::vector<const BoxSecret*> keys;
  for (const NodeKeys& node : prepared->nodes) keys.push_back(&node.box);
  keys.push_back(&network->admin_box);
  int64_t begin = now_us();
  Peers peers(PeerKind::dealer, (*meshd)->endpoint(), network->controller, keys);
  Setup setup{*network, peers, prepared->head,
              std::vector<Sequence>(scale.subscribers, prepared->head), FrameReader(*network)};
  MESH_TRY(subscribe_all(setup));
  report.fact("fanout.subscribers", static_cast<double>(scale.subscribers));
  report.fact("fanout.all_connected_s", static_cast<double>(now_us() - begin) / 1e6);
  MESH_TRY(measure_all(report, scale, setup));
  const auto after = static_cast<double>((*meshd)->resident_bytes());
  report.fact("fanout.meshd_resident_bytes", after);
  report.fact("fanout.meshd_bytes_per_subscriber",
              (after - before) / static_cast<double>(scale.subscribers));
  report.fact("fanout.head", static_cast<double>(setup.head.value()));
  report.fact("fanout.at_the_head",
              static_cast<double>(std::ranges::count(setup.seen, setup.head)));
  MESH_TRY((*meshd)->stop());
  auto entries = verify_log(*network);
  if (!entries) return std::unexpected(entries.error());
  report.check("fanout.log_verified_afterwards", *entries == setup.head.value());
  return {};
}

}  // namespace mesh::bench
