#include "tests/crash/cycles/writer.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <fstream>
#include <optional>
#include <thread>

#include "broker/bus/keys.h"
#include "eventstore/log/archive.h"
#include "eventstore/log/rocks_event_log.h"
#include "eventstore/log/rocks_seams.h"
#include "eventstore/model/crypto.h"
#include "eventstore/model/evolve.h"
#include "schemas/codec.h"
#include "tests/support/world.h"

namespace mesh::crash {

namespace {

constexpr size_t kBatchesMax = 150;
constexpr size_t kSnapshotsKept = 3;

void say(std::string line) {
  line += '\n';
  if (::write(STDOUT_FILENO, line.data(), line.size()) != static_cast<ssize_t>(line.size()))
    std::abort();
}

/// Watches for the moment that the plan names.
class Fate {
 public:
  Fate(const Plan& plan, FaultFs& disk) : plan_(plan), disk_(disk) {
    disk_.set_loss(plan.loss, plan.seed, plan.lying_disk);
    disk_.set_watch([this](const FaultFs::Operation& operation) { return judge(operation); });
  }

  void opened() { opening_ = false; }

  /// The steps of a write that RocksEventLog names.
  void at_step(std::string_view step) {
    if (doing_ != "stage") return reached(doing_, step != "prepared");
    if (step == "prepared") reached("stage", true);
    if (step == "synced") reached("publish", false);
    if (step == "visible") reached("publish", true);
  }
  void begin(const char* doing) {
    doing_ = doing;
    reached(doing, false);
  }
  void end(const char* doing) { reached(doing, true); }

 private:
  static const char* point_of(const FaultFs::Operation& operation) {
    if (operation.path.ends_with(".log") && operation.name == "append") return "write";
    if (operation.path.ends_with(".log") && operation.name == "sync") return "sync";
    return "compact";
  }

  FaultFs::Fate judge(const FaultFs::Operation& operation) {
    using F = FaultFs::Fate;
    const bool begins = !operation.done;
    if (plan_.ending == Ending::full_disk && begins && operation.number >= plan_.number)
      return F::no_space;
    if (plan_.ending == Ending::io_error && begins && operation.number == plan_.number)
      return F::io_error;
    if (!is_it(opening_ ? "recover" : point_of(operation), operation.done)) return F::happen;
    return plan_.power_cut ? F::power_cut : F::kill;
  }

  bool is_it(std::string_view point, bool after) {
    if (plan_.ending != Ending::point || point != plan_.point || after != plan_.after) return false;
    return ++times_ == plan_.number;
  }

  void reached(std::string_view point, bool after) {
    if (!is_it(point, after)) return;
    if (plan_.power_cut) disk_.cut_power();
    std::raise(SIGKILL);
  }

  const Plan& plan_;
  FaultFs& disk_;
  std::atomic<bool> opening_ = true;
  std::atomic<uint64_t> times_ = 0;
  std::string_view doing_ = "stage";
};

class Writer {
 public:
  Writer(RocksEventLog& log, Fate& fate, std::filesystem::path backup, uint64_t seed)
      : log_(log), fate_(fate), backup_(std::move(backup)), random_(seed) {}

  /// What a controller does at start: the newest snapshot, and the entries after it.
  Status load() {
    Replica replica;
    const auto found = log_.newest_snapshot(log_.head());
    if (!found) return std::unexpected(found.error());
    if (found->snapshot) {
      auto decoded = decode_snapshot(found->snapshot->bytes);
      if (!decoded) return std::unexpected(decoded.error());
      replica = std::move(*decoded);
    }
    while (replica.head() < log_.head()) {
      const auto entries = log_.read(next(replica.head()), 1 << 20, 1000);
      if (!entries) return std::unexpected(entries.error());
      for (const EncodedEntry& encoded : *entries) {
        const auto entry = decode_entry(encoded);
        if (!entry) return std::unexpected(entry.error());
        MESH_TRY(replay(replica, *entry, log_.id()));
      }
    }
    if (replica.frontier != log_.frontier())
      return fail(Errc::corrupt, "the fold and the log differ in their trees");
    world_ = replica.head() == Sequence()
                 ? test::World(kWorld)
                 : test::World(kWorld, std::move(replica), 1'000'000 * (log_.head().value() + 1));
    return {};
  }

