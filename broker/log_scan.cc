#include "broker/log_scan.h"

#include <algorithm>

#include "schemas/codec.h"

namespace mesh {

namespace {

constexpr size_t kReadBytes = 1024 * 1024;
constexpr uint64_t kPieceEntries = 32;  // held at once, decoded: the largest have megabytes
static_assert(LogIndex::kBlockEntries % kPieceEntries == 0);
constexpr int kProbes = 4;  // of 1,024 bits: 1 % false at 100 keys a block, a quarter at 300

uint64_t hash(char kind, std::string_view text) {
  uint64_t h = 0xcbf29ce484222325ull ^ static_cast<uint8_t>(kind);  // FNV-1a
  for (const char c : text) h = (h ^ static_cast<uint8_t>(c)) * 0x100000001b3ull;
  h = (h ^ (h >> 32)) * 0x9e3779b97f4a7c15ull;
  return h ^ (h >> 29);
}

/// The bits of a key, ten of its own for each.
std::array<unsigned, kProbes> bits_of(ScanKey key) {
  std::array<unsigned, kProbes> out{};
  for (unsigned& bit : out) {
    bit = static_cast<unsigned>(key & 1023);
    key >>= 10;
  }
  return out;
}

void mention(Mentions& out, const Scope& scope) {
  if (scope.level == Level::node) out.nodes.push_back(scope.node);
  if (scope.level == Level::site) out.sites.push_back(scope.site);
}

template <class E>
constexpr bool is_site_event = std::is_same_v<E, SiteAdded> || std::is_same_v<E, SiteRemoved> ||
                               std::is_same_v<E, SiteRestored>;

void keys_of(const Entry& entry, std::vector<ScanKey>& out) {
  out.push_back(actor_key(to_text(entry.header.principal)));
  if (!entry.body) return;
  for (const Command& command : entry.body->request.commands)
    out.push_back(type_key(command_name(command)));
  for (const Event& event : entry.body->events) {
    out.push_back(type_key(event_name(event)));
    const Mentions about = mentions(event);
    for (const NodeId node : about.nodes) out.push_back(node_key(node));
    for (const std::string_view site : about.sites) out.push_back(site_key(site));
    if (!about.attribute.empty()) out.push_back(attribute_key(about.attribute));
  }
}

/// What is read at once: the part of a range at its open end, within one block.
ScanRange next_piece(const ScanRange& range) {
  const uint64_t piece = ((range.newest_first ? range.last : range.first) - 1) / kPieceEntries;
  return {std::max(range.first, piece * kPieceEntries + 1),
          std::min(range.last, (piece + 1) * kPieceEntries), range.newest_first};
}

uint64_t block_of(uint64_t sequence) { return (sequence - 1) / LogIndex::kBlockEntries; }

void drop(ScanRange& range, const ScanRange& piece) {
  if (range.newest_first)
    range.last = piece.first - 1;
  else
    range.first = piece.last + 1;
}

/// Leaves out what is left of the block at the open end.
void drop_block(ScanRange& range, uint64_t block) {
  drop(range, {std::max(range.first, block * LogIndex::kBlockEntries + 1),
               std::min(range.last, (block + 1) * LogIndex::kBlockEntries), range.newest_first});
}

/// The entries of a piece in order; a damaged one is an error in its place.
std::vector<Result<Entry>> read_piece(const EventLog& log, const ScanRange& piece) {
  std::vector<Result<Entry>> out;
  while (piece.first + out.size() <= piece.last) {
    const Sequence from(piece.first + out.size());
    auto read = log.read(from, kReadBytes, piece.last - from.value() + 1);
    if (!read || read->empty()) {
      out.push_back(read ? Result<Entry>(fail(Errc::corrupt, "it cannot be read"))
                         : std::unexpected(read.error()));
      continue;
    }
    for (const EncodedEntry& encoded : *read) out.push_back(decode_entry(encoded));
  }
  return out;
}

/// Gathers the keys of a block while a scan walks through it.
class Learner {
 public:
  explicit Learner(LogIndex* index) : index_(index) {}

  void read(const std::vector<Result<Entry>>& entries, uint64_t block) {
    if (!index_) return;
    if (block != block_) {
      block_ = block;
      seen_ = 0;
      keys_.clear();
    }
    for (const auto& entry : entries) {
      // Damage has to be told to every search: such a block never counts as read.
      if (!entry) continue;
      ++seen_;
      keys_of(*entry, keys_);
    }
    if (seen_ == LogIndex::kBlockEntries && !index_->knows(block)) index_->learn(block, keys_);
  }

