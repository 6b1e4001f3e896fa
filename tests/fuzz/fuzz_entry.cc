#include "schemas/codec.h"
#include "schemas/json.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto entry = mesh::decode_entry(mesh::fuzz::split_entry({data, size}));
  if (!entry) return 0;
  MESH_ASSERT(!mesh::entry_json(*entry).empty());
  if (!entry->body) return 0;
  const auto again = mesh::decode_entry(mesh::encode_entry(entry->header, *entry->body));
  MESH_ASSERT(again && again->body == entry->body);
  return 0;
}
