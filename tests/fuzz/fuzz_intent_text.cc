#include "cli/intent_text.h"
#include "eventstore/model/ids.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mesh;
  const std::string text(as_text(ByteView(data, size)));
  const auto wanted = cli::read_intent({{"input", text}});
  if (!wanted) {
    MESH_ASSERT(!wanted.error().message.empty());
    return 0;
  }
  // What is accepted is read back as the same, once new nodes have numbers as in an export.
  DesiredIntent intent = wanted->intent;
  uint32_t number = 4'000'000'000;
  for (DesiredNode& node : intent.nodes) {
    if (node.id.value() > number) return 0;
    if (node.id == NodeId()) node.id = NodeId(++number);
  }
  const auto again =
      cli::read_intent({{"again", cli::intent_yaml(intent, wanted->scope, Sequence(1))}});
  MESH_ASSERT(again && again->scope == wanted->scope && again->intent == intent);
  return 0;
}
