#include "nodes/replica/pending_file.h"

#include "eventstore/model/crypto.h"
#include "schemas/json_reader.h"

namespace mesh {

namespace {

constexpr size_t kCheckChars = 64;  // SHA-256 of what is behind its line, in hex

std::string check_of(std::string_view text) { return to_hex(sha256(as_bytes(text)).view()); }

}  // namespace

std::string pending_text(const PendingVersion& pending) {
  auto quiet = Json::array();
  for (const auto peer : pending.quiet) quiet.push_back(peer.value());
  const Json json = {{"activation", pending.activation.value()}, {"version", pending.version.value()},
                     {"from", pending.from.value()},             {"boot_id", pending.boot_id},
                     {"deadline_ms", static_cast<uint64_t>(pending.deadline_ms)},       {"seconds", pending.seconds},
                     {"extensions", pending.extensions},         {"quiet", quiet}};
  const auto text = json.dump(1) + "\n";
  return check_of(text) + "\n" + text;
}

Result<PendingVersion> parse_pending_text(std::string_view text) {
  const bool headed = text.size() > kCheckChars && text[kCheckChars] == '\n';
  if (!headed || text.substr(0, kCheckChars) != check_of(text.substr(kCheckChars + 1))) {
    return fail(Errc::corrupt, "its digest is not the one at its head");
  }
  const auto json = Json::parse(text.substr(kCheckChars + 1), nullptr, false);
  PendingVersion pending;
  JsonReader in(json);
  in.get("activation", pending.activation);
  in.get("version", pending.version);
  in.get("from", pending.from);
  in.get("boot_id", pending.boot_id);
  uint64_t deadline_ms = 0;
  in.get("deadline_ms", deadline_ms);
  pending.deadline_ms = static_cast<int64_t>(deadline_ms);
  in.get("seconds", pending.seconds);
  in.get("extensions", pending.extensions);
  std::vector<uint32_t> quiet;
  in.get("quiet", quiet);
  MESH_TRY(in.status());
  for (const auto peer : quiet) pending.quiet.push_back(NodeId(peer));
  return pending;
}

}  // namespace mesh
