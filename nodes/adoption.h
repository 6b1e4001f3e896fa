// Adoption: a node leaves its log for another one, because root said so on the box, or somebody with its recovery
// secret (README, "Recovery"). On the disk, in the data directory:
//
//   adopt/        what is under way: node.json (of the new log; node 0 = not admitted yet), sign.key, box.key, and
//                 `join`, the frame that asks to be admitted. Written by the program; nothing without node.json
//   adopting      decided: "before/N", where all of the old log goes. Every start goes on with it before anything else
//   before/N/     the old log's: identity/{node.json,sign.key,box.key}, replica, versions, pointers, overlay, outcomes,
//                 journal, endpoints. Kept; nothing removes it
//   inherited     -> before/N: its active version routes until one of the new log is activated (replica_store.h)
//
// Until `adopting` is there the node is one of the old log, from then on of the new one; nothing on the router changes
// in between. WireGuard keys and what belongs to the machine (services, scripts, peer addresses) stay where they are.
// Errors: exhausted, io, not_permitted; corrupt (`adopting`). Then: again, which goes on. Thread: one at a time, who
// has the lock.
#pragma once

#include <string>

#include "nodes/files.h"

namespace mesh {

inline constexpr auto kInheritedLink = "inherited";
inline constexpr auto kAdoptDirectory = "adopt";
inline constexpr auto kAdoptingFile = "adopting";
inline constexpr auto kBeforeDirectory = "before";

/// Goes over to what is in adopt/. Precondition: that is whole, and says as which node it was admitted; no version
/// waits for its confirmation. Durable on return, also after a crash in the middle and finish_adoption().
Status adopt(Files& files);
/// Goes on with what a crash or an error interrupted. Nothing to go on with = success.
Status finish_adoption(Files& files);

}  // namespace mesh