 private:
  LogIndex* index_;
  uint64_t block_ = UINT64_MAX, seen_ = 0;
  std::vector<ScanKey> keys_;
};

/// The header of the first entry from `from` on that can be read, before `end`.
std::optional<EntryHeader> readable_header(const EventLog& log, uint64_t from, uint64_t end) {
  for (; from < end; ++from) {
    auto entries = log.read(Sequence(from), 1, 1);
    if (!entries || entries->empty()) continue;
    if (auto header = decode_header(entries->front().header)) return std::move(*header);
  }
  return std::nullopt;
}

}  // namespace

Mentions mentions(const Event& event) {
  Mentions out;
  std::visit(
      [&]<class E>(const E& e) {
        if constexpr (requires { e.node; }) out.nodes.push_back(e.node);
        if constexpr (requires { e.rows; })
          for (const auto& row : e.rows) out.nodes.push_back(row.node);
        if constexpr (requires { e.nodes; }) out.nodes.insert(out.nodes.end(), e.nodes.begin(), e.nodes.end());
        if constexpr (requires { e.outcome; }) out.nodes.push_back(e.outcome.node);
        if constexpr (requires { e.scope; }) mention(out, e.scope);
        if constexpr (is_site_event<E>) out.sites.push_back(e.name);
        if constexpr (std::is_same_v<E, SiteRenamed>) out.sites = {e.from, e.to};
        if constexpr (std::is_same_v<E, NodeAdded>) out.sites.push_back(e.site);
        if constexpr (std::is_same_v<E, AttributeSet> || std::is_same_v<E, AttributeUnset>)
          out.attribute = e.name;
      },
      event);
  return out;
}

ScanKey node_key(NodeId node) { return hash('n', std::to_string(node.value())); }
ScanKey site_key(std::string_view name) { return hash('s', name); }
ScanKey actor_key(std::string_view principal) { return hash('a', principal); }
ScanKey type_key(std::string_view name) { return hash('t', name); }
ScanKey attribute_key(std::string_view name) { return hash('k', name); }

bool LogIndex::may_hold(uint64_t block, std::span<const ScanKey> keys) const {
  const std::lock_guard lock(mutex_);
  if (block >= blocks_.size() || blocks_[block].bits == Filter().bits) return true;
  const auto& bits = blocks_[block].bits;
  return std::any_of(keys.begin(), keys.end(), [&](ScanKey key) {
    const auto probes = bits_of(key);
    return std::all_of(probes.begin(), probes.end(),
                       [&](unsigned bit) { return bits[bit / 64] >> (bit % 64) & 1; });
  });
}

bool LogIndex::knows(uint64_t block) const {
  const std::lock_guard lock(mutex_);
  return block < blocks_.size() && blocks_[block].bits != Filter().bits;
}

void LogIndex::learn(uint64_t block, std::span<const ScanKey> keys) {
  Filter filter;
  for (const ScanKey key : keys)
    for (const unsigned bit : bits_of(key)) filter.bits[bit / 64] |= 1ull << (bit % 64);
  const std::lock_guard lock(mutex_);
  if (block >= blocks_.size()) blocks_.resize(block + 1);
  blocks_[block] = filter;
}

ScanRange scan(const EventLog& log, LogIndex* index, const ScanKeys& keys, ScanRange range,
               size_t budget, const ScanVisitor& visit) {
  Learner learner(index);
  uint64_t last_block = UINT64_MAX;
  for (size_t work = 0; range.first <= range.last;) {
    const ScanRange piece = next_piece(range);
    const uint64_t block = block_of(piece.first);
    // Not within a block, which would then never be known.
    if (work >= budget && block != last_block) break;
    last_block = block;
    const bool out = index && std::any_of(keys.begin(), keys.end(), [&](const auto& group) {
                       return !index->may_hold(block, group);
                     });
    if (out) {
      drop_block(range, block);
      ++work;
      continue;
    }
    const auto entries = read_piece(log, piece);
    work += entries.size();
    learner.read(entries, block);
    for (size_t i = 0; i < entries.size(); ++i) {
      const size_t at = range.newest_first ? entries.size() - 1 - i : i;
      const uint64_t sequence = piece.first + at;
      drop(range, {sequence, sequence, range.newest_first});
      if (!visit(Sequence(sequence), entries[at])) return range;
    }
  }
  return range;
}

uint64_t first_at_or_after(const EventLog& log, uint64_t last, Timestamp time) {
  uint64_t low = 1, high = last + 1;
  while (low < high) {
    const uint64_t middle = low + (high - low) / 2;
    const auto header = readable_header(log, middle, high);
    if (!header || header->time >= time)
      high = middle;
    else
      low = header->sequence.value() + 1;
  }
  return low;
}

}  // namespace mesh
