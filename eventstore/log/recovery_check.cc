#include "eventstore/log/recovery_check.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <system_error>

#include "eventstore/log/crc32c.h"

namespace mesh {

namespace {

// block  = record* trailer        the trailer: fewer bytes than a header, zeros
// record = masked_crc32c:u32 length:u16 type:u8 payload
//
// Little-endian; the checksum covers type and payload.
constexpr size_t kHeaderBytes = 7;
constexpr size_t kSectorBytes = 512;  // what a disk writes whole or not at all

enum : uint8_t { kWholeWrite = 1, kFirstFragment = 2, kMiddleFragment = 3, kLastFragment = 4 };

struct Record {
  uint32_t checksum;
  size_t length;
  uint8_t type;
  ByteView covered;  // type and what there is of the payload
};

uint64_t little_endian(ByteView bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | bytes[i];
  return value;
}

/// Requires kHeaderBytes.
Record record_at(ByteView bytes) {
  const size_t length = little_endian(bytes.subspan(4, 2));
  return {static_cast<uint32_t>(little_endian(bytes.first(4))), length, bytes[6],
          bytes.subspan(6, std::min(1 + length, bytes.size() - 6))};
}

uint32_t mask(uint32_t crc) { return (crc >> 15 | crc << 17) + 0xa282ead8; }

bool checks(ByteView bytes) {
  if (bytes.size() < kHeaderBytes) return false;
  const Record record = record_at(bytes);
  return record.type >= kWholeWrite && record.type <= kLastFragment &&
         record.covered.size() == 1 + record.length &&
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

/// Whether a sector, or what `bytes` has of it, is still as the file system made it.
/// `offset`: of `bytes` in the file.
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

Status scan_file(const std::filesystem::path& path, RecordFileScan& scan) {
  Bytes block(RecordFileScan::kBlockBytes);
  std::ifstream file(path, std::ios::binary);
  uint64_t offset = 0;
  while (file) {
    file.read(reinterpret_cast<char*>(block.data()), static_cast<std::streamsize>(block.size()));
    const auto count = static_cast<size_t>(file.gcount());
    scan.add_block(path.filename().string(), offset, ByteView(block).first(count));
    offset += count;
  }
  if (!file.eof()) return fail(Errc::io, fmt::format("reading {} failed", path.string()));
  return {};
}

/// Scans files that continue each other.
Status scan_files(const std::vector<std::filesystem::path>& paths, std::vector<TornWrite>& torn) {
  RecordFileScan scan;
  for (const std::filesystem::path& path : paths) MESH_TRY(scan_file(path, scan));
  const auto last = scan.verdict();
  if (!last) return std::unexpected(last.error());
  if (*last) torn.push_back(**last);
  return {};
}

}  // namespace

void RecordFileScan::note_damage(const Place& place, bool torn) {
  if (!damage_) {
    damage_ = Damage{place, unfinished_.value_or(place), torn};
  } else if (!followed_) {
    damage_->torn = damage_->torn && torn;  // all broken pieces of the last write must look torn
  }
  unfinished_.reset();
}

void RecordFileScan::accept(uint8_t type, const Place& place) {
  if (type == kMiddleFragment || type == kLastFragment) {
    if (!unfinished_ && !damage_) note_damage(place, false);
    if (type == kLastFragment) unfinished_.reset();
    return;
  }
  if (unfinished_) note_damage(*unfinished_, true);
  if (damage_) followed_ = true;
  if (type == kFirstFragment) unfinished_ = place;
}

void RecordFileScan::add_block(const std::string& file, uint64_t offset, ByteView block) {
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
  // Too few for a header, zeros of an unwritten sector too: RocksDB calls it a truncated header.
  if (file_ends_here && at < block.size()) note_damage({file, offset + at}, true);
}

Result<std::optional<TornWrite>> RecordFileScan::verdict() const {
  if (damage_ && (!damage_->torn || followed_))
    return fail(Errc::corrupt,
                fmt::format("{} is damaged at byte {}{}", damage_->record.file,
                            damage_->record.offset, followed_ ? ", later writes are whole" : ""),
                "restore the directory from a backup");
  return damage_ ? damage_->write : unfinished_;
}

Result<std::vector<TornWrite>> check_recovery_files(const std::filesystem::path& directory) {
  std::vector<TornWrite> torn;
  std::string current;
  std::getline(std::ifstream(directory / "CURRENT"), current);
  // RocksDB says what is wrong with a CURRENT that names no file.
  if (current.starts_with("MANIFEST-") && std::filesystem::exists(directory / current))
    MESH_TRY(scan_files({directory / current}, torn));
  const auto logs = write_ahead_logs(directory);
  if (!logs) return std::unexpected(logs.error());
  MESH_TRY(scan_files(*logs, torn));
  return torn;
}

Status cut_torn_write(const std::filesystem::path& directory, const TornWrite& torn) {
  const std::filesystem::path path = directory / torn.file;
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  const bool cut =
      fd >= 0 && ::ftruncate(fd, static_cast<off_t>(torn.offset)) == 0 && ::fsync(fd) == 0;
  const int code = errno;
  if (fd >= 0) ::close(fd);
  if (cut) return {};
  return fail(Errc::io, fmt::format("cutting a torn write off {}: {}", path.string(),
                                    std::generic_category().message(code)));
}

}  // namespace mesh
