#include "nodes/replica/replica_store.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "eventstore/model/crypto.h"
#include "eventstore/model/evolve.h"
#include "eventstore/model/limits.h"
#include "nodes/adoption.h"
#include "nodes/replica/config_file.h"
#include "nodes/replica/tail_records.h"
#include "schemas/codec.h"
#include "schemas/config_text.h"

namespace mesh {

namespace {

constexpr auto kSnapshot = "replica/snapshot";
constexpr auto kTail = "replica/tail";
constexpr auto kTailBefore = "replica/tail.before";
constexpr auto kHeld = "held";
constexpr auto kCheckpoint = "replica/checkpoint";
constexpr auto kRefused = "versions/refused";
constexpr auto kOverlay = "overlay.json";
constexpr auto kOutcomes = "outcomes.json";
constexpr std::string_view kStages[] = {"none", "applied", "healthy", "over"};  // by TrialStage
std::string version_path(Version version) { return fmt::format("versions/v{}", version.value()); }

/// "v12" or "versions/v12"; 0 when it is not one.
Version parse_version(std::string_view text) {
  if (const auto slash = text.rfind('/'); slash != std::string_view::npos) text.remove_prefix(slash + 1);
  uint32_t number = 0;
  if (text.size() < 2 || text.front() != 'v') return {};
  const auto end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data() + 1, end, number);
  return parsed.ec == std::errc() && parsed.ptr == end ? Version(number) : Version();
}

/// Folds what was verified before it was stored.
void fold(Replica& replica, const Entry& entry) {
  if (entry.body) {
    evolve(replica.state, entry.header, *entry.body);
  } else {
    evolve_header(replica.state, entry.header);
  }
  replica.frontier.append(entry.leaf);
}

/// What `sha256sum -c` reads.
const std::string kSums = "sums";
constexpr std::string_view kReserved[] = {"config.json", "digest", "sums"};
std::string sums_of(const std::map<std::string, std::string>& files) {
  std::string out;
  for (const auto& [name, content] : files)
    out += fmt::format("{}  {}\n", to_hex(sha256(as_bytes(content)).view()), name);
  return out;
}

}  // namespace

// --- opening ---

Status ReplicaStore::open() {
  MESH_TRY(files_.make_dir("replica"));
  MESH_TRY(files_.make_dir("versions"));
  MESH_TRY(files_.sync_dir("."));
  problems_.clear();
  MESH_TRY(read_versions());
  MESH_TRY(read_outcomes());
  pointers_.active = read_pointer("active");
  pointers_.previous = read_pointer("previous");
  read_pending();
  read_held();
  return {};
}

/// A damaged file counts as absent.
Result<std::string> ReplicaStore::read_small(const std::string& path) {
  auto bytes = files_.read(path);
  if (!bytes) return std::unexpected(bytes.error());
  auto text = without_check(as_text(*bytes));
  if (!text) problems_.push_back(fmt::format("{} is damaged: {}", path, text.error().message));
  return text;
}

Status ReplicaStore::write_small(const std::string& path, std::string_view text) {
  return write_atomic(files_, path, as_bytes(with_check(text)));
}

Version ReplicaStore::read_pointer(const std::string& name) {
  auto target = files_.read_link(name);
  if (!target) return {};
  const auto version = parse_version(*target);
  if (versions_.contains(version)) return version;
  problems_.push_back(fmt::format("{} points to {}, which is not there", name, *target));
  return {};
}

