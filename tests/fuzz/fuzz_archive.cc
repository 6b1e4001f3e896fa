#include "tests/fuzz/fuzz.h"
#include "tests/support/archive_bytes.h"

namespace {

void read(const mesh::Bytes& bytes) {
  const auto contents = mesh::test::read_archive(mesh::test::source_of(bytes));
  if (!contents) return;
  const auto written = mesh::test::write_archive(*contents);
  MESH_ASSERT(written.has_value());
  const auto again = mesh::test::read_archive(mesh::test::source_of(*written));
  MESH_ASSERT(again && again->entries == contents->entries &&
              again->blobs.size() == contents->blobs.size() &&
              again->head.note == contents->head.note);
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const mesh::Bytes bytes(data, data + size);
  read(bytes);
  // What the checksums guard, chance would never reach.
  read(mesh::test::reseal_archive(mesh::test::split_archive(bytes), true));
  return 0;
}
