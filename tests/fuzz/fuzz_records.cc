// The values of the log's records. Input: which kind, then the value, without the checksum that guards it.
#include "eventstore/log/records.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mesh;
  if (size == 0) return 0;
  const std::string_view value = as_text(ByteView(data + 1, size - 1));
  const std::string key = records::batch_key(Sequence(1));
  switch (data[0] % 5) {
    case 0:
      if (const auto batch = records::decode_batch(key, value)) MESH_ASSERT(records::encode_batch(*batch) == value);
      break;
    case 1:
      if (const auto entry = records::decode_entry(value)) {
        const std::string length = records::encode_u32(static_cast<uint32_t>(entry->header.size()));
        MESH_ASSERT(length + std::string(as_text(entry->header)) + std::string(as_text(entry->body)) == value);
      }
      break;
    case 2:
      if (const auto list = records::decode_sequences(value)) MESH_ASSERT(records::encode_sequences(*list) == value);
      break;
    case 3:
      if (const auto tile = records::decode_tile(value)) MESH_ASSERT(records::encode_tile(*tile) == value);
      break;
    case 4: {
      const std::string sealed = records::seal(key, {value}) + std::string(value);
      MESH_ASSERT(records::unseal(key, sealed) == value);
      MESH_ASSERT(!records::unseal(records::batch_key(Sequence(2)), sealed));
      (void)records::unseal(key, value);
      (void)records::sequence_of(value);
      break;
    }
  }
  return 0;
}
