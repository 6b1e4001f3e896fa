// Claim: the durable log refuses what it must not open, names what is damaged, reads on around it,
// and serves readers while it is written. Method: directories of each wrong kind; records changed
// behind the log's back through RocksDB itself; a reader on another thread.
#include <gtest/gtest.h>
#include <rocksdb/db.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "eventstore/log/records.h"
#include "eventstore/log/rocks_event_log.h"
#include "tests/unit/log/log_fixture.h"

namespace mesh {
namespace {

namespace fs = std::filesystem;

std::string contents_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class RocksEventLogTest : public testing::Test {
 protected:
  TempDir dir_;
  fs::path path() const { return dir_.path() / "log"; }

  void make_log(size_t entries) {
    const auto log = RocksEventLog::create(path(), test_log_id()).value();
    for (size_t i = 0; i < entries; i += 10)
      ASSERT_TRUE(append_entries(*log, std::min<size_t>(10, entries - i)));
  }

  /// Changes the database without the log's knowledge.
  void tamper(const std::function<void(rocksdb::DB&)>& change) {
    rocksdb::DB* raw = nullptr;
    ASSERT_TRUE(rocksdb::DB::Open({}, path().string(), &raw).ok());
    const std::unique_ptr<rocksdb::DB> db(raw);
    change(*db);
  }
  void damage(const std::string& key) {
    tamper([&](rocksdb::DB& db) {
      std::string value;
      ASSERT_TRUE(db.Get({}, key, &value).ok());
      value.back() = static_cast<char>(value.back() ^ 1);
      ASSERT_TRUE(db.Put({}, key, value).ok());
    });
  }
  void remove(const std::string& key) {
    tamper([&](rocksdb::DB& db) { ASSERT_TRUE(db.Delete({}, key).ok()); });
  }
  Error open_error() {
    const auto log = RocksEventLog::open(path());
    return log ? Error{} : log.error();
  }
};

TEST_F(RocksEventLogTest, AnAbsentDirectoryIsNotFound) {
  EXPECT_EQ(open_error().code, Errc::not_found);
  EXPECT_EQ(RocksEventLog::open_read_only(path()).error().code, Errc::not_found);
  EXPECT_FALSE(fs::exists(path())) << "opening makes nothing";
}

TEST_F(RocksEventLogTest, ADatabaseOfAnotherProjectIsRefusedUnchanged) {
  rocksdb::DB* raw = nullptr;
  rocksdb::Options options;
  options.create_if_missing = true;
  ASSERT_TRUE(rocksdb::DB::Open(options, path().string(), &raw).ok());
  ASSERT_TRUE(raw->Put({}, "key", "value").ok());
  delete raw;
  std::map<std::string, std::string> before, after;
  for (const auto& file : fs::directory_iterator(path()))
    before[file.path()] = contents_of(file.path());
  EXPECT_EQ(open_error().code, Errc::invalid);
  EXPECT_EQ(open_error().message, path().string() + " is not a meshlog log");
  EXPECT_EQ(RocksEventLog::open_read_only(path()).error().code, Errc::invalid);
  EXPECT_EQ(RocksEventLog::create(path(), test_log_id()).error().code, Errc::conflict);
  for (const auto& file : fs::directory_iterator(path()))
    after[file.path()] = contents_of(file.path());
  EXPECT_EQ(before, after);
}

TEST_F(RocksEventLogTest, AFileOrAnEmptyDirectoryIsNotALog) {
  std::ofstream(path()) << "text";
  EXPECT_EQ(open_error().code, Errc::invalid);
  fs::remove(path());
  fs::create_directory(path());
  EXPECT_EQ(open_error().code, Errc::invalid);
  EXPECT_TRUE(RocksEventLog::create(path(), test_log_id())) << "an empty directory will do";
}

TEST_F(RocksEventLogTest, CreatingTwiceIsAConflict) {
  make_log(1);
  EXPECT_EQ(RocksEventLog::create(path(), test_log_id()).error().code, Errc::conflict);
  EXPECT_EQ(RocksEventLog::open(path()).value()->head(), Sequence(1));
}

TEST_F(RocksEventLogTest, ANewerFormatAsksForAnUpgrade) {
  make_log(1);
  std::ofstream(path() / "meshlog") << "meshlog log 2 and more that only version 2 knows\n";
  EXPECT_EQ(open_error().code, Errc::unsupported);
  EXPECT_NE(open_error().message.find("format 2"), std::string::npos) << open_error().message;
  std::ofstream(path() / "meshlog") << "something else\n";
  EXPECT_EQ(open_error().code, Errc::invalid);
  std::ofstream(path() / "meshlog") << "meshlog log 1 " << std::string(32, 'a') << "\n";
  EXPECT_EQ(open_error().code, Errc::corrupt) << "another log's name";
}

TEST_F(RocksEventLogTest, OneWriterAtATime) {
  make_log(3);
  auto first = RocksEventLog::open(path()).value();
  EXPECT_EQ(open_error().code, Errc::unavailable);
  EXPECT_EQ(open_error().message, path().string() + " is open in another process");
  const auto reader = RocksEventLog::open_read_only(path());
  ASSERT_TRUE(reader) << reader.error().message;
  EXPECT_EQ((*reader)->head(), Sequence(3));
  ASSERT_TRUE(append_entries(*first, 1));
  EXPECT_EQ((*reader)->head(), Sequence(3)) << "as it was when opened";
  EXPECT_EQ(RocksEventLog::open_read_only(path()).value()->head(), Sequence(4));
  first.reset();
  EXPECT_TRUE(RocksEventLog::open(path()));
}

TEST_F(RocksEventLogTest, ADamagedOldEntryIsNamedAndTheOthersAreRead) {
  make_log(200);
  damage(records::entry_key(Sequence(17)));
  remove(records::entry_key(Sequence(40)));
  const auto log = RocksEventLog::open(path()).value();
  EXPECT_EQ(
      log->read(Sequence(17), 1000, 1).error(),
      (Error{Errc::corrupt, "entry 17: record damaged", "restore the directory from a backup"}));
  EXPECT_EQ(log->read(Sequence(40), 1000, 1).error().message, "entry 40: record missing");
  EXPECT_EQ(log->read(Sequence(1), 1 << 20, 1000).value().size(), 16u)
      << "ends before the damaged one";
  for (uint64_t i = 1; i <= 200; ++i)
    if (i != 17 && i != 40) {
      ASSERT_EQ(log->read(Sequence(i), 0, 1).value().front(), test_entry(i));
    }
  EXPECT_TRUE(append_entries(*log, 1));
}

TEST_F(RocksEventLogTest, ADamagedEndIsFoundAtOpenAndReadableReadOnly) {
  make_log(200);
  damage(records::entry_key(Sequence(199)));
  EXPECT_EQ(open_error().code, Errc::corrupt);
  EXPECT_NE(open_error().message.find("entry 199: record damaged"), std::string::npos)
      << open_error().message;
  const auto log = RocksEventLog::open_read_only(path()).value();
  ASSERT_TRUE(log->damage());
  EXPECT_EQ(log->damage()->message, "entry 199: record damaged");
  EXPECT_EQ(log->head(), Sequence(200));
  EXPECT_EQ(log->read(Sequence(1), 1 << 20, 1000).value().size(), 198u);
  EXPECT_EQ(log->read(Sequence(199), 0, 1).error().code, Errc::corrupt);
  EXPECT_EQ(log->read(Sequence(200), 0, 1).value().front(), test_entry(200));
  EXPECT_EQ(log->tree_hash(0, 0).error().code, Errc::corrupt);
}

TEST_F(RocksEventLogTest, EveryKindOfDamagedHeadIsFoundAtOpen) {
  const std::vector<std::string> keys{
      records::meta_key("format"),       records::meta_key("log_id"),
      records::meta_key("checkpoint"),   records::batch_key(Sequence(1)),
      records::batch_key(Sequence(191)), records::entry_key(Sequence(200)),
      records::tile_key(0, 2),           records::entry_key(Sequence(140)),
  };
  for (const std::string& key : keys) {
    for (const bool removed : {false, true}) {
      if (removed && key == records::meta_key("checkpoint"))
        continue;  // as if none had been signed
      SCOPED_TRACE(to_hex(as_bytes(key)) + (removed ? " removed" : " damaged"));
      fs::remove_all(path());
      make_log(200);
      removed ? remove(key) : damage(key);
      EXPECT_EQ(open_error().code, Errc::corrupt);
      EXPECT_TRUE(RocksEventLog::open_read_only(path()).value()->damage());
    }
  }
}

// Whole records with right checksums, but not what the log wrote: only the tree tells.
TEST_F(RocksEventLogTest, AForgedHeaderNearTheHeadIsFoundAtOpen) {
  make_log(100);
  tamper([](rocksdb::DB& db) {
    const std::string key = records::entry_key(Sequence(90)),
                      value = std::string("\0\0\0\1", 4) + "hb";
    ASSERT_TRUE(db.Put({}, key, records::seal(key, {value}) + value).ok());
  });
  EXPECT_EQ(open_error().code, Errc::corrupt);
}

TEST_F(RocksEventLogTest, AnEntryBeyondTheHeadIsFoundAtOpen) {
  make_log(10);
  tamper([](rocksdb::DB& db) {
    const std::string key = records::entry_key(Sequence(11)), value(4, '\0');
    ASSERT_TRUE(db.Put({}, key, records::seal(key, {value}) + value).ok());
  });
  EXPECT_NE(open_error().message.find("the newest entry is 11, the newest batch ends with 10"),
            std::string::npos);
}

TEST_F(RocksEventLogTest, DamagedBlobsAreNamedAndHealed) {
  const Blob blob = make_blob(text_bytes("a configuration"));
  make_log(1);
  ASSERT_TRUE(RocksEventLog::open(path()).value()->put_blobs({&blob, 1}));
  damage(records::blob_key(blob.digest));
  const auto log = RocksEventLog::open(path()).value();
  EXPECT_EQ(log->get_blob(blob.digest).error().code, Errc::corrupt);
  EXPECT_EQ(log->get_blob(blob.digest).error().message,
            "blob " + to_hex(blob.digest.view()) + ": record damaged");
  ASSERT_TRUE(log->put_blobs({&blob, 1}));
  EXPECT_EQ(log->get_blob(blob.digest).value(), blob.bytes);
}

TEST_F(RocksEventLogTest, ADamagedSnapshotIsPassedOverAndNamed) {
  make_log(10);
  {
    const auto log = RocksEventLog::open(path()).value();
    ASSERT_TRUE(log->put_snapshot(Sequence(4), as_bytes("four")));
    ASSERT_TRUE(log->put_snapshot(Sequence(8), as_bytes("eight")));
  }
  damage(records::snapshot_key(Sequence(8)));
  const auto log = RocksEventLog::open(path()).value();
  EXPECT_EQ(log->get_snapshot(Sequence(8)).error().message, "snapshot 8: record damaged");
  const auto found = log->newest_snapshot(Sequence(10)).value();
  EXPECT_EQ(found.damaged, std::vector{Sequence(8)});
  ASSERT_TRUE(found.snapshot);
  EXPECT_EQ(found.snapshot->sequence, Sequence(4));
}

// Claim: a reader sees only whole batches, each with its requests, tree and checkpoint.
TEST_F(RocksEventLogTest, OptimisingGivesSpaceBackAndDropsNothingWhileItIsWritten) {
  make_log(200);
  {
    const auto log = RocksEventLog::open(path()).value();
    uint64_t random = 20260101;
    for (uint64_t at = 1; at <= 40; ++at) {  // snapshots that nothing compresses
      Bytes bytes(1 << 20);
      for (uint8_t& byte : bytes) byte = static_cast<uint8_t>((random = random * 6364136223846793005 + 1) >> 56);
      ASSERT_TRUE(log->put_snapshot(Sequence(at), bytes));
      ASSERT_TRUE(log->remove_snapshot(Sequence(at)));
    }
    const uint64_t before = log->disk_bytes();
    std::thread optimiser([&] {
      for (unsigned part = 0; part < RocksEventLog::kCompactParts; ++part) ASSERT_TRUE(log->compact(part));
    });
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(append_entries(*log, 3));
    optimiser.join();
    EXPECT_LT(log->disk_bytes(), before / 4);
  }
  const auto log = RocksEventLog::open(path());
  ASSERT_TRUE(log) << log.error().message;
  ASSERT_EQ((*log)->head(), Sequence(500));
  for (uint64_t at = 1; at <= 500; ++at)
    EXPECT_EQ((*log)->read(Sequence(at), SIZE_MAX, 1).value().at(0), test_entry(at));
}

TEST_F(RocksEventLogTest, ReadersOnOtherThreadsSeeWholeBatches) {
  const auto log = RocksEventLog::create(path(), test_log_id()).value();
  std::atomic<bool> done = false;
  std::thread reader([&] {
    while (!done) {
      const uint64_t head = log->head().value();
      ASSERT_EQ(head % 7, 0u);
      const auto entries = log->read(Sequence(1), 1 << 20, head);
      ASSERT_TRUE(entries) << entries.error().message;
      ASSERT_EQ(entries->size(), head);
      if (head == 0) continue;
      ASSERT_EQ(entries->back(), test_entry(head));
      ASSERT_TRUE(log->find_request(test_request(head)));
      ASSERT_TRUE(log->tree_hash(0, head - 1));
      ASSERT_EQ(log->frontier().size() % 7, 0u);
    }
  });
  for (int i = 0; i < 60; ++i) ASSERT_TRUE(append_entries(*log, 7));
  done = true;
  reader.join();
  EXPECT_GT(log->disk_bytes(), 420u * test_entry(1).size());
}

}  // namespace
}  // namespace mesh
