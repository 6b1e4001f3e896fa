#include "eventstore/model/canonical.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto state = mesh::decode_state({data, size});
  if (!state) return 0;
  const auto again = mesh::decode_state(mesh::encode_state(*state, true));
  MESH_ASSERT(again && *again == *state);
  MESH_ASSERT(mesh::state_digest(*again) == mesh::state_digest(*state));
  return 0;
}