Status ReplicaStore::read_versions() {
  auto names = files_.list("versions");
  if (!names) return std::unexpected(names.error());
  versions_.clear();
  for (const auto& name : *names) {
    if (name.ends_with(".tmp")) MESH_TRY(files_.remove("versions/" + name));  // left by a crash: never whole
    const auto version = parse_version(name);
    if (version == Version()) continue;
    auto text = files_.read(version_path(version) + "/digest");
    const auto digest = text ? array_from_hex<Digest>(as_text(*text)) : std::nullopt;
    if (digest) {
      versions_[version] = *digest;
    } else {
      problems_.push_back(fmt::format("versions/{}/digest is damaged", name));
    }
  }
  refused_.clear();
  if (auto text = read_small(kRefused)) {
    std::string_view rest = *text;
    while (!rest.empty()) {
      const auto line = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(std::min(rest.size(), line.size() + 1));
      const auto space = std::min(line.find(' '), line.size());
      const auto version = parse_version(line.substr(0, space));
      if (version != Version()) refused_[version] = line.substr(std::min(space + 1, line.size()));
    }
  }
  read_bases();
  return {};
}

// --- entries ---

Result<LoadedReplica> ReplicaStore::load() {
  auto loaded = read_replica(std::nullopt);
  if (!loaded) return loaded;
  if (auto note = files_.read(kCheckpoint)) loaded->checkpoint = as_text(*note);
  return loaded;
}

Result<Replica> ReplicaStore::rewind(Sequence head) {
  auto loaded = read_replica(head);
  if (!loaded) return std::unexpected(loaded.error());
  return std::move(loaded->replica);
}

Result<LoadedReplica> ReplicaStore::read_replica(std::optional<Sequence> until) {
  LoadedReplica loaded;
  if (auto bytes = files_.read(kSnapshot)) {
    snapshot_bytes_ = bytes->size();
    auto snapshot = unwrap_snapshot(*bytes);
    if (snapshot) {
      loaded.replica = std::move(*snapshot);
      loaded.snapshot = loaded.replica.head();
      loaded.snapshot_root = loaded.replica.frontier.root();
    } else if (snapshot.error().code == Errc::unsupported) {
      return fail_in("reading replica/snapshot", snapshot.error());
    } else {
      loaded.problems.push_back(fmt::format("replica/snapshot is damaged ({})", snapshot.error().message));
      MESH_TRY(files_.rename(kSnapshot, "replica/snapshot.damaged"));
      MESH_TRY(files_.sync_dir("replica"));
      snapshot_bytes_ = 0;
    }
  }
  auto bytes = files_.read(kTail);
  if (!bytes && bytes.error().code != Errc::not_found) return std::unexpected(bytes.error());
  if (!bytes) {
    MESH_TRY(files_.write(kTail, {}, 0600));
    MESH_TRY(files_.sync_dir("replica"));
    bytes = Bytes();
  }
  uint64_t good = 0;
  MESH_TRY(fold_tail(*bytes, until, loaded, good));
  tail_bytes_ = bytes->size();
  if (good != tail_bytes_) MESH_TRY(trim(good));
  return loaded;
}

/// Folds records up to `until`, or to the first that is torn or damaged; `good` = bytes before it.
Status ReplicaStore::fold_tail(ByteView bytes, std::optional<Sequence> until, LoadedReplica& loaded, uint64_t& good) {
  auto& replica = loaded.replica;
  const auto damaged = [&](std::string what) -> Status {
    loaded.problems.push_back(fmt::format("replica/tail: {}; entries after {} come from the controller again", what,
                                          replica.head().value()));
    return {};
  };
  while (good < bytes.size()) {
    auto record = read_record(bytes.subspan(good));
    if (record.kind == Record::Kind::torn) return {};
    if (record.kind == Record::Kind::damaged) return damaged(fmt::format("the record at byte {} is damaged", good));
    auto entry = decode_entry(record.entry);
    if (!entry && entry.error().code == Errc::unsupported) return fail_in("reading replica/tail", entry.error());
    if (!entry) return damaged(fmt::format("the record at byte {}: {}", good, entry.error().message));
    const auto sequence = entry->header.sequence;
    if (until && sequence > *until) return {};
    // Left by a history that was given up; the crash came between the new snapshot and emptying the tail.
    if (sequence > replica.head() && replica.head() != Sequence() &&
        entry->header.epoch < replica.state.epoch)
      return {};
    if (sequence > next(replica.head())) {
      return damaged(fmt::format("entry {} follows entry {}", sequence.value(), replica.head().value()));
    }
    // What a snapshot holds already: the crash came between writing it and emptying the tail.
    if (sequence > replica.head()) {
      const auto known = check_rules(entry->header, entry->body ? &entry->body->request : nullptr);
      if (!known) return fail_in("reading replica/tail", known.error());
      fold(replica, *entry);
    }
    good += record.size;
  }
  return {};
}

