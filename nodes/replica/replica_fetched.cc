// What ReplicaStore keeps of versions whose files are rendered elsewhere.
#include <fmt/core.h>

#include <charconv>

#include "eventstore/model/crypto.h"
#include "nodes/replica/config_file.h"
#include "nodes/replica/replica_store.h"

namespace mesh {

namespace {

constexpr auto kBases = "versions/bases";
const std::string kFetched = "fetched";

std::string fetched_path(const Digest& digest) { return kFetched + "/" + to_hex(digest.view()); }

}  // namespace

std::optional<Digest> ReplicaStore::base_of(Version version) const {
  const auto found = bases_.find(version);
  return found == bases_.end() ? std::nullopt : std::optional(found->second);
}

Status ReplicaStore::set_base(Version version, const std::optional<Digest>& base) {
  if (base_of(version) == base) return {};
  auto bases = bases_;
  if (base) {
    bases[version] = *base;
  } else {
    bases.erase(version);
  }
  if (bases.size() > kBasesKept) bases.erase(bases.begin());
  std::string text;
  for (const auto& [each, digest] : bases) text += fmt::format("v{} {}\n", each.value(), to_hex(digest.view()));
  MESH_TRY(write_small(kBases, text));
  bases_ = std::move(bases);
  return {};
}

void ReplicaStore::read_bases() {
  bases_.clear();
  auto text = read_small(kBases);
  if (!text) return;
  std::string_view rest = *text;
  while (!rest.empty()) {
    const auto line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    const auto blank = line.find(' ');
    uint32_t number = 0;
    if (blank == std::string_view::npos || !line.starts_with('v')) continue;
    const auto parsed = std::from_chars(line.data() + 1, line.data() + blank, number);
    const auto digest = array_from_hex<Digest>(line.substr(blank + 1));
    if (parsed.ec == std::errc() && parsed.ptr == line.data() + blank && digest) bases_[Version(number)] = *digest;
  }
}

std::optional<Bytes> ReplicaStore::fetched(const Digest& digest) {
  auto bytes = files_.read(fetched_path(digest));
  if (!bytes || sha256(*bytes) != digest) return std::nullopt;
  return std::move(*bytes);
}

Status ReplicaStore::keep_fetched(const Digest& digest, ByteView bytes) {
  MESH_TRY(files_.make_dir(kFetched));
  if (auto written = files_.write(fetched_path(digest), bytes, 0600); !written) {
    (void)files_.remove(fetched_path(digest));  // the first error is the one to tell
    return fail_in("storing what was fetched", written.error());
  }
  return files_.sync_dir(kFetched);
}

Status ReplicaStore::forget_fetched() { return files_.remove(kFetched); }

}  // namespace mesh
