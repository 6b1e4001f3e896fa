// Files in the format of RocksDB's write-ahead logs, as the judgement before opening reads them: what is called torn is
// whole after it was cut off.
#include <algorithm>

#include "eventstore/log/recovery_check.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace mesh;

Result<std::optional<TornWrite>> scan(ByteView file) {
  RecordFileScan out;
  size_t at = 0;
  do {
    const ByteView block = file.subspan(at, std::min(RecordFileScan::kBlockBytes, file.size() - at));
    out.add_block("000001.log", at, block);
    at += block.size();
  } while (at < file.size());
  return out.verdict();
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const ByteView file(data, size);
  const auto verdict = scan(file);
  if (!verdict) {
    MESH_ASSERT(verdict.error().code == Errc::corrupt);
  } else if (*verdict) {
    MESH_ASSERT((*verdict)->offset <= size);
    const auto again = scan(file.first((*verdict)->offset));
    MESH_ASSERT(again && !*again);
  }
  return 0;
}