Status ReplicaStore::trim(uint64_t size) {
  MESH_TRY(files_.truncate(kTail, size));
  tail_bytes_ = size;
  tail_dirty_ = false;
  return {};
}

Status ReplicaStore::append(const std::vector<EncodedEntry>& entries) {
  if (entries.empty()) return {};
  if (tail_dirty_) MESH_TRY(trim(tail_bytes_));
  Bytes bytes;
  for (const auto& entry : entries) put_record(bytes, entry);
  if (auto appended = files_.append(kTail, bytes); !appended) {
    tail_dirty_ = true;
    return fail_in("storing entries", appended.error());
  }
  tail_bytes_ += bytes.size();
  return {};
}

Status ReplicaStore::save_checkpoint(std::string_view note) {
  return write_atomic(files_, kCheckpoint, as_bytes(note));
}

Status ReplicaStore::save_snapshot(const Replica& replica) {
  MESH_TRY(add_leaves(replica));
  MESH_TRY(write_snapshot(replica));
  // The entries that it took in are kept once more: another history may lack them.
  MESH_TRY(files_.rename(kTail, kTailBefore));
  MESH_TRY(files_.write(kTail, {}, 0600));
  MESH_TRY(files_.sync_dir("replica"));
  tail_bytes_ = 0;
  tail_dirty_ = false;
  return {};
}

Status ReplicaStore::write_snapshot(const Replica& replica) {
  const auto content = encode_snapshot(replica);
  const auto check = sha256(content);
  Bytes bytes(check.bytes.begin(), check.bytes.end());
  bytes.insert(bytes.end(), content.begin(), content.end());
  MESH_TRY(write_atomic(files_, kSnapshot, bytes));
  snapshot_bytes_ = bytes.size();
  return {};
}

// --- versions ---

Status ReplicaStore::put_version(Version version, std::string_view text,
                                 const std::map<std::string, std::string>& files) {
  const auto digest = sha256(as_bytes(text));
  const auto known = versions_.find(version);
  if (known != versions_.end() && known->second == digest) return {};
  const auto path = version_path(version), staged = path + ".tmp";
  const auto stage = [&]() -> Status {
    MESH_TRY(files_.remove(staged));
    MESH_TRY(files_.make_dir(staged));
    MESH_TRY(files_.write(staged + "/config.json", as_bytes(text), 0600));
    MESH_TRY(files_.write(staged + "/digest", as_bytes(to_hex(digest.view())), 0600));
    for (const auto& [name, content] : files) MESH_TRY(files_.write(staged + "/" + name, as_bytes(content), 0600));
    MESH_TRY(files_.write(staged + "/" + kSums, as_bytes(sums_of(files)), 0600));
    MESH_TRY(files_.sync_dir(staged));
    // Only a history that was given up, or damage, can have left another vN.
    MESH_TRY(files_.remove(path));
    MESH_TRY(files_.rename(staged, path));
    return files_.sync_dir("versions");
  };
  if (auto done = stage(); !done) {
    (void)files_.remove(staged);  // the first error is the one to tell
    return fail_in(fmt::format("storing version v{}", version.value()), done.error());
  }
  versions_[version] = digest;
  if (!refused_.contains(version)) return {};
  auto refused = refused_;  // by a history that was given up
  refused.erase(version);
  return write_refused(std::move(refused));
}

