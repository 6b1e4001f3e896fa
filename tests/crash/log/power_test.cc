// Claim: whatever instant the power fails or the disk refuses at, reopening yields the acknowledged
// batches, perhaps with the one that was under way, and never a part of a batch. Method: run the
// workload once to count the file operations of RocksDB; then for each n let the n-th be where the
// fault begins, reopen on a sound disk, compare, and carry on to the end of the workload.
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/crash/log/fault_fs.h"
#include "tests/crash/log/workload.h"

namespace mesh {
namespace {

constexpr size_t kSmallWriteBuffer =
    64 * 1024;  // RocksDB's smallest: several flushes, a compaction

class PowerTest : public testing::Test {
 protected:
  using Fate = FaultFs::Fate;
  using Loss = FaultFs::Loss;

  const Workload workload_ = Workload::with_flushes();
  FaultFs disk_;
  const uint64_t seed_ =
      std::getenv("MESH_SEED") ? std::strtoull(std::getenv("MESH_SEED"), nullptr, 10) : 7;
  std::mt19937_64 random_{seed_};
  TempDir empty_;

  void SetUp() override {
    ASSERT_TRUE(RocksEventLog::create(empty_.path() / "log", test_log_id()));
  }

  RocksSeams seams() { return {disk_.env(), {}, kSmallWriteBuffer}; }

  uint64_t operations_of_a_sound_run() {
    TempDir dir;
    std::filesystem::copy(empty_.path() / "log", dir.path() / "log");
    Acknowledged acknowledged;
    auto log = RocksEventLog::open_with(dir.path() / "log", seams()).value();
    EXPECT_TRUE(run_workload(*log, workload_, acknowledged));
    log.reset();
    const uint64_t count = disk_.operations();
    disk_.power_on(Loss::nothing, random_);
    EXPECT_GT(count, 60u) << "too few to mean anything";
    return count;
  }

  /// Opens, writes, and meets `fate` at operation `at` (`for_ever`: and from then on).
  void write_into(const std::filesystem::path& path, Fate fate, uint64_t at, bool for_ever,
                  Acknowledged& acknowledged) {
    disk_.set_judge([=](uint64_t number) {
      return number == at || (for_ever && number > at) ? fate : Fate::happen;
    });
    auto log = RocksEventLog::open_with(path, seams());
    if (!log) return;  // the fault met the opening
    const Status ended = run_workload(**log, workload_, acknowledged);
    if (ended) return;  // it met a background thread after the last write
    EXPECT_EQ(ended.error().code, fate == Fate::no_space ? Errc::exhausted : Errc::io)
        << ended.error().message;
    EXPECT_EQ(append_entries(**log, 1).error().code, Errc::unavailable);
    EXPECT_EQ((*log)->head().value(), acknowledged.head);
    EXPECT_TRUE((*log)->read(Sequence(1), 0, 1)) << "reads go on";
  }

  void check_and_carry_on(const std::filesystem::path& path, Acknowledged& acknowledged) {
    for (int round = 0; round < 2; ++round) {
      auto log = RocksEventLog::open_with(path, seams());
      ASSERT_TRUE(log) << log.error().message;
      expect_nothing_lost(**log, workload_, acknowledged);
      const Status ended = run_workload(**log, workload_, acknowledged);
      ASSERT_TRUE(ended) << ended.error().message;
    }
  }

  void run_into(Fate fate, bool for_ever, Loss loss) {
    const uint64_t count = operations_of_a_sound_run();
    for (uint64_t at = 1; at <= count && !HasFailure(); ++at) {
      SCOPED_TRACE(testing::Message()
                   << "operation " << at << " of " << count << ", seed " << seed_);
      TempDir dir;
      const auto path = dir.path() / "log";
      std::filesystem::copy(empty_.path() / "log", path);
      Acknowledged acknowledged;
      write_into(path, fate, at, for_ever, acknowledged);
      disk_.power_on(loss, random_);
      check_and_carry_on(path, acknowledged);
      disk_.power_on(Loss::nothing, random_);
    }
  }
};

TEST_F(PowerTest, AllThatWasNotSyncedIsLost) { run_into(Fate::power_off, true, Loss::everything); }
TEST_F(PowerTest, NothingIsLostButTheProcess) { run_into(Fate::power_off, true, Loss::nothing); }
TEST_F(PowerTest, SomeSectorsAndNamesAreLost) { run_into(Fate::power_off, true, Loss::some); }
TEST_F(PowerTest, TheDiskIsFull) { run_into(Fate::no_space, true, Loss::nothing); }
TEST_F(PowerTest, TheDiskIsFullForOneOperation) { run_into(Fate::no_space, false, Loss::nothing); }
TEST_F(PowerTest, OneOperationFails) { run_into(Fate::io_error, false, Loss::nothing); }

}  // namespace
}  // namespace mesh
