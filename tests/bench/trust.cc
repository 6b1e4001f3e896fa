#include "broker/arrival.h"
#include "eventstore/model/merkle.h"
#include "tests/bench/benches.h"
#include "tests/bench/network.h"
#include "tests/bench/peers.h"

namespace mesh::bench {

namespace {

constexpr size_t kPerFlush = 64;  // as when 64 clients wait

/// Passes everything on, but appends without a checkpoint. meshd has no such switch.
class WithoutCheckpoints final : public EventLog {
 public:
  explicit WithoutCheckpoints(std::unique_ptr<EventLog> log) : log_(std::move(log)) {}
  LogId id() const override { return log_->id(); }
  Sequence head() const override { return log_->head(); }
  uint64_t term() const override { return log_->term(); }
  Result<Sequence> append(Sequence expected, uint64_t term, std::span<const EncodedEntry> entries,
                          std::span<const RequestId> requests, const CheckpointSigner&) override {
    return log_->append(expected, term, entries, requests, {});
  }
  Result<std::vector<EncodedEntry>> read(Sequence from, size_t bytes, size_t count) const override {
    return log_->read(from, bytes, count);
  }
  std::optional<Sequence> find_request(const RequestId& id) const override {
    return log_->find_request(id);
  }
  MerkleFrontier frontier() const override { return log_->frontier(); }
  Result<Digest> tree_hash(unsigned level, uint64_t index) const override {
    return log_->tree_hash(level, index);
  }
  std::string checkpoint() const override { return log_->checkpoint(); }
  Status put_checkpoint(std::string_view note) override { return log_->put_checkpoint(note); }
  Status put_blobs(std::span<const Blob> blobs) override { return log_->put_blobs(blobs); }
  Result<Bytes> get_blob(const Digest& digest) const override { return log_->get_blob(digest); }
  Status put_snapshot(Sequence at, ByteView bytes) override {
    return log_->put_snapshot(at, bytes);
  }
  Status remove_snapshot(Sequence at) override { return log_->remove_snapshot(at); }
  std::vector<Sequence> snapshots() const override { return log_->snapshots(); }
  Result<Bytes> get_snapshot(Sequence at) const override { return log_->get_snapshot(at); }

 private:
  std::unique_ptr<EventLog> log_;
};

struct Side {
  std::unique_ptr<Network> network;  // the filler refers to it
  std::unique_ptr<Filler> filler;
  uint64_t round = 0;
};

Result<Side> make_side(const std::filesystem::path& data, const Filler::Wrap& wrap) {
  auto network = make_network(data);
  if (!network) return std::unexpected(network.error());
  Side side{std::make_unique<Network>(std::move(*network)), nullptr};
  auto filler = Filler::open(*side.network, wrap);
  if (!filler) return std::unexpected(filler.error());
  MESH_TRY((*filler)->submit(add_sites()));
  side.filler = std::move(*filler);
  return side;
}

/// Signed requests decided, appended and answered; returns microseconds for each.
Result<double> work(Side& side, size_t requests) {
  Controller& controller = side.filler->controller();
  const SessionId admin{side.network->admin_box.public_key(), 1, false};
  std::vector<Bytes> frames;
  const Sequence head = controller.state().sequence;
  for (auto& commands : attribute_requests(requests, 1, ++side.round))
    frames.push_back(submit_frame(*side.network, frames.size(), head, std::move(commands)));
  const Now now{controller.state().time, 0};
  const int64_t begin = now_us();
  for (size_t i = 0; i < requests;) {
    for (size_t end = std::min(requests, i + kPerFlush); i < end; ++i)
      controller.receive(admin, read_frame(frames[i], side.network->admin_sign.public_key()), now);
    controller.flush(now);
    controller.take_output();
  }
  const auto us = static_cast<double>(now_us() - begin);
  if (controller.log().head().value() != head.value() + requests)
    return fail(Errc::corrupt, "not every request became an entry");
  return us / static_cast<double>(requests);
}

/// Of the newest entries: hashing the header and growing the tree.
Result<double> merkle_us(const EventLog& log, size_t count) {
  auto entries = log.read(Sequence(log.head().value() - count + 1), SIZE_MAX, count);
  if (!entries) return std::unexpected(entries.error());
  MerkleFrontier frontier;
  const int64_t begin = now_us();
  for (const EncodedEntry& entry : *entries) frontier.append(leaf_hash(entry.header));
  const auto us = static_cast<double>(now_us() - begin);
  MESH_ASSERT(frontier.size() == entries->size());
  return us / static_cast<double>(entries->size());
}

}  // namespace

Status bench_trust(Report& report, const Scale& scale) {
  TemporaryDirectory directory;
  auto with = make_side(directory.path() / "with", {});
  if (!with) return std::unexpected(with.error());
  auto without = make_side(directory.path() / "without", [](std::unique_ptr<EventLog> log) {
    return std::make_unique<WithoutCheckpoints>(std::move(log));
  });
  if (!without) return std::unexpected(without.error());
  const size_t requests = scale.count(2'048, 256);
  for (Repetitions run(report, scale); run.next();) {
    auto all = work(*with, requests), less = work(*without, requests);
    if (!all) return std::unexpected(all.error());
    if (!less) return std::unexpected(less.error());
    auto merkle = merkle_us(with->filler->controller().log(), requests);
    if (!merkle) return std::unexpected(merkle.error());
    report.sample("trust.everything", "requests/s", Nature{true, false, true}, 1e6 / *all);
    report.sample("trust.without_checkpoints", "requests/s", Nature{true, false, true},
                  1e6 / *less);
    report.sample("trust.merkle_tree", "us/request", kPure, *merkle);
    // The log always grows its tree; what that costs was measured just now.
    report.sample("trust.without_checkpoints_and_tree", "requests/s", Nature{true, false, true},
                  1e6 / (*less - *merkle));
  }
  with->filler.reset();
  auto entries = verify_log(*with->network);
  if (!entries) return std::unexpected(entries.error());
  report.ratio("everything / without checkpoints and tree", "trust.everything",
               "trust.without_checkpoints_and_tree", Target{"T3", 0.75});
  return {};
}

}  // namespace mesh::bench