std::vector<Version> ReplicaStore::list_versions() const {
  std::vector<Version> versions;
  for (const auto& [version, digest] : versions_) versions.push_back(version);
  return versions;
}

std::optional<Digest> ReplicaStore::digest_of(Version version) const {
  const auto found = versions_.find(version);
  return found == versions_.end() ? std::nullopt : std::optional(found->second);
}

Result<StoredVersion> ReplicaStore::get_version(Version version) {
  const auto known = versions_.find(version);
  if (known == versions_.end()) return fail(Errc::not_found, fmt::format("v{} is not on disk", version.value()));
  const auto path = version_path(version) + "/config.json";
  auto text = files_.read(path);
  if (!text) return std::unexpected(text.error());
  if (sha256(*text) != known->second) {
    versions_.erase(known);  // as if it were not there: the digest in the log brings it back
    return fail(Errc::corrupt, fmt::format("{} is damaged: its digest is not the one that it was stored with", path));
  }
  auto config = parse_config_text(as_text(*text));
  if (!config) return fail_in("reading " + path, config.error());
  StoredVersion out{std::move(*config), {}};
  for (const auto& file : out.files) {
    const auto at = version_path(version) + "/" + file.name;
    auto content = files_.read(at);
    if (!content && content.error().code != Errc::not_found) return std::unexpected(content.error());
    if (!content || sha256(*content) != file.digest) {
      versions_.erase(known);
      return fail(Errc::corrupt, fmt::format("{} is damaged: it is not what it was stored as", at));
    }
    out.contents.emplace(file.name, as_text(*content));
  }
  return out;
}

std::vector<ReplicaStore::EditedFile> ReplicaStore::edited_files(Version version, const Digest& digest) {
  std::vector<EditedFile> out;
  const auto known = versions_.find(version);
  if (known == versions_.end() || known->second != digest) return out;
  const auto path = version_path(version) + "/";
  const auto check = [&](const std::string& name, std::string_view wanted) {
    auto bytes = files_.read(path + name);
    if (bytes && to_hex(sha256(*bytes).view()) == wanted) return;
    out.push_back({name, bytes ? std::string(as_text(*bytes)) : std::string()});
  };
  check("config.json", to_hex(digest.view()));
  auto sums = files_.read(path + kSums);
  std::string_view left = sums ? as_text(*sums) : std::string_view();
  constexpr size_t kHex = 64, kName = kHex + 2;
  while (!left.empty()) {
    const auto line = left.substr(0, left.find('\n'));
    left.remove_prefix(std::min(line.size() + 1, left.size()));
    if (line.size() > kName && !line.contains('/')) check(std::string(line.substr(kName)), line.substr(0, kHex));
  }
  return out;
}

Status ReplicaStore::rewrite_version(Version version, std::string_view text,
                                     const std::map<std::string, std::string>& files) {
  const auto path = version_path(version) + "/";
  const auto put = [&](const std::string& name, std::string_view content) -> Status {
    auto is = files_.read(path + name);
    if (is && as_text(*is) == content) return {};
    return write_atomic(files_, path + name, as_bytes(content));
  };
  MESH_TRY(put("config.json", text));
  for (const auto& [name, content] : files) MESH_TRY(put(name, content));
  return put(kSums, sums_of(files));
}

bool ReplicaStore::is_reserved(std::string_view name) {
  return std::ranges::find(kReserved, name) != std::end(kReserved);
}

Status ReplicaStore::prune_versions(Version wanted) {
  auto versions = list_versions();
  size_t kept = versions.size();
  for (const auto version : versions) {
    if (kept <= kVersionsKept) break;
    if (version == wanted || version == pointers_.active || version == pointers_.previous ||
        version == pointers_.pending) {
      continue;
    }
    MESH_TRY(files_.remove(version_path(version)));
    MESH_TRY(files_.sync_dir("versions"));
    versions_.erase(version);
    --kept;
  }
  return {};
}

