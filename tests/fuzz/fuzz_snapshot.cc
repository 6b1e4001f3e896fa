#include "schemas/codec.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto replica = mesh::decode_snapshot({data, size});
  if (!replica) return 0;
  const auto again = mesh::decode_snapshot(mesh::encode_snapshot(*replica));
  MESH_ASSERT(again && *again == *replica);
  return 0;
}
