#include "cli/backup.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "cli/entry_stream.h"
#include "cli/files/blob_download.h"
#include "eventstore/log/archive.h"
#include "eventstore/model/crypto.h"
#include "eventstore/model/limits.h"
#include "eventstore/model/merkle.h"
#include "schemas/blob_names.h"
#include "schemas/codec.h"

namespace mesh::cli {

namespace {

Error system_error(const std::string& what) {
  return {errno == ENOSPC || errno == EDQUOT ? Errc::exhausted : Errc::io,
          fmt::format("{}: {}", what, std::strerror(errno)),
          {}};
}

/// A file that appears under its name when it is whole and durable.
class NewFile {
 public:
  explicit NewFile(std::string path) : path_(std::move(path)), temporary_(path_ + ".XXXXXX") {}
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;
  ~NewFile() {
    if (fd_ < 0) return;
    ::close(fd_);
    ::unlink(temporary_.c_str());
  }

  Status open() {
    fd_ = ::mkostemp(temporary_.data(), O_CLOEXEC);  // 0600
    return fd_ >= 0 ? Status{} : std::unexpected(system_error("cannot write beside " + path_));
  }

  Status write(ByteView bytes) {
    while (!bytes.empty()) {
      const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return std::unexpected(system_error("writing " + temporary_));
      bytes = bytes.subspan(static_cast<size_t>(written));
    }
    return {};
  }

  Status publish(bool replace) {
    if (::fsync(fd_) != 0) return std::unexpected(system_error("writing " + temporary_));
    const unsigned flags = replace ? 0 : RENAME_NOREPLACE;
    if (::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path_.c_str(), flags) != 0)
      return std::unexpected(system_error("naming " + path_));
    ::close(std::exchange(fd_, -1));
    const std::filesystem::path folder = std::filesystem::absolute(path_).parent_path();
    const int directory = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool synced = directory >= 0 && ::fsync(directory) == 0;
    if (directory >= 0) ::close(directory);
    return synced ? Status{} : std::unexpected(system_error("syncing " + folder.string()));
  }

 private:
  std::string path_, temporary_;
  int fd_ = -1;
};

/// One backup in the making.
class BackupRun {
 public:
  BackupRun(Session& session, Client& client, ArchiveWriter& writer, const Position& position)
      : session_(session), client_(client), writer_(writer), position_(position), bar_(session) {}

  Result<Backup> run() {
    const uint64_t size = position_.checkpoint.size;
    MESH_TRY(stream_entries(
        client_, {.position = [&] { return Sequence(tree_.size()); },
                  .done = [&] { return tree_.size() >= size; },
                  .take = [&](const EncodedEntry& encoded) { return take(encoded); },
                  .progress = [&] { bar_.show("backup", tree_.size(), size, "entries"); }}));
    if (tree_.root() != position_.checkpoint.root)
      return fail(
          Errc::corrupt,
          fmt::format("the {} entries received do not give the root that the checkpoint signs",
                      size),
          "see `meshcli verify`");
    MESH_TRY(fetch_blobs());
    MESH_TRY(writer_.finish());
    out_.entries = size;
    out_.bytes = writer_.bytes();
    out_.epoch = position_.epoch;
    out_.root = position_.checkpoint.root;
    return std::move(out_);
  }

 private:
  Status interruption() const {
    if (!session_.environment().interrupted()) return {};
    return fail(Errc::usage, "interrupted; nothing was written");
  }

  Status take(const EncodedEntry& encoded) {
    MESH_TRY(interruption());
    const uint64_t sequence = tree_.size() + 1;
    auto entry = decode_entry(encoded);
    if (!entry) return fail_in(fmt::format("entry {}", sequence), entry.error());
    if (entry->header.sequence.value() < sequence) return {};  // a repeat after a reconnection
    if (entry->header.sequence.value() > sequence || !entry->body)
      return fail(Errc::corrupt, fmt::format("the controller left out entry {}", sequence));
    for (const BlobName& blob : blobs_of(*entry)) names_.try_emplace(blob.digest, blob);
    tree_.append(entry->leaf);
    return writer_.add_entry(encoded);
  }

  Status fetch_blobs() {
    std::vector<Digest> wanted;
    for (const auto& each : names_) wanted.push_back(each.first);
    MESH_TRY(download(wanted));
    // What the configurations name was known only now.
    wanted.clear();
    for (const BlobName& file : rendered_)
      if (names_.try_emplace(file.digest, file).second) wanted.push_back(file.digest);
    return download(wanted);
  }

  Status download(const std::vector<Digest>& wanted) {
    return download_blobs(
        client_.transport(), wanted,
        [&](const Blob& blob) -> Status {
          ++out_.blobs;
          if (const BlobName& known = names_.at(blob.digest); known.config) MESH_TRY(take_config(known, blob));
          return writer_.add_blob(blob);
        },
        [&](const Digest& digest, const Error& error) {
          out_.missing.push_back(fmt::format("{}: {}", names_.at(digest).name, error.message));
        },
        [&](size_t left) {
          bar_.show("backup", wanted.size() - left, wanted.size(), "configurations and files");
          return interruption();
        });
  }

  Status take_config(const BlobName& config, const Blob& blob) {
    auto files = blobs_of_config(blob.bytes, config.name);
    if (!files) return std::unexpected(files.error());
    rendered_.insert(rendered_.end(), files->begin(), files->end());
    return {};
  }

  Session& session_;
  Client& client_;
  ArchiveWriter& writer_;
  const Position& position_;
  Progress bar_;
  MerkleFrontier tree_;
  std::map<Digest, BlobName> names_;  // the blobs that are wanted
  std::vector<BlobName> rendered_;    // that configurations name
  Backup out_;
};

Status check_administrator(Client& client) {
  auto document = client.query("whoami");
  if (!document) return std::unexpected(std::move(document).error());
  if (text_at(*document, "role") == role_name(Role::admin)) return {};
  return fail(Errc::not_permitted, "only an administrator makes a backup");
}

}  // namespace

Result<Backup> write_backup(Session& session, Client& client, const std::string& file,
                            bool replace) {
  std::error_code error;
  if (!replace && std::filesystem::exists(file, error))
    return fail(Errc::conflict, fmt::format("{} exists already", file),
                "choose another name, or --force to replace it");
  MESH_TRY(check_administrator(client));
  auto position = client.position();
  if (!position) return std::unexpected(std::move(position).error());
  session.environment().catch_interrupts();
  NewFile out(file);
  MESH_TRY(out.open());
  auto writer = ArchiveWriter::start(
      [&](ByteView bytes) { return out.write(bytes); },
      {client.context().connection.log, position->checkpoint.size, position->note});
  if (!writer) return std::unexpected(std::move(writer).error());
  auto backup = BackupRun(session, client, *writer, *position).run();
  if (backup) MESH_TRY(out.publish(replace));
  return backup;
}

}  // namespace mesh::cli
