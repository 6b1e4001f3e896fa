// The entries of a log in order, read, decoded and their signatures checked by several threads
// ahead of whoever folds them: folding is one thread's work, the rest is 90 % of a replay.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "eventstore/model/encoded_entry.h"
#include "eventstore/model/entry.h"

namespace mesh {

class ReadAhead {
 public:
  /// Some entries from `from` on, in order, at least one unless it fails. Called by one thread at a
  /// time.
  using Read = std::function<Result<std::vector<EncodedEntry>>(Sequence from)>;
  /// `leave`: nobody checks signatures here; the entries come without `checked`.
  enum class Signatures : uint8_t { check, leave };

  /// Entries `first` to `last`. `helpers`: threads beside the caller's, which works too while the
  /// next entry is not ready; 0 is fine.
  ReadAhead(Read read, Sequence first, Sequence last, size_t helpers,
            Signatures signatures = Signatures::check);
  ~ReadAhead();
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  bool at_end() const { return next_ > last_; }
  /// The next entry. Errors: those of reading and decoding, with the entry's number; then there is
  /// no next.
  Result<Entry> next();
  /// From now on signatures of `who` are checked against `key` ahead. replay() believes a check
  /// only for the key that counts at the entry, so a wrong or old one costs time and nothing else.
  void learn(const Principal& who, const SignKey& key);

 private:
  using Keys = std::map<Principal, SignKey>;
  struct Chunk {
    Sequence first;
    std::vector<EncodedEntry> encoded;
    std::vector<Entry> entries;
    std::optional<Error> error;  // of what follows `entries`
    bool ready = false;
  };

  void help(const std::stop_token& stop);
  bool may_read() const;
  void read_chunk(std::unique_lock<std::mutex>& lock);
  void decode(Chunk& chunk, const Keys* keys) const;
  std::shared_ptr<Chunk> wait_for_front();

  const Read read_;
  const Signatures signatures_;
  const Sequence last_;
  const size_t chunks_max_;
  // The caller's alone.
  Sequence next_;
  std::shared_ptr<Chunk> current_;  // ready
  size_t taken_ = 0;                // of it

  std::mutex mutex_;  // guards what follows
  std::condition_variable_any changed_;
  std::deque<std::shared_ptr<Chunk>> chunks_;
  std::shared_ptr<const Keys> keys_ = std::make_shared<const Keys>();
  Sequence read_next_;
  bool reading_ = false;
  std::vector<std::jthread> threads_;  // last: they end before what they use
};

}  // namespace mesh
