// What a stored version and the overlay make of a router: bind() of the model, with the version's files in the place of
// what is generated under the same name. Pure.
//   bird.conf, and what it includes         the routing daemon's configuration (dataplane/bird_files.h)
//   tlwg_<peer>.conf                        that tunnel (dataplane/wg_quick.h)
//   startup_*                               start-up scripts (services.h)
//   what a service's pattern matches        placed for that service; never one of the above, nor a template
// Every other file is only kept in the version's directory.
#pragma once

#include <string>
#include <vector>

#include "nodes/dataplane/bird_files.h"
#include "nodes/replica/replica_store.h"
#include "nodes/services/services.h"

namespace mesh {

struct BoundVersion {
  Desired desired;
  WantedServices services;
  BirdConfig bird;                 // of a bird.conf among the files
  std::vector<std::string> notes;  // what of the files is not used, for people
  bool generated = true;           // nothing of the router comes from files
};

/// Errors: invalid (which file and line, and the fix).
Result<BoundVersion> bind_version(const StoredVersion& version, const Overlay& overlay);

/// The files of a version as people read them: what was rendered, and beside it what is generated.
std::map<std::string, std::string> files_of(const StoredVersion& version, const Overlay& overlay);

}  // namespace mesh
