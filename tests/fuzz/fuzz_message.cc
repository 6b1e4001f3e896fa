#include "schemas/codec.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto message = mesh::decode_message({data, size});
  const uint64_t correlation = mesh::frame_correlation({data, size});
  if (!message) return 0;
  MESH_ASSERT(correlation == message->correlation);
  const auto again = mesh::decode_message(mesh::encode_message(*message));
  MESH_ASSERT(again && *again == *message);
  return 0;
}
