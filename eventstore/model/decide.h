// The heart: which facts follow from a request. Pure; the same arguments give the same events for
// ever.
#pragma once

#include <vector>

#include "eventstore/model/entry.h"
#include "eventstore/model/state.h"

namespace mesh {

/// Whether the signer may: one table, command x kind of principal x role (authorise.cc). Does not
/// check the signature itself. Errors: unauthenticated (unknown or banned signer), not_permitted.
Status authorise(const MeshState& state, const Request& request);

/// Authorises, then decides every command in turn, each on the state that the ones before it made.
/// No event = already true: nothing is to be written. Errors leave nothing changed: not_found,
/// conflict, invalid, exhausted, not_permitted, unauthenticated, unsupported.
Result<std::vector<Event>> decide(const MeshState& state, const Request& request,
                                  const Context& context);

/// The class of a request's entry. Errors: usage (reports mixed with intent, empty, too many
/// commands).
Result<EntryClass> classify(const Request& request);

/// The key that must have signed `request` in `state`. Errors: unauthenticated.
Result<SignKey> signer_key(const MeshState& state, const Request& request);

/// What a commit of `scope` would refuse, worst first; empty when it is valid. Codes: invalid.
std::vector<Error> validate(const MeshState& state, const Scope& scope);

/// First 16 bytes of SHA-256 over all fields of the first command, so that an id pins the keys.
LogId derive_log_id(const CreateLog& genesis);

/// Merkle root over commit rows: leaf = node, version (little-endian 32), digest.
Digest version_rows_root(const std::vector<VersionRow>& rows);

}  // namespace mesh