  Status run() {
    MESH_TRY(store());  // the first entry of a new log
    for (size_t batch = 1; batch <= kBatchesMax; ++batch) {
      for (uint64_t left = below(8) == 0 ? 24 : 1 + below(4); left > 0; --left) make_entry();
      MESH_TRY(store());
      if (batch % 5 == 0) MESH_TRY(put_blobs());
      if (batch % 11 == 0) MESH_TRY(put_snapshot());
      if (batch % 37 == 0) MESH_TRY(back_up());
    }
    return {};
  }

  /// After a failed write there is no other, and reading goes on.
  void check_refusal(const Error& error) {
    const Blob blob = make_blob();
    const auto second = log_.put_blobs({&blob, 1});
    const bool refused = !second && second.error().code == Errc::unavailable;
    const bool read = log_.head() == Sequence() || log_.read(Sequence(1), 0, 1);
    say(refused && read ? fmt::format("refused {}", static_cast<int>(error.code))
                        : "failed a write or a read after a failed write");
  }

 private:
  uint64_t below(uint64_t bound) { return random_() % bound; }

  void make_entry() {
    test::World& world = *world_;
    const MeshState& state = world.state();
    const uint64_t number = state.sequence.value();
    const std::string text = std::to_string(number);
    if (state.sites.size() < 4) {
      const std::string site = "s" + text;
      world.must({AddSite{site}, AddNode{"r1." + site}});
      return;
    }
    const std::string site = std::next(state.sites.begin(), static_cast<ptrdiff_t>(below(4)))->first;
    switch (below(8)) {
      case 0: world.must(SetAttribute{{}, "note", text + std::string(below(900), 'x')}); return;
      case 1: world.must(SetAttribute{{Level::site, site}, "note", text}); return;
      case 2: world.must(SetAttribute{{Level::node, "r1." + site}, "note", text}); return;
      case 3: world.must({RemoveNode{"r1." + site}, RemoveSite{site}}); return;
      case 4:
        if (state.tags.size() < 20) return static_cast<void>(world.must(AddTag{"t" + text, {}}));
        world.must(RemoveTag{state.tags.begin()->first});
        return;
      default: world.must({SetAttribute{{}, "counter", text}, SetAttribute{{}, "other", text}});
    }
  }

  Status store() {
    const auto& made = world_->entries();
    if (taken_ == made.size()) return {};
    const std::span<const EncodedEntry> entries(made.begin() + static_cast<ptrdiff_t>(taken_),
                                                made.end());
    std::vector<RequestId> requests;
    std::string line = fmt::format("try {}", log_.head().value() + 1);
    for (const EncodedEntry& entry : entries) {
      requests.push_back(decode_entry(entry)->body->request.id);
      line += ' ' + to_hex(Sha256().add(entry.header).add(entry.body).finish().view());
    }
    say(line);
    fate_.begin("stage");
    const auto head = log_.append(log_.head(), 1, entries, requests, signer());
    if (!head) return std::unexpected(head.error());
    say(fmt::format("ok {}", head->value()));
    taken_ = made.size();
    return {};
  }

  CheckpointSigner signer() const {
    return [this](uint64_t size, const Digest& root) {
      const SignSecret key = test::sign_secret(std::string(kWorld) + " log");
      const std::string origin = checkpoint_origin(log_.id(), 1);
      return sign_note(checkpoint_text({origin, size, root, {}}), origin, key.public_key(),
                       [&](ByteView message) { return key.sign({}, message); });
    };
  }