Status ReplicaStore::refuse_version(Version version, const std::string& reason) {
  auto refused = refused_;
  refused[version] = reason;
  return write_refused(std::move(refused));
}

Status ReplicaStore::write_refused(std::map<Version, std::string> refused) {
  std::string text;
  for (const auto& [each, why] : refused) text += fmt::format("v{} {}\n", each.value(), why);
  MESH_TRY(write_small(kRefused, text));
  refused_ = std::move(refused);
  return {};
}

/// The file: the activation's number, then a blank and why.
void ReplicaStore::read_held() {
  pointers_.held.reset();
  pointers_.held_why.clear();
  const auto text = read_small(kHeld);
  if (!text) return;
  uint64_t number = 0;
  const std::string_view line = *text;
  const auto digits = line.substr(0, line.find(' '));
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (parsed.ec != std::errc() || parsed.ptr != digits.data() + digits.size()) {
    problems_.push_back("held is damaged");
    return;
  }
  pointers_.held = ActivationId(number);
  pointers_.held_why = line.substr(std::min(line.size(), digits.size() + 1));
}

Status ReplicaStore::hold(std::optional<ActivationId> activation, std::string why) {
  if (activation) {
    const auto text = fmt::format("{}{}{}", activation->value(), why.empty() ? "" : " ", why);
    MESH_TRY(write_small(kHeld, text));
  } else {
    MESH_TRY(files_.remove(kHeld));
    MESH_TRY(files_.sync_dir("."));
    why.clear();
  }
  pointers_.held = activation;
  pointers_.held_why = std::move(why);
  return {};
}

std::optional<std::string> ReplicaStore::refused(Version version) const {
  const auto found = refused_.find(version);
  if (found == refused_.end()) return std::nullopt;
  return found->second;
}

// --- pointers ---

void ReplicaStore::read_pending() {
  pointers_.pending = {};
  waiting_.reset();
  auto text = files_.read(kPendingFile);
  if (!text) return;
  pointers_.pending = parse_version(as_text(*text));
  if (pointers_.pending != Version()) return;
  auto waiting = parse_pending_text(as_text(*text));
  if (!waiting) {
    problems_.push_back("pending is damaged: " + waiting.error().message);
    return;
  }
  pointers_.pending = waiting->version;
  waiting_ = std::move(*waiting);
}

Status ReplicaStore::point_to(Version version) {
  if (version == pointers_.active) return {};
  if (pointers_.active != Version()) {
    MESH_TRY(link_atomic(files_, version_path(pointers_.active), "previous"));
    pointers_.previous = pointers_.active;
  }
  MESH_TRY(link_atomic(files_, version_path(version), "active"));
  pointers_.active = version;
  (void)files_.remove(kInheritedLink);  // counts no more
  return {};
}

Status ReplicaStore::set_active(Version version) {
  MESH_TRY(point_to(version));
  return clear_pending();
}

// --- overlay and outcomes ---

std::optional<Overlay> ReplicaStore::overlay() {
  const auto text = read_small(kOverlay);
  if (!text) return std::nullopt;
  auto overlay = parse_overlay_text(*text);
  if (!overlay) {
    problems_.push_back("overlay.json is damaged: " + overlay.error().message);
    return std::nullopt;
  }
  return *overlay;
}

Status ReplicaStore::save_overlay(const Overlay& overlay) {
  return write_small(kOverlay, overlay_text(overlay));
}

