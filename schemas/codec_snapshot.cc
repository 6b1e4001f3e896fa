#include "eventstore/model/canonical.h"
#include "schemas/codec.h"
#include "schemas/codec_internal.h"
#include "snapshot_generated.h"

namespace mesh {

Bytes encode_snapshot(const Replica& replica) {
  const Bytes state = encode_state(replica.state, true);
  const Digest digest = state_digest(replica.state);
  Builder b(state.size() + 4096);
  const auto packed_state = pack_bytes(b, state);
  const auto peaks =
      pack_rows(b, replica.frontier.peaks(), [](const Digest& peak) { return *pack_fixed(peak); });
  b.Finish(wire::CreateSnapshot(b, replica.state.sequence.value(), replica.state.rules, replica.frontier.size(),
                                peaks, packed_state, pack_fixed(digest)),
           kSnapshotIdentifier);
  return finished(b);
}

namespace {

/// Before the state is read: newer rules may have changed how it is written.
Status check_rules(uint32_t rules) {
  if (rules <= kRulesNewest) return {};
  return fail(Errc::unsupported,
              fmt::format("snapshot has rules {}, this program knows {}", rules, kRulesNewest), Reader::kUpgrade);
}

/// What the snapshot says of its state must be what the state says of itself.
Status check_position(const wire::Snapshot& w, const MeshState& state, const Digest& digest) {
  if (w.sequence() != state.sequence.value() || w.size() != w.sequence())
    return fail(Errc::corrupt, fmt::format("snapshot is of sequence {} and {} leaves, its state of {}", w.sequence(),
                                           w.size(), state.sequence.value()));
  if (w.rules() != state.rules)
    return fail(Errc::corrupt, fmt::format("snapshot has rules {}, its state {}", w.rules(), state.rules));
  if (state_digest(state) != digest)
    return fail(Errc::corrupt, fmt::format("state of the snapshot at {} has another digest", w.sequence()));
  return {};
}

}  // namespace

Result<Replica> decode_snapshot(ByteView bytes) {
  const AlignedInput input(bytes);
  auto root = open_root<wire::Snapshot>(input, kSnapshotIdentifier, kSnapshotBytesMax, "snapshot");
  if (!root) return std::unexpected(std::move(root).error());
  const auto& w = **root;
  MESH_TRY(check_rules(w.rules()));
  Reader r(bytes.size());
  const auto digest = r.fixed<Digest>(w.digest(), "digest");
  auto peaks = r.list(w.peaks(), "peaks", 64, [&](const wire::Bytes32* peak) { return r.fixed<Digest>(peak, "peak"); });
  r.present(w.state(), "state");
  auto checked = r.finish("snapshot", std::move(peaks));
  if (!checked) return std::unexpected(std::move(checked).error());
  auto frontier = MerkleFrontier::restore(w.size(), std::move(*checked));
  if (!frontier) return fail_in("snapshot", std::move(frontier).error());
  auto state = decode_state({w.state()->data(), w.state()->size()});
  if (!state) return fail_in("snapshot", std::move(state).error());
  MESH_TRY(check_position(w, *state, digest));
  return Replica{.state = std::move(*state), .frontier = std::move(*frontier)};
}

}  // namespace mesh