  Blob make_blob() {
    Bytes bytes(8 + below(12'000));
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random_());
    const Digest digest = sha256(bytes);
    return {digest, std::move(bytes)};
  }

  Status put_blobs() {
    std::vector<Blob> blobs(1 + below(3));
    for (Blob& blob : blobs) blob = make_blob();
    fate_.begin("blobs");
    const Status stored = log_.put_blobs(blobs);
    fate_.end("blobs");
    if (!stored) return stored;
    for (const Blob& blob : blobs) say("blob " + to_hex(blob.digest.view()));
    return {};
  }

  Status put_snapshot() {
    const uint64_t at = world_->state().sequence.value();
    const Bytes bytes = encode_snapshot(world_->replica());
    say(fmt::format("try-snapshot {} {}", at, to_hex(sha256(bytes).view())));
    fate_.begin("snapshot");
    const Status stored = log_.put_snapshot(Sequence(at), bytes);
    fate_.end("snapshot");
    if (!stored) return stored;
    say(fmt::format("snapshot {}", at));
    if (log_.snapshots().size() <= kSnapshotsKept) return {};
    const Sequence oldest = log_.snapshots().front();
    say(fmt::format("try-drop {}", oldest.value()));
    MESH_TRY(log_.remove_snapshot(oldest));
    say(fmt::format("dropped {}", oldest.value()));
    return {};
  }

  /// What a controller does for `controller backup`, but the disk's sync: the file is not under test.
  Status back_up() {
    const uint64_t head = log_.head().value();
    std::filesystem::remove(backup_);  // the one before is whole, and must not be taken for this one
    say(fmt::format("try-backup {}", head));
    fate_.begin("backup");
    std::ofstream file(backup_, std::ios::binary | std::ios::trunc);
    const ByteSink sink = [&](ByteView bytes) -> Status {
      fate_.begin("backup");
      file << as_text(bytes) << std::flush;
      fate_.end("backup");
      return file ? Status() : fail(Errc::io, "writing the backup failed");
    };
    auto archive = ArchiveWriter::start(sink, {log_.id(), head, log_.checkpoint()});
    if (!archive) return std::unexpected(archive.error());
    const auto entries = log_.read(Sequence(1), ~size_t{0}, head);
    if (!entries) return std::unexpected(entries.error());
    for (const EncodedEntry& entry : *entries) MESH_TRY(archive->add_entry(entry));
    MESH_TRY(archive->finish());
    fate_.end("backup");
    say(fmt::format("backup {}", head));
    return {};
  }

  RocksEventLog& log_;
  Fate& fate_;
  const std::filesystem::path backup_;
  std::mt19937_64 random_;
  std::optional<test::World> world_;
  size_t taken_ = 0;  // of the world's entries
};

}  // namespace

int write_until_death(const std::filesystem::path& directory, const Plan& plan) {
  FaultFs disk;
  Fate fate(plan, disk);
  if (plan.ending == Ending::power)
    std::thread([&] {
      std::this_thread::sleep_for(std::chrono::microseconds(plan.delay_us));
      disk.cut_power();
    }).detach();
  auto log = RocksEventLog::open_with(
      directory,
      {disk.env(), [&](std::string_view step) { fate.at_step(step); }, kWriteBufferBytes});
  if (!log) {
    say("failed " + log.error().message);
    return 3;
  }
  fate.opened();
  say(fmt::format("opened {}", (*log)->head().value()));
  Writer writer(**log, fate, backup_of(directory), plan.seed);
  if (const Status loaded = writer.load(); !loaded) {
    say("failed " + loaded.error().message);
    return 3;
  }
  if (const Status ended = writer.run(); !ended) writer.check_refusal(ended.error());
  (*log).reset();
  say("closed");
  ::_exit(0);  // a thread may be waiting for its moment
}

}  // namespace mesh::crash
