// Claim: a file of the log that was cut or changed is noticed: what opens holds all acknowledged
// batches, every damaged record is named, and nothing crashes. Without the progress file, as after
// a power cut in the first seconds, a cut write-ahead log holds a prefix of whole batches.
// Method: two small logs, one in the write-ahead log only, one in a table file and a write-ahead
// log; every file of them cut at every byte, and one bit of every byte flipped; then opened as a
// controller does. Tables are cut at every 16th byte and flipped at every second, unless
// MESH_CRASH_CYCLES asks for 500 cycles or more.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>

#include "tests/crash/log/fault_fs.h"
#include "tests/crash/log/workload.h"

namespace mesh {
namespace {

namespace fs = std::filesystem;

using Image = std::map<std::string, std::string>;  // file name -> contents

Image image_of(const fs::path& directory) {
  Image out;
  for (const auto& file : fs::directory_iterator(directory)) {
    std::ifstream stream(file.path(), std::ios::binary);
    out[file.path().filename()] = {std::istreambuf_iterator<char>(stream), {}};
  }
  return out;
}

void write_image(const Image& image, const fs::path& directory) {
  fs::remove_all(directory);
  fs::create_directory(directory);
  for (const auto& [name, contents] : image)
    std::ofstream(directory / name, std::ios::binary) << contents;
}

/// 1 when a long run is wanted.
size_t stride(size_t usual) {
  const char* cycles = std::getenv("MESH_CRASH_CYCLES");
  return cycles && std::atoi(cycles) >= 500 ? 1 : usual;
}

bool is_table(const std::string& name) { return name.ends_with(".sst"); }

/// Not RocksDB's diary, nor the options that it writes down and never reads, nor a name it makes
/// up.
bool matters(const std::string& name) {
  return !name.starts_with("LOG") && name != "LOCK" && !name.starts_with("OPTIONS") &&
         name != "IDENTITY";
}

class DamageTest : public testing::Test {
 protected:
  const Workload workload_ = Workload::tiny();
  const uint64_t head_ = 4;
  FaultFs disk_;
  TempDir dir_;
  Image in_write_ahead_log_;  // all entries in the write-ahead log
  Image in_table_;            // all entries in a table file

  fs::path path() const { return dir_.path() / "log"; }
  Result<std::unique_ptr<RocksEventLog>> open() {
    return RocksEventLog::open_with(path(), {disk_.env(), {}, kSmallWriteBuffer});
  }

  void SetUp() override {
    Acknowledged acknowledged;
    auto log = RocksEventLog::create(path(), test_log_id()).value();
    ASSERT_TRUE(run_workload(*log, workload_, acknowledged));
    ASSERT_EQ(acknowledged.head, head_);
    log.reset();
    in_write_ahead_log_ = image_of(path());
    ASSERT_TRUE(open());  // opening moves them
    in_table_ = image_of(path());
  }

  /// Opens what is at path(). What opens has every entry, or says which one it cannot read.
  void expect_all_or_named() {
    const auto log = open();
    if (!log) {
      EXPECT_NE(log.error().message, "");
      EXPECT_TRUE(log.error().code == Errc::corrupt || log.error().code == Errc::io ||
                  log.error().code == Errc::invalid || log.error().code == Errc::unsupported)
          << log.error().message;
      return;
    }
    ASSERT_EQ((*log)->head(), Sequence(head_)) << "acknowledged entries vanished silently";
    EXPECT_EQ((*log)->frontier().root(), test_root(head_));
    for (uint64_t i = 1; i <= head_; ++i) {
      const auto entries = (*log)->read(Sequence(i), 0, 1);
      if (entries) {
        EXPECT_EQ(entries->front(), test_entry(i, workload_.body_bytes));
      } else {
        EXPECT_EQ(entries.error().code, Errc::corrupt);
        EXPECT_TRUE(entries.error().message.starts_with("entry " + std::to_string(i)))
            << entries.error().message;
      }
    }
  }

  void expect_whole_prefix_or_refusal() {
    const auto log = open();
    if (log) {
      expect_whole_prefix(**log, workload_);
    } else {
      EXPECT_NE(log.error().message, "");
    }
  }

