#include "eventstore/log/wal_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#include "eventstore/log/crc32c.h"

namespace mesh {

namespace {

// block  = record* trailer        the trailer: fewer bytes than a header, zeros
// record = masked_crc32c:u32 length:u16 type:u8 payload    little-endian; the checksum covers type
// and payload
constexpr size_t kHeaderBytes = 7;
constexpr size_t kSectorBytes = 512;  // what a disk writes whole or not at all

enum : uint8_t { kWholeWrite = 1, kFirstFragment = 2, kMiddleFragment = 3, kLastFragment = 4 };

struct Record {
  uint32_t checksum;
  size_t length;
  uint8_t type;
  ByteView covered;  // type and what there is of the payload
};

/// Requires kHeaderBytes.
Record record_at(ByteView bytes) {
  const auto length = static_cast<size_t>(bytes[4] | bytes[5] << 8);
  return {
      static_cast<uint32_t>(bytes[0] | bytes[1] << 8 | bytes[2] << 16) | uint32_t{bytes[3]} << 24,
      length, bytes[6], bytes.subspan(6, std::min(1 + length, bytes.size() - 6))};
}

uint32_t mask(uint32_t crc) { return (crc >> 15 | crc << 17) + 0xa282ead8; }

bool checks(ByteView bytes) {
  if (bytes.size() < kHeaderBytes) return false;
  const Record record = record_at(bytes);
  return record.type != 0 && record.covered.size() == 1 + record.length &&
         mask(crc32c(record.covered)) == record.checksum;
}

/// Whether the record would check if only its length were another.
bool checks_with_another_length(ByteView bytes) {
  const Record record = record_at(bytes);
  uint32_t crc = 0;
  for (size_t i = 6; i < bytes.size(); ++i) {
    crc = crc32c(crc, bytes.subspan(i, 1));
    if (mask(crc) == record.checksum) return true;
  }
  return false;
}

bool all_zero(ByteView bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](uint8_t byte) { return byte == 0; });
}

/// Whether a sector, or what `bytes` has of it, is still as the file system made it. `offset`: in
/// the file.
bool has_unwritten_sector(ByteView bytes, uint64_t offset) {
  while (!bytes.empty()) {
    const size_t rest_of_sector = kSectorBytes - offset % kSectorBytes;
    const ByteView piece = bytes.first(std::min(rest_of_sector, bytes.size()));
    if (all_zero(piece)) return true;
    bytes = bytes.subspan(piece.size());
    offset += piece.size();
  }
  return false;
}

/// Judges a record that does not check: `rest` begins with it and ends with its block.
bool looks_torn(ByteView rest, uint64_t offset, bool file_ends_here) {
  if (rest.size() < kHeaderBytes) return file_ends_here;
  const Record record = record_at(rest);
  const bool cut = record.covered.size() < 1 + record.length;
  if (cut && file_ends_here) return !checks_with_another_length(rest);
  if (all_zero(rest.first(kHeaderBytes))) return has_unwritten_sector(rest, offset);
  return has_unwritten_sector(rest.first(6 + record.covered.size()), offset);
}

Result<std::vector<std::filesystem::path>> write_ahead_logs(
    const std::filesystem::path& directory) {
  std::vector<std::pair<uint64_t, std::filesystem::path>> numbered;
  std::error_code error;
  for (std::filesystem::directory_iterator it(directory, error), end; !error && it != end;
       it.increment(error)) {
    const std::string stem = it->path().stem().string();
    if (it->path().extension() != ".log" || stem.empty() || stem.size() > 18 ||
        stem.find_first_not_of("0123456789") != std::string::npos)
      continue;
    numbered.emplace_back(std::stoull(stem), it->path());
  }
  if (error)
    return fail(Errc::io, fmt::format("listing {}: {}", directory.string(), error.message()));
  std::sort(numbered.begin(), numbered.end());
  std::vector<std::filesystem::path> out;
  for (auto& [number, path] : numbered) out.push_back(std::move(path));
  return out;
}

}  // namespace

void WalScan::note_damage(const Place& place, bool torn) {
  unfinished_.reset();
  if (!damage_) {
    damage_ = Damage{place, torn};
  } else if (!followed_) {
    damage_->torn = damage_->torn && torn;  // all broken pieces of the last write must look torn
  }
}

void WalScan::accept(uint8_t type, const Place& place) {
  if (type == kMiddleFragment || type == kLastFragment) {
    if (!unfinished_ && !damage_) note_damage(place, false);
    if (type == kLastFragment) unfinished_.reset();
    return;
  }
  if (unfinished_) note_damage(*unfinished_, true);
  if (damage_) followed_ = true;
  if (type == kFirstFragment) unfinished_ = place;
}

void WalScan::add_block(const std::string& file, uint64_t offset, ByteView block) {
  const bool file_ends_here = block.size() < kBlockBytes;
  size_t at = 0;
  while (block.size() - at >= kHeaderBytes) {
    const ByteView rest = block.subspan(at);
    if (checks(rest)) {
      const Record record = record_at(rest);
      accept(record.type, {file, offset + at});
      at += kHeaderBytes + record.length;
      continue;
    }
    note_damage({file, offset + at}, looks_torn(rest, offset + at, file_ends_here));
    // The length may be what is broken, so the next record may begin anywhere.
    do {
      ++at;
    } while (block.size() - at >= kHeaderBytes && !checks(block.subspan(at)));
    if (block.size() - at < kHeaderBytes) return;
  }
  if (file_ends_here && !all_zero(block.subspan(at))) note_damage({file, offset + at}, true);
}

Status WalScan::verdict() const {
  if (!damage_ || (damage_->torn && !followed_)) return {};
  return fail(Errc::corrupt,
              fmt::format("write-ahead log {} is damaged at byte {}{}", damage_->place.file,
                          damage_->place.offset, followed_ ? ", later writes in it are whole" : ""),
              "restore the directory from a backup; entries before the damage can be read with "
              "a read-only open");
}

Status check_write_ahead_logs(const std::filesystem::path& directory) {
  auto paths = write_ahead_logs(directory);
  if (!paths) return std::unexpected(std::move(paths).error());
  WalScan scan;
  Bytes block(WalScan::kBlockBytes);
  for (const std::filesystem::path& path : *paths) {
    std::ifstream file(path, std::ios::binary);
    uint64_t offset = 0;
    while (file) {
      file.read(reinterpret_cast<char*>(block.data()), static_cast<std::streamsize>(block.size()));
      const auto count = static_cast<size_t>(file.gcount());
      scan.add_block(path.filename().string(), offset, ByteView(block).first(count));
      offset += count;
    }
    if (!file.eof()) return fail(Errc::io, fmt::format("reading {} failed", path.string()));
  }
  return scan.verdict();
}

}  // namespace mesh
