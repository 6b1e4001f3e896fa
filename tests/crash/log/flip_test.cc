// Claim: one flipped bit anywhere in a log's directory loses nothing silently: the log is refused with
// what is wrong, or every entry, blob and snapshot is as it was or named as damaged while all others
// are read. Method: a log of some hundred entries in several tables and a write-ahead log; positions
// of every file are sampled, MESH_SEED chooses them; opened as a controller does, and for reading only.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>

#include "tests/crash/log/fault_fs.h"
#include "tests/crash/log/workload.h"

namespace mesh {
namespace {

namespace fs = std::filesystem;

constexpr size_t kFlipsPerFile = 16;

uint64_t number_from(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

void flip_bit(const fs::path& path, uint64_t at, unsigned bit) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekg(static_cast<std::streamoff>(at));
  const int byte = file.get();
  file.seekp(static_cast<std::streamoff>(at));
  file.put(static_cast<char>(byte ^ (1 << bit)));
  ASSERT_TRUE(file.good());
}

class FlipTest : public testing::Test {
 protected:
  const Workload workload_ = Workload::with_flushes();
  FaultFs disk_;
  TempDir dir_;
  Acknowledged acknowledged_;
  uint64_t refused_ = 0, named_ = 0, unharmed_ = 0;

  fs::path sound() const { return dir_.path() / "sound"; }
  fs::path damaged() const { return dir_.path() / "damaged"; }
  RocksSeams seams() { return {disk_.env(), {}, kSmallWriteBuffer}; }

  void SetUp() override {
    ASSERT_TRUE(RocksEventLog::create(sound(), test_log_id()));
    auto log = RocksEventLog::open_with(sound(), seams()).value();
    ASSERT_TRUE(run_workload(*log, workload_, acknowledged_));
  }

  /// Corrupt, and says of what.
  void expect_named(const Error& error, const std::string& what) {
    ++named_;
    EXPECT_EQ(error.code, Errc::corrupt) << error.message;
    EXPECT_TRUE(error.message.starts_with(what)) << error.message;
  }

  void expect_all_or_named(const EventLog& log) {
    const uint64_t before = named_;
    ASSERT_EQ(log.head().value(), acknowledged_.head);
    uint64_t intact = 0;
    for (uint64_t i = 1; i <= acknowledged_.head; ++i) {
      const auto entries = log.read(Sequence(i), 0, 1);
      if (!entries) {
        expect_named(entries.error(), "entry " + std::to_string(i));
      } else {
        ASSERT_EQ(entries->front(), test_entry(i, workload_.body_bytes));
        ++intact;
      }
    }
    EXPECT_GT(intact, acknowledged_.head / 4) << "one bit costs one block";
    for (const Digest& digest : acknowledged_.blobs) {
      const auto blob = log.get_blob(digest);
      if (!blob) expect_named(blob.error(), "blob " + to_hex(digest.view()));
    }
    for (const Sequence at : acknowledged_.snapshots) {
      const auto snapshot = log.get_snapshot(at);
      if (!snapshot) expect_named(snapshot.error(), "snapshot " + std::to_string(at.value()));
      else EXPECT_EQ(*snapshot, workload_snapshot(at.value()));
    }
    unharmed_ += named_ == before;
  }

  void flip_and_look(const fs::path& file, uint64_t at, unsigned bit) {
    SCOPED_TRACE(testing::Message() << file.filename() << " byte " << at << " bit " << bit);
    fs::remove_all(damaged());
    fs::copy(sound(), damaged());
    flip_bit(damaged() / file.filename(), at, bit);
    {
      const auto reader = RocksEventLog::open_read_only(damaged());
      if (!reader) EXPECT_NE(reader.error().message, "");
      else if (!(*reader)->damage()) expect_all_or_named(**reader);
    }
    const auto log = RocksEventLog::open_with(damaged(), seams());
    if (!log) {
      ++refused_;
      EXPECT_TRUE(log.error().code == Errc::corrupt || log.error().code == Errc::io ||
                  log.error().code == Errc::invalid || log.error().code == Errc::unsupported)
          << log.error().message;
      EXPECT_FALSE(log.error().message.empty());
    } else {
      expect_all_or_named(**log);
    }
  }
};

TEST_F(FlipTest, OneBitAnywhere) {
  const uint64_t seed = number_from("MESH_SEED", 1), more = number_from("MESH_CRASH_CYCLES", 0) / 50;
  std::printf("seed %lu\n", seed);
  std::mt19937_64 random(seed);
  std::vector<fs::path> files;
  for (const auto& file : fs::directory_iterator(sound()))
    if (file.file_size() > 0) files.push_back(file.path());
  std::ranges::sort(files);
  for (const fs::path& file : files)
    for (uint64_t n = 0; n < kFlipsPerFile * (1 + more) && !HasFailure(); ++n)
      flip_and_look(file, random() % fs::file_size(file), static_cast<unsigned>(random() % 8));
  std::printf("%zu files: %lu refused, %lu records named, %lu openings unharmed\n", files.size(), refused_,
              named_, unharmed_);
  EXPECT_GT(refused_, 0u);
  EXPECT_GT(named_, 0u);
}

}  // namespace
}  // namespace mesh
