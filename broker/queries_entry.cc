// One entry of the log, with what it rests on and what came of it.
#include "broker/queries_internal.h"
#include "schemas/json.h"

namespace mesh::answering {

Answer entry(const QueryFacts& facts) {
  auto found = read_entry(facts);
  if (!found) return std::unexpected(found.error());
  json out = document(facts, "Entry");
  out["item"] = json::parse(entry_json(found->second));
  out["item"]["leaf"] = to_hex(found->second.leaf.view());
  out["item"]["header"] = to_base64(found->first.header);
  return out;
}

}  // namespace mesh::answering
