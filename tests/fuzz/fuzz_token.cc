#include "schemas/codec.h"
#include "tests/fuzz/fuzz.h"

namespace {

void check(std::string_view text) {
  const auto token = mesh::decode_token(text);
  if (!token) return;
  const auto again = mesh::decode_token(mesh::encode_token(*token));
  MESH_ASSERT(again && again->seed == token->seed && again->node == token->node && again->anchor == token->anchor);
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  check(mesh::as_text(mesh::ByteView(data, size)));
  check(mesh::fuzz::token_text(mesh::ByteView(data, size)));
  return 0;
}