  void for_each_byte(const Image& image, const std::function<bool(const std::string&)>& chosen,
                     size_t stride,
                     const std::function<void(std::string& contents, size_t at)>& change,
                     const std::function<void()>& check) {
    for (const auto& [name, contents] : image) {
      if (!chosen(name)) continue;
      for (size_t at = 0; at < contents.size() && !HasFailure(); at += stride) {
        SCOPED_TRACE(testing::Message() << name << " of " << contents.size() << " bytes at " << at);
        Image changed = image;
        change(changed[name], at);
        write_image(changed, path());
        check();
      }
    }
  }
};

void cut(std::string& contents, size_t at) { contents.resize(at); }
void flip(std::string& contents, size_t at) {
  contents[at] = static_cast<char>(contents[at] ^ (1 << (at / 2 % 8)));
}

bool is_write_ahead_log(const std::string& name) { return name.ends_with(".log"); }

TEST_F(DamageTest, AWriteAheadLogCutAnywhereIsRefusedAndWhatIsThereCanBeRead) {
  for_each_byte(in_write_ahead_log_, is_write_ahead_log, stride(5), cut, [&] {
    {
      const auto reader = RocksEventLog::open_read_only(path());
      ASSERT_TRUE(reader) << reader.error().message;
      ASSERT_TRUE((*reader)->damage());
      const auto entries = (*reader)->read(Sequence(1), ~size_t{0}, ~size_t{0});
      ASSERT_TRUE(entries) << entries.error().message;
      ASSERT_EQ(entries->size(), (*reader)->head().value());
    }
    const auto log = open();
    ASSERT_FALSE(log);
    EXPECT_EQ(log.error().code, Errc::corrupt);
    EXPECT_NE(log.error().message.find("the end is missing"), std::string::npos)
        << log.error().message;
    EXPECT_FALSE(open()) << "and it stays refused";
  });
}

TEST_F(DamageTest, AWriteAheadLogCutAnywhereHoldsAPrefix) {
  uint64_t highest = 0;
  in_write_ahead_log_.erase("progress");
  for_each_byte(
      in_write_ahead_log_, is_write_ahead_log, 1, cut,
      [&] {
        const auto log = open();
        ASSERT_TRUE(log) << log.error().message;
        expect_whole_prefix(**log, workload_);
        EXPECT_GE((*log)->head().value(), highest);
        highest = (*log)->head().value();
      });
  EXPECT_EQ(highest, 3u) << "one byte short of everything";
}

TEST_F(DamageTest, AnyOtherFileCutAnywhereIsAPrefixOrRefused) {
  const auto rest = [](const std::string& name) {
    return matters(name) && !is_table(name) && !name.ends_with(".log");
  };
  for_each_byte(in_table_, rest, 1, cut, [&] { expect_whole_prefix_or_refusal(); });
  for_each_byte(in_table_, is_table, stride(16), cut, [&] { expect_whole_prefix_or_refusal(); });
}

TEST_F(DamageTest, AFlippedBitInTheWriteAheadLogIsNoticed) {
  for_each_byte(
      in_write_ahead_log_, [](const std::string& name) { return matters(name) && !is_table(name); },
      1, flip, [&] { expect_all_or_named(); });
}

// The manifest of a log that flushed while it ran, so that its last records are not repeated at
// open.
TEST_F(DamageTest, AFlippedBitInALongManifestIsNoticed) {
  const Workload workload = Workload::with_flushes();
  Acknowledged acknowledged;
  write_image(in_table_, path());
  fs::remove_all(path());
  auto log = RocksEventLog::create(path(), test_log_id()).value();
  log.reset();
  log = open().value();
  ASSERT_TRUE(run_workload(*log, workload, acknowledged));
  log.reset();
  const Image image = image_of(path());
  for_each_byte(
      image, [](const std::string& name) { return name.starts_with("MANIFEST"); }, 3, flip,
      [&] {
        const auto again = open();
        if (again) {
          EXPECT_EQ((*again)->head().value(), acknowledged.head);
        }
      });
}

TEST_F(DamageTest, AFlippedBitInATableIsNoticed) {
  for_each_byte(in_table_, is_table, stride(2), flip, [&] { expect_all_or_named(); });
}

TEST_F(DamageTest, AMissingFileIsNoticed) {
  for (const Image* image : {&in_write_ahead_log_, &in_table_})
    for (const auto& [name, contents] : *image) {
      if (!matters(name)) continue;
      SCOPED_TRACE(name);
      Image without = *image;
      without.erase(name);
      write_image(without, path());
      if (image == &in_write_ahead_log_ && is_write_ahead_log(name)) {
        EXPECT_EQ(open().error().code, Errc::corrupt) << "acknowledged entries vanished silently";
      } else {
        expect_whole_prefix_or_refusal();
      }
    }
}

}  // namespace
}  // namespace mesh
