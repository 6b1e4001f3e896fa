#include "cli/entry_stream.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "eventstore/model/limits.h"

namespace mesh::cli {

namespace {

constexpr int kSilenceMs =
    20'000;  // three of the controller's heartbeats, and more than a busy disk takes
constexpr int kReconnects = 5;
constexpr int kIdleHeads = 2;  // heartbeats without an entry before one asks what is wrong with it

/// A controller streams no further than to a record that it cannot read.
Status ask_why(Client& client, Sequence expected) {
  auto answer = client.query("entry", {{"sequence", std::to_string(expected.value())}});
  if (answer) return fail(Errc::unavailable, "the controller stopped sending entries");
  return std::unexpected(answer.error());
}

Status listen(Client& client, const EntryStream& stream) {
  Transport& transport = client.transport();
  MESH_TRY(transport.send(Subscribe{stream.position(), kCreditBytesDefault, false}));
  int heads = 0;
  while (!stream.done()) {
    auto body = transport.receive(kSilenceMs);
    if (!body) return std::unexpected(std::move(body).error());
    if (!*body)
      return fail(Errc::unavailable,
                  fmt::format("the controller sent nothing for {} s", kSilenceMs / 1000));
    const auto* entries = std::get_if<Entries>(&**body);
    if (!entries) {
      if (std::holds_alternative<Head>(**body) && ++heads >= kIdleHeads)
        MESH_TRY(ask_why(client, next(stream.position())));
      continue;
    }
    heads = 0;
    uint64_t bytes = 0;
    for (const EncodedEntry& encoded : entries->entries) {
      bytes += encoded.size();
      if (!stream.done()) MESH_TRY(stream.take(encoded));
    }
    stream.progress();
    if (bytes > 0 && !stream.done()) MESH_TRY(transport.send(Credit{bytes}));
  }
  return {};
}

}  // namespace

Status stream_entries(Client& client, const EntryStream& stream) {
  for (int breaks = 0; !stream.done();) {
    auto status = listen(client, stream);
    if (status) break;
    if (status.error().code != Errc::unavailable || ++breaks > kReconnects) return status;
  }
  return {};
}

}  // namespace mesh::cli
