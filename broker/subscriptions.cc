#include "broker/subscriptions.h"

#include <algorithm>

#include "eventstore/model/limits.h"
#include "schemas/codec.h"

namespace mesh {

void Subscriptions::subscribe(const SessionId& session, View view, const Subscribe& request) {
  Subscriber subscriber;
  subscriber.view = view;
  subscriber.next = next(request.after);
  subscriber.credit = static_cast<int64_t>(std::min(request.credit, kCreditBytesMax));
  subscriber.snapshots = request.snapshots;
  subscribers_.insert_or_assign(session, subscriber);
}

void Subscriptions::add_credit(const SessionId& session, uint64_t bytes) {
  auto it = subscribers_.find(session);
  if (it == subscribers_.end()) return;
  auto most = static_cast<int64_t>(kCreditBytesMax);
  it->second.credit =
      std::min(most, it->second.credit + static_cast<int64_t>(std::min(bytes, kCreditBytesMax)));
}

void Subscriptions::pump(const EventLog& log, const std::optional<Snapshot>& anchored,
                         std::vector<Outgoing>& out) {
  for (auto& [id, subscriber] : subscribers_) pump_one(id, subscriber, log, anchored, out);
}

void Subscriptions::pump_one(const SessionId& id, Subscriber& subscriber, const EventLog& log,
                             const std::optional<Snapshot>& anchored, std::vector<Outgoing>& out) {
  if (subscriber.snapshots && anchored && anchored->sequence >= subscriber.next &&
      log.head().value() - subscriber.next.value() >= snapshot_threshold_ &&
      !pump_snapshot(id, subscriber, *anchored, out))
    return;
  while (subscriber.credit > 0 && subscriber.next <= log.head()) {
    const Cached* cached = frame_at(subscriber.view, subscriber.next, log);
    if (!cached)
      return;  // a damaged record: the log says so at its own door, this one waits for the repair
    out.push_back({id, cached->frame});
    subscriber.credit -= static_cast<int64_t>(cached->frame->size());
    subscriber.next = next(cached->last);
  }
}

bool Subscriptions::pump_snapshot(const SessionId& id, Subscriber& subscriber,
                                  const Snapshot& snapshot, std::vector<Outgoing>& out) {
  // A newer one has taken its place meanwhile: what was sent of the old one is of no use.
  if (subscriber.snapshot != snapshot.sequence) subscriber.snapshot_offset = 0;
  subscriber.snapshot = snapshot.sequence;
  uint64_t offset = subscriber.snapshot_offset;
  uint64_t total = snapshot.bytes.size();
  while (subscriber.credit > 0 && offset < total) {
    uint64_t size = std::min<uint64_t>(kCatchUpFrameBytes, total - offset);
    auto begin = snapshot.bytes.begin() + static_cast<int64_t>(offset);
    SnapshotChunk chunk{snapshot.sequence, offset, total,
                        Bytes(begin, begin + static_cast<int64_t>(size))};
    auto frame = std::make_shared<const Bytes>(encode_message({0, std::move(chunk)}));
    subscriber.credit -= static_cast<int64_t>(frame->size());
    out.push_back({id, std::move(frame)});
    offset += size;
  }
  subscriber.snapshot_offset = offset;
  if (offset < total) return false;
  subscriber.next = next(snapshot.sequence);
  return true;
}

const Subscriptions::Cached* Subscriptions::frame_at(View view, Sequence from,
                                                     const EventLog& log) {
  // A checkpoint is for acting on, so one that was superseded is not sent to who catches up: a
  // router would apply what is no longer wanted, step by step.
  for (const Cached& cached : frames_)
    if (cached.view == view && cached.from == from &&
        (!cached.has_checkpoint || cached.last == log.head()))
      return &cached;
  auto entries = log.read(from, kCatchUpFrameBytes, SIZE_MAX);
  if (!entries || entries->empty()) return nullptr;
  Sequence last(from.value() + entries->size() - 1);
  if (view == View::node)
    for (EncodedEntry& entry : *entries)
      if (auto header = decode_header(entry.header);
          header && header->entry_class == EntryClass::report)
        entry.body.clear();
  Entries body{std::move(*entries), last == log.head() ? log.checkpoint() : std::string()};
  bool has_checkpoint = !body.checkpoint.empty();
  frames_.push_front({view, from, last, has_checkpoint,
                      std::make_shared<const Bytes>(encode_message({0, std::move(body)}))});
  if (frames_.size() > frames_kept_) frames_.pop_back();
  return &frames_.front();
}

void Subscriptions::heartbeat(const EventLog& log, std::vector<Outgoing>& out) const {
  auto frame =
      std::make_shared<const Bytes>(encode_message({0, Head{log.head(), log.checkpoint()}}));
  for (const auto& [id, subscriber] : subscribers_) out.push_back({id, frame});
}

}  // namespace mesh
