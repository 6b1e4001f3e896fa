#include "eventstore/model/crypto.h"
#include "schemas/adoption.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto text = mesh::as_text(mesh::ByteView(data, size));
  if (const auto adoption = mesh::parse_adoption_text(text)) MESH_ASSERT(mesh::adoption_text(*adoption) == text);
  // With a key whose secret nobody has: nothing is followed.
  mesh::AdoptionCall call;
  call.recovery.bytes.fill(1);
  call.nonce.bytes.fill(3);
  MESH_ASSERT(!mesh::check_adoption(text, call));
  return 0;
}
