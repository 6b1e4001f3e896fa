#include "eventstore/model/checkpoint.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mesh;
  const std::string_view text = as_text(ByteView(data, size));
  static const SignKey kKey = fuzz::note_key();
  if (const auto checkpoint = parse_checkpoint_text(text)) {
    const auto again = parse_checkpoint_text(checkpoint_text(*checkpoint));
    MESH_ASSERT(again && *again == *checkpoint);
    // Signed by the right key, whatever it says opens.
    if (checkpoint->origin == fuzz::kNoteOrigin) {
      const std::string note = sign_note(checkpoint_text(*checkpoint), fuzz::kNoteOrigin, kKey, fuzz::sign_as_note_key);
      const auto opened = open_checkpoint(note, fuzz::kNoteOrigin, kKey);
      MESH_ASSERT(opened && *opened == *checkpoint);
    }
  }
  const auto opened = open_checkpoint(text, fuzz::kNoteOrigin, kKey);
  MESH_ASSERT(!opened || opened->origin == fuzz::kNoteOrigin);
  for (const std::string& one : split_notes(text)) {
    const auto alone = split_notes(one);  // what was one note stays one
    MESH_ASSERT(alone.size() == 1 && alone.front() == one);
  }
  const auto cosigned = add_note_signature(text, "node-11", kKey, fuzz::sign_as_note_key);
  const bool another = text.find("node-11") != text.npos;  // a wrong signature of that name makes it wrong
  MESH_ASSERT(!cosigned || another || open_note(*cosigned, "node-11", kKey));
  return 0;
}
