// Shared by the fuzzers: each claims that no bytes crash its decoder, and that what it accepts can be encoded
// and is then the same.
#pragma once

#include <cstddef>
#include <cstdint>

#include "eventstore/model/checkpoint.h"
#include "eventstore/model/encoded_entry.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace mesh::fuzz {

/// Input of fuzz_entry: the header's length as two bytes, little-endian, the header, the body.
Bytes join_entry(const EncodedEntry& entry);
EncodedEntry split_entry(ByteView input);

/// A token's text of any buffer, with the right checksum, which chance would never find; and the reverse.
std::string token_text(ByteView buffer);
std::optional<Bytes> token_buffer(std::string_view text);

/// What fuzz_checkpoint_note opens: the signer's seed is 32 zeros.
inline constexpr const char* kNoteOrigin = "meshlog/000102030405060708090a0b0c0d0e0f/1";
SignKey note_key();
Signature sign_as_note_key(ByteView message);

}  // namespace mesh::fuzz
