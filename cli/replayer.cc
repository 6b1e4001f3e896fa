#include "cli/replayer.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "eventstore/model/limits.h"
#include "schemas/codec.h"

namespace mesh::cli {

namespace {

constexpr int kSilenceMs =
    20'000;  // three of the controller's heartbeats, and more than a busy disk takes
constexpr int kReconnects = 5;
constexpr int kIdleHeads = 2;  // heartbeats without an entry before one asks what is wrong with it

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
  bool done() const { return out_.first_bad || out_.replica().frontier.size() >= size_; }
  Sequence expected() const { return next(out_.audit.head()); }

  Status listen(const std::function<void(uint64_t)>& progress) {
    Transport& transport = client_.transport();
    MESH_TRY(transport.send(Subscribe{out_.audit.head(), kCreditBytesDefault, false}));
    int idle = 0;
    while (!done()) {
      auto body = transport.receive(kSilenceMs);
      if (!body) return std::unexpected(std::move(body).error());
      if (!*body)
        return fail(Errc::unavailable,
                    fmt::format("the controller sent nothing for {} s", kSilenceMs / 1000));
      const auto* entries = std::get_if<Entries>(&**body);
      if (!entries) {
        if (std::holds_alternative<Head>(**body) && ++idle >= kIdleHeads) MESH_TRY(ask_why());
        continue;
      }
      idle = 0;
      uint64_t bytes = 0;
      for (const EncodedEntry& encoded : entries->entries) {
        bytes += encoded.size();
        if (!done()) take(encoded);
      }
      progress(out_.replica().frontier.size());
      if (bytes > 0 && !done()) MESH_TRY(transport.send(Credit{bytes}));
    }
    return {};
  }

  /// A controller streams no further than to a record that it cannot read.
  Status ask_why() {
    auto answer = client_.query("entry", {{"sequence", std::to_string(expected().value())}});
    if (answer) return fail(Errc::unavailable, "the controller stopped sending entries");
    const Errc code = answer.error().code;
    if (code != Errc::corrupt && code != Errc::not_found) return std::unexpected(answer.error());
    bad(expected(), answer.error().message);
    return {};
  }

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