Status ReplicaStore::read_outcomes() {
  const auto text = read_small(kOutcomes);
  const bool absent = !text && (text.error().code == Errc::corrupt || text.error().code == Errc::not_found);
  if (!text) return absent ? Status() : std::unexpected(text.error());
  const auto damaged = [&](std::string_view what) {
    problems_.push_back(fmt::format("outcomes.json is damaged: {}", what));
    return Status();
  };
  const auto json = nlohmann::json::parse(*text, nullptr, false);
  if (!json.is_object()) return damaged("not an object");
  for (const auto* name : {"activation", "serial"}) {
    if (!json.contains(name) || !json[name].is_number_unsigned()) return damaged(name);
  }
  if (!json.contains("outcomes") || !json["outcomes"].is_array()) return damaged("outcomes");
  std::vector<SignedOutcome> outcomes;
  for (const auto& each : json["outcomes"]) {
    if (!each.is_object() || !each.contains("bytes") || !each["bytes"].is_string() || !each.contains("signature") ||
        !each["signature"].is_string()) {
      return damaged("an outcome");
    }
    const auto bytes = from_base64(each["bytes"].get<std::string>());
    const auto signature = array_from_base64<Signature>(each["signature"].get<std::string>());
    auto outcome = bytes ? decode_outcome(*bytes) : fail(Errc::corrupt, "not base64");
    if (!signature || !outcome) return damaged("an outcome");
    outcomes.push_back({*bytes, *signature, std::move(*outcome)});
  }
  outcomes_ = std::move(outcomes);
  serial_ = json["serial"].get<uint64_t>();
  pointers_.activation = ActivationId(json["activation"].get<uint64_t>());
  // Files of older programs lack both.
  if (!json.contains("stage") || !json.contains("trial") || !json["trial"].is_number_unsigned()) return {};
  const auto named = std::ranges::find(kStages, json["stage"].is_string() ? json["stage"].get<std::string>() : "");
  if (named == std::end(kStages)) return damaged("stage");
  pointers_.trial = ActivationId(json["trial"].get<uint64_t>());
  pointers_.stage = static_cast<TrialStage>(named - std::begin(kStages));
  return {};
}

Status ReplicaStore::write_outcomes(Handled handled) {
  auto& outcomes = handled.outcomes;
  if (outcomes.size() > kOutcomesKept) outcomes.erase(outcomes.begin());
  auto list = nlohmann::json::array();
  for (const auto& each : outcomes) {
    list.push_back({{"bytes", to_base64(each.bytes)}, {"signature", to_base64(each.signature.view())}});
  }
  const nlohmann::json json = {{"activation", handled.activation.value()},
                               {"trial", handled.trial.value()},
                               {"stage", kStages[static_cast<size_t>(handled.stage)]},
                               {"serial", handled.serial},
                               {"outcomes", list}};
  MESH_TRY(write_small(kOutcomes, json.dump(1)));
  pointers_.activation = handled.activation;
  pointers_.trial = handled.trial;
  pointers_.stage = handled.stage;
  serial_ = handled.serial;
  outcomes_ = std::move(outcomes);
  return {};
}

Status ReplicaStore::add_outcome(const SignedOutcome& outcome, TrialStage stage) {
  auto next = handled();
  next.serial = outcome.outcome.serial;
  next.outcomes.push_back(outcome);
  if (stage != TrialStage::none) {
    next.trial = outcome.outcome.activation;
    next.stage = stage;
  } else if (outcome.outcome.kind != OutcomeKind::failed) {
    // A failed one is tried once more after a restart: somebody may have repaired what it failed for.
    next.activation = outcome.outcome.activation;
  }
  return write_outcomes(std::move(next));
}

Status ReplicaStore::renumber(std::vector<SignedOutcome> outcomes, uint64_t serial) {
  auto next = handled();
  next.serial = serial;
  next.outcomes = std::move(outcomes);
  return write_outcomes(std::move(next));
}

Status ReplicaStore::acknowledge(uint64_t serial) {
  auto next = handled();
  const auto forgotten = std::erase_if(next.outcomes, [&](const auto& each) { return each.outcome.serial <= serial; });
  if (forgotten == 0) return {};
  return write_outcomes(std::move(next));
}

}  // namespace mesh
