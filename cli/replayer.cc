#include "cli/replayer.h"

#include <fmt/format.h>

#include "eventstore/model/limits.h"
#include "schemas/codec.h"

namespace mesh::cli {

namespace {

constexpr int kSilenceMs =
    20'000;  // three of the controller's heartbeats, and more than a busy disk takes
constexpr int kReconnects = 5;

class Replayer {
 public:
  Replayer(Client& client, uint64_t size, const std::vector<uint64_t>& roots_at,
           const AfterEntry& after_entry)
      : client_(client), size_(size), after_entry_(after_entry) {
    for (const uint64_t at : roots_at)
      if (at <= size) out_.roots[at];
    note_root();
  }

  Result<ReplayedLog> run(const std::function<void(uint64_t)>& progress) {
    int breaks = 0;
    while (!done()) {
      auto status = listen(progress);
      if (status) break;
      if (status.error().code != Errc::unavailable || ++breaks > kReconnects)
        return std::unexpected(status.error());
    }
    return std::move(out_);
  }

 private:
  bool done() const { return out_.first_bad || out_.replica.frontier.size() >= size_; }

  Status listen(const std::function<void(uint64_t)>& progress) {
    Transport& transport = client_.transport();
    MESH_TRY(transport.send(Subscribe{out_.replica.head(), kCreditBytesDefault, false}));
    while (!done()) {
      auto body = transport.receive(kSilenceMs);
      if (!body) return std::unexpected(std::move(body).error());
      if (!*body)
        return fail(Errc::unavailable,
                    fmt::format("the controller sent nothing for {} s", kSilenceMs / 1000));
      const auto* entries = std::get_if<Entries>(&**body);
      if (!entries) continue;
      uint64_t bytes = 0;
      for (const EncodedEntry& encoded : entries->entries) {
        bytes += encoded.size();
        if (!done()) take(encoded);
      }
      progress(out_.replica.frontier.size());
      if (bytes > 0 && !done()) MESH_TRY(transport.send(Credit{bytes}));
    }
    return {};
  }

  void take(const EncodedEntry& encoded) {
    const Sequence expected = next(out_.replica.head());
    auto entry = decode_entry(encoded);
    if (!entry) return bad(expected, entry.error().message);
    // A repeat after a reconnection.
    if (entry->header.sequence < expected) return;
    if (auto status = replay(out_.replica, *entry, client_.context().connection.log); !status)
      return bad(expected, status.error().message);
    note_root();
    if (after_entry_) after_entry_(out_.replica.state, *entry);
  }

  void bad(Sequence sequence, const std::string& what) {
    out_.first_bad = sequence;
    out_.problem = what;
  }

  void note_root() {
    const auto wanted = out_.roots.find(out_.replica.frontier.size());
    if (wanted != out_.roots.end()) wanted->second = out_.replica.frontier.root();
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
