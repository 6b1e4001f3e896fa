// Claim: a backup file gives back exactly what was written, and nothing of it can be cut, flipped,
// swapped, removed or added without the reader naming it; what it passes on before that is intact.
// Method: a small backup damaged in every way there is, byte by byte and bit by bit; records
// rearranged with right checksums; lengths beyond every limit.
#include <gtest/gtest.h>

#include <random>

#include "eventstore/model/limits.h"
#include "tests/support/archive_bytes.h"

namespace mesh {
namespace {

using test::ArchiveContents;

Bytes written(const ArchiveContents& contents) {
  auto bytes = test::write_archive(contents);
  EXPECT_TRUE(bytes) << bytes.error().message;
  return bytes.value_or(Bytes());
}

void expect_equal(const ArchiveContents& a, const ArchiveContents& b) {
  EXPECT_EQ(a.head.log, b.head.log);
  EXPECT_EQ(a.head.entries, b.head.entries);
  EXPECT_EQ(a.head.note, b.head.note);
  EXPECT_EQ(a.entries, b.entries);
  ASSERT_EQ(a.blobs.size(), b.blobs.size());
  for (size_t i = 0; i < a.blobs.size(); ++i) {
    EXPECT_EQ(a.blobs[i].digest, b.blobs[i].digest);
    EXPECT_EQ(a.blobs[i].bytes, b.blobs[i].bytes);
  }
}

/// The error of reading; also that what was passed on before it is a prefix of what was written.
Error damage_of(ByteView bytes, const ArchiveContents& original) {
  ArchiveContents seen;
  auto read = test::read_archive(test::source_of(bytes), &seen);
  EXPECT_FALSE(read.has_value()) << "damage was not found";
  EXPECT_LE(seen.entries.size(), original.entries.size());
  for (size_t i = 0; i < seen.entries.size(); ++i) EXPECT_EQ(seen.entries[i], original.entries[i]);
  return read ? Error{} : read.error();
}

TEST(Archive, gives_back_what_was_written) {
  const ArchiveContents small = test::small_archive();
  for (const size_t step : {size_t{1}, size_t{7}, SIZE_MAX}) {
    const Bytes bytes = written(small);
    auto read = test::read_archive(test::source_of(bytes, step));
    ASSERT_TRUE(read) << read.error().message;
    expect_equal(*read, small);
  }
}

TEST(Archive, spreads_over_many_records) {
  std::mt19937_64 random(20260101);
  ArchiveContents big;
  big.head.entries = 3'000;
  big.head.note = "note";
  for (uint64_t i = 0; i < big.head.entries; ++i) {
    EncodedEntry entry{Bytes(180), Bytes(random() % 3'000)};
    for (uint8_t& byte : entry.body) byte = static_cast<uint8_t>(i % 3 ? i : random());
    big.entries.push_back(std::move(entry));
  }
  big.entries[1'000].body.resize(kEntryBytesMax - 180, 5);
  Bytes blob(3 * kArchiveChunkBytes);
  for (uint8_t& byte : blob) byte = static_cast<uint8_t>(random());
  big.blobs.push_back({sha256(blob), blob});
  const Bytes bytes = written(big);
  EXPECT_GT(test::split_archive(bytes).size(), 5u);
  auto read = test::read_archive(test::source_of(bytes));
  ASSERT_TRUE(read) << read.error().message;
  expect_equal(*read, big);
}

TEST(Archive, holds_an_empty_log) {
  ArchiveContents empty;
  auto read = test::read_archive(test::source_of(written(empty)));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_TRUE(read->entries.empty());
}

TEST(Archive, names_a_cut_at_every_byte) {
  const ArchiveContents original = test::small_archive();
  const Bytes bytes = written(original);
  for (size_t size = 0; size < bytes.size(); ++size) {
    const Error error = damage_of(ByteView(bytes).first(size), original);
    EXPECT_EQ(error.code, Errc::corrupt) << size;
    EXPECT_NE(error.message.find("cut off at byte " + std::to_string(size)), std::string::npos)
        << size << ": " << error.message;
  }
}

TEST(Archive, names_every_flipped_bit) {
  const ArchiveContents original = test::small_archive();
  Bytes bytes = written(original);
  for (size_t at = 0; at < bytes.size(); ++at)
    for (unsigned bit = 0; bit < 8; ++bit) {
      bytes[at] ^= static_cast<uint8_t>(1u << bit);
      const Error error = damage_of(bytes, original);
      if (at < 17)
        EXPECT_TRUE(error.code == Errc::invalid || error.code == Errc::unsupported) << at;
      else if (at < test::kArchiveHeadBytes)
        EXPECT_EQ(error.message, "the backup's head is damaged") << at;
      else
        EXPECT_TRUE(error.message.starts_with("the backup's record ") &&
                    error.message.ends_with("damaged"))
            << at << ": " << error.message;
      bytes[at] ^= static_cast<uint8_t>(1u << bit);
    }
}

TEST(Archive, names_what_is_missing_swapped_or_added) {
  ArchiveContents original = test::small_archive();
  const std::vector<Bytes> pieces =
      test::split_archive(written(original));  // head, note, entries, blobs, trailer
  ASSERT_EQ(pieces.size(), 5u);
  auto removed = pieces;
  removed.erase(removed.begin() + 2);
  EXPECT_EQ(damage_of(test::join_archive(removed), original).message,
            "the backup's record 1 at byte " + std::to_string(pieces[0].size() + pieces[1].size()) +
                ", after entry 0: record 2 is in its place: records are missing or were swapped");
  auto swapped = pieces;
  std::swap(swapped[2], swapped[3]);
  EXPECT_NE(damage_of(test::join_archive(swapped), original).message.find("were swapped"),
            std::string::npos);
  auto longer = test::join_archive(pieces);
  longer.push_back(0);
  EXPECT_NE(damage_of(longer, original).message.find("bytes after the trailer"), std::string::npos);
}

TEST(Archive, is_not_deceived_by_right_checksums) {
  // Head, note, entries, blobs, trailer.
  const std::vector<Bytes> pieces = test::split_archive(written(test::small_archive()));
  const auto arranged = [&](std::initializer_list<size_t> order, bool digest = true) {
    std::vector<Bytes> out;
    for (const size_t piece : order) out.push_back(pieces[piece]);
    const Bytes bytes = test::reseal_archive(std::move(out), digest);
    auto read = test::read_archive(test::source_of(bytes));
    return read ? std::string("accepted") : read.error().message;
  };
  EXPECT_EQ(arranged({0, 1, 2, 3, 4}), "accepted");
  EXPECT_NE(arranged({0, 1, 3, 4}).find("counts 5 entries"), std::string::npos);
  EXPECT_NE(arranged({0, 1, 2, 4}).find("counts 3 blobs"), std::string::npos);
  EXPECT_NE(arranged({0, 1, 2, 2, 3, 4}).find("more entries than"), std::string::npos);
  EXPECT_NE(arranged({0, 1, 1, 2, 3, 4}).find("second checkpoint"), std::string::npos);
  EXPECT_NE(arranged({0, 2, 1, 3, 4}).find("should be the checkpoint"), std::string::npos);
  EXPECT_NE(arranged({0, 1, 3, 2, 4}, false).find("the SHA-256 of what precedes it"),
            std::string::npos);
}

TEST(Archive, checks_lengths_before_it_takes_memory) {
  const std::vector<Bytes> pieces = test::split_archive(written(test::small_archive()));
  for (const size_t field : {size_t{5}, size_t{9}}) {  // stored, raw
    Bytes bytes = test::join_archive(pieces);
    std::span header = std::span(bytes).subspan(pieces[0].size() + pieces[1].size());
    test::set_number(header, field, 0xffff'fff0);
    test::set_number(header, 17, crc32c(ByteView(header).first(17)));
    auto read = test::read_archive(test::source_of(bytes));
    ASSERT_FALSE(read);
    EXPECT_NE(read.error().message.find("at most"), std::string::npos) << read.error().message;
  }
}

TEST(Archive, writer_refuses_what_no_reader_would_take) {
  const ByteSink nowhere = [](ByteView) -> Status { return {}; };
  auto writer = ArchiveWriter::start(nowhere, {{}, 1, "note"});
  ASSERT_TRUE(writer);
  EXPECT_EQ(writer->finish().error().code, Errc::usage);
  EXPECT_EQ(writer->add_entry({Bytes(kHeaderBytesMax + 1), {}}).error().code, Errc::exhausted);
  EXPECT_EQ(writer->add_blob({Digest(), {1, 2, 3}}).error().code, Errc::usage);
  EXPECT_TRUE(writer->add_entry({{1}, {2}}));
  EXPECT_EQ(writer->add_entry({{1}, {2}}).error().code, Errc::usage);
  EXPECT_EQ(
      ArchiveWriter::start(nowhere, {{}, 0, std::string(kNoteBytesMax + 1, 'x')}).error().code,
      Errc::exhausted);
  const ByteSink full = [](ByteView) -> Status { return fail(Errc::exhausted, "disk full"); };
  EXPECT_EQ(ArchiveWriter::start(full, {}).error().message, "disk full");
}

}  // namespace
}  // namespace mesh
