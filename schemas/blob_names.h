// Which blobs a log needs beside its entries: what a backup holds, and what is missed when it is not there.
#pragma once

#include <string>
#include <vector>

#include "eventstore/model/entry.h"
#include "eventstore/model/result.h"

namespace mesh {

struct BlobName {
  Digest digest;
  std::string name;       // for people: "v3 of node 11", "bird.conf.jinja"
  bool config = false;    // a node's configuration, which names more (blobs_of_config)
};

/// Those that the entry's events name: configurations and files.
std::vector<BlobName> blobs_of(const Entry& entry);
/// Those that a node's configuration names beside what entries name: its rendered files. `name`: the configuration's.
/// Errors: those of parse_config_text.
Result<std::vector<BlobName>> blobs_of_config(ByteView text, const std::string& name);

}  // namespace mesh
