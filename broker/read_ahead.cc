#include "broker/read_ahead.h"

#include <fmt/format.h>

#include <utility>

#include "eventstore/model/crypto.h"
#include "schemas/codec.h"

namespace mesh {

ReadAhead::ReadAhead(Read read, Sequence first, Sequence last, size_t helpers,
                     Signatures signatures)
    : read_(std::move(read)),
      signatures_(signatures),
      last_(last),
      chunks_max_(helpers + 2),
      next_(first),
      read_next_(first) {
  for (size_t i = 0; i < helpers; ++i)
    threads_.emplace_back([this](const std::stop_token& stop) { help(stop); });
}

ReadAhead::~ReadAhead() = default;

void ReadAhead::help(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (changed_.wait(lock, stop, [&] { return may_read(); }) && !stop.stop_requested())
    read_chunk(lock);
}

bool ReadAhead::may_read() const {
  return !reading_ && read_next_ <= last_ && chunks_.size() < chunks_max_;
}

/// Reading is one thread's at a time; what was read is decoded while the next one reads.
void ReadAhead::read_chunk(std::unique_lock<std::mutex>& lock) {
  reading_ = true;
  auto chunk = std::make_shared<Chunk>();
  chunk->first = read_next_;
  lock.unlock();
  auto encoded = read_(chunk->first);
  lock.lock();
  reading_ = false;
  if (encoded && !encoded->empty()) {
    read_next_ = Sequence(read_next_.value() + encoded->size());
    chunk->encoded = std::move(*encoded);
  } else {
    read_next_ = mesh::next(last_);  // nothing is read beyond a gap
    chunk->error =
        encoded
            ? Error{Errc::corrupt, fmt::format("entry {}: it is missing", chunk->first.value()), {}}
            : encoded.error();
  }
  chunks_.push_back(chunk);
  const std::shared_ptr<const Keys> keys = keys_;
  changed_.notify_all();
  lock.unlock();
  decode(*chunk, signatures_ == Signatures::check ? keys.get() : nullptr);
  lock.lock();
  chunk->ready = true;
  changed_.notify_all();
}

void ReadAhead::decode(Chunk& chunk, const Keys* keys) const {
  chunk.entries.reserve(chunk.encoded.size());
  for (const EncodedEntry& encoded : chunk.encoded) {
    auto entry = decode_entry(encoded);
    if (!entry) {
      chunk.error = entry.error();
      chunk.error->message = fmt::format("entry {}: {}", chunk.first.value() + chunk.entries.size(),
                                         chunk.error->message);
      break;
    }
    const auto key = keys ? keys->find(entry->header.principal) : Keys::const_iterator();
    if (keys && entry->body && key != keys->end()) {
      const SignedRequest& request = entry->body->signed_request;
      if (verify_signature(key->second, kRequestDomain, request.bytes, request.signature))
        entry->checked = key->second;
    }
    chunk.entries.push_back(std::move(*entry));
  }
  chunk.encoded = {};
}

std::shared_ptr<ReadAhead::Chunk> ReadAhead::wait_for_front() {
  std::unique_lock lock(mutex_);
  while (chunks_.empty() || !chunks_.front()->ready) {
    if (may_read())
      read_chunk(lock);
    else
      changed_.wait(lock);
  }
  std::shared_ptr<Chunk> front = std::move(chunks_.front());
  chunks_.pop_front();
  changed_.notify_all();
  return front;
}

Result<Entry> ReadAhead::next() {
  MESH_ASSERT(!at_end());
  if (!current_ || (taken_ == current_->entries.size() && !current_->error)) {
    current_ = wait_for_front();
    taken_ = 0;
  }
  if (taken_ < current_->entries.size()) {
    next_ = mesh::next(next_);
    return std::move(current_->entries[taken_++]);
  }
  next_ = mesh::next(last_);
  return std::unexpected(*current_->error);
}

void ReadAhead::learn(const Principal& who, const SignKey& key) {
  const std::lock_guard lock(mutex_);
  if (auto known = keys_->find(who); known != keys_->end() && known->second == key) return;
  auto keys = std::make_shared<Keys>(*keys_);
  keys->insert_or_assign(who, key);
  keys_ = std::move(keys);
}

}  // namespace mesh
