#include "cli/backup.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "cli/entry_stream.h"
#include "eventstore/log/archive.h"
#include "eventstore/model/crypto.h"
#include "eventstore/model/limits.h"
#include "eventstore/model/merkle.h"
#include "schemas/codec.h"

namespace mesh::cli {

namespace {

constexpr uint64_t kPieceBytes = 256 * 1024;  // of a blob, asked for at once
constexpr size_t kPiecesUnderWay = 16;        // 4 MiB: a far controller is not asked one by one
constexpr int kSilenceMs = 20'000;
constexpr int kReconnects = 5;

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

/// Fetches blobs, some pieces under way at a time. The controller answers in the order of the
/// questions, an error in the place of a piece.
class BlobDownload {
 public:
  using Take = std::function<Status(const Blob&)>;
  using Missing = std::function<void(const Digest&, const Error&)>;

  BlobDownload(Transport& transport, std::vector<Digest> wanted, Take take, Missing missing)
      : transport_(transport),
        wanted_(wanted.begin(), wanted.end()),
        take_(std::move(take)),
        missing_(std::move(missing)) {}

  /// `progress` is told how many are left, and may end it with an error.
  Status run(const std::function<Status(size_t left)>& progress) {
    for (int breaks = 0; !wanted_.empty() || !under_way_.empty();) {
      auto status = step();
      if (!status) {
        if (status.error().code != Errc::unavailable || ++breaks > kReconnects) return status;
        ask_again();
      }
      MESH_TRY(progress(wanted_.size() + under_way_.size()));
    }
    return {};
  }

 private:
  struct Partial {
    Digest digest;
    Bytes bytes;
  };

  Status ask(Partial blob) {
    const Fetch question{blob.digest, blob.bytes.size(), kPieceBytes};
    under_way_.push_back(std::move(blob));
    return transport_.send(question);
  }

  Status step() {
    while (under_way_.size() < kPiecesUnderWay && !wanted_.empty()) {
      const Digest digest = wanted_.front();
      wanted_.pop_front();
      MESH_TRY(ask({digest, {}}));
    }
    auto body = transport_.receive(kSilenceMs);
    if (!body) {
      const Errc code = body.error().code;
      if ((code != Errc::not_found && code != Errc::corrupt) || under_way_.empty())
        return std::unexpected(body.error());
      missing_(under_way_.front().digest, body.error());
      under_way_.pop_front();
      return {};
    }
    if (!*body)
      return fail(Errc::unavailable,
                  fmt::format("the controller sent nothing for {} s", kSilenceMs / 1000));
    const auto* chunk = std::get_if<BlobChunk>(&**body);
    return chunk ? take(*chunk) : Status{};  // the rest belongs to the subscription
  }

  Status take(const BlobChunk& chunk) {
    if (under_way_.empty() || chunk.digest != under_way_.front().digest ||
        chunk.offset != under_way_.front().bytes.size() || chunk.total > kBlobBytesMax)
      return fail(Errc::corrupt, "the controller sends pieces of blobs that nobody asked for");
    Partial blob = std::move(under_way_.front());
    under_way_.pop_front();
    blob.bytes.insert(blob.bytes.end(), chunk.bytes.begin(), chunk.bytes.end());
    if (blob.bytes.size() < chunk.total && !chunk.bytes.empty()) return ask(std::move(blob));
    if (sha256(blob.bytes) == blob.digest) return take_(Blob{blob.digest, std::move(blob.bytes)});
    missing_(blob.digest, {Errc::corrupt, "what the controller sent has another digest", {}});
    return {};
  }

  void ask_again() {
    for (const Partial& blob : under_way_) wanted_.push_front(blob.digest);
    under_way_.clear();
  }

  Transport& transport_;
  std::deque<Digest> wanted_;
  Take take_;
  Missing missing_;
  std::deque<Partial> under_way_;  // oldest question first
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
    for (const Event& event : entry->body->events)
      if (const auto* committed = std::get_if<VersionsCommitted>(&event))
        for (const VersionRow& row : committed->rows)
          names_.try_emplace(row.digest,
                             fmt::format("v{} of node {}", row.version.value(), row.node.value()));
    tree_.append(entry->leaf);
    return writer_.add_entry(encoded);
  }

  Status fetch_blobs() {
    std::vector<Digest> wanted;
    for (const auto& [digest, name] : names_) wanted.push_back(digest);
    BlobDownload download(
        client_.transport(), std::move(wanted),
        [&](const Blob& blob) {
          ++out_.blobs;
          return writer_.add_blob(blob);
        },
        [&](const Digest& digest, const Error& error) {
          out_.missing.push_back(fmt::format("{}: {}", names_.at(digest), error.message));
        });
    return download.run([&](size_t left) {
      bar_.show("backup", names_.size() - left, names_.size(), "configurations");
      return interruption();
    });
  }

  Session& session_;
  Client& client_;
  ArchiveWriter& writer_;
  const Position& position_;
  Progress bar_;
  MerkleFrontier tree_;
  std::map<Digest, std::string> names_;  // of the blobs that entries refer to
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
