#include "schemas/config_text.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = mesh::as_text(mesh::ByteView(data, size));
  const auto config = mesh::parse_config_text(text);
  MESH_ASSERT(!config || mesh::config_text(*config) == text);
  return 0;
}
