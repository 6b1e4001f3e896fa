#include "tests/crash/cycles/witness.h"

#include <fmt/format.h>

#include <sstream>

#include "broker/bus/keys.h"
#include "eventstore/log/archive.h"
#include "eventstore/model/crypto.h"
#include "schemas/codec.h"
#include "tests/crash/cycles/writer.h"
#include "tests/support/world.h"

namespace mesh::crash {

namespace {

std::string digest_of(const EncodedEntry& entry) {
  return to_hex(Sha256().add(entry.header).add(entry.body).finish().view());
}

void note(uint64_t& count, Findings& findings, std::string text) {
  ++count;
  findings.texts.push_back(std::move(text));
}

/// Calls `use` with every entry, and returns at the first that cannot be read.
template <class Use>
Status for_each_entry(const RocksEventLog& log, const Use& use) {
  for (uint64_t at = 1; at <= log.head().value();) {
    const auto entries = log.read(Sequence(at), 1 << 20, 4096);
    if (!entries) return std::unexpected(entries.error());
    if (entries->empty()) return fail(Errc::corrupt, fmt::format("entry {} is not there", at));
    for (const EncodedEntry& entry : *entries) use(at++, entry);
  }
  return {};
}

}  // namespace

void Witness::begin_life() {
  in_flight_.clear();
  snapshot_in_flight_.reset();
  drop_in_flight_.reset();
  failure_.reset();
  refused_ = false;
}

void Witness::hear(const std::string& line) {
  std::istringstream in(line);
  std::string word, digest;
  uint64_t number = 0;
  in >> word;
  if (word == "try") {
    in >> number;
    in_flight_.clear();
    while (in >> digest) in_flight_.push_back(digest);
  } else if (word == "ok") {
    heard_entries_ += in_flight_.size();
    entries_.insert(entries_.end(), in_flight_.begin(), in_flight_.end());
    in_flight_.clear();
  } else if (word == "blob") {
    in >> digest;
    blobs_.insert(digest);
  } else if (word == "try-snapshot") {
    in >> number >> digest;
    snapshot_in_flight_ = {number, digest};
  } else if (word == "snapshot") {
    snapshots_[snapshot_in_flight_->first] = snapshot_in_flight_->second;
    snapshot_in_flight_.reset();
    ++heard_snapshots_;
  } else if (word == "try-drop") {
    in >> number;
    drop_in_flight_ = number;
  } else if (word == "dropped") {
    snapshots_.erase(*drop_in_flight_);
    drop_in_flight_.reset();
  } else if (word == "try-backup") {
    in >> number;
    backup_ = number;
    backup_finished_ = false;
  } else if (word == "backup") {
    backup_finished_ = true;
    ++heard_backups_;
  } else if (word == "refused") {
    refused_ = true;
  } else if (word == "failed") {
    failure_ = line;
  }
}

void Witness::check(const RocksEventLog& log, Findings& findings) {
  check_entries(log, findings);
  if (!findings.clean()) return;
  check_tree(log, findings);
  check_blobs(log, findings);
  check_snapshots(log, findings);
}

void Witness::check_entries(const RocksEventLog& log, Findings& findings) {
  const uint64_t head = log.head().value();
  const uint64_t whole = entries_.size() + in_flight_.size();
  if (head < entries_.size()) {
    findings.lost += entries_.size() - head;
    findings.texts.push_back(fmt::format("{} entries are acknowledged, {} there", entries_.size(), head));
    return;
  }
  if (head != entries_.size()) {
    if (head != whole)
      note(findings.half, findings,
           fmt::format("of the batch {} to {} entries up to {} are there", entries_.size() + 1, whole, head));
    entries_.insert(entries_.end(), in_flight_.begin(), in_flight_.end());
  }
  entries_.resize(std::min<uint64_t>(head, entries_.size()));
  const Status read = for_each_entry(log, [&](uint64_t sequence, const EncodedEntry& entry) {
    if (sequence > entries_.size() || digest_of(entry) != entries_[sequence - 1])
      note(findings.wrong, findings, fmt::format("entry {} is not what was written", sequence));
    else if (sequence == replica_.head().value() + 1)
      check_new_entry(log, sequence, entry, findings);
  });
  if (!read) note(findings.gaps, findings, read.error().message);
}

void Witness::check_new_entry(const RocksEventLog& log, uint64_t sequence, const EncodedEntry& encoded,
                              Findings& findings) {
  ++findings.checked;
  const auto entry = decode_entry(encoded);
  if (!entry) return note(findings.wrong, findings, entry.error().message);
  const RequestId id = entry->body->request.id;
  if (!requests_.insert(to_hex(id.view())).second)
    note(findings.duplicates, findings, fmt::format("entry {} answers a request that is answered", sequence));
  const bool answers = id != RequestId{};  // zero answers nobody
  if (answers && log.find_request(id) != Sequence(sequence))
    note(findings.wrong, findings, fmt::format("entry {} is not found by its request", sequence));
  if (const Status folded = replay(replica_, *entry, log_); !folded)
    note(findings.wrong, findings, folded.error().message);
}

void Witness::check_tree(const RocksEventLog& log, Findings& findings) const {
  if (log.frontier() != replica_.frontier)
    return note(findings.wrong, findings, "the Merkle root is not that of the entries");
  const uint64_t size = log.head().value();
  if (size == 0) return;
  const std::string origin = checkpoint_origin(log_, 1);
  const SignKey key = test::sign_secret(std::string(kWorld) + " log").public_key();
  const auto checkpoint = open_checkpoint(log.checkpoint(), origin, key);
  if (!checkpoint || checkpoint->size != size || checkpoint->root != replica_.frontier.root())
    note(findings.wrong, findings, "the checkpoint does not cover the log");
  const uint64_t index = size / 3;
  const auto leaf = log.tree_hash(0, index);
  const auto proof = inclusion_proof(index, size, log.hash_reader());
  if (!leaf || !proof || !verify_inclusion(*leaf, index, size, *proof, replica_.frontier.root()))
    note(findings.wrong, findings, fmt::format("entry {} cannot be proved", index + 1));
}

void Witness::check_blobs(const RocksEventLog& log, Findings& findings) const {
  for (const std::string& hex : blobs_) {
    const auto blob = log.get_blob(Digest::from(*from_hex(hex)).value());
    if (!blob) note(findings.lost, findings, blob.error().message);
  }
}

void Witness::check_snapshots(const RocksEventLog& log, Findings& findings) {
  std::set<uint64_t> there;
  for (const Sequence at : log.snapshots()) there.insert(at.value());
  if (snapshot_in_flight_ && there.contains(snapshot_in_flight_->first))
    snapshots_[snapshot_in_flight_->first] = snapshot_in_flight_->second;
  if (drop_in_flight_ && !there.contains(*drop_in_flight_)) snapshots_.erase(*drop_in_flight_);
  for (const uint64_t at : there)
    if (!snapshots_.contains(at)) note(findings.half, findings, fmt::format("snapshot {} was never put", at));
  for (const auto& [at, digest] : snapshots_) {
    const auto bytes = log.get_snapshot(Sequence(at));
    if (!there.contains(at) || !bytes) {
      note(findings.lost, findings, fmt::format("snapshot {} is not there", at));
      continue;
    }
    const auto replica = decode_snapshot(*bytes);
    if (to_hex(sha256(*bytes).view()) != digest || !replica || replica->head() != Sequence(at) ||
        (replica->head() == replica_.head() && *replica != replica_))
      note(findings.wrong, findings, fmt::format("snapshot {} is not what was written", at));
  }
}

void Witness::check_backup(const std::filesystem::path& file, Findings& findings) const {
  if (!backup_) return;
  uint64_t count = 0;
  const auto read = [&]() -> Status {
    auto source = read_file(file);
    if (!source) return std::unexpected(source.error());
    auto archive = ArchiveReader::open(std::move(*source));
    if (!archive) return std::unexpected(archive.error());
    for (;;) {
      auto part = archive->next();
      if (!part) return std::unexpected(part.error());
      if (!*part) return {};
      for (const EncodedEntry& entry : (*part)->entries)
        if (++count > entries_.size() || digest_of(entry) != entries_[count - 1])
          return fail(Errc::usage, fmt::format("entry {} in the backup is not what was written", count));
    }
  };
  const Status whole = read();
  if (whole ? count != *backup_ : backup_finished_ || whole.error().code == Errc::usage)
    note(findings.wrong, findings,
         fmt::format("the backup up to {} holds {}: {}", *backup_, count, whole ? "whole" : whole.error().message));
}

void Witness::check_from_the_beginning(const RocksEventLog& log, Findings& findings) const {
  Replica replica;
  const Status read = for_each_entry(log, [&](uint64_t, const EncodedEntry& encoded) {
    const auto entry = decode_entry(encoded);
    const Status folded = entry ? replay(replica, *entry, log_) : Status(std::unexpected(entry.error()));
    if (!folded) note(findings.wrong, findings, folded.error().message);
  });
  if (!read) note(findings.gaps, findings, read.error().message);
  if (replica != replica_) note(findings.wrong, findings, "the fold of the whole log gives another state");
}

}  // namespace mesh::crash
