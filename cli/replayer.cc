#include "cli/replayer.h"

#include <nlohmann/json.hpp>

#include "cli/entry_stream.h"
#include "schemas/codec.h"

namespace mesh::cli {

namespace {

class Replayer {
 public:
  Replayer(Client& client, uint64_t size, const std::vector<uint64_t>& roots_at,
           const AfterEntry& after_entry)
      : client_(client),
        size_(size),
        after_entry_(after_entry),
        out_{Audit(client.context().connection.log), {}, {}} {
    for (const uint64_t at : roots_at)
      if (at <= size) out_.audit.want(at);
  }

  Result<ReplayedLog> run(const std::function<void(uint64_t)>& progress) {
    auto status = stream_entries(
        client_, {.position = [this] { return out_.audit.head(); },
                  .done = [this] { return done(); },
                  .take =
                      [this](const EncodedEntry& encoded) -> Status {
                        take(encoded);
                        return {};
                      },
                  .progress = [&] { progress(out_.replica().frontier.size()); }});
    // A record that the controller cannot read is a finding, too.
    if (!status && (status.error().code == Errc::corrupt || status.error().code == Errc::not_found))
      bad(expected(), status.error().message);
    else if (!status)
      return std::unexpected(status.error());
    return std::move(out_);
  }

 private:
  bool done() const { return out_.first_bad || out_.replica().frontier.size() >= size_; }
  Sequence expected() const { return next(out_.audit.head()); }

  void take(const EncodedEntry& encoded) {
    auto entry = decode_entry(encoded);
    if (!entry) return bad(expected(), entry.error().message);
    // A repeat after a reconnection.
    if (entry->header.sequence < expected()) return;
    if (auto status = out_.audit.add(*entry); !status)
      return bad(expected(), status.error().message);
    if (after_entry_) after_entry_(out_.replica().state, *entry);
  }

  void bad(Sequence sequence, const std::string& what) {
    out_.first_bad = sequence;
    out_.problem = what;
  }

  Client& client_;
  uint64_t size_;
  const AfterEntry& after_entry_;
  ReplayedLog out_;
};

}  // namespace

Result<ReplayedLog> replay_log(Client& client, uint64_t size, const std::vector<uint64_t>& roots_at,
                               const std::function<void(uint64_t)>& progress,
                               const AfterEntry& after_entry) {
  return Replayer(client, size, roots_at, after_entry).run(progress);
}

}  // namespace mesh::cli
