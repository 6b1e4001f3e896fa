#include "eventstore/model/address.h"
#include "eventstore/model/attribute_value.h"
#include "tests/fuzz/fuzz.h"

/// What people type: values, addresses, prefixes, endpoints.
int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = mesh::as_text(mesh::ByteView(data, size));
  if (const auto value = mesh::parse_attribute_value(text)) {
    const auto again = mesh::parse_attribute_value(mesh::to_text(*value));
    MESH_ASSERT(again);
  }
  if (const auto address = mesh::parse_address(text)) {
    const auto again = mesh::parse_address(mesh::to_text(*address));
    MESH_ASSERT(again && *again == *address);
  }
  if (const auto prefix = mesh::parse_prefix(text)) {
    const auto again = mesh::parse_prefix(mesh::to_text(*prefix));
    MESH_ASSERT(again && *again == *prefix);
  }
  if (const auto endpoint = mesh::parse_host_port(text)) MESH_ASSERT(!endpoint->host.empty());
  return 0;
}
