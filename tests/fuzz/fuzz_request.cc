#include "schemas/codec.h"
#include "schemas/json.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto request = mesh::decode_request({data, size});
  if (!request) return 0;
  const auto again = mesh::decode_request(mesh::encode_request(*request));
  MESH_ASSERT(again && *again == *request);
  for (const auto& command : request->commands) MESH_ASSERT(!mesh::command_json(command).empty());
  return 0;
}
