#include "tests/bench/follower.h"

#include "eventstore/model/evolve.h"
#include "schemas/codec.h"

namespace mesh::bench {

Status Follower::take(ByteView frame) {
  auto message = decode_message(frame);
  if (!message) return std::unexpected(message.error());
  if (const auto* error = std::get_if<ErrorReply>(&message->body))
    return std::unexpected(error->error);
  const auto* entries = std::get_if<Entries>(&message->body);
  if (!entries) return {};
  for (const EncodedEntry& encoded : entries->entries) MESH_TRY(take_entry(encoded));
  if (entries->checkpoint.empty()) return {};
  auto checkpoint =
      open_checkpoint(entries->checkpoint, checkpoint_origin(log_, replica_.state.epoch), log_key_);
  if (!checkpoint) return std::unexpected(checkpoint.error());
  MESH_TRY(matches(replica_, *checkpoint));
  verified_ = replica_.head();
  return {};
}

Status Follower::take_entry(const EncodedEntry& encoded) {
  bytes_ += encoded.size();
  auto entry = decode_entry(encoded);
  if (!entry) return std::unexpected(entry.error());
  if (whole_) return replay(replica_, *entry, log_);
  if (entry->header.sequence != next(replica_.head()) || !entry->body)
    return fail(Errc::corrupt, "an entry is missing or has no body");
  evolve(replica_.state, entry->header, *entry->body);
  replica_.frontier.append(entry->leaf);
  return {};
}

}  // namespace mesh::bench
