#include "cli/files/blob_download.h"

#include <fmt/format.h>

#include <deque>
#include <utility>

#include "eventstore/model/crypto.h"
#include "eventstore/model/limits.h"

namespace mesh::cli {

namespace {

constexpr uint64_t kPieceBytes = 256 * 1024;  // of a blob, asked for at once
constexpr size_t kPiecesUnderWay = 16;        // 4 MiB: a far controller is not asked one by one
constexpr int kSilenceMs = 20'000;
constexpr int kReconnects = 5;

/// The controller answers in the order of the questions, an error in the place of a piece.
class BlobDownload {
 public:
  using Take = std::function<Status(const Blob&)>;
  using Missing = std::function<void(const Digest&, const Error&)>;

  BlobDownload(Transport& transport, const std::vector<Digest>& wanted, Take take, Missing missing)
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

}  // namespace

Status download_blobs(Transport& transport, const std::vector<Digest>& wanted,
                      const std::function<Status(const Blob&)>& take,
                      const std::function<void(const Digest&, const Error&)>& missing,
                      const std::function<Status(size_t left)>& progress) {
  return BlobDownload(transport, wanted, take, missing).run(progress);
}

}  // namespace mesh::cli
