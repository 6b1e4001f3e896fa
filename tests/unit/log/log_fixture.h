// Entries, requests and directories for the tests of the log.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "eventstore/log/event_log.h"
#include "eventstore/model/checkpoint.h"
#include "eventstore/model/crypto.h"

namespace mesh {

/// A fresh directory, removed with all it holds at the end. In memory where the machine has that:
/// no test depends on the disk's own durability, and waiting for it a hundred times takes longer
/// than the test.
class TempDir {
 public:
  TempDir() {
    const std::filesystem::path memory = "/dev/shm";
    const bool in_memory = access(memory.c_str(), W_OK) == 0;
    std::string name =
        ((in_memory ? memory : std::filesystem::temp_directory_path()) / "meshlog-test-XXXXXX")
            .string();
    if (!mkdtemp(name.data())) std::abort();
    path_ = name;
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline LogId test_log_id() {
  LogId id;
  for (uint8_t i = 0; i < LogId::kSize; ++i) id.bytes[i] = i;
  return id;
}

inline Bytes text_bytes(std::string_view text) { return Bytes(text.begin(), text.end()); }

/// The entry that every test stores at `sequence`; `body_bytes` pads its body.
inline EncodedEntry test_entry(uint64_t sequence, size_t body_bytes = 40) {
  EncodedEntry entry{text_bytes("header " + std::to_string(sequence)),
                     text_bytes("body " + std::to_string(sequence) + " ")};
  while (entry.body.size() < body_bytes)
    entry.body.push_back(static_cast<uint8_t>(1 + entry.body.size() % 251));
  return entry;
}

inline RequestId test_request(uint64_t sequence) {
  return RequestId::from(sha256(as_bytes("request " + std::to_string(sequence))).view().first(16))
      .value();
}

/// A note with the right text and a signature that nobody checks here.
inline std::string test_note(uint64_t size, const Digest& root) {
  return sign_note(checkpoint_text({"meshlog/test/0", size, root, {}}), "test", SignKey{},
                   [](ByteView) { return Signature{}; });
}

inline Result<Sequence> append_entries(EventLog& log, size_t count, size_t body_bytes = 40,
                                       const CheckpointSigner& sign = test_note) {
  std::vector<EncodedEntry> entries;
  std::vector<RequestId> requests;
  for (size_t i = 1; i <= count; ++i) {
    entries.push_back(test_entry(log.head().value() + i, body_bytes));
    requests.push_back(test_request(log.head().value() + i));
  }
  return log.append(log.head(), 1, entries, requests, sign);
}

/// The root that the test entries 1 to `size` have.
inline Digest test_root(uint64_t size) {
  static MerkleFrontier frontier;
  static std::vector<Digest> roots{frontier.root()};
  while (roots.size() <= size) {
    frontier.append(leaf_hash(test_entry(roots.size()).header));
    roots.push_back(frontier.root());
  }
  return roots[size];
}

inline Blob make_blob(Bytes bytes) {
  const Digest digest = sha256(bytes);
  return {digest, std::move(bytes)};
}

}  // namespace mesh
