#include "schemas/codec.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto statement = mesh::decode_join({data, size});
  if (!statement) return 0;
  const auto again = mesh::decode_join(mesh::encode_join(*statement));
  MESH_ASSERT(again && *again == *statement);
  return 0;
}
