#include "schemas/codec.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto outcome = mesh::decode_outcome({data, size});
  if (!outcome) return 0;
  const auto again = mesh::decode_outcome(mesh::encode_outcome(*outcome));
  MESH_ASSERT(again && *again == *outcome);
  return 0;
}
